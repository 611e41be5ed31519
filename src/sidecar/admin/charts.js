// What all charts have in common: they are asked for when they come near, say in a sentence
// what they show, and have the same numbers as a table and as a file.
import { html, useState, useEffect, useRef, useId } from './ui_base.js';
import { useGet } from './api.js';
import { announce, Asked } from './ui.js';

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
export function useTheme() {
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
export const colourOf = (name) => getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();

export const sum = (rows, name) => rows.reduce((total, row) => total + Number(row[name]), 0);
export const most = (rows, name) => rows.reduce((best, row) => (!best || Number(row[name]) > Number(best[name]) ? row : best), null);
export const ratio = (part, whole) => (Number(whole) ? part / whole : null);

// Cells of which one at a time is looked at, by mouse or keyboard. rows: how many are in one line.
export function useCells(count, line = 1) {
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
export const Readout = ({ cells, of, hint }) => html`<p class="readout number">${cells.current === null ? html`<span class="soft">${hint}</span>` : of(cells.current)}</p>`;

// ---------------------------------------------------------------------------
// The frame

const guarded = (text) => (/^[=+@\t\r-]/.test(text) ? "'" + text : text);
// Rows as CSV (RFC 4180): values as the API has them; no text that a spreadsheet would compute.
export function csv(columns, rows) {
	const cell = (value) => {
		if (value === null || value === undefined) return '';
		const text = typeof value === 'string' && Number.isNaN(Number(value)) ? guarded(value) : String(value);
		return /[",\r\n]/.test(text) ? '"' + text.replace(/"/g, '""') + '"' : text;
	};
	return [columns.map(({ name }) => name), ...rows.map((row) => columns.map(({ name }) => row[name]))].map((line) => line.map(cell).join(',') + '\r\n').join('');
}

export function download(name, text) {
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
