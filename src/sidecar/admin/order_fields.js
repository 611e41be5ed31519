// An order as a flat map of what staff may correct, so that two versions of it can be
// compared and put together field by field; and back to what the API takes.
export const CONTACT = [['name', 'Name'], ['email', 'E-mail'], ['phone', 'Phone'], ['customer_id', 'Customer id']];
export const CHARGES = [['shipping', 'Shipping'], ['tax', 'Tax'], ['discount', 'Discount'], ['coupon_discount', 'Coupon discount']];
export const ADDRESS = [['first_name', 'First name'], ['last_name', 'Last name'], ['company', 'Company'], ['address_line_1', 'Address'], ['address_line_2', 'Address, line 2'],
	['postal_code', 'Postal code'], ['city', 'City'], ['state', 'State'], ['country', 'Country'], ['phone', 'Phone there'], ['email', 'E-mail there'], ['delivery_instructions', 'Delivery instructions']];
const FACTS = [...CONTACT, ...CHARGES, ['coupon_code', 'Coupon']];

const LABELS = Object.fromEntries([...FACTS, ...ADDRESS.map(([name, label]) => ['address.' + name, label])]);
const isCharge = (name) => CHARGES.some(([charge]) => charge === name);
const plain = (value) => (value === null || value === undefined ? '' : String(value));
const amount = (text) => (text === '' || Number.isNaN(Number(text)) ? text : String(Number(text)));

// {email: '…', 'address.city': '…', 'line.MUG-1': {quantity, unit_price, …}}
export function flat(order) {
	const all = {};
	const digits = new Intl.NumberFormat('en', { style: 'currency', currency: order.currency }).resolvedOptions().maximumFractionDigits;
	// 4.5 is 4.50 to people
	const price = (value) => {
		const text = amount(plain(value));
		return (text.split('.')[1] || '').length < digits && text !== '' ? Number(text).toFixed(digits) : text;
	};
	for (const [name] of FACTS) all[name] = isCharge(name) ? price(order[name] || 0) : plain(order[name]);
	for (const [name] of ADDRESS) all['address.' + name] = plain(order.address && order.address[name]);
	for (const item of order.items || []) {
		const key = ['line', item.sku, item.variant, item.product_id].filter((part) => part !== undefined && part !== null).join('.');
		let own = key;
		for (let n = 2; own in all; n++) own = `${key} (${n})`;
		all[own] = { ...item, quantity: plain(item.quantity), unit_price: price(item.unit_price) };
	}
	return all;
}
export const linesOf = (map) => Object.keys(map).filter((name) => name.startsWith('line.') && map[name]);

// Two values of a field; a line is its quantity and its price
const gist = (name, value) => (name.startsWith('line.') ? (value ? `${amount(value.quantity)}×${amount(plain(value.unit_price))}×${value.sku}×${value.name || ''}` : '')
	: isCharge(name) ? amount(plain(value)) || '0' : plain(value).trim());
export const same = (name, one, other) => gist(name, one) === gist(name, other);

export const changedIn = (before, after) => [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => !same(name, before[name], after[name]));

// What became of the three: fields that both changed, and differently; those of one side only.
export function compare(base, mine, theirs) {
	const my = changedIn(base, mine);
	const their = changedIn(base, theirs);
	return {
		both: my.filter((name) => their.includes(name) && !same(name, mine[name], theirs[name])),
		onlyMine: my.filter((name) => !their.includes(name)),
		onlyTheirs: their.filter((name) => !my.includes(name)),
	};
}
// Mine on top of theirs: of what both changed, theirs where `take` says so.
export function merge(base, mine, theirs, take = {}) {
	const result = { ...theirs };
	for (const name of changedIn(base, mine)) {
		if (!take[name]) result[name] = mine[name];
	}
	return result;
}

// What PATCH takes to make one of the other.
export function patchOf(before, after) {
	const names = changedIn(before, after);
	const body = {};
	for (const name of names) {
		if (name.startsWith('address.')) (body.address = body.address || {})[name.slice(8)] = plain(after[name]).trim() || null;
		else if (!name.startsWith('line.')) body[name] = plain(after[name]).trim() || null;
	}
	if (names.some((name) => name.startsWith('line.'))) {
		body.items = linesOf(after).map((name) => {
			const { quantity, unit_price, ...rest } = after[name];
			return { ...rest, quantity: Number(quantity), unit_price };
		});
	}
	return body;
}

export function labelOf(name, ...maps) {
	if (!name.startsWith('line.')) return LABELS[name] || name;
	const line = maps.map((map) => map[name]).find(Boolean) || {};
	return [line.name || line.sku, line.variant].filter(Boolean).join(', ');
}

// Which field a refusal is about, by the words of the API; null: none of them.
export function fieldOf(problem, after) {
	const text = problem.detail || '';
	const line = /line item (\d+)/.exec(text);
	if (line) return { field: linesOf(after)[line[1] - 1] || null, part: /"unit_price"/.test(text) ? 'unit_price' : /"sku"/.test(text) ? 'sku' : 'quantity' };
	const named = /(?:fact|member|argument) "([a-z_.0-9]+)"/i.exec(text);
	const name = named && (named[1] in LABELS ? named[1] : 'address.' + named[1] in LABELS ? 'address.' + named[1] : null);
	return { field: name, part: null };
}
// Of "fact "email" cannot be stored: An address has …" what somebody at a field wants to read.
export const inWords = (problem) => (problem.detail || problem.title || '').replace(/^fact "[^"]*" cannot be stored: /, '').replace(/^line item \d+: "[^"]*" (.)/, (_, first) => first.toUpperCase());

// Quantities as whole numbers, prices as decimals: said before anything is sent.
export function check(map) {
	const problems = {};
	for (const name of linesOf(map)) {
		if (!plain(map[name].sku).trim()) problems[name + '/sku'] = 'The article has to have a number.';
		if (!/^[1-9]\d{0,6}$/.test(map[name].quantity)) problems[name + '/quantity'] = 'A whole number from 1 on.';
		if (!/^\d{1,12}(\.\d{1,6})?$/.test(map[name].unit_price)) problems[name + '/unit_price'] = 'An amount such as 9.50.';
	}
	for (const [name] of CHARGES) {
		if (map[name] && !/^\d{1,12}(\.\d{1,6})?$/.test(map[name])) problems[name] = 'An amount such as 4.90.';
	}
	return problems;
}
export function totals(map) {
	const lines = linesOf(map).reduce((sum, name) => sum + Number(map[name].quantity) * Number(map[name].unit_price), 0);
	const of = (name) => Number(map[name] || 0);
	return { subtotal: lines, total: lines + of('shipping') + of('tax') - of('discount') - of('coupon_discount') };
}
