// The list of incomplete orders. What it shows is in the address; what is chosen is kept here
// while one looks at other pages, filters and orders. And what is done to many of them.
import { html, useState, useEffect, useLayoutEffect, useRef } from './vendor/preact.js';
import { useGet, get, send, href, may, session, newKey } from './api.js';
import { useRoute, route, link, go, setQuery } from './route.js';
import { number, capped, person, plural, exact, today, day } from './format.js';
import { Page, Tabs, Table, Pager, Pill, Ago, Money, Asked, Empty, Notice, ProblemNotice, Search, Menu, Choice, Field, Copy, dialog, announce, useId, useKeys } from './ui.js';
import { KINDS, STEPS, STATES, WORDS, MESSAGE_TYPES, reasonWords } from './words.js';

// ---------------------------------------------------------------------------
// Tabs, filters and periods

// name in the address and label, what the API is asked for, what one sees there
const state = (name) => [name, STATES[name].label, { status: name }, STATES[name].means];
const TABS = [
	['rescue', 'To rescue', { status: 'abandoned,payment_failed', can_convert: 'true', contactable: 'true' }, 'Abandoned or payment failed, with an e-mail or a phone, and still in time.'],
	['all', 'All', {}, 'Every incomplete order, open and closed.'],
	state('pending'), state('abandoned'), state('payment_pending'), state('payment_failed'),
	['recovered', 'Recovered', { status: 'converted', outcome: 'recovered' }, WORDS.recovered],
	state('converted'), state('expired'), state('dismissed'), state('deleted'), state('reversed'),
];
// shown when there are any
const RARE_TABS = ['payment_pending', 'payment_failed', 'dismissed', 'deleted', 'reversed'];
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
const PERIODS = [
	['created', 'Created', 'start_date', 'end_date', PAST],
	['abandoned', 'Abandoned', 'abandoned_start', 'abandoned_end', PAST],
	['expires', 'Expires', 'expires_start', 'expires_end', NEXT],
];
const STATED = ['status', 'outcome'];
const NARROW = [...FILTERS.map(({ name }) => name), ...PERIODS.flatMap(([name, , from, to]) => [name, from, to]), 'search'];

// Without a word about it: what can be rescued; what somebody searches for is anywhere.
function tabOf(query) {
	if (tabNamed(query.tab)) return query.tab;
	if (query.outcome === 'recovered') return 'recovered';
	if (tabNamed(query.status)) return query.status;
	return query.status || query.outcome || NARROW.some((name) => query[name]) ? 'all' : 'rescue';
}

// The parameters of the API, without state (for the counts) or with it.
function narrowed(query) {
	const asked = {};
	for (const name of NARROW) if (query[name]) asked[name] = query[name];
	for (const [name, , from, to, presets] of PERIODS) {
		const preset = presets.find(([one]) => one === query[name]);
		delete asked[name];
		if (preset) [asked[from], asked[to]] = preset[2]();
	}
	return asked;
}
function askedFor(query) {
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
function inForce(query) {
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
const without = (names) => Object.fromEntries([...names, 'cursor'].map((name) => [name, null]));
// stays where it is: the tab is said, too
const change = (query, values) => setQuery({ tab: query.status || query.outcome ? query.tab || null : tabOf(query), ...values, cursor: null });

function Period({ query, period }) {
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

function Filters({ query, id }) {
	const pick = (name) => (value) => change(query, { [name]: value || null });
	return html`<div class="filters" id=${id} role="group" aria-label="Filters">
		${PERIODS.slice(1).map((period) => html`<${Period} key=${period[0]} query=${query} period=${period} />`)}
		${FILTERS.map(({ name, label, options, hint, as, ...input }) => options
			? html`<${Choice} key=${name} label=${label} title=${hint} value=${query[name] || ''} options=${any(options)} onChange=${pick(name)} />`
			: html`<${Field} key=${name} label=${label} ...${input} min=${input.type === 'number' ? 0 : null} step=${input.type === 'number' ? 'any' : null}
				value=${query[name] || ''} onChange=${(event) => pick(name)(as ? as(event.target.value.trim()) : event.target.value.trim())} />`)}
	</div>`;
}

// ---------------------------------------------------------------------------
// One thing done to many: what would happen, how far it is, what became of each

const MOST = 10000; // what the API takes
const TYPES = [['', 'What the campaign would send next'], ...Object.entries(MESSAGE_TYPES)];

// label; verb in the infinitive, of what is done, and how one says it; the right; orders in a request
const ACTIONS = [
	{ name: 'send_recovery_email', label: 'Send mail', verb: 'Send a message to', done: 'queued', right: 'send_recovery_emails_many', batch: 100,
		means: 'Each customer gets one message in the next minutes, whatever was sent before. What the shop must not send is refused.' },
	{ name: 'convert', label: 'Convert', verb: 'Convert', done: 'converted', right: 'convert_orders', batch: 100,
		means: 'Each becomes an order with a number, marked as paid. No more messages are sent for it. It cannot be undone here.' },
	{ name: 'mark_abandoned', label: 'Mark abandoned', verb: 'Mark', after: 'as abandoned', done: 'abandoned', right: 'mark_abandoned_many', batch: 200, why: true,
		means: 'They count as abandoned from now on, and the campaign begins for them.' },
	{ name: 'dismiss', label: 'Dismiss', verb: 'Dismiss', done: 'dismissed', right: 'dismiss_orders', batch: 200, why: true,
		means: 'They are closed, and their messages are cancelled.' },
	{ name: 'delete', label: 'Delete', verb: 'Delete', done: 'deleted', right: 'delete_orders', batch: 200, why: true, danger: true,
		means: 'Their carts are removed and their messages cancelled. They stay in the list as deleted until their retention is over.' },
];

const whyOf = (reason) => reasonWords(String(reason || 'refused').replace(/^order [0-9a-f-]{36} /, 'it '));

// In batches, one after the other; a batch that got lost is asked again under its key.
// step(results) says false to stop.
async function run(action, ids, body, { from = 0, key, step }) {
	for (let i = from; i < ids.length; i += action.batch) {
		const part = ids.slice(i, i + action.batch);
		let answer;
		try {
			answer = await send('POST', `incomplete-orders/bulk/${action.name}/`, { ids: part, ...body }, body.dry_run ? undefined : { 'Idempotency-Key': `${key}-${i}` });
		} catch (problem) {
			problem.at = i;
			throw problem;
		}
		if (step(answer.results) === false) return;
	}
}

const refused = (result) => result.result === 'refused';
function Reasons({ results, orders }) {
	const by = new Map();
	for (const one of results) by.set(whyOf(one.reason), [...(by.get(whyOf(one.reason)) || []), one.id]);
	return html`<ul class="reasons">${[...by].map(([why, ids]) => html`<li key=${why}>${why}: ${ids.length > 3 ? plural(ids.length, 'order') : ids.map((id) => (orders.get(id) || {}).reference || id).join(', ')}</li>`)}</ul>`;
}

function Bulk({ action, orders, onDone, onEnd, close }) {
	// what is asked for is what was chosen when the dialog opened
	const [given] = useState(() => [...orders.keys()].slice(0, MOST));
	const [names] = useState(() => new Map(orders));
	const [phase, setPhase] = useState('look'); // look, ask, work, told
	const [looked, setLooked] = useState([]);
	const [results, setResults] = useState([]);
	const [problem, setProblem] = useState(null);
	const [type, setType] = useState('');
	const [reason, setReason] = useState('');
	const [round, setRound] = useState({ ids: given, key: newKey() });
	const [again, look] = useState(0);
	const alive = useRef(true);
	const heading = useRef();
	useEffect(() => () => { alive.current = false; }, []);
	const mail = action.name === 'send_recovery_email';
	const wish = (dry) => ({ ...(mail ? { ...(type && { email_type: type }) } : { ...(reason.trim() && { reason: reason.trim() }) }), ...(dry && { dry_run: true }) });

	useEffect(() => {
		let stale = false;
		setPhase('look');
		setLooked([]);
		setProblem(null);
		run({ ...action, batch: 500 }, given, wish(true), { step: (some) => { if (stale || !alive.current) return false; setLooked((all) => [...all, ...some]); return true; } })
			.then(() => stale || setPhase('ask'), (failure) => stale || (setProblem(failure), setPhase('ask')));
		return () => { stale = true; };
	}, [type, again]);
	// each step has the focus: what is to be filled in, then the button; or the result
	const box = useRef();
	useLayoutEffect(() => {
		const to = phase === 'told' ? heading.current : box.current && (box.current.querySelector('select, input') || box.current.querySelector('[type=submit]:not(.danger, :disabled)') || box.current.querySelector('button'));
		if (to) to.focus();
	}, [phase]);

	const cannot = looked.filter(refused);
	const can = looked.length - cannot.length;
	const work = async (ids, key, from = 0, before = []) => {
		let all = before;
		setRound({ ids, key });
		setPhase('work');
		setProblem(null);
		setResults(all);
		try {
			await run(action, ids, wish(false), { from, key, step: (some) => {
				all = [...all, ...some];
				onDone(some.filter((one) => !refused(one)).map(({ id }) => id));
				if (!alive.current) return false;
				setResults(all);
				return true;
			} });
			const failed = all.filter(refused).length;
			announce(`${number(all.length - failed)} of ${plural(ids.length, 'order')} ${action.done}${failed ? `, ${number(failed)} refused` : ''}.`, failed ? '' : 'good');
			if (alive.current) setPhase('told');
			else onEnd();
		} catch (failure) {
			if (alive.current) {
				setProblem(failure);
				setPhase('told');
			} else announce(`${number(all.length)} of ${number(ids.length)} were done, then: ${failure.detail}`, 'bad');
		}
	};
	const title = `${action.verb} ${plural(given.length, mail ? 'customer' : 'order')}${action.after ? ` ${action.after}` : ''}`;
	const failed = results.filter(refused);
	const count = phase === 'look' ? looked.length : results.length;
	const of = phase === 'look' ? given.length : round.ids.length;

	if (phase === 'look' || phase === 'work') return html`<div class="bulk-dialog" ref=${box}><header><h2>${title}</h2></header>
		<p role="status">${phase === 'look' ? 'Looking what would happen' : 'Working'}: ${number(count)} of ${number(of)}</p>
		<progress value=${count} max=${of} aria-label="Progress" />
		<footer><button type="button" class="secondary outline" onClick=${() => close(false)}>${phase === 'look' ? 'Cancel' : 'Stop after this batch'}</button></footer></div>`;

	if (phase === 'told') return html`<div class="bulk-dialog"><header><h2 tabindex="-1" ref=${heading}>${number(results.length - failed.length)} of ${plural(round.ids.length, 'order')} ${action.done}</h2></header>
		${problem && html`<${ProblemNotice} problem=${problem} /><p>${number(round.ids.length - results.length)} were not tried. They stay chosen.</p>`}
		${failed.length > 0 && html`<p>${number(failed.length)} could not be, and ${failed.length === 1 ? 'stays' : 'stay'} chosen:</p>
			<div class="results" tabindex="0" role="region" aria-label="Refused"><table class="keep"><thead><tr><th scope="col">Order</th><th scope="col">Why not</th></tr></thead><tbody>
			${failed.slice(0, 500).map((one) => { const order = names.get(one.id) || {}; return html`<tr key=${one.id}><td><a href=${link(`orders/${one.id}/`)} onClick=${() => close(true)}>${order.customer || 'Guest'}</a> <small>${order.reference || one.id}</small></td><td>${whyOf(one.reason)}</td></tr>`; })}</tbody></table></div>
			${failed.length > 500 && html`<p class="note">And ${number(failed.length - 500)} more; the copy has them all.</p>`}
			<${Copy} label="Copy the list" text=${failed.map((one) => `${(names.get(one.id) || {}).reference || one.id}\t${whyOf(one.reason)}`).join('\n')} />`}
		<footer>
			${problem ? html`<button type="button" class="secondary outline" onClick=${() => work(round.ids, round.key, problem.at || 0, results)}>Go on</button>`
			: failed.length > 0 && html`<button type="button" class="secondary outline" onClick=${() => work(failed.map(({ id }) => id), newKey())}>Try ${number(failed.length)} again</button>`}
			<button type="button" onClick=${() => close(true)}>Close</button>
		</footer></div>`;

	return html`<form class="bulk-dialog" ref=${box} onSubmit=${(event) => { event.preventDefault(); work(given, newKey()); }}>
		<header><h2>${title}</h2></header>
		<p>${action.means}</p>
		${mail && html`<label>Message<select value=${type} onChange=${(event) => setType(event.target.value)}>${TYPES.map(([value, text]) => html`<option key=${value} value=${value} selected=${value === type}>${text}</option>`)}</select></label>`}
		${action.why && html`<label>Reason, for the history <input type="text" maxlength="500" value=${reason} onInput=${(event) => setReason(event.target.value)} /></label>`}
		${problem ? html`<${ProblemNotice} problem=${problem} retry=${() => look((n) => n + 1)} />`
		: cannot.length === 0 ? html`<p role="status">${can === 1 ? 'It' : `All ${number(can)}`} will be ${action.done}.</p>`
		: html`<${Notice} kind=${can ? 'info' : 'warn'} title=${`${number(can)} will be ${action.done}, ${number(cannot.length)} cannot be:`}><${Reasons} results=${cannot} orders=${names} /><//>`}
		<footer>
			<button type="button" class="secondary outline" onClick=${() => close(false)}>Cancel</button>
			<button type="submit" class=${action.danger ? 'danger' : ''} disabled=${can === 0}>${action.label} ${number(can)}</button>
		</footer></form>`;
}

// ---------------------------------------------------------------------------
// The list

const PATH = 'incomplete-orders/';
const SORTS = [['-total_amount', 'Highest total first'], ['total_amount', 'Lowest total first'], ['-created_at', 'Newest first'], ['created_at', 'Oldest first'],
	['-updated_at', 'Latest activity first'], ['updated_at', 'Longest without activity first'], ['-recovery_attempts', 'Most attempts first'], ['recovery_attempts', 'Fewest attempts first']];
const SIZES = ['20', '50', '100'];
const tooMany = (problem) => problem && problem.code === '22023' && /too many orders to sort/.test(problem.detail || '');
const steps = (order) => (order.kind === 'cart' ? STEPS[order.furthest_step] : KINDS[order.kind]);

// chosen: id -> what a result calls it; of one role and shop at a time
let chosen = new Map();
let chosenIn = '';

function Who({ order }) {
	const name = person(order);
	const more = [order.email, order.phone].filter((one) => one && one !== name);
	return html`<div class="who-cell"><a href=${link(`orders/${order.id}/`)} title=${name.length > 60 ? name : null}><bdi>${name}</bdi></a>
		<small>${more.length ? more.map((one, i) => html`${i > 0 && ' · '}<bdi>${one}</bdi>`) : order.email || order.phone ? (order.customer_id ? 'Customer' : 'Guest') : 'No e-mail or phone'}</small></div>`;
}

const whyNot = (order) => (order.closed_at ? 'It is closed' : order.is_expired ? 'Its deadline has passed' : 'It is empty');
const columns = (all) => [
	{ name: 'customer', label: 'Customer', render: (o) => html`<${Who} order=${o} />` },
	{ name: 'reference', label: 'Reference', render: (o) => html`<span class="reference">${o.reference}</span>` },
	...(all ? [{ name: 'shop', label: 'Shop' }] : []),
	{ name: 'status', label: 'Status', render: (o) => html`<${Pill} state=${o.status} />` },
	{ name: 'total', label: 'Total', align: 'right', sort: 'total_amount', render: (o) => html`<${Money} amount=${o.total} currency=${o.currency} />` },
	{ name: 'items', label: 'Items', align: 'right', render: (o) => html`<span title=${o.items.slice(0, 8).map((i) => `${i.quantity} × ${i.name || i.sku}`).join('\n')}>${number(o.item_count)}</span>` },
	...(all ? [] : [{ name: 'step', label: 'Step', hideSmall: true, render: (o) => steps(o) }]),
	{ name: 'days', label: 'Days old', align: 'right', hideSmall: true, render: (o) => number(o.days_old) },
	{ name: 'attempts', label: 'Attempts', align: 'right', sort: 'recovery_attempts', render: (o) => html`<span title=${o.last_recovery_at ? `The last one: ${exact(o.last_recovery_at)}` : null}>${number(o.recovery_attempts)}</span>` },
	{ name: 'can', label: 'Can convert', hideSmall: true, render: (o) => (o.can_convert ? 'Yes' : html`<span class="soft reference" title=${o.order_number ? 'It is this order' : whyNot(o)}>${o.order_number ? o.order_number : 'No'}</span>`) },
	{ name: 'created', label: 'Created', sort: 'created_at', render: (o) => html`<span title=${`Last activity: ${exact(o.last_activity_at)}`}><${Ago} at=${o.created_at} /></span>` },
];

const CAPTURE = `SELECT incomplete_orders.capture_cart('session-1',
    '[{"sku": "MUG-1", "name": "Mug", "quantity": 2, "unit_price": "9.50"}]',
    email => 'ann@example.com');`;

// Nothing to show: why, and what to do about it.
function Nothing({ query, counts, clear }) {
	const tab = tabOf(query);
	const total = counts && counts.find(({ name }) => name === 'all');
	const filters = inForce(query);
	if (!filters.length && total && total.count === 0)
		return html`<${Empty} title="No incomplete orders yet" command=${CAPTURE}>They come from your shop: attach its tables, add the script to its pages, or capture a cart from its program. To see one here:<//>`;
	if (total && total.count > 0 && tab !== 'all')
		return html`<${Empty} title=${tab === 'rescue' ? 'Nobody to rescue' : 'None in this state'}>
			<p>${filters.length ? 'With these filters there' : 'There'} ${total.count === 1 ? 'is' : 'are'} ${capped(total.count, total.count_capped)} in other states.</p>
			<a role="button" class="outline" href=${link('orders/', { ...query, tab: 'all', status: null, outcome: null, cursor: null })}>Show all of them</a><//>`;
	return html`<${Empty} title=${filters.length ? 'No order matches' : 'Nothing here'}>
		${query.search && html`<p>A search finds a whole e-mail (or its beginning: <code>ann@*</code>), phone, customer, session, reference, id or order number.</p>`}
		${filters.length > 0 && html`<button type="button" class="outline" onClick=${clear}>Clear the filters</button>`}<//>`;
}

// A list that is too long for its sort: what that means, and ways out of it.
function TooMany({ query }) {
	const ways = [['Newest first', { ordering: '-created_at' }], ...(query.created || query.start_date || query.end_date ? [] : [['Only the last 7 days', { created: '7d', tab: tabOf(query) }]]), ['Only today', { ...without(PERIODS[0].slice(2, 4)), created: 'today', tab: tabOf(query) }]];
	return html`<${Notice} kind="info" title="Too many orders to sort them like this">
		<p>Up to 10,000 orders are sorted by total, attempts or activity; here are more. By their date any number is.</p>
		<div class="actions">${ways.map(([label, values]) => html`<button key=${label} type="button" class="outline" onClick=${() => setQuery({ cursor: null, ...values })}>${label}</button>`)}</div>
	<//>`;
}

// Every order that the list has, up to what one action takes.
async function allThatMatch(query, onStep) {
	const found = new Map();
	let cursor = null;
	do {
		const page = await get(PATH + 'ids/', { ...query, cursor });
		for (const one of page.results) if (found.size < MOST) found.set(one.id, one);
		cursor = page.next && new URL(page.next, location.href).searchParams.get('cursor');
		onStep(found.size);
	} while (cursor && found.size < MOST);
	return found;
}

async function save(ids) {
	const text = await send('POST', PATH + 'export.csv', { ids }, { Accept: 'text/csv' });
	const a = document.createElement('a');
	a.href = URL.createObjectURL(new Blob(['\ufeff', text], { type: 'text/csv' }));
	a.download = `incomplete-orders-${today()}.csv`;
	a.click();
	setTimeout(() => URL.revokeObjectURL(a.href), 10000);
	announce(`${plural(ids.length, 'order')} exported.`, 'good');
}

function BulkBar({ chosen, onPage, match, busy, onAll, onClear, onAct, onExport }) {
	const elsewhere = chosen.size - onPage;
	const first = ACTIONS.filter(({ right }) => may(right));
	const more = match && match.count > chosen.size;
	return html`<div class="bulk" role="region" aria-label="Chosen orders">
		<p role="status"><strong>${plural(chosen.size, 'order')} chosen</strong>${elsewhere > 0 && html` <span class="soft">${number(elsewhere)} not on this page</span>`}
			${more && html` <button type="button" class="link" disabled=${busy} onClick=${onAll}>${busy || `Choose all ${capped(match.count, match.count_capped)} that match`}</button>`}</p>
		<div class="actions">
			${first.slice(0, 2).map((action) => html`<button key=${action.name} type="button" class="small" onClick=${() => onAct(action)}>${action.label}</button>`)}
			<${Menu} label="More" items=${[...first.slice(2).map((action) => ({ label: action.label, danger: action.danger, onClick: () => onAct(action) })), { label: 'Export as CSV', onClick: onExport }]} />
			<button type="button" class="outline secondary small" onClick=${onClear}>Clear</button>
		</div>
	</div>`;
}

export default function Orders() {
	const { query: here } = useRoute();
	const shops = (session() && session().shops) || [];
	const everywhere = shops.length > 1 && !here.shop;
	const { shop, ...query } = here;
	const tab = tabOf(query);
	const filters = inForce(query);
	const [open, setOpen] = useState(filters.some(({ names }) => names[0] !== 'search' && names[0] !== 'created'));
	const [, redraw] = useState(0);
	const [busy, setBusy] = useState('');
	const panel = useId();
	const where = `${(session() || {}).role} ${shop || ''}`;
	if (session() && chosenIn !== where) [chosen, chosenIn] = [new Map(), where];

	const asked = { ...(everywhere && { shop: '*' }), ...askedFor(query) };
	const size = SIZES.includes(query.size) ? query.size : '20';
	const narrow = { ...(everywhere && { shop: '*' }), ...narrowed(query) };
	const counts = useGet(PATH + 'counts/', narrow);
	const counted = counts.problem || counts.url === href(PATH + 'counts/', narrow);
	const tally = counts.data && counts.data.results;
	const tallied = (name) => tally && tally.find((one) => one.name === name);
	// to be rescued: the highest totals first, where they are few enough to be sorted
	const byItself = tab === 'rescue' && !query.ordering;
	const many = tallied('rescue') && tallied('rescue').count_capped;
	const ordering = query.ordering || (byItself && !many ? '-total_amount' : '-created_at');
	const list = useGet(byItself && !counted ? null : PATH, { ...asked, ordering, page_size: size, cursor: query.cursor });
	const unsorted = tooMany(list.problem);
	useEffect(() => {
		const current = document.querySelector('nav.tabs [aria-current]');
		if (current) current.scrollIntoView({ block: 'nearest', inline: 'center' });
	}, [tab, Boolean(counts.data)]);
	useEffect(() => {
		if (query.focus !== 'search') return;
		document.getElementById('search').focus();
		setQuery({ focus: null }, { replace: true });
	}, []);

	useKeys({ f: () => setOpen(!open) }, { f: 'Filters' });

	const tabs = TABS.map(([name, label]) => {
		const of = tallied(name);
		return { name, label, count: of && of.count, capped: of && of.count_capped };
	}).filter(({ name, count }) => name === tab || count || !RARE_TABS.includes(name));
	const to = (name) => link('orders/', { ...query, shop, status: null, outcome: null, cursor: null, ordering: query.ordering, tab: name === 'rescue' && !filters.length ? null : name });
	const clear = () => setQuery({ ...without([...filters.flatMap(({ names }) => names)]), tab: query.tab || null });

	const change = (next) => { chosen = next; redraw((n) => n + 1); };
	const rows = (list.data && list.data.results) || [];
	const onSelect = (keys) => {
		const next = new Map(chosen);
		for (const row of rows) {
			if (keys.has(row.id)) next.set(row.id, { id: row.id, reference: row.reference, customer: person(row) });
			else next.delete(row.id);
		}
		change(next);
	};
	const collect = async (act, label) => {
		setBusy(label);
		try {
			await act(await allThatMatch({ ...asked, ordering: '-created_at' }, (n) => setBusy(`${label}: ${number(n)}`)));
		} catch (problem) {
			announce(`${problem.title}: ${problem.detail}`, 'bad');
		}
		setBusy('');
	};
	const onAll = () => collect((found) => {
		change(new Map([...chosen, ...found]));
		if (found.size === MOST) announce(`The newest ${number(MOST)} are chosen: one action takes no more.`);
	}, 'Choosing');
	const anew = () => {
		list.reload();
		counts.reload();
	};
	const onAct = async (action) => {
		const at = shop;
		await dialog(Bulk, {
			action, orders: chosen, onEnd: anew,
			// what is done is chosen no more; what failed stays
			onDone: (done) => {
				if (route().query.shop !== at) return;
				const next = new Map(chosen);
				for (const id of done) next.delete(id);
				change(next);
			},
		});
		anew();
	};
	const onExport = () => save([...chosen.keys()]).catch((problem) => announce(`${problem.title}: ${problem.detail}`, 'bad'));
	// what only a list can find is exported by its ids
	const byIds = asked.search || asked.outcome;
	const exportAll = byIds
		? html`<button type="button" class="outline secondary small" disabled=${busy} onClick=${() => collect((found) => save([...found.keys()]), 'Exporting')}>${/^Exp/.test(busy) ? busy : 'Export CSV'}</button>`
		: html`<a role="button" class="outline secondary small" href=${href(PATH + 'export.csv', asked)} download=${`incomplete-orders-${today()}.csv`}>Export CSV</a>`;
	const onSort = (by) => setQuery({ ordering: by, cursor: null });

	return html`<${Page} title="Orders" actions=${exportAll}>
		<${Tabs} label="States" tabs=${tabs} current=${query.status || query.outcome ? (query.tab || (tab === 'all' ? '' : tab)) : tab} to=${to} />
		<section class="card orders" aria-label="List">
			<div class="order-bar">
				<${Search} label="Search orders" hint="E-mail, phone, customer, reference, order number" />
				<${Period} query=${query} period=${PERIODS[0]} />
				<${Choice} label="Sort" value=${ordering} options=${SORTS} onChange=${onSort} />
				<button type="button" class="outline secondary" aria-expanded=${open} aria-controls=${panel} onClick=${() => setOpen(!open)}>Filters${filters.length ? ` (${filters.length})` : ''}</button>
			</div>
			${open && html`<${Filters} query=${query} id=${panel} />`}
			${filters.length > 0 && html`<ul class="chips" aria-label="Filters in force">${filters.map(({ text, names }) => html`<li key=${text}>
				<button type="button" class="plain" aria-label=${`${text}, remove`} onClick=${() => setQuery({ ...without(names), ...(names[0] === 'search' ? {} : { tab: query.status || query.outcome ? query.tab || null : tab }) })}>${text} <span aria-hidden="true">×</span></button></li>`)}
				${filters.length > 1 && html`<li><button type="button" class="link" onClick=${clear}>Clear all</button></li>`}</ul>`}
			<p class="note">${(TABS.find(([name]) => name === tab) || [])[3]}${!byItself ? '' : !many ? ' The highest totals come first.' : ' There are more than 10,000, so the newest come first instead.'}</p>
			${unsorted ? html`<${TooMany} query=${query} />` : html`<${Asked} of=${list} height="42rem">${(data) => html`
				<${Table} label="Incomplete orders" columns=${columns(everywhere)} rows=${data.results} selected=${new Set(chosen.keys())} onSelect=${onSelect}
					onOpen=${(order) => go(`orders/${order.id}/`)} sort=${ordering} onSort=${onSort}
					empty=${data.next ? html`<${Empty} title="None among the newest 10,000"><p>These filters have no index, so orders are looked through 10,000 at a time. Go on with Next.</p><//>`
					: html`<${Nothing} query=${query} counts=${tally} clear=${clear} />`} />
				${data.results.length > 0 && data.results.length < Number(size) && data.next && html`<p class="note">Orders are looked through 10,000 at a time: Next goes on behind these.</p>`}
				<${Pager} data=${data} shown=${data.results.length > 0 ? number(data.results.length) : undefined} label=${data.results.length === 1 && !data.next && !query.cursor ? 'order' : 'orders'} />
				${(data.next || query.cursor || size !== '20') && html`<div class="per-page" role="group" aria-label="Rows on a page">${SIZES.map((one) => html`<button key=${one} type="button" class="link" aria-pressed=${one === size}
					onClick=${() => setQuery({ size: one === '20' ? null : one, cursor: null })}>${one}</button>`)} on a page</div>`}`}<//>`}
		</section>
		${chosen.size > 0 && html`<${BulkBar} chosen=${chosen} onPage=${rows.filter(({ id }) => chosen.has(id)).length} match=${list.data} busy=${busy}
			onAll=${onAll} onClear=${() => change(new Map())} onAct=${onAct} onExport=${onExport} />`}
	<//>`;
}
