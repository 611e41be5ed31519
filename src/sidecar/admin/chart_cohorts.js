// Weeks of abandonment, and how much of each had come back after so many days.
import { html } from './ui_base.js';
import { day, number, percent } from './format.js';
import { useCells, Readout, ratio } from './charts.js';

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
