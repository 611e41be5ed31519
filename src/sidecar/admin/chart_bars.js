// Bars, columns, and the steps of the funnel.
import { html } from './ui_base.js';
import { number, percent } from './format.js';
import { useCells, Readout } from './charts.js';

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

export const STEP_WORDS = { cart: 'Cart', contact: 'Contact details', shipping: 'Shipping', payment: 'Payment', review: 'Review', converted: 'Converted' };

// rows of funnel()
export function Funnel({ rows }) {
	const worst = rows.slice(1).reduce((found, row) => (row.from_previous !== null && (!found || row.from_previous < found.from_previous) ? row : found), null);
	return html`<ol class="funnel">${rows.map((row, i) => html`<li key=${row.step}>
		${i > 0 && row.from_previous !== null && row.from_previous < 1 && html`<p class=${row === worst ? 'drop worst number' : 'drop number soft'}>${`−${percent(1 - row.from_previous)} (${number(rows[i - 1].orders - row.orders)})${row === worst ? ', the largest drop' : ''}`}</p>`}
		<div class="stage-row"><span>${STEP_WORDS[row.step] || row.step}</span><span class="number"><b>${number(row.orders)}</b> <span class="soft">${percent(row.share)}</span></span></div>
		<span class="track" data-colour=${row.step === 'converted' ? 'converted' : 'created'}><i style=${wide(row.orders, rows[0].orders)}></i></span></li>`)}</ol>`;
}
