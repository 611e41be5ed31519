// A mapping of attach() as a table: which field of a cart comes from which column.
import { html } from './vendor/preact.js';

const FIELDS = {
	cart: { id: 'Cart', email: 'E-mail', phone: 'Phone', name: 'Name', customer: 'Customer', session: 'Session', locale: 'Language', time_zone: 'Time zone', consent: 'Consent', currency: 'Currency', updated_at: 'Last change', completed_at: 'Bought at', deleted_at: 'Deleted at', order_number: 'Order number', where: 'Which rows are carts' },
	lines: { id: 'Line', cart: 'Cart of the line', sku: 'Article (sku)', name: 'Name of the article', quantity: 'Quantity', unit_price: 'Price of one', product: 'Product', image: 'Image', where: 'Which rows are lines' },
	orders: { cart: 'Cart of the order', order: 'Order', live: 'Which orders count', total: 'Total', currency: 'Currency', completed_at: 'Bought at' },
	'': { total: 'Total', completed: 'Bought, if', in_progress: 'Being paid, if', superseded: 'Taken over by another cart, if', money: 'Amounts', on_delete: 'A row that is deleted means', restore_url: 'Link back to the cart', settle: 'Rests before it is read', always: 'Fires on a subscriber, too' },
};
const GROUPS = { cart: 'Carts', lines: 'Lines', orders: 'Orders', '': 'Rules' };
const PREDICATES = ['where', 'live', 'completed', 'in_progress', 'superseded'];
const MONEY = { major: 'in whole units, as 19.90', minor: 'in the smallest unit of the currency' };

// Where a value comes from: the column, and how one gets there.
function source(value, table) {
	if (typeof value !== 'object' || value === null) return [html`<code>${table ? `${table}.${value}` : String(value)}</code>`, ''];
	if (value.sql !== undefined) return [html`<code>${value.sql}</code>`, 'expression'];
	if (value.join !== undefined) {
		const [from] = source(value.column, value.as || value.join);
		return [from, html`joined, where <code>${value.on}</code>`];
	}
	return [html`<code>${JSON.stringify(value)}</code>`, ''];
}

export function Mapping({ mapping }) {
	const rows = [];
	for (const group of Object.keys(GROUPS)) {
		const part = group ? mapping[group] : Object.fromEntries(Object.entries(mapping).filter(([name]) => FIELDS[''][name]));
		if (!part || Object.keys(part).length === 0) continue;
		rows.push(html`<tr key=${group} class="group"><th scope="rowgroup" colspan="3">${GROUPS[group]}${part.table && html` <code>${(mapping.schema ? `${mapping.schema}.` : '') + part.table}</code>`}</th></tr>`);
		const names = [...new Set([...Object.keys(FIELDS[group]), ...Object.keys(part)])].filter((name) => name !== 'table' && name !== 'as' && part[name] !== undefined && part[name] !== null);
		for (const name of names) {
			const value = part[name];
			const [from, how] = name === 'money' ? [MONEY[value] || `${value} decimal places are left out`, ''] : PREDICATES.includes(name) || !group ? [html`<code>${typeof value === 'object' ? value.sql || JSON.stringify(value) : String(value)}</code>`, ''] : source(value, part.table);
			rows.push(html`<tr key=${group + name}><td data-label="">${FIELDS[group][name] || name}</td><td class="wrap" data-label="From">${from}</td><td class="soft wrap" data-label="How">${how}</td></tr>`);
		}
	}
	for (const [i, watch] of (mapping.watch || []).entries()) rows.push(i === 0 && html`<tr key="watch" class="group"><th scope="rowgroup" colspan="3">Watched, too</th></tr>`,
		html`<tr key=${`watch${i}`}><td data-label="">${watch.table}</td><td class="wrap" data-label="From"><code>${watch.table}.${watch.column}</code></td><td class="soft" data-label="How">changes the carts with that ${watch.cart}</td></tr>`);
	return html`<div class="table-wrap"><table class="mapping" aria-label="Mapping"><thead><tr><th scope="col">Field</th><th scope="col">From</th><th scope="col">How</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

// What one mapping is with the keys of another in place of its own, at any depth; null removes.
export function merged(base, changes) {
	const result = { ...base };
	for (const [name, value] of Object.entries(changes || {})) {
		if (value === null) delete result[name];
		else if (typeof value === 'object' && !Array.isArray(value) && typeof result[name] === 'object' && result[name] !== null) result[name] = merged(result[name], value);
		else result[name] = value;
	}
	return result;
}
