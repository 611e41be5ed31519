// The overview: what was lost, what came back, and whether it is getting better. Charts are
// asked for when they come near, say in a sentence what they show, and have the same numbers
// as a table and as a file.
import { html, useMemo, useState, useEffect, useRef } from './vendor/preact.js';
import { Page, Term, Asked, Empty, Copy, Lift, Switch, Whisker, announce, compare, useId, useKeys, wilson } from './ui.js';
import { useGet, useEvery, get, session, may } from './api.js';
import { useRoute, link, setQuery } from './route.js';
import { money, number, percent, day, clock, duration, change, zoneName, addDays, today } from './format.js';
import { STEPS } from './words.js';
import Plot from './vendor/uplot.js';

// ---------------------------------------------------------------------------
// Help for drawing

// Whether it has come near what is seen, ever.
function useNear(at) {
	const [near, set] = useState(false);
	useEffect(() => {
		const watch = new IntersectionObserver((found) => found.some((one) => one.isIntersecting) && (set(true), watch.disconnect()), { rootMargin: '400px' });
		watch.observe(at.current);
		return () => watch.disconnect();
	}, []);
	return near;
}

// Changes with the theme: what is painted has to be painted anew.
function useTheme() {
	const [turn, set] = useState(0);
	useEffect(() => {
		const dark = matchMedia('(prefers-color-scheme: dark)');
		const again = () => set((n) => n + 1);
		const watch = new MutationObserver(again);
		watch.observe(document.documentElement, { attributes: true, attributeFilter: ['data-theme'] });
		dark.addEventListener('change', again);
		return () => { watch.disconnect(); dark.removeEventListener('change', again); };
	}, []);
	return turn;
}
const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();

const sum = (rows, name) => rows.reduce((total, row) => total + Number(row[name]), 0);
const most = (rows, name) => rows.reduce((best, row) => (!best || Number(row[name]) > Number(best[name]) ? row : best), null);
const ratio = (part, whole) => (Number(whole) ? part / whole : null);

// Cells of which one at a time is looked at, by mouse or keyboard. rows: how many are in one line.
function useCells(count, line = 1) {
	const [current, set] = useState({ at: null, key: false });
	const move = (event) => {
		const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: line, ArrowUp: -line, Home: -Infinity, End: Infinity };
		if (event.key === 'Escape') set({ at: null, key: false });
		if (!(event.key in steps)) return;
		event.preventDefault();
		const here = [...event.currentTarget.querySelectorAll('[data-cell]')];
		const from = here.indexOf(document.activeElement);
		const to = Math.max(0, Math.min(count - 1, from + steps[event.key]));
		if (Math.abs(steps[event.key]) === line && line > 1 && (from + steps[event.key] < 0 || from + steps[event.key] >= count)) return;
		here[to].focus();
	};
	return {
		current: current.at,
		byKey: current.key,
		box: { onKeyDown: move, onMouseLeave: () => set({ at: null, key: false }) },
		cell: (i) => ({
			'data-cell': '',
			'data-here': current.at === i ? '' : null,
			tabindex: i === (current.key && current.at !== null ? current.at : 0) ? 0 : -1,
			onMouseEnter: () => set({ at: i, key: false }),
			onFocus: () => set({ at: i, key: true }),
			onBlur: () => set({ at: null, key: false }),
		}),
	};
}

// What is under the mouse or the cursor; while there is nothing, how to find out.
const Readout = ({ cells, of, hint }) => html`<p class="readout number">${cells.current === null ? html`<span class="soft">${hint}</span>` : of(cells.current)}</p>`;

// ---------------------------------------------------------------------------
// The frame

const guarded = (text) => (/^[=+@\t\r-]/.test(text) ? "'" + text : text);
// Rows as CSV (RFC 4180): values as the API has them; no text that a spreadsheet would compute.
function csv(columns, rows) {
	const cell = (value) => {
		if (value === null || value === undefined) return '';
		const text = typeof value === 'string' && Number.isNaN(Number(value)) ? guarded(value) : String(value);
		return /[",\r\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
	};
	return [columns.map(({ name }) => name), ...rows.map((row) => columns.map(({ name }) => row[name]))].map((line) => line.map(cell).join(',') + '\r\n').join('');
}

function download(name, text) {
	const url = URL.createObjectURL(new Blob(['\ufeff' + text], { type: 'text/csv;charset=utf-8' }));
	const a = Object.assign(document.createElement('a'), { href: url, download: name });
	a.click();
	setTimeout(() => URL.revokeObjectURL(url), 10000);
	announce(`${name} is on its way.`);
}

function Numbers({ columns, rows, label }) {
	return html`<div class="table-wrap numbers" tabindex="0" role="region" aria-label=${label}><table class="keep">
		<thead><tr>${columns.map(({ name, label: text, align }) => html`<th key=${name} scope="col" class=${align === 'left' ? '' : 'right'}>${text}</th>`)}</tr></thead>
		<tbody>${rows.map((row, i) => html`<tr key=${i}>${columns.map(({ name, show, align }) => html`<td key=${name} class=${align === 'left' ? 'wrap' : 'right number'}>${show ? show(row[name], row) : row[name]}</td>`)}</tr>`)}</tbody>
	</table></div>`;
}

// columns: [{name, label, show?(value, row), align?}]; rows: what the table and the file have;
// says: the sentence; chart: what is drawn; file: its name, without .csv; all(): the rows of the file, when they are
// more than the table's; empty: instead of a chart without rows.
function Chart({ title, says, columns, rows, file, all, empty, note, chart, ...rest }) {
	const id = useId();
	const [asTable, setAsTable] = useState(false);
	const save = async () => {
		try {
			download(`${file}.csv`, csv(columns, all ? await all() : rows));
		} catch (problem) {
			announce(`No file: ${problem.message}`, 'bad');
		}
	};
	const nothing = rows.length === 0;
	return html`<section class="card chart" aria-labelledby=${id} ...${rest}>
		<header class="section-head"><h2 id=${id}>${title}</h2>${!nothing && html`<div class="actions">
			<button type="button" class="link small" aria-pressed=${asTable} aria-label=${`${asTable ? 'Chart' : 'Table'}: ${title}`} onClick=${() => setAsTable(!asTable)}>${asTable ? 'Chart' : 'Table'}</button>
			<button type="button" class="link small" aria-label=${`CSV: ${title}`} onClick=${save}>CSV</button></div>`}</header>
		${nothing ? html`<div class="empty">${empty || 'Nothing happened in these days.'}</div>` : html`
			<p class="says">${says}</p>
			${asTable ? html`<${Numbers} columns=${columns} rows=${rows} label=${`Numbers: ${title}`} />` : chart}
			${note && html`<p class="note">${note}</p>`}`}
	</section>`;
}

// Asks for a report once it is near; children: (rows of the currency) => chart
function Near({ path, query, currency, height = '20rem', children, name }) {
	const at = useRef();
	const near = useNear(at);
	const asked = useGet(near ? path : null, query);
	return html`<div ref=${at} class="near" data-report=${name} style=${{ minHeight: asked.data ? '' : height }}>
		${near && html`<${Asked} of=${asked} height=${height}>${(data) => children(data.results.filter((row) => row.currency === currency))}<//>`}</div>`;
}

// ---------------------------------------------------------------------------
// Curves by day, with uPlot. The names of the curves are buttons that hide them, and say their
// values on the day that is looked at.

const instant = (date) => Date.parse(date + 'T00:00:00Z') / 1000;
const weekday = { weekday: 'short', day: 'numeric', month: 'short', year: 'numeric' };

// last: the day that it is; rows: [{day, ...}]; before: those of the period before, or none; curves: [{name, label, colour}];
// show(value): as text; unit: of the axis
function Curves({ last, rows, before, curves, show, axis, unit, height = 250, label, pick = 'hide', fill }) {
	const at = useRef();
	const plot = useRef();
	const theme = useTheme();
	const { query } = useRoute();
	const [here, setHere] = useState(null);
	const [said, setSaid] = useState('');
	const hidden = new Set((query[pick] || '').split(',').filter(Boolean));
	const shown = curves.filter(({ name }) => !hidden.has(name));
	const names = shown.map(({ name }) => name).join();

	useEffect(() => {
		const host = at.current;
		// days to come are no zeros
		const values = (list, name) => rows.map((row, i) => (row.day > last || !list[i] ? null : Number(list[i][name])));
		// nor is today as much as a whole day
		const open = rows.length > 1 ? rows.findIndex((row) => row.day === last) : -1;
		const whole = (name) => values(rows, name).map((value, i) => (i === open ? null : value));
		const partly = (name) => values(rows, name).map((value, i) => (i === open || i === open - 1 ? value : null));
		const soft = colourOf('soft');
		const line = colourOf('line');
		const points = { show: rows.length <= 31, size: 5 };
		const series = shown.flatMap(({ colour }) => [
			...(before ? [{ stroke: colourOf(colour) + '99', width: 1, dash: [4, 4], points: { show: rows.length === 1 } }] : []),
			{ stroke: colourOf(colour), width: 2, points: { ...points, fill: colourOf(colour) }, fill: fill ? colourOf(colour) + '22' : undefined },
			...(open > 0 ? [{ stroke: colourOf(colour), width: 2, dash: [2, 4], points: { show: false } }] : []),
		]);
		const data = [rows.map((row) => instant(row.day)), ...shown.flatMap(({ name }) => [...(before ? [values(before, name)] : []), whole(name), ...(open > 0 ? [partly(name)] : [])])];
		const font = '12px ' + getComputedStyle(host).fontFamily;
		plot.current = new Plot({
			width: Math.max(200, host.clientWidth),
			height,
			padding: [8, 12, 0, 0],
			legend: { show: false },
			tzDate: (seconds) => Plot.tzDate(new Date(seconds * 1000), 'UTC'),
			cursor: { y: false, drag: { x: false, y: false }, points: { size: 7 } },
			scales: {
				x: { range: (u, low, high) => (low === high ? [low - 43200, high + 43200] : [low, high]) },
				y: { range: (u, low, high) => [0, Math.max(axis ? 10 : 4, high * 1.06)] },
			},
			axes: [
				{ stroke: soft, font, size: 28, gap: 3, grid: { show: false }, ticks: { stroke: line, size: 4 }, incrs: [1, 2, 3, 7, 14, 28, 56, 91, 182, 364].map((n) => n * 86400), space: 64,
					values: (u, splits) => splits.map((at) => day(new Date(at * 1000).toISOString().slice(0, 10), { day: 'numeric', month: 'short' })) },
				{ stroke: soft, font, grid: { stroke: line, width: 1 }, ticks: { show: false }, space: 36, size: (u, texts) => 14 + Math.max(12, ...(texts || []).map((text) => text.length * 6.6)),
					incrs: axis ? undefined : [1, 2, 5, 10, 20, 25, 50, 100, 200, 250, 500, 1000, 2000, 2500, 5000, 10000, 20000, 50000, 100000, 1000000], values: (u, splits) => splits.map(axis || show) },
			],
			series: [{}, ...series],
			hooks: { setCursor: [(u) => setHere(u.cursor.idx ?? null)] },
		}, data, host);
		const watch = new ResizeObserver(() => plot.current && plot.current.setSize({ width: Math.max(200, host.clientWidth), height }));
		watch.observe(host);
		return () => { watch.disconnect(); plot.current.destroy(); plot.current = null; };
	}, [rows, before, names, theme, height]);

	const valueOf = (name, i) => (rows[i].day > last ? 'not yet' : show(rows[i][name]));
	const move = (event) => {
		const steps = { ArrowRight: 1, ArrowLeft: -1, PageDown: 7, PageUp: -7, Home: -Infinity, End: Infinity };
		if (event.key === 'Escape') { plot.current.setCursor({ left: -10, top: -10 }); return; }
		if (!(event.key in steps)) return;
		event.preventDefault();
		const to = Math.max(0, Math.min(rows.length - 1, (here === null ? (steps[event.key] < 0 ? rows.length : -1) : here) + steps[event.key]));
		plot.current.setCursor({ left: plot.current.valToPos(instant(rows[to].day), 'x'), top: 10 });
		setHere(to);
		setSaid(`${day(rows[to].day, weekday)}: ` + shown.map(({ name, label: text }) => `${text} ${valueOf(name, to)}${before && before[to] ? `, before ${show(before[to][name])}` : ''}`).join('; '));
	};
	const toggle = (name) => {
		const next = new Set(hidden);
		if (!next.delete(name)) next.add(name);
		setQuery({ [pick]: [...next].join() || null }, { replace: true });
	};
	const i = here !== null && rows[here] ? here : null;
	return html`<div class="curves">
		<div class="legend">
			<span class="when">${i === null ? 'Whole period' : day(rows[i].day, weekday) + (rows[i].day === last ? ', so far' : '')}</span>
			${curves.map(({ name, label: text, colour }) => html`<button key=${name} type="button" class="plain key" data-colour=${colour} aria-pressed=${!hidden.has(name)} title=${hidden.has(name) ? 'Show this curve' : 'Hide this curve'} onClick=${() => toggle(name)}>
				<span>${text}</span> <b class="number">${i === null ? show(sum(rows, name)) : valueOf(name, i)}</b>
				${before && html` <small class="number" title=${i === null ? 'In the period before' : before[i] && day(before[i].day)}>${i === null ? show(sum(before, name)) : before[i] ? show(before[i][name]) : '–'}</small>`}</button>`)}
		</div>
		<p class="axis note">${unit}</p>
		<div class="plot" role="group" tabindex="0" aria-roledescription="chart" aria-label=${`${label}. Left and right arrow keys: the values of a day.`} onKeyDown=${move}
			onBlur=${() => plot.current && plot.current.setCursor({ left: -10, top: -10 })} ref=${at} style=${{ height: height + 'px' }}></div>
		<p class="hidden" aria-live="polite">${said}</p>
	</div>`;
}

// ---------------------------------------------------------------------------
// Bars, columns, and the steps of the funnel

const wide = (part, whole) => ({ width: `${whole > 0 ? Math.max(part > 0 ? 0.4 : 0, (100 * part) / whole) : 0}%` });

// Lying bars, each with its numbers beside it. bars: [{key, label, size, part?, text, title?, href?}];
// part is what of it came back.
function Bars({ bars, colour, partColour = 'recovered', label }) {
	const top = Math.max(...bars.map(({ size }) => size), 1e-9);
	return html`<ul class="bars" aria-label=${label}>${bars.map((bar) => html`<li key=${bar.key} title=${bar.title}>
		<span class="wrap">${bar.href ? html`<a href=${bar.href}>${bar.label}</a>` : bar.label}</span><span class="number">${bar.text}</span>
		<span class="track" data-colour=${colour}><i style=${wide(bar.size, top)}></i>${bar.part > 0 && html`<i data-colour=${partColour} style=${wide(bar.part, top)}></i>`}</span></li>`)}</ul>`;
}

// Standing ones, of ranges: [{key, label, size, words}]
function Columns({ columns, colour, axis, show, label }) {
	const cells = useCells(columns.length);
	const top = Math.max(...columns.map(({ size }) => size), 1e-9);
	return html`<div class="columns">
		<${Readout} cells=${cells} of=${(i) => columns[i].words} hint="Values: point at a column, or use the arrow keys." />
		<div class="stage" ...${cells.box} role="list" aria-label=${label}>
			${columns.map((column, i) => html`<div key=${column.key} ...${cells.cell(i)} role="listitem" aria-label=${column.words} data-colour=${colour}>
				<span class="soft number">${column.size > 0 && columns.length <= 12 ? show(column.size) : ''}</span>
				<i style=${{ height: `${column.size > 0 ? Math.max(1, (78 * column.size) / top) : 0}%` }}></i><span class="tick number">${i % Math.ceil(columns.length / 6) === 0 ? column.label : ''}</span></div>`)}
		</div>
		<p class="axis note">${axis}</p></div>`;
}

const stepName = (step) => STEPS[step] || 'Converted';
// the step before which most are lost
const worstOf = (rows) => rows.slice(1).reduce((found, row) => (row.from_previous !== null && row.from_previous < (found ? found.from_previous : 1) ? row : found), null);

// rows of funnel()
function Funnel({ rows }) {
	const worst = worstOf(rows);
	return html`<ol class="funnel">${rows.map((row, i) => html`<li key=${row.step}>
		${i > 0 && row.from_previous !== null && row.from_previous < 1 && html`<p class=${row === worst ? 'drop worst number' : 'drop number soft'}>${`−${percent(1 - row.from_previous)} (${number(rows[i - 1].orders - row.orders)})${row === worst ? ', the largest drop' : ''}`}</p>`}
		<div class="stage-row"><span>${stepName(row.step)}</span><span class="number"><b>${number(row.orders)}</b> <span class="soft">${percent(row.share)}</span></span></div>
		<span class="track" data-colour=${row.step === 'converted' ? 'converted' : 'created'}><i style=${wide(row.orders, rows[0].orders)}></i></span></li>`)}</ol>`;
}

// ---------------------------------------------------------------------------
// Hours of the week, each as dark as it has many

const DAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];
const hourName = ({ weekday, hour }) => `${DAYS[weekday - 1]} ${hour}–${hour + 1} h`;

// rows of statistics_by_hour(), Monday 0 h first
function Hours({ rows, name, colour, what }) {
	const cells = useCells(168, 24);
	const top = Math.max(...rows.map((row) => Number(row[name])));
	const shade = (value) => ({ backgroundColor: `color-mix(in srgb, var(--${colour}) ${value > 0 ? Math.round(12 + (88 * value) / top) : 0}%, var(--empty))` });
	return html`<div class="hours">
		<${Readout} cells=${cells} of=${(i) => html`<b>${number(rows[i][name])}</b> ${what}, ${hourName(rows[i])}`} hint="Values: point at an hour, or use the arrow keys." />
		<table role="grid" class="keep" aria-label=${`${what} by hour of the week`} ...${cells.box}>
			<thead><tr><td></td>${Array.from({ length: 24 }, (_, hour) => html`<th key=${hour} scope="col">${hour % 6 === 0 ? html`<span class="number">${hour} h</span>` : html`<span class="hidden">${hour}</span>`}</th>`)}</tr></thead>
			<tbody>${DAYS.map((day, d) => html`<tr key=${day}><th scope="row" abbr=${day}>${day.slice(0, 3)}</th>${rows.slice(d * 24, d * 24 + 24).map((row, hour) => html`<td key=${hour} role="gridcell" ...${cells.cell(d * 24 + hour)}
				aria-label=${`${hourName(row)}: ${number(row[name])} ${what}`} style=${shade(Number(row[name]))}></td>`)}</tr>`)}</tbody>
		</table>
		<p class="scale note"><span class="number">0</span>${[0, 0.25, 0.5, 0.75, 1].map((part) => html`<i key=${part} style=${shade(top * part || 0)}></i>`)}<span class="number">${number(top)}</span> ${what} in one hour of the week</p>
	</div>`;
}

// ---------------------------------------------------------------------------
// What messages bring back

const nameOf = (row) => (row.campaign ? `${row.campaign}, step ${row.step}` : 'By hand') + (row.variant ? `, variant ${row.variant}` : '');

// rows of statistics_by_campaign() that were sent or held out
function Campaigns({ rows, money }) {
	const shares = rows.map((row) => wilson(row.converted, row.sent));
	const most = Math.max(0.01, ...shares.filter(Boolean).map(({ high }) => high));
	return html`<div class="table-wrap" tabindex="0" role="region" aria-label="Campaigns"><table class="trials">
		<thead><tr><th scope="col">Message</th><th scope="col" class="right">Sent</th><th scope="col" class="right" data-small="no">Opened</th><th scope="col" class="right" data-small="no">Clicked</th><th scope="col" class="right">Converted</th><th scope="col" class="right">Of the sent</th><th scope="col">with its 95 % interval, 0 to ${percent(most, 0)}</th><th scope="col" class="right">Paid</th></tr></thead>
		<tbody>${rows.map((row, i) => html`<tr key=${nameOf(row)}><td class="wrap" data-label="">${nameOf(row)}</td>
			<td class="right number" data-label="Sent">${number(row.sent)}</td><td class="right number" data-small="no" data-label="Opened">${percent(row.open_rate)}</td><td class="right number" data-small="no" data-label="Clicked">${percent(row.click_rate)}</td>
			<td class="right number" data-label="Converted">${number(row.converted)}</td><td class="right number" data-label="Of the sent">${percent(row.conversion_rate)}</td><td data-label="Interval"><${Whisker} it=${shares[i]} most=${most} /></td><td class="right number" data-label="Paid">${money(row.revenue)}</td></tr>`)}</tbody>
	</table></div>`;
}

// ---------------------------------------------------------------------------
// Weeks of abandonment, and how much of each had come back after so many days

// rows of statistics_by_cohort_age(), week and age; one for each week, with its cells
function cohortRows(rows) {
	const weeks = new Map();
	for (const row of rows) {
		if (!weeks.has(row.week)) weeks.set(row.week, { week: row.week, episodes: row.episodes, recoverable: row.recoverable, recovered: 0, mature: row.mature, cells: [] });
		const week = weeks.get(row.week);
		week.recovered += Number(row.recovered);
		week.cells.push(row);
		if (row.state !== 'to come') week[`day_${row.days_before ?? 'later'}`] = row.recovered_so_far;
	}
	return [...weeks.values()];
}
const ageName = (row) => (row.days_before === null ? 'later' : row.days_before === 1 ? '1 day' : `${row.days_before} days`);
function cohortColumns(rows) {
	const ages = rows.filter((row) => row.week === (rows[0] || {}).week);
	return [{ name: 'week', label: 'Week from', show: (value) => day(value), align: 'left' }, { name: 'episodes', label: 'Abandoned', show: number }, { name: 'recoverable', label: 'Recoverable', show: number },
		...ages.map((row) => ({ name: `day_${row.days_before ?? 'later'}`, label: row.days_before === null ? 'In all' : `Within ${ageName(row)}`, show: (value) => (value === undefined ? '' : number(value)) }))];
}

function Cohorts({ rows }) {
	const ages = rows[0].cells;
	const cells = useCells(rows.length * ages.length, ages.length);
	const share = (cell) => ratio(cell.recovered_so_far, cell.recoverable);
	const top = Math.max(0.001, ...rows.flatMap((row) => row.cells).filter(({ state }) => state !== 'to come').map((cell) => share(cell) || 0));
	const words = (cell) => `Week from ${day(cell.week)}, ${cell.days_before === null ? 'in all' : `within ${ageName(cell)}`}: ${cell.state === 'to come' ? 'not yet' : `${number(cell.recovered_so_far)} recovered, ${cell.recoverable ? percent(share(cell)) : 'nothing was recoverable'}${cell.state === 'growing' ? ', may still grow' : ''}`}`;
	return html`<div class="cohorts">
		<${Readout} cells=${cells} of=${(i) => words(rows[Math.floor(i / ages.length)].cells[i % ages.length])} hint="Values: point at a week, or use the arrow keys." />
		<div class="table-wrap"><table role="grid" class="keep" aria-label="Recovered of the recoverable, by week and days" ...${cells.box}>
			<thead><tr><th scope="col">Week from</th><th scope="col" class="right">Recoverable</th>${ages.map((row) => html`<th key=${row.days_before} scope="col" class="right">${row.days_before === null ? 'in all' : `${row.days_before} d`}</th>`)}</tr></thead>
			<tbody>${rows.map((row, w) => html`<tr key=${row.week}><th scope="row" class="number">${day(row.week, { day: 'numeric', month: 'short' })}</th><td class="right number">${number(row.recoverable)}</td>${row.cells.map((cell, a) => html`<td key=${a} role="gridcell" class="right number" ...${cells.cell(w * ages.length + a)}
				aria-label=${words(cell)} data-state=${cell.state} style=${{ backgroundColor: cell.state === 'to come' ? '' : `color-mix(in srgb, var(--recovered) ${Math.round((36 * (share(cell) || 0)) / top)}%, transparent)` }}>${cell.state === 'to come' ? '' : !cell.recoverable ? '–' : percent(share(cell)) + (cell.state === 'growing' ? '*' : '')}</td>`)}</tr>`)}</tbody>
		</table></div></div>`;
}

// ---------------------------------------------------------------------------
// Its days, as the address says: period, from and to

const PERIODS = { today: 'Today', '7d': '7 days', '30d': '30 days', '90d': '90 days', month: 'This month', last_month: 'Last month', custom: 'Custom' };
const isDay = (text) => /^\d{4}-\d\d-\d\d$/.test(text || '') && !Number.isNaN(Date.parse(text));
const daysBetween = (since, until) => Math.round((Date.parse(until) - Date.parse(since)) / 86400000) + 1;

// The day that it is in the shops: the latest one, as the reports have it.
const lastDay = (shops) => shops.map(({ time_zone: zone }) => today(0, zone)).sort().pop() || today();

// {name, since, until, n, before: {since, until}}: both days are counted; before is as many days.
// last: the day that it is.
function periodOf({ period, from, to }, last) {
	let name = PERIODS[period] ? period : '30d';
	let since;
	let until = last;
	if (name === 'custom' && !(isDay(from) && isDay(to) && from <= to && daysBetween(from, to) <= 3660)) name = '30d';
	if (name === 'custom') [since, until] = [from, to];
	else if (name === 'today') since = last;
	else if (name === 'month') since = last.slice(0, 8) + '01';
	else if (name === 'last_month') {
		until = addDays(last.slice(0, 8) + '01', -1);
		since = until.slice(0, 8) + '01';
	} else since = addDays(last, 1 - parseInt(name, 10));
	const n = daysBetween(since, until);
	return { name, since, until, n, before: { since: addDays(since, -n), until: addDays(since, -1) } };
}

const short = { day: 'numeric', month: 'short' };
const range = ({ since, until }) => (since === until ? day(since) : since.slice(0, 4) === until.slice(0, 4) ? `${day(since, short)} – ${day(until)}` : `${day(since)} – ${day(until)}`);
const inWords = (period) => ({ today: 'today', month: 'this month', last_month: 'last month' }[period.name] || (period.name === 'custom' ? range(period) : `in the last ${period.n} days`));

function PeriodChoice({ period }) {
	const [own, setOwn] = useState({ from: period.since, to: period.until });
	const [open, setOpen] = useState(period.name === 'custom');
	useEffect(() => {
		setOwn({ from: period.since, to: period.until });
		setOpen(period.name === 'custom');
	}, [period.name, period.since, period.until]);
	const choose = (name) => (name === 'custom' ? setOpen(true) : setQuery({ period: name === '30d' ? null : name, from: null, to: null }));
	const wrong = !isDay(own.from) || !isDay(own.to) || own.from > own.to ? 'The first day must not be after the last one.' : daysBetween(own.from, own.to) > 3660 ? 'At most ten years.' : null;
	const show = (event) => {
		event.preventDefault();
		if (!wrong) setQuery({ period: 'custom', ...own });
	};
	const now = open ? 'custom' : period.name;
	return html`<div class="period">
		<fieldset class="segments"><legend class="hidden">Period</legend>${Object.entries(PERIODS).map(([name, label]) => html`<label key=${name} data-on=${now === name ? '' : null}><input type="radio" name="period" value=${name} checked=${now === name} onChange=${() => choose(name)} />${label}</label>`)}</fieldset>
		${open && html`<form class="row" onSubmit=${show}>
			<label>From <input type="date" name="from" required value=${own.from} onInput=${(event) => setOwn({ ...own, from: event.target.value })} /></label>
			<label>To <input type="date" name="to" required value=${own.to} onInput=${(event) => setOwn({ ...own, to: event.target.value })} aria-invalid=${wrong ? 'true' : null} /></label>
			<button type="submit" disabled=${Boolean(wrong)}>Show</button>${wrong && html`<small class="problem" role="alert">${wrong}</small>`}</form>`}
	</div>`;
}

// ---------------------------------------------------------------------------
// The figures of statistics()

// An interval of PostgreSQL ("1 day 02:03:04") in seconds.
function seconds(interval) {
	if (interval === null || interval === undefined) return null;
	const [, sign, h, m, s] = /(-?)(\d+):(\d+):([\d.]+)/.exec(interval) || [0, '', 0, 0, 0];
	const part = (unit, size) => Number((new RegExp(`(-?\\d+) ${unit}`).exec(interval) || [0, 0])[1]) * size;
	return part('year', 31557600) + part('mon', 2592000) + part('day', 86400) + (sign ? -1 : 1) * (h * 3600 + m * 60 + Number(s));
}

// good: 1 when more is better, -1 when less is; orders: filters of the list behind it, by the day
// of creation, or of the abandonment for what became of that
const BIG = [
	{ name: 'abandoned_value', label: 'Left behind', term: 'abandoned', kind: 'money', good: -1, sub: (of) => `${number(of.abandoned)} of ${number(of.total)} orders`, orders: { status: 'abandoned' } },
	{ name: 'recovered_value', label: 'Recovered', term: 'recovered revenue', kind: 'money', good: 1, sub: (of) => `${number(of.recovered)} orders paid after a click`, left: { outcome: 'recovered' } },
	{ name: 'recovery_rate', label: 'Recovery rate', term: 'recovery rate', kind: 'rate', good: 1, sub: (of) => `${number(of.recovered)} of ${number(of.recoverable)} recoverable`, left: { outcome: 'recovered' } },
	{ name: 'lost_value', label: 'Lost', term: 'lost value', kind: 'money', good: -1, sub: () => 'given up after messages and 14 days', left: { status: 'abandoned,expired' } },
];
const SMALL = [
	{ name: 'total', label: 'Orders begun', term: 'created', good: 0, orders: { tab: 'all' } },
	{ name: 'converted', label: 'Converted', term: 'converted', good: 1, orders: { status: 'converted' } },
	{ name: 'conversion_rate', label: 'Conversion rate', term: 'conversion rate', kind: 'rate', good: 1, orders: { status: 'converted' } },
	{ name: 'abandonment_rate', label: 'Abandonment rate', term: 'abandonment rate', kind: 'rate', good: -1, orders: { status: 'pending,payment_pending,payment_failed,abandoned,expired,dismissed,deleted' } },
	{ name: 'checkout_abandonment_rate', label: 'Checkouts abandoned', term: 'checkout abandonment rate', kind: 'rate', good: -1, orders: { status: 'abandoned' } },
	{ name: 'assisted', label: 'Assisted', term: 'assisted', good: 1, left: { outcome: 'assisted' } },
	{ name: 'unaided', label: 'Unaided', term: 'unaided', good: 0, left: { outcome: 'unaided' } },
	{ name: 'messages_sent', label: 'Messages sent', term: 'attempts', good: 0 },
	{ name: 'median_time_to_recover', label: 'Half recovered within', term: 'time to recover', kind: 'span', good: -1, left: { outcome: 'recovered' } },
	{ name: 'average_days_to_abandon', label: 'Time to abandon', term: 'days to abandon', kind: 'days', good: 0, orders: { status: 'abandoned' } },
];
const round = { maximumFractionDigits: 0 };
function shown({ name, kind }, of) {
	const value = of[name];
	if (value === null || value === undefined) return '–';
	if (kind === 'money') return money(value, of.currency, Math.abs(value) >= 100000 ? round : {});
	if (kind === 'rate') return percent(value);
	if (kind === 'span') return duration(seconds(value));
	return kind === 'days' ? duration(value * 86400) : number(value);
}
const sizeOf = ({ name, kind }, of) => (kind === 'span' ? seconds(of[name]) : of[name]);

// How it changed, with the sign as a word, too.
function Change({ figure, of, before }) {
	const { text, direction } = Number(before.total) ? change(sizeOf(figure, of), sizeOf(figure, before), { rate: figure.kind === 'rate' }) : {};
	if (!text) return html`<p class="change soft">no comparison</p>`;
	const tone = direction * figure.good > 0 ? 'good' : direction * figure.good < 0 ? 'bad' : 'soft';
	return html`<p class="change ${tone} number" title=${`Before: ${shown(figure, before)}`}>${text}${direction ? (direction > 0 ? ' more' : ' less') : ''}${tone === 'soft' ? '' : html`<span class="hidden">, which is ${tone === 'good' ? 'better' : 'worse'}</span>`}</p>`;
}

const createdIn = ({ since, until }, currency, more) => may('list_orders') && link('orders/', { start_date: since, end_date: until, currency, ...more });
const abandonedIn = ({ since, until }, currency, more) => may('list_orders') && link('orders/', { abandoned_start: since, abandoned_end: until, currency, tab: more.status || more.outcome ? null : 'all', ...more });

// The value leads to the orders behind it.
function Figure({ figure, of, before, period, big }) {
	const to = figure.left ? abandonedIn(period, of.currency, figure.left) : figure.orders ? createdIn(period, of.currency, figure.orders) : may('list_messages') && link('messages/', { status: 'sent' });
	const value = shown(figure, of);
	return html`<div class=${big ? 'figure big card' : 'figure'} data-figure=${figure.name}>
		<h2><${Term} name=${figure.term}>${figure.label}<//></h2>
		<p class="value number" title=${figure.kind === 'money' ? money(of[figure.name], of.currency) : null}>${to ? html`<a href=${to} aria-label=${`${figure.label}: ${value}. ${figure.left || figure.orders ? 'The orders behind it' : 'The messages'}`}>${value}</a>` : value}</p>
		${figure.sub && html`<p class="soft number">${figure.sub(of)}</p>`}
		${before && (big || Number(before.total) > 0) && html`<${Change} figure=${figure} of=${of} before=${before} />`}
	</div>`;
}

function headline(of, before, period) {
	const left = Number(of.abandoned) ? `${number(of.abandoned)} orders worth ${money(of.abandoned_value, of.currency, round)} lie abandoned` : 'No order lies abandoned';
	const back = Number(of.recovered) ? `${number(of.recovered)} came back by a message and paid ${money(of.recovered_value, of.currency, round)}` : 'none came back by a message';
	let trend = '';
	if (before && Number(before.total)) {
		const { direction, text } = change(of.recovered_value, before.recovered_value);
		trend = !text ? '' : direction === 0 ? ' As much was recovered as before.' : ` That is ${text.slice(2)} ${direction > 0 ? 'more' : 'less'} recovered than in the ${period.n === 1 ? 'day' : `${period.n} days`} before.`;
	}
	return `${inWords(period).replace(/^./, (c) => c.toUpperCase())}: ${left}; ${back}.${trend}`;
}

// ---------------------------------------------------------------------------
// The charts

const CURVES = [
	{ name: 'total', label: 'Created', colour: 'created' },
	{ name: 'episodes', label: 'Abandoned', colour: 'abandoned' },
	{ name: 'recovered', label: 'Recovered', colour: 'recovered' },
	{ name: 'converted', label: 'Converted', colour: 'converted' },
	{ name: 'lost', label: 'Lost', colour: 'lost' },
];
const int = (value) => number(value);
const left = { align: 'left' };
const cash = (currency) => (value) => money(value, currency);
const compact = (currency) => (value) => money(value, currency, { notation: 'compact', maximumFractionDigits: 1 });
const OUTCOMES = (currency) => [
	{ name: 'episodes', label: 'Abandoned', show: int }, { name: 'episode_value', label: 'Worth', show: cash(currency) },
	{ name: 'recovered', label: 'Recovered', show: int }, { name: 'recovered_value', label: 'Paid', show: cash(currency) },
	{ name: 'assisted', label: 'Assisted', show: int }, { name: 'unaided', label: 'Unaided', show: int },
];
const rate = (value) => percent(value);
const share = (part, whole) => percent(ratio(part, whole) ?? 0);
const NOTHING = 'Nothing was abandoned in these days.';

function Days({ rows, before, currency, zone, last, file }) {
	const columns = [{ name: 'day', label: 'Day', show: (value) => day(value), ...left }, ...CURVES.map(({ name, label }) => ({ name, label, show: int }))];
	const cashColumns = [columns[0], { name: 'recovered_value', label: 'Recovered', show: cash(currency) }, { name: 'episode_value', label: 'Abandoned, worth', show: cash(currency) }, { name: 'converted_value', label: 'Converted, worth', show: cash(currency) }];
	const top = most(rows, 'episodes');
	const best = most(rows, 'recovered_value');
	const total = sum(rows, 'recovered_value');
	const unit = `Orders a day, by the day in ${zone} on which they were begun (created, converted) or abandoned (the others).${before ? ' Dashed: the period before.' : ''}`;
	const any = rows.some((row) => CURVES.some(({ name }) => Number(row[name])));
	return html`
		<${Chart} title="By day" file=${file('days')} columns=${columns} rows=${any ? rows : []} data-chart="days"
			says=${top && Number(top.episodes) ? `Most carts were abandoned on ${day(top.day, { weekday: 'long', day: 'numeric', month: 'long' })}: ${number(top.episodes)}; on average ${number(sum(rows, 'episodes') / rows.length, { maximumFractionDigits: 1 })} a day.` : 'Nothing was abandoned in these days.'}
			chart=${html`<${Curves} last=${last} rows=${rows} before=${before} curves=${CURVES} show=${int} unit=${unit} label="Orders by day" />`} />
		<${Chart} title="Money recovered by day" file=${file('recovered')} columns=${cashColumns} rows=${any ? rows : []} data-chart="money"
			says=${total > 0 ? `${money(total, currency)} in all; the best day was ${day(best.day, { weekday: 'long', day: 'numeric', month: 'long' })} with ${money(best.recovered_value, currency)}.` : 'Nothing that was abandoned in these days was recovered yet.'}
			chart=${html`<${Curves} last=${last} rows=${rows} before=${before} curves=${[{ name: 'recovered_value', label: 'Recovered', colour: 'recovered' }]} show=${cash(currency)} axis=${compact(currency)} height=${180} pick="hide_money" fill
				unit=${`${currency}, paid less refunds, by the day of the abandonment.`} label="Money recovered by day" />`} />`;
}

const words = (value) => (value === null ? 'Not told' : String(value).replace(/_/g, ' ').replace(/^./, (c) => c.toUpperCase()));
const span = (low, high, show) => (high === null ? `${show(low)} and more` : `${show(low)} – ${show(high)}`);
const brief = (value) => duration(seconds(value));

const REPORTS = {
	hours: { path: 'statistics_by_hour/', height: '23rem' },
	funnel: { path: 'funnel/', height: '25rem' },
	products: { path: 'statistics_by_product/', height: '25rem', page_size: 100 },
	values: { path: 'statistics_by_value/', height: '22rem' },
	times: { path: 'statistics_by_recovery_time/', height: '22rem' },
	reasons: { path: 'statistics_by_reason/' },
	devices: { path: 'statistics_by_device/' },
	sources: { path: 'statistics_by_source/' },
	campaigns: { path: 'statistics_by_campaign/' },
	cohorts: { path: 'statistics_by_cohort_age/' },
};

// Bars by a word: reasons, devices, sources.
function byWord(title, name, sentence, empty, { rows, currency, period }) {
	const all = sum(rows, 'episodes');
	const known = rows.filter((row) => row.episodes > 0 && row[name] !== null);
	const list = known.length ? rows.filter((row) => row.episodes > 0) : [];
	const first = most(known, 'episodes');
	return {
		title,
		rows: list,
		columns: [{ name, label: title, show: words, ...left }, ...OUTCOMES(currency)],
		empty: all ? empty : null,
		says: first && `${sentence}: ${words(first[name]).toLowerCase()}, ${share(first.episodes, all)}.`,
		chart: html`<${Bars} colour="abandoned" label=${title} bars=${[...list].sort((a, b) => b.episodes - a.episodes).slice(0, 8).map((row) => ({ key: String(row[name]), label: words(row[name]), size: row.episodes, part: row.recovered,
			href: name !== 'reason' && row[name] && abandonedIn(period, currency, { [name]: row[name] }),
			text: html`${number(row.episodes)} <span class="soft">${share(row.episodes, all)}; recovered ${number(row.recovered)}</span>`, title: `${money(row.episode_value, currency)} abandoned, ${money(row.recovered_value, currency)} recovered` }))} />
			${list.length > 8 && html`<p class="note">And ${list.length - 8} more in the table.</p>`}`,
	};
}

// What a chart is, from the rows of its report.
const CHARTS = {
	hours: ({ rows, currency, zone }) => {
		const all = sum(rows, 'episodes');
		const top = most(rows, 'episodes');
		return {
			title: 'When they leave',
			rows: all || sum(rows, 'created') ? rows : [],
			columns: [{ name: 'weekday', label: 'Weekday', show: (value, row) => hourName(row).split(' ')[0], ...left }, { name: 'hour', label: 'Hour' }, { name: 'created', label: 'Created', show: int }, ...OUTCOMES(currency)],
			says: all ? `Most carts are left on ${hourName(top)}: ${number(top.episodes)} of ${number(all)}.` : NOTHING,
			note: `Hours of ${zone}.`,
			chart: html`<${Hours} rows=${rows} name="episodes" colour="abandoned" what="abandoned" />`,
		};
	},
	funnel: ({ rows }) => {
		const worst = worstOf(rows);
		const first = rows[0];
		return {
			title: 'How far they come',
			rows: first && first.orders > 0 ? rows : [],
			columns: [{ name: 'step', label: 'Step', show: stepName, ...left }, { name: 'orders', label: 'Orders', show: int }, { name: 'share', label: 'Of all', show: rate }, { name: 'from_previous', label: 'Of the step before', show: rate }],
			says: first && `${share(rows[rows.length - 1].orders, first.orders)} of those who begin buy in the end.${worst ? ` Most are lost before ${stepName(worst.step).toLowerCase()}: ${percent(1 - worst.from_previous)} of those who had come so far.` : ''}`,
			chart: html`<${Funnel} rows=${rows} />`,
		};
	},
	products: ({ rows, currency, query }) => ({
		title: 'What is left behind',
		rows,
		all: async () => (await get('incomplete-orders/statistics_by_product/', query)).results.filter((row) => row.currency === currency),
		columns: [{ name: 'product', label: 'Product', ...left }, { name: 'name', label: 'Name', ...left }, { name: 'abandoned', label: 'Abandoned', show: int }, { name: 'abandoned_quantity', label: 'Pieces', show: int }, { name: 'abandoned_value', label: 'Worth', show: cash(currency) },
			{ name: 'recovered', label: 'Recovered', show: int }, { name: 'recovered_quantity', label: 'Pieces recovered', show: int }, { name: 'recovered_value', label: 'Paid', show: cash(currency) }],
		says: rows[0] && `${rows[0].name || rows[0].product} lies in the most abandoned carts: ${number(rows[0].abandoned)}.`,
		note: rows.length >= REPORTS.products.page_size && `The table has the first ${REPORTS.products.page_size}; the file has all.`,
		chart: html`<${Bars} colour="abandoned" label="Products" bars=${rows.slice(0, 10).map((row) => ({ key: row.product, label: row.name || row.product, size: Number(row.abandoned), part: Number(row.recovered), title: row.product,
			text: html`${number(row.abandoned)} <span class="soft">${money(row.abandoned_value, currency)}</span>` }))} />`,
	}),
	values: ({ rows, currency }) => {
		const list = rows.filter((row) => row.episodes > 0);
		const top = most(list, 'episodes');
		const show = compact(currency);
		return {
			title: 'What is in them',
			rows: list,
			columns: [{ name: 'value_from', label: 'From', show: cash(currency) }, { name: 'value_before', label: 'Below', show: cash(currency) }, ...OUTCOMES(currency)],
			says: top && `Most abandoned carts are worth ${span(top.value_from, top.value_before, show)}: ${number(top.episodes)}, ${share(top.episodes, sum(list, 'episodes'))}.`,
			chart: html`<${Columns} colour="abandoned" axis=${`Value of the cart from, ${currency}; height: abandonments`} show=${int} label="Abandonments by value"
				columns=${list.map((row) => ({ key: row.value_from, label: number(row.value_from, { notation: 'compact' }), size: Number(row.episodes), words: `${span(row.value_from, row.value_before, show)}: ${number(row.episodes)} abandoned, recovered ${number(row.recovered)}` }))} />`,
		};
	},
	times: ({ rows, currency, of }) => {
		const list = rows.slice(0, Math.max(8, rows.findLastIndex((row) => row.recovered > 0) + 1));
		const top = most(rows, 'recovered');
		return {
			title: 'How long it takes to win them back',
			rows,
			columns: [{ name: 'time_from', label: 'From', show: brief }, { name: 'time_before', label: 'Before', show: brief }, { name: 'recovered', label: 'Recovered', show: int }, { name: 'recovered_value', label: 'Paid', show: cash(currency) }, { name: 'share', label: 'Share', show: rate }, { name: 'share_before', label: 'Up to here', show: rate }],
			empty: 'Nothing was recovered in these days.',
			says: top && `Most pay ${span(top.time_from, top.time_before, brief)} after they left${of.median_time_to_recover ? `; a half within ${brief(of.median_time_to_recover)}, nine of ten within ${brief(of.p90_time_to_recover)}` : ''}.`,
			chart: html`<${Columns} colour="recovered" axis="From the abandonment to the payment; height: recovered orders" show=${int} label="Recovered orders by time"
				columns=${list.map((row) => ({ key: row.time_from, label: brief(row.time_from), size: Number(row.recovered), words: `${span(row.time_from, row.time_before, brief)}: ${number(row.recovered)} recovered, ${percent(row.share)}; up to here ${percent(row.share_before)}` }))} />`,
		};
	},
	reasons: (about) => byWord('Why they leave', 'reason', 'The most frequent reason', html`<h3>Nobody said why</h3><p>The page’s script tells of checkouts that fail; your code can with <code>track_abandonment()</code>.</p>`, about),
	devices: (about) => byWord('Devices', 'device', 'Most are left with', html`<h3>No device is known</h3><p>Give <code>context.device</code> with the cart.</p>`, about),
	sources: (about) => byWord('Sources', 'source', 'Most who left came from', html`<h3>No source is known</h3><p>Give <code>context.source</code> with the cart.</p>`, about),
	campaigns: ({ rows, currency, of }) => {
		const list = rows.filter((row) => row.sent > 0 || row.held_out > 0 || row.converted > 0);
		const best = most(list, 'revenue');
		const steps = new Map();
		for (const row of list) if (row.variant) steps.set(`${row.campaign} ${row.step}`, [...(steps.get(`${row.campaign} ${row.step}`) || []), row]);
		return {
			title: 'What messages bring back',
			rows: list,
			columns: [{ name: 'campaign', label: 'Campaign', show: (value) => value ?? 'By hand', ...left }, { name: 'step', label: 'Step' }, { name: 'variant', label: 'Variant', show: (value) => value ?? '–', ...left },
				...['queued', 'held_out', 'sent', 'opened', 'clicked', 'unsubscribed', 'bounced', 'converted'].map((name) => ({ name, label: words(name), show: int })), { name: 'conversion_rate', label: 'Of the sent', show: rate }, { name: 'revenue', label: 'Paid', show: cash(currency) }, { name: 'coupon_cost', label: 'Discounts', show: cash(currency) }],
			empty: html`<h3>No message was sent in these days</h3>${may('enable_campaign') && html`<p><a href=${link('campaigns/')}>Look at the campaigns</a>: one that is on writes to those who left.</p>`}`,
			says: best && (Number(best.revenue) ? `${nameOf(best)} brought back the most: ${money(best.revenue, currency)} by ${number(best.converted)} orders.` : `${number(sum(list, 'sent'))} messages were sent; none has brought an order back yet.`),
			chart: html`<${Campaigns} rows=${list} money=${cash(currency)} />
				${[...steps.values()].map(compare).map((text) => text && html`<p key=${text} class="trial">${text}</p>`)}
				<${Lift} of=${of} />`,
		};
	},
	cohorts: ({ rows }) => {
		const list = cohortRows(rows);
		const best = list.filter((row) => row.mature && row.recoverable > 0).reduce((found, row) => (!found || row.recovered / row.recoverable > found.recovered / found.recoverable ? row : found), null);
		return {
			title: 'Week by week',
			rows: list,
			columns: cohortColumns(rows),
			says: best ? `Of the weeks that are over, that from ${day(best.week)} was won back best: ${share(best.recovered, best.recoverable)} of the recoverable.` : 'No week is old enough to be compared yet.',
			note: 'By the week of the abandonment, from Monday. *: may still grow.',
			chart: list.length && html`<${Cohorts} rows=${list} />`,
		};
	},
};

// ---------------------------------------------------------------------------
// The page

export default function Overview() {
	const { query } = useRoute();
	const compared = query.compare !== 'no';
	const shops = session().shops || [];
	const shop = query.shop || (shops.length > 1 ? '*' : undefined);
	const chosen = shop === '*' ? shops : [shops.find((one) => one.shop === shop) || shops[0]].filter(Boolean);
	const last = lastDay(chosen);
	const period = periodOf(query, last);
	const days = ({ since, until }) => ({ shop, start_date: since, end_date: until });
	const now = useGet('incomplete-orders/statistics/', days(period));
	const past = useGet(compared ? 'incomplete-orders/statistics/' : null, days(period.before));
	const byDay = useGet('incomplete-orders/statistics_by_day/', days(period));
	const pastByDay = useGet(compared ? 'incomplete-orders/statistics_by_day/' : null, days(period.before));
	const all = [now, past, byDay, pastByDay];
	const refresh = () => all.forEach((one) => one.refresh());
	useEvery(300, refresh);
	const pick = (name) => setQuery({ period: name === '30d' ? null : name, from: null, to: null });
	useKeys({ d: () => pick('today'), w: () => pick('7d'), m: () => pick('30d'), q: () => pick('90d'), c: () => setQuery({ compare: compared ? 'no' : null }), r: refresh },
		{ 'd w m q': 'Today, 7, 30, 90 days', c: 'Compare with the period before', r: 'Load anew' });

	const currencies = now.data ? now.data.results.map((row) => row.currency) : [];
	const own = (chosen.length === 1 && chosen[0]) || {};
	const currency = [query.currency, own.currency, (most(now.data ? now.data.results : [], 'total') || {}).currency].find((one) => currencies.includes(one));
	const of = now.data && now.data.results.find((row) => row.currency === currency);
	const before = compared && past.data ? past.data.results.find((row) => row.currency === currency) || { total: 0 } : null;
	const rows = useMemo(() => byDay.data && byDay.data.results.filter((row) => row.currency === currency), [byDay.data, currency]);
	// a period in which nothing happened is no comparison
	const rowsBefore = useMemo(() => {
		const list = compared && pastByDay.data ? pastByDay.data.results.filter((row) => row.currency === currency) : [];
		return list.some((row) => row.total > 0 || row.episodes > 0) ? list : null;
	}, [pastByDay.data, currency, compared]);
	const file = (what) => `${query.shop || own.shop || 'all'}-${what}-${period.since}-${period.until}${currencies.length > 1 ? `-${currency}` : ''}`;
	const zone = new Set(chosen.map((one) => one.time_zone)).size > 1 ? 'each shop’s own time zone' : zoneName();

	return html`<${Page} title="Overview" actions=${html`
		<${Copy} text=${location.href} label="Copy link" />
		<button type="button" class="outline secondary small" onClick=${refresh}>Refresh</button>`}>
		<div class="overview">
		<div class="choices"><${PeriodChoice} period=${period} />
			<div class="actions">
				${currencies.length > 1 && html`<select aria-label="Currency" value=${currency} onChange=${(event) => setQuery({ currency: event.target.value })}>${currencies.map((one) => html`<option key=${one} value=${one} selected=${one === currency}>${one}</option>`)}</select>`}
				<${Switch} label="Compare" checked=${compared} onChange=${(on) => setQuery({ compare: on ? null : 'no' })} />
			</div></div>
		<p class="note as-of">${range(period)}${compared ? `, against ${range(period.before)}${before && !Number(before.total) ? ', when nothing was begun' : ''}` : ''}. Days of ${zone}. <span class="number">${now.at ? `As of ${clock(now.at)}.` : ''}</span>${currencies.length > 1 ? ` Only ${currency}: currencies are never added up.` : ''}</p>
		<div class="summary"><${Asked} of=${now} height="24rem">${() => !of ? html`<${Empty} title="No figures yet">There is no shop whose figures you may see.<//>` : html`
			<p class="headline number">${headline(of, before, period)}</p>
			${Number(of.total) === 0 && Number(of.messages_sent) === 0 && Number(of.recoverable) === 0 && html`<div class="card"><${Empty} title="Nothing happened in these days"
				command=${`SELECT incomplete_orders.capture_cart('session-1', '[{"sku":"MUG-1","quantity":1,"unit_price":"9.50"}]', email => 'ann@example.com'${own.shop ? `, shop => '${own.shop.replace(/'/g, "''")}'` : ''});`}>
				Choose a longer period. If the shop is new: carts come from the page's script, from the shop's own code, or from its tables. One by hand:<//></div>`}
			<div class="figures-big">${BIG.map((figure) => html`<${Figure} key=${figure.name} big figure=${figure} of=${of} before=${before} period=${period} />`)}</div>
			<div class="card figures-small">${SMALL.map((figure) => html`<${Figure} key=${figure.name} figure=${figure} of=${of} before=${before} period=${period} />`)}</div>`}<//></div>
		<div class="near" style=${{ minHeight: rows ? '' : '49rem' }}><${Asked} of=${byDay} height="46rem">${() => rows && html`<${Days} rows=${rows} before=${rowsBefore} currency=${currency} zone=${zone} last=${last} file=${file} />`}<//></div>
		<div class="charts">${of && Object.entries(REPORTS).map(([name, { path, height, page_size }]) => html`<${Near} key=${name} name=${name} path=${`incomplete-orders/${path}`} query=${{ ...days(period), page_size }} height=${height} currency=${currency}>
			${(list) => html`<${Chart} file=${file(name)} data-chart=${name} ...${CHARTS[name]({ rows: list, currency, period, zone, of, query: days(period) })} />`}<//>`)}</div>
		</div><//>`;
}
