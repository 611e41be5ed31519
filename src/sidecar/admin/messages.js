// All recovery messages: what waits, what was sent and what became of it, what was given up.
import { html, useState } from './vendor/preact.js';
import { may, newKey, send, useEvery, useGet } from './api.js';
import { go, link, setQuery } from './route.js';
import { number, plural } from './format.js';
import { Ago, Asked, Choice, Empty, Field, Notice, Page, Pager, Pill, Search, Table, Tabs, announce, confirm } from './ui.js';
import { stateOf } from './words.js';
import { MESSAGE_TYPES, typeOf, whyAdvice, whyWords } from './order.js';

const TABS = [['', 'All'], ['queued,sending', 'Waiting'], ['sent', 'Sent'], ['dead', 'Given up'], ['cancelled', 'Cancelled']];
const CAMPAIGNS = { cart: 'Carts', payment: 'Payments', partial: 'Partly filled' };

// What is known of it that is furthest on
const FURTHEST = [['complained_at', 'complained'], ['bounced_at', 'bounced'], ['unsubscribed_at', 'unsubscribed'], ['replied_at', 'replied'], ['clicked_at', 'clicked'], ['opened_at', 'opened'], ['delivered_at', 'delivered']];
export function became(message) {
	const [at, state] = FURTHEST.find(([name]) => message[name]) || [message.status === 'sent' ? 'sent_at' : 'due_at', message.status];
	return { state, at: message[at] };
}

// How the queue stands, in a sentence each
function Queue({ queue }) {
	const rows = queue.data ? queue.data.results : [];
	const of = (status) => rows.filter((row) => row.status === status);
	const sum = (status) => of(status).reduce((n, { messages }) => n + messages, 0);
	const oldest = of('queued').map(({ oldest_due_at: at }) => at).filter(Boolean).sort()[0];
	const late = oldest && Date.now() - new Date(oldest) > 15 * 60000;
	return html`<${Asked} of=${queue} height="3rem">${() => html`<ul class="queue" aria-label="The queue">
		<li><strong class="number">${number(sum('queued'))}</strong> waiting${oldest && html` <span class="soft">(the first is due <${Ago} at=${oldest} />)</span>`}</li>
		<li><strong class="number">${number(sum('sending'))}</strong> being sent</li>
		<li><strong class="number">${number(sum('dead'))}</strong> ${sum('dead') ? html`<a href=${link('messages/', { status: 'dead' })}>given up</a>` : 'given up'}</li></ul>
		${late && html`<${Notice} kind="warn" title="Nobody sends.">The first message has been due for more than a quarter of an hour. Does <code>incomplete-orders send</code> run? <a href=${link('health/')}>See Health</a>.<//>`}`}<//>`;
}

function Filters({ query }) {
	const put = (name) => (value) => setQuery({ [name]: value || null, cursor: null });
	const date = (name, label) => html`<${Field} label=${label} type="date" value=${query[name] || ''} onChange=${(event) => put(name)(event.target.value)} />`;
	const variants = useGet(may('list_variants') ? 'variants/' : null);
	const names = [...new Set((variants.data ? variants.data.results : []).filter(({ campaign }) => !query.campaign || campaign === query.campaign).map(({ variant }) => variant))];
	const some = ['email_type', 'campaign', 'variant', 'start_date', 'end_date', 'search'].some((name) => query[name]);
	return html`<div class="row message-filters">
		<${Search} label="Search by recipient" hint="Recipient’s e-mail address" />
		<${Choice} label="Type" value=${query.email_type || ''} options=${[['', 'All'], ...Object.entries(MESSAGE_TYPES)]} onChange=${put('email_type')} />
		<${Choice} label="Campaign" value=${query.campaign || ''} options=${[['', 'All'], ...Object.entries(CAMPAIGNS)]} onChange=${put('campaign')} />
		${(names.length > 0 || query.variant) && html`<${Choice} label="Variant" value=${query.variant || ''} options=${[['', 'All'], ...names.map((name) => [name, name])]} onChange=${put('variant')} />`}
		${date('start_date', 'Queued from')}${date('end_date', 'Until')}
		${some && html`<button type="button" class="outline secondary" onClick=${() => setQuery({ email_type: null, campaign: null, variant: null, start_date: null, end_date: null, search: null, cursor: null })}>Clear</button>`}
	</div>`;
}

async function again(message, reload) {
	if (!await confirm({ title: 'Send it again?', body: `The message to ${message.recipient} is due at once and is tried for five more days. It was given up because: ${message.response || whyWords(message.reason)}`, action: 'Send again' })) return;
	await one('retry', message, 'It is queued again.', reload);
}
async function discard(message, reload) {
	if (!await confirm({ title: 'Discard it?', body: `The message to ${message.recipient} is never sent.`, action: 'Discard', danger: true })) return;
	await one('discard', message, 'Discarded.', reload);
}
async function one(what, { message_id: id }, said, reload) {
	try {
		const { changed } = await send('POST', `queue/dead/${id}/${what}/`, undefined, { 'Idempotency-Key': newKey() });
		announce(changed ? said : 'Somebody else was faster: it is not given up any more.', changed ? 'good' : '');
	} catch (problem) {
		announce(problem.detail, 'bad');
	}
	reload();
}

// Several at once: each by itself, and what became of each is told.
async function several(what, chosen, finish) {
	const n = plural(chosen.length, 'message');
	const retry = what === 'retry';
	if (!await confirm({ title: retry ? `Send ${n} again?` : `Discard ${n}?`, body: retry ? 'They are due at once and are tried for five more days.' : 'They are never sent.', action: retry ? `Send ${n} again` : `Discard ${n}`, danger: !retry })) return;
	const failed = [];
	let done = 0;
	for (const { message_id: id, recipient } of chosen) {
		try {
			done += (await send('POST', `queue/dead/${id}/${what}/`)).changed ? 1 : 0;
		} catch (problem) {
			failed.push(`${recipient}: ${problem.detail}`);
		}
	}
	announce(`${plural(done, 'message')} ${retry ? 'queued again' : 'discarded'}.${failed.length ? ` Not done: ${failed.join('; ')}` : ''}`, failed.length ? 'bad' : 'good');
	finish();
}

export default function Messages({ query }) {
	const { status = '', search, email_type, campaign, variant, start_date, end_date, cursor } = query;
	const list = useGet('recovery-emails/', { status, recipient: search, email_type, campaign, variant, start_date, end_date, cursor, page_size: 25 });
	const queue = useGet('queue/');
	const [chosen, choose] = useState(new Set());
	const reload = () => { list.reload(); queue.reload(); };
	useEvery(30, () => { if (!cursor) list.refresh(); queue.refresh(); });
	const dead = status === 'dead' && may('retry_message');
	const columns = [
		{ name: 'recipient', label: 'Recipient', render: (row) => html`<a href=${link(`orders/${row.order_id}/`)}>${row.recipient}</a>` },
		{ name: 'what', label: 'Message', render: (row) => html`<div>${row.subject || typeOf(row.message_type)}<div class="soft">${[row.subject && typeOf(row.message_type), row.step === 0 ? 'by hand' : `${CAMPAIGNS[row.campaign] || row.campaign}, step ${row.step}`, row.variant && `variant ${row.variant}`].filter(Boolean).join(' · ')}</div></div>` },
		{ name: 'state', label: 'State', render: (row) => { const { state } = became(row); return html`<div><${Pill} state=${state} />${row.reason && row.status !== 'sent' && html`<div class="soft" title=${whyAdvice(row.reason)}>${whyWords(row.reason)}</div>`}${row.status === 'dead' && row.response && html`<div class="soft reply">${row.response}</div>`}</div>`; } },
		{ name: 'when', label: 'When', render: (row) => { const { at } = became(row); return html`<div><${Ago} at=${at} />${row.status === 'queued' && row.attempts > 0 && html`<div class="soft">tried ${plural(row.attempts, 'time')}</div>`}</div>`; } },
		{ name: 'queued', label: 'Queued', hideSmall: true, render: (row) => html`<${Ago} at=${row.queued_at} />` },
		...(dead ? [{ name: 'do', label: 'Do', render: (row) => html`<div class="actions"><button type="button" class="outline small" onClick=${() => again(row, reload)}>Send again</button><button type="button" class="outline secondary small" onClick=${() => discard(row, reload)}>Discard</button></div>` }] : []),
	];
	const filtered = search || email_type || campaign || variant || start_date || end_date;
	const empty = filtered ? html`<${Empty} title="No message is like that."><p>Messages of a recipient are found by the whole address.</p><//>`
		: status === 'dead' ? html`<${Empty} title="Nothing was given up.">Every message was sent, or is tried again by itself.<//>`
		: status ? html`<${Empty} title=${`No message is ${(TABS.find(([name]) => name === status) || ['', stateOf(status).label])[1].toLowerCase()}.`} />`
		: html`<${Empty} title="There are no messages yet."><p>They are queued when a campaign is on and orders are abandoned. <a href=${link('campaigns/')}>Enable a campaign</a>, or send one by hand from an order.</p><//>`;
	return html`<${Page} title="Messages">
		<${Queue} queue=${queue} />
		<${Tabs} label="States" current=${status} tabs=${TABS.map(([name, label]) => ({ name, label }))} to=${(name) => link('messages/', { ...query, shop: undefined, ...(query.shop && { shop: query.shop }), status: name || null, cursor: null })} />
		<${Filters} query=${query} />
		${dead && chosen.size > 0 && html`<div class="bulk" role="region" aria-label="Chosen messages"><strong>${plural(chosen.size, 'message')} chosen</strong>
			${['retry', 'discard'].map((what) => html`<button key=${what} type="button" class=${what === 'retry' ? 'small' : 'outline secondary small'} onClick=${() => several(what, list.data.results.filter(({ message_id: id }) => chosen.has(id)), () => { choose(new Set()); reload(); })}>${what === 'retry' ? 'Send again' : 'Discard'}</button>`)}
			<button type="button" class="link" onClick=${() => choose(new Set())}>Choose none</button></div>`}
		<${Asked} of=${list} height="20rem">${(data) => html`
			<${Table} label="Messages" columns=${columns} rows=${data.results} keyOf=${(row) => row.message_id} onOpen=${(row) => go(`orders/${row.order_id}/`)} empty=${empty} ...${dead ? { selected: chosen, onSelect: choose } : {}} />
			<${Pager} data=${data} label="messages" />`}<//>
	<//>`;
}
