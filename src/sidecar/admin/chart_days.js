// Curves by day, with uPlot. The names of the curves are buttons that hide them, and say their
// values on the day that is looked at.
import { html, useState, useEffect, useRef } from './ui_base.js';
import { useRoute, setQuery } from './route.js';
import { day } from './format.js';
import { colourOf, useTheme, sum } from './charts.js';
import Plot from './vendor/uplot.js';

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
