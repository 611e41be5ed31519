// A table: sorted by its headings, with rows that are chosen and opened by mouse and by
// keyboard; on a phone each row is a card.
import { html, useState, useEffect, useRef } from './vendor/preact.js';
import { useKeys } from './keys.js';

// columns: [{name, label, render(row), align?, sort?, hideSmall?, title?}]; rows as the API
// gives them; keyOf(row); selected: a Set of keys and onSelect(Set); onOpen(row); sort: as the
// API takes it, "-created_at", and onSort(it); empty: what is shown without rows.
export function Table({ columns, rows, keyOf = (row) => row.id, selected, onSelect, onOpen, sort, onSort, empty, label, foot }) {
	const at = useRef();
	const [current, setCurrent] = useState(-1);
	const here = rows[current];
	const focus = (i) => {
		const to = Math.max(0, Math.min(rows.length - 1, i));
		setCurrent(to);
		const row = at.current && at.current.querySelectorAll('tbody tr')[to];
		if (row) row.focus();
	};
	useEffect(() => setCurrent(-1), [rows]);
	const toggle = (row) => {
		const next = new Set(selected);
		const key = keyOf(row);
		if (!next.delete(key)) next.add(key);
		onSelect(next);
	};
	useKeys({
		j: () => focus(current + 1),
		k: () => focus(current - 1),
		...(onSelect && { x: () => here && toggle(here) }),
		...(onOpen && { Enter: () => here && onOpen(here) }),
	}, { 'j k': 'Next, previous row', ...(onSelect && { x: 'Choose the row' }), ...(onOpen && { Enter: 'Open the row' }) });

	if (rows.length === 0) return empty || html`<p class="empty">Nothing here.</p>`;
	const chosen = selected ? rows.filter((row) => selected.has(keyOf(row))).length : 0;
	const all = () => {
		const next = new Set(selected);
		for (const row of rows) {
			if (chosen === rows.length) next.delete(keyOf(row));
			else next.add(keyOf(row));
		}
		onSelect(next);
	};
	const order = (by) => (sort === '-' + by ? 'descending' : sort === by ? 'ascending' : null);
	const open = (row) => (event) => {
		if (event.target.closest('a, button, input, select, label, summary') || String(getSelection())) return;
		onOpen(row);
	};
	return html`<div class="table-wrap"><table class=${onOpen ? 'opens' : ''} ref=${at} aria-label=${label}>
		<thead><tr>
			${onSelect && html`<th class="choose" scope="col"><input type="checkbox" aria-label="Choose all rows of this page" checked=${chosen === rows.length}
				ref=${(box) => { if (box) box.indeterminate = chosen > 0 && chosen < rows.length; }} onChange=${all} /></th>`}
			${columns.map((column) => html`<th key=${column.name} scope="col" class=${column.align === 'right' ? 'right' : ''} data-small=${column.hideSmall ? 'no' : null}
				aria-sort=${column.sort ? order(column.sort) || 'none' : null}>${column.sort && onSort
				? html`<button type="button" class="plain sort" data-order=${order(column.sort)} onClick=${() => onSort(sort === '-' + column.sort ? column.sort : '-' + column.sort)}>${column.label}</button>`
				: column.label}</th>`)}
		</tr></thead>
		<tbody>${rows.map((row, i) => html`<tr key=${keyOf(row)} tabindex=${i === (current < 0 ? 0 : current) ? '0' : '-1'} class=${i === current ? 'current' : ''}
			data-chosen=${selected && selected.has(keyOf(row)) ? '' : null}
			onFocus=${(event) => event.target === event.currentTarget && setCurrent(i)}
			onClick=${onOpen && open(row)}
			onKeyDown=${onOpen && ((event) => event.key === 'Enter' && event.target === event.currentTarget && (event.preventDefault(), onOpen(row)))}>
			${onSelect && html`<td class="choose"><input type="checkbox" aria-label="Choose this row" checked=${selected.has(keyOf(row))} onChange=${() => toggle(row)} /></td>`}
			${columns.map((column) => html`<td key=${column.name} class=${column.align === 'right' ? 'right number' : ''} data-label=${typeof column.label === 'string' ? column.label : column.title || ''}
				data-small=${column.hideSmall ? 'no' : null}><div class="cell">${column.render ? column.render(row) : row[column.name]}</div></td>`)}
		</tr>`)}</tbody>
		${foot && html`<tfoot>${foot}</tfoot>`}
	</table></div>`;
}
