// Hours of the week, each as dark as it has many. A grid that is walked with the arrow keys.
import { html } from './ui_base.js';
import { number } from './format.js';
import { useCells, Readout } from './charts.js';

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
