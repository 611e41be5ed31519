// The list of incomplete orders. What it shows is in the address; what is chosen is kept here
// while one looks at other pages, filters and orders.
import { html, useState, useEffect, useId } from './ui_base.js';
import { useKeys } from './keys.js';
import { useGet, get, send, href, may, session } from './api.js';
import { useRoute, route, link, go, setQuery } from './route.js';
import { number, capped, person, plural, exact, today } from './format.js';
import { Page, Tabs, Table, Pager, Pill, Term, Ago, Money, Asked, Empty, Notice, Search, Menu, Choice, dialog, announce } from './ui.js';
import { KINDS, STEPS } from './words.js';
import { TABS, RARE_TABS, PERIODS, tabOf, narrowed, askedFor, inForce, without, Period, Filters } from './order_filters.js';
import { ACTIONS, Bulk, MOST } from './bulk.js';

const PATH = 'incomplete-orders/';
const SORTS = [['-total_amount', 'Highest total first'], ['total_amount', 'Lowest total first'], ['-created_at', 'Newest first'], ['created_at', 'Oldest first'],
	['-updated_at', 'Latest activity first'], ['updated_at', 'Longest without activity first'], ['-recovery_attempts', 'Most attempts first'], ['recovery_attempts', 'Fewest attempts first']];
const SIZES = ['20', '50', '100'];
const tooMany = (problem) => problem && problem.code === '22023' && /too many orders to sort/.test(problem.detail || '');
const steps = (order) => (order.kind === 'cart' ? STEPS[order.furthest_step] : KINDS[order.kind]);

// chosen: id -> what a result calls it; of one shop at a time
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
	const where = shop || (everywhere ? '*' : '');
	if (chosenIn !== where) [chosen, chosenIn] = [new Map(), where];

	const asked = { ...(everywhere && { shop: '*' }), ...askedFor(query) };
	const wanted = JSON.stringify(asked);
	const [plain, setPlain] = useState(''); // which list was too long for the order that it has without being asked
	const ordering = query.ordering || (tab === 'rescue' && plain !== wanted ? '-total_amount' : '-created_at');
	const size = SIZES.includes(query.size) ? query.size : '20';
	const list = useGet(PATH, { ...asked, ordering, page_size: size, cursor: query.cursor });
	const counts = useGet(PATH + 'counts/', { ...(everywhere && { shop: '*' }), ...narrowed(query) });
	const unsorted = tooMany(list.problem);
	useEffect(() => {
		if (unsorted && !query.ordering) setPlain(wanted);
	}, [unsorted, wanted]);
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

	const tally = counts.data && counts.data.results;
	const tabs = TABS.map(([name, label]) => {
		const of = tally && tally.find((one) => one.name === name);
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
			<p class="note">${(TABS.find(([name]) => name === tab) || [])[3]}${tab !== 'rescue' || query.ordering ? '' : plain !== wanted ? ' The highest totals come first.' : ' There are more than 10,000, so the newest come first instead.'}</p>
			${unsorted ? query.ordering && html`<${TooMany} query=${query} />` : html`<${Asked} of=${list} height="42rem">${(data) => html`
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
