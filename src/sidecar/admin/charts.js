// What all charts have in common: they are asked for when they come near, say in a sentence
// what they show, and have the same numbers as a table and as a file.
import { html, useState, useEffect, useRef } from './vendor/preact.js';
import { useId, announce, Asked } from './ui.js';
import { useGet } from './api.js';
import { useRoute, setQuery } from './route.js';
import { day, number, percent } from './format.js';
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

export const sum = (rows, name) => rows.reduce((total, row) => total + Number(row[name]), 0);
export const most = (rows, name) => rows.reduce((best, row) => (!best || Number(row[name]) > Number(best[name]) ? row : best), null);
export const ratio = (part, whole) => (Number(whole) ? part / whole : null);

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
// says: the sentence; file: its name, without .csv; all(): the rows of the file, when they are
// more than the table's; empty: instead of a chart without rows.
export function Chart({ title, says, columns, rows, file, all, empty, note, children, ...rest }) {
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
			${asTable ? html`<${Numbers} columns=${columns} rows=${rows} label=${`Numbers: ${title}`} />` : children}
			${note && html`<p class="note">${note}</p>`}`}
	</section>`;
}

// Asks for a report once it is near; children: (rows of the currency) => chart
export function Near({ path, query, currency, height = '20rem', children, name }) {
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
export function Curves({ last, rows, before, curves, show, axis, unit, height = 250, label, pick = 'hide', fill }) {
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
		const series = shown.flatMap(({ name, colour }) => [
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
export function Bars({ bars, colour, partColour = 'recovered', label }) {
	const top = Math.max(...bars.map(({ size }) => size), 1e-9);
	return html`<ul class="bars" aria-label=${label}>${bars.map((bar) => html`<li key=${bar.key} title=${bar.title}>
		<span class="wrap">${bar.href ? html`<a href=${bar.href}>${bar.label}</a>` : bar.label}</span><span class="number">${bar.text}</span>
		<span class="track" data-colour=${colour}><i style=${wide(bar.size, top)}></i>${bar.part > 0 && html`<i data-colour=${partColour} style=${wide(bar.part, top)}></i>`}</span></li>`)}</ul>`;
}

// Standing ones, of ranges: [{key, label, size, words}]
export function Columns({ columns, colour, axis, show, label }) {
	const cells = useCells(columns.length);
	const top = Math.max(...columns.map(({ size }) => size), 1e-9);
	return html`<div class="columns">
		<${Readout} cells=${cells} of=${(i) => columns[i].words} hint="Values: point at a column, or use the arrow keys." />
		<div class="stage" ...${cells.box} role="list" aria-label=${label}>
			${columns.map((column, i) => html`<div key=${column.key} ...${cells.cell(i)} role="listitem" aria-label=${column.words} data-colour=${colour}>
				<span class="soft number">${column.size > 0 && columns.length <= 12 ? show(column.size) : ''}</span>
				<i style=${{ height: `${column.size > 0 ? Math.max(1, (78 * column.size) / top) : 0}%` }}></i><span class="tick number">${i % Math.ceil(columns.length / 8) === 0 ? column.label : ''}</span></div>`)}
		</div>
		<p class="axis note">${axis}</p></div>`;
}

export const stepName = (step) => STEPS[step] || 'Converted';
// the step before which most are lost
export const worstOf = (rows) => rows.slice(1).reduce((found, row) => (row.from_previous !== null && row.from_previous < (found ? found.from_previous : 1) ? row : found), null);

// rows of funnel()
export function Funnel({ rows }) {
	const worst = worstOf(rows);
	return html`<ol class="funnel">${rows.map((row, i) => html`<li key=${row.step}>
		${i > 0 && row.from_previous !== null && row.from_previous < 1 && html`<p class=${row === worst ? 'drop worst number' : 'drop number soft'}>${`−${percent(1 - row.from_previous)} (${number(rows[i - 1].orders - row.orders)})${row === worst ? ', the largest drop' : ''}`}</p>`}
		<div class="stage-row"><span>${stepName(row.step)}</span><span class="number"><b>${number(row.orders)}</b> <span class="soft">${percent(row.share)}</span></span></div>
		<span class="track" data-colour=${row.step === 'converted' ? 'converted' : 'created'}><i style=${wide(row.orders, rows[0].orders)}></i></span></li>`)}</ol>`;
}

// ---------------------------------------------------------------------------
// Hours of the week, each as dark as it has many

const DAYS = ['Monday', 'Tuesday', 'Wednesday', 'Thursday', 'Friday', 'Saturday', 'Sunday'];
export const hourName = ({ weekday, hour }) => `${DAYS[weekday - 1]} ${hour}–${hour + 1} h`;

// rows of statistics_by_hour(), Monday 0 h first
export function Hours({ rows, name, colour, what }) {
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
// What can be chance: shares with their 95 % interval, variants against each other, and lift

const z2 = 1.959963984540054 ** 2;
// Wilson's score interval of a share, at 95 %.
function wilson(part, whole) {
	if (!(whole > 0)) return null;
	const p = part / whole;
	const spread = Math.sqrt((z2 * (p * (1 - p) + z2 / (4 * whole))) / whole);
	const middle = p + z2 / (2 * whole);
	return { p, low: Math.max(0, (middle - spread) / (1 + z2 / whole)), high: Math.min(1, (middle + spread) / (1 + z2 / whole)) };
}
// Newcombe's interval of the difference of two.
const difference = (a, b) => ({ by: a.p - b.p, low: a.p - b.p - Math.hypot(a.p - a.low, b.high - b.p), high: a.p - b.p + Math.hypot(a.high - a.p, b.p - b.low) });
const points = (value) => `${value > 0 ? '+' : value < 0 ? '−' : ''}${number(Math.abs(value * 100), { maximumFractionDigits: 1 })}`;

export const nameOf = (row) => (row.campaign ? `${row.campaign}, step ${row.step}` : 'By hand') + (row.variant ? `, variant ${row.variant}` : '');

// What the variants of one step say about each other, in words.
export function compare(rows) {
	const able = rows.filter(({ sent }) => sent > 0).map((row) => ({ row, ...wilson(row.converted, row.sent) })).sort((a, b) => b.p - a.p);
	if (able.length < 2) return null;
	const [best, next] = able;
	const { by, low, high } = difference(best, next);
	const of = `${best.row.campaign}, step ${best.row.step}`;
	if (Math.min(best.row.sent, next.row.sent) < 100 || low <= 0) return `${of}: variant ${best.row.variant} is ahead of ${next.row.variant} by ${number(by * 100, { maximumFractionDigits: 1 })} points, which is not yet certain: the difference may be anything from ${points(low)} to ${points(high)} points.`;
	return `${of}: variant ${best.row.variant} converts better than ${next.row.variant}, by ${points(low)} to ${points(high)} points (95 % certain).`;
}

// A share with its interval, on the scale 0 to most.
function Whisker({ it, most, colour = 'converted' }) {
	if (!it) return html`<span class="soft">none sent</span>`;
	const x = (value) => `${Math.max(0, Math.min(100, (100 * value) / most))}%`;
	return html`<span class="whisker" data-colour=${colour} title=${`${percent(it.p)}, 95 % certain between ${percent(it.low)} and ${percent(it.high)}`}><i style=${{ left: x(it.low), width: `${Math.min(100, (100 * (it.high - it.low)) / most)}%` }}></i><b style=${{ left: x(it.p) }}></b></span>`;
}

// rows of statistics_by_campaign() that were sent or held out
export function Campaigns({ rows, money }) {
	const shares = rows.map((row) => wilson(row.converted, row.sent));
	const most = Math.max(0.01, ...shares.filter(Boolean).map(({ high }) => high));
	return html`<div class="table-wrap" tabindex="0" role="region" aria-label="Campaigns"><table class="trials">
		<thead><tr><th scope="col">Message</th><th scope="col" class="right">Sent</th><th scope="col" class="right" data-small="no">Opened</th><th scope="col" class="right" data-small="no">Clicked</th><th scope="col" class="right">Converted</th><th scope="col" class="right">Of the sent</th><th scope="col">with its 95 % interval, 0 to ${percent(most, 0)}</th><th scope="col" class="right">Paid</th></tr></thead>
		<tbody>${rows.map((row, i) => html`<tr key=${nameOf(row)}><td class="wrap" data-label="">${nameOf(row)}</td>
			<td class="right number" data-label="Sent">${number(row.sent)}</td><td class="right number" data-small="no" data-label="Opened">${percent(row.open_rate)}</td><td class="right number" data-small="no" data-label="Clicked">${percent(row.click_rate)}</td>
			<td class="right number" data-label="Converted">${number(row.converted)}</td><td class="right number" data-label="Of the sent">${percent(row.conversion_rate)}</td><td data-label="Interval"><${Whisker} it=${shares[i]} most=${most} /></td><td class="right number" data-label="Paid">${money(row.revenue)}</td></tr>`)}</tbody>
	</table></div>`;
}

// The lift of statistics(): of messages against none.
export function Lift({ of }) {
	if (of.lift === null) {
		return html`<p class="lift"><b>What would have come back anyway is not known yet</b><br />${of.lift_reason === 'several shops'
			? 'There is no lift over several shops, because they may hold out different shares. Choose one shop.'
			: html`It takes 100 persons with messages and 100 without whose time is over; so far ${number(of.treated)} and ${number(of.held_out)}. The setting holdout of the shop says how many get none.`}</p>`;
	}
	const low = Number(of.lift_low);
	const high = Number(of.lift_high);
	const most = Math.max(0.01, Math.abs(low), Math.abs(high)) * 1.15;
	const x = (value) => `${50 + (50 * value) / most}%`;
	const words = low > 0 ? 'Messages bring back orders that would not have come by themselves.' : high < 0 ? 'Those with messages order less often than those without.' : 'Not yet certain: the difference may be chance.';
	return html`<div class="lift"><p><b class="number">${points(Number(of.lift))} points lift</b> <span class="number soft">95 % certain between ${points(low)} and ${points(high)}</span><br />${words}
		<span class="soft">${number(of.treated)} persons with messages, ${number(of.held_out)} without.</span></p>
		<span class="whisker big" data-colour=${low > 0 ? 'recovered' : high < 0 ? 'lost' : 'quiet'}><u></u><i style=${{ left: x(low), width: `${(50 * (high - low)) / most}%` }}></i><b style=${{ left: x(Number(of.lift)) }}></b></span>
		<p class="scale-3 note number"><span>${points(-most)}</span><span>0</span><span>${points(most)} points</span></p></div>`;
}

// ---------------------------------------------------------------------------
// Weeks of abandonment, and how much of each had come back after so many days

// rows of statistics_by_cohort_age(), week and age; one for each week, with its cells
export function cohortRows(rows) {
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
export function cohortColumns(rows) {
	const ages = rows.filter((row) => row.week === (rows[0] || {}).week);
	return [{ name: 'week', label: 'Week from', show: (value) => day(value), align: 'left' }, { name: 'episodes', label: 'Abandoned', show: number }, { name: 'recoverable', label: 'Recoverable', show: number },
		...ages.map((row) => ({ name: `day_${row.days_before ?? 'later'}`, label: row.days_before === null ? 'In all' : `Within ${ageName(row)}`, show: (value) => (value === undefined ? '' : number(value)) }))];
}

export function Cohorts({ rows }) {
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
