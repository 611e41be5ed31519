// What a list of orders is asked for: its tabs, filters and periods, all in the address.
import { html, useState, useEffect } from './vendor/preact.js';
import { setQuery } from './route.js';
import { today, day, number } from './format.js';
import { Choice, Field } from './ui.js';
import { KINDS, STEPS, STATES, WORDS } from './words.js';

// name in the address and label, what the API is asked for, what one sees there
const state = (name) => [name, STATES[name].label, { status: name }, STATES[name].means];
export const TABS = [
	['rescue', 'To rescue', { status: 'abandoned,payment_failed', can_convert: 'true', contactable: 'true' }, 'Abandoned or payment failed, with an e-mail or a phone, and still in time.'],
	['all', 'All', {}, 'Every incomplete order, open and closed.'],
	state('pending'), state('abandoned'), state('payment_pending'), state('payment_failed'),
	['recovered', 'Recovered', { status: 'converted', outcome: 'recovered' }, WORDS.recovered],
	state('converted'), state('expired'), state('dismissed'), state('deleted'), state('reversed'),
];
// shown when there are any
export const RARE_TABS = ['payment_pending', 'payment_failed', 'dismissed', 'deleted', 'reversed'];
const tabNamed = (name) => TABS.find(([one]) => one === name);

const any = (options) => [['', 'Any'], ...options];
const YES = [['true', 'Yes'], ['false', 'No']];
const FILTERS = [
	{ name: 'kind', label: 'Kind', options: Object.entries(KINDS) },
	{ name: 'is_guest_order', label: 'Customer', options: [['true', 'Guest'], ['false', 'Has an account']] },
	{ name: 'contactable', label: 'Can be answered', options: YES, hint: 'An e-mail or a phone is known' },
	{ name: 'can_convert', label: 'Can convert', options: YES, hint: 'Open, in time, not empty' },
	{ name: 'recovery_attempts', label: 'Attempts', options: [['0', 'None yet'], ['1', '1'], ['2', '2'], ['3', '3'], ['4', '4'], ['5', '5']] },
	{ name: 'furthest_step', label: 'Came as far as', options: Object.entries(STEPS) },
	{ name: 'total_min', label: 'Total from', type: 'number' },
	{ name: 'total_max', label: 'Total to', type: 'number' },
	{ name: 'currency', label: 'Currency', type: 'text', maxlength: 3, placeholder: 'EUR', as: (text) => text.toUpperCase() },
	{ name: 'device', label: 'Device', type: 'text', placeholder: 'mobile' },
	{ name: 'source', label: 'Source', type: 'text', placeholder: 'newsletter' },
	{ name: 'expired', label: 'Past its time', options: YES },
];
// name of a preset in the address, label, names of the parameters, presets
const PAST = [['today', 'Today', () => [today(), today()]], ['yesterday', 'Yesterday', () => [today(-1), today(-1)]],
	['7d', 'Last 7 days', () => [today(-6), today()]], ['30d', 'Last 30 days', () => [today(-29), today()]],
	['month', 'This month', () => [today().slice(0, 8) + '01', today()]]];
const NEXT = [['today', 'Today', () => [today(), today()]], ['3d', 'Within 3 days', () => [today(), today(2)]], ['7d', 'Within 7 days', () => [today(), today(6)]]];
export const PERIODS = [
	['created', 'Created', 'start_date', 'end_date', PAST],
	['abandoned', 'Abandoned', 'abandoned_start', 'abandoned_end', PAST],
	['expires', 'Expires', 'expires_start', 'expires_end', NEXT],
];
const STATED = ['status', 'outcome'];
const NARROW = [...FILTERS.map(({ name }) => name), ...PERIODS.flatMap(([name, , from, to]) => [name, from, to]), 'search'];

// Without a word about it: what can be rescued; what somebody searches for is anywhere.
export function tabOf(query) {
	if (tabNamed(query.tab)) return query.tab;
	if (query.outcome === 'recovered') return 'recovered';
	if (tabNamed(query.status)) return query.status;
	return query.status || query.outcome || NARROW.some((name) => query[name]) ? 'all' : 'rescue';
}

// The parameters of the API, without state (for the counts) or with it.
export function narrowed(query) {
	const asked = {};
	for (const name of NARROW) if (query[name]) asked[name] = query[name];
	for (const [name, , from, to, presets] of PERIODS) {
		const preset = presets.find(([one]) => one === query[name]);
		delete asked[name];
		if (preset) [asked[from], asked[to]] = preset[2]();
	}
	return asked;
}
export function askedFor(query) {
	const stated = {};
	for (const name of STATED) if (query[name]) stated[name] = query[name];
	return { ...narrowed(query), ...(tabOf(query) === 'all' ? stated : tabNamed(tabOf(query))[2]) };
}

const periodText = (query, [name, , from, to, presets]) => {
	const preset = presets.find(([one]) => one === query[name]);
	if (preset) return preset[1].toLowerCase();
	if (!query[from] && !query[to]) return '';
	const said = (value) => (value ? day(value) : '…');
	return query[from] === query[to] ? said(query[from]) : `${said(query[from])} – ${said(query[to])}`;
};

// What is in force, each with the names that it has in the address.
export function inForce(query) {
	const list = [];
	if (tabOf(query) === 'all' && !query.tab) {
		if (query.status) list.push({ text: `State: ${query.status.split(',').map((one) => (STATES[one] || { label: one }).label).join(', ')}`, names: ['status'] });
		if (query.outcome) list.push({ text: `Outcome: ${(STATES[query.outcome] || { label: query.outcome }).label}`, names: ['outcome'] });
	}
	if (query.search) list.push({ text: `Search: ${query.search}`, names: ['search'] });
	for (const period of PERIODS) {
		const text = periodText(query, period);
		if (text) list.push({ text: `${period[1]}: ${text}`, names: [period[0], period[2], period[3]] });
	}
	for (const { name, label, options, type } of FILTERS) {
		if (!query[name]) continue;
		const option = options && options.find(([value]) => value === query[name]);
		list.push({ text: `${label}: ${option ? option[1].toLowerCase() : type === 'number' ? number(query[name]) : query[name]}`, names: [name] });
	}
	return list;
}
export const without = (names) => Object.fromEntries([...names, 'cursor'].map((name) => [name, null]));
// stays where it is: the tab is said, too
const change = (query, values) => setQuery({ tab: query.status || query.outcome ? query.tab || null : tabOf(query), ...values, cursor: null });

export function Period({ query, period }) {
	const [name, label, from, to, presets] = period;
	const own = Boolean(query[from] || query[to]);
	const [custom, setCustom] = useState(own);
	useEffect(() => setCustom(own), [own, query[name]]);
	const value = presets.some(([one]) => one === query[name]) ? query[name] : custom ? 'custom' : '';
	const pick = (picked) => {
		const preset = presets.find(([one]) => one === query[name]);
		if (picked !== 'custom') change(query, { ...without([from, to]), [name]: picked || null });
		else if (preset) change(query, { [name]: null, [from]: preset[2]()[0], [to]: preset[2]()[1] });
		else setCustom(true);
	};
	const put = (which) => (event) => change(query, { [name]: null, [which]: event.target.value || null });
	return html`<${Choice} label=${label} value=${value} onChange=${pick}
			options=${[['', 'Any time'], ...presets.map(([one, text]) => [one, text]), ['custom', 'From … to …']]} />
		${value === 'custom' && html`<${Field} label=${`${label} from`} type="date" value=${(query[from] || '').slice(0, 10)} onChange=${put(from)} />
			<${Field} label=${`${label} to`} type="date" value=${(query[to] || '').slice(0, 10)} onChange=${put(to)} />`}`;
}

export function Filters({ query, id }) {
	const pick = (name) => (value) => change(query, { [name]: value || null });
	return html`<div class="filters" id=${id} role="group" aria-label="Filters">
		${PERIODS.slice(1).map((period) => html`<${Period} key=${period[0]} query=${query} period=${period} />`)}
		${FILTERS.map(({ name, label, options, hint, as, ...input }) => options
			? html`<${Choice} key=${name} label=${label} title=${hint} value=${query[name] || ''} options=${any(options)} onChange=${pick(name)} />`
			: html`<${Field} key=${name} label=${label} ...${input} min=${input.type === 'number' ? 0 : null} step=${input.type === 'number' ? 'any' : null}
				value=${query[name] || ''} onChange=${(event) => pick(name)(as ? as(event.target.value.trim()) : event.target.value.trim())} />`)}
	</div>`;
}
