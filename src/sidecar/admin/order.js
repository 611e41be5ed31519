// One order: who, what, how much, what happened, what happens next, what can be done; and
// the list of messages.
import { html, useState, useEffect, useLayoutEffect, useMemo, useRef } from './vendor/preact.js';
import { get, may, newKey, send, useEvery, useGet } from './api.js';
import { go, guardLeaving, link, setQuery } from './route.js';
import { ago, clock, day, exact, money, number, person, plural, safeUrl } from './format.js';
import { Ago, Asked, Choice, Copy, Empty, Field, Menu, Notice, Page, Pager, Pill, ProblemNotice, Search, Section, Table, Tabs, Term, announce, confirm, dialog, useKeys } from './ui.js';
import { KINDS, MESSAGE_TYPES, STEPS, reasonAdvice, reasonWords, stateOf, typeOf } from './words.js';

// ---------------------------------------------------------------------------
// As a flat map of what staff may correct, so that two versions can be compared and put
// together field by field; and back to what the API takes.

const CONTACT = [['name', 'Name'], ['email', 'E-mail'], ['phone', 'Phone'], ['customer_id', 'Customer id']];
const CHARGES = [['shipping', 'Shipping'], ['tax', 'Tax'], ['discount', 'Discount'], ['coupon_discount', 'Coupon discount']];
const ADDRESS = [['first_name', 'First name'], ['last_name', 'Last name'], ['company', 'Company'], ['address_line_1', 'Address'], ['address_line_2', 'Address, line 2'],
	['postal_code', 'Postal code'], ['city', 'City'], ['state', 'State'], ['country', 'Country'], ['phone', 'Phone there'], ['email', 'E-mail there'], ['delivery_instructions', 'Delivery instructions']];
const FACTS = [...CONTACT, ...CHARGES, ['coupon_code', 'Coupon']];

const LABELS = Object.fromEntries([...FACTS, ...ADDRESS.map(([name, label]) => ['address.' + name, label])]);
const isCharge = (name) => CHARGES.some(([charge]) => charge === name);
const plain = (value) => (value === null || value === undefined ? '' : String(value));
const amount = (text) => (text === '' || Number.isNaN(Number(text)) ? text : String(Number(text)));

// {email: '…', 'address.city': '…', 'line.MUG-1': {quantity, unit_price, …}}
function flat(order) {
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
const linesOf = (map) => Object.keys(map).filter((name) => name.startsWith('line.') && map[name]);

// Two values of a field; a line is its quantity and its price
const gist = (name, value) => (name.startsWith('line.') ? (value ? `${amount(value.quantity)}×${amount(plain(value.unit_price))}×${value.sku}×${value.name || ''}` : '')
	: isCharge(name) ? amount(plain(value)) || '0' : plain(value).trim());
const same = (name, one, other) => gist(name, one) === gist(name, other);

const changedIn = (before, after) => [...new Set([...Object.keys(before), ...Object.keys(after)])].filter((name) => !same(name, before[name], after[name]));

// What became of the three: fields that both changed, and differently; those of one side only.
function compare(base, mine, theirs) {
	const my = changedIn(base, mine);
	const their = changedIn(base, theirs);
	return {
		both: my.filter((name) => their.includes(name) && !same(name, mine[name], theirs[name])),
		onlyMine: my.filter((name) => !their.includes(name)),
		onlyTheirs: their.filter((name) => !my.includes(name)),
	};
}
// Mine on top of theirs: of what both changed, theirs where `take` says so.
function merge(base, mine, theirs, take = {}) {
	const result = { ...theirs };
	for (const name of changedIn(base, mine)) {
		if (!take[name]) result[name] = mine[name];
	}
	return result;
}

// What PATCH takes to make one of the other.
function patchOf(before, after) {
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

function labelOf(name, ...maps) {
	if (!name.startsWith('line.')) return LABELS[name] || name;
	const line = maps.map((map) => map[name]).find(Boolean) || {};
	return [line.name || line.sku, line.variant].filter(Boolean).join(', ');
}

// Which field a refusal is about, by the words of the API; null: none of them.
function fieldOf(problem, after) {
	const text = problem.detail || '';
	const line = /line item (\d+)/.exec(text);
	if (line) return { field: linesOf(after)[line[1] - 1] || null, part: /"unit_price"/.test(text) ? 'unit_price' : /"sku"/.test(text) ? 'sku' : 'quantity' };
	const named = /(?:fact|member|argument) "([a-z_.0-9]+)"/i.exec(text);
	const name = named && (named[1] in LABELS ? named[1] : 'address.' + named[1] in LABELS ? 'address.' + named[1] : null);
	return { field: name, part: null };
}
// Of "fact "email" cannot be stored: An address has …" what somebody at a field wants to read.
const inWords = (problem) => (problem.detail || problem.title || '').replace(/^fact "[^"]*" cannot be stored: /, '').replace(/^line item \d+: "[^"]*" (.)/, (_, first) => first.toUpperCase());

// Quantities as whole numbers, prices as decimals: said before anything is sent.
function check(map) {
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
function totals(map) {
	const lines = linesOf(map).reduce((sum, name) => sum + Number(map[name].quantity) * Number(map[name].unit_price), 0);
	const of = (name) => Number(map[name] || 0);
	return { subtotal: lines, total: lines + of('shipping') + of('tax') - of('discount') - of('coupon_discount') };
}

// ---------------------------------------------------------------------------
// What happened: history, messages, notes and why something was not sent, the newest first,
// by day. And what will happen next.

const EVENTS = {
	created: ['Created', 'created'], updated: ['Changed by the customer', 'created'], edited: ['Edited', 'quiet'], abandoned: ['Abandoned', 'abandoned'],
	reanimated: ['The customer came back', 'created'], retried: ['The payment is tried again', 'created'], converted: ['Converted to an order', 'converted'],
	paid: ['Paid', 'recovered'], refunded: ['Refunded', 'lost'],
	reversed: ['The order was taken back', 'lost'], merged: ['Put together with another cart', 'quiet'], continued: ['Goes on in another cart', 'created'], restored: ['Restored by the recovery link', 'recovered'],
	left: ['The page was left', 'quiet'], checkout_error: ['The checkout showed an error', 'lost'], payment_pending: ['A payment is waited for', 'created'], payment_failed: ['The payment failed', 'lost'],
	payment_withdrawn: ['The payment was taken back', 'lost'], coupon_redeemed: ['A coupon was redeemed', 'recovered'], holdout: ['Drawn for the holdout group', 'quiet'], note: ['Note', 'converted'],
	
	message_failed: ['Message not sent', 'lost'], message_replied: ['Answered the message', 'recovered'],
	message_unsubscribed: ['Unsubscribed', 'lost'], message_complained: ['Reported as spam', 'lost'], skipped: ['No message', 'abandoned'],
};
// what has no words of its own has those of the state
function eventOf(event) {
	if (EVENTS[event]) return EVENTS[event];
	const { label, colour } = stateOf(event.replace('message_', ''));
	return [/^message_/.test(event) ? `Message ${label.toLowerCase()}` : label, colour];
}
const OURS = new Set(['queued', 'sending', 'sent']);
const NOW = new Set(['not_abandoned', 'not_due', 'due']);

function value(name, what, currency) {
	if (what === null || what === undefined || what === '') return '(empty)';
	if (CHARGES.some(([charge]) => charge === name)) return money(what, currency);
	return typeof what === 'object' ? Object.entries(what).map(([key, one]) => `${key}: ${one}`).join(', ') : String(what);
}

// changes of an edit: {field: [old, new], items: what diff() says}
function Changes({ changes, currency }) {
	const rows = [];
	for (const [name, change] of Object.entries(changes)) {
		if (name === 'items') {
			for (const { sku, change: how, ...parts } of change || []) {
				const text = (side) => ['quantity', 'unit_price'].filter((part) => Array.isArray(parts[part]) && parts[part][side] !== null)
					.map((part) => (part === 'quantity' ? parts[part][side] + ' ×' : money(parts[part][side], currency))).join(' ') || (how === 'changed' ? null : '');
				const name = (Array.isArray(parts.name) ? parts.name[1] || parts.name[0] : parts.name) || sku;
				const what = [name, typeof parts.variant === 'string' && parts.variant].filter(Boolean).join(', ');
				rows.push(how === 'added' ? [what, '–', text(1) || 'added'] : how === 'removed' ? [what, text(0), 'removed'] : [what, text(0) ?? 'other words', text(1) ?? 'changed']);
			}
		} else if (Array.isArray(change) && change.some((one) => one && typeof one === 'object')) {
			const [was, is] = change.map((one) => one || {});
			for (const key of new Set([...Object.keys(was), ...Object.keys(is)])) {
				if (JSON.stringify(was[key]) !== JSON.stringify(is[key])) rows.push([labelOf(`${name}.${key}`), value(key, was[key]), value(key, is[key])]);
			}
		} else if (Array.isArray(change)) rows.push([labelOf(name), value(name, change[0], currency), value(name, change[1], currency)]);
	}
	return html`<ul class="changes">${rows.map(([label, was, is], i) => html`<li key=${i}>${label}: <s>${was ?? 'none'}</s> → ${is ?? 'none'}</li>`)}</ul>`;
}

// One list of everything, the newest first.
function entriesOf(order, messages, why) {
	const byId = new Map((messages || []).map((message) => [message.message_id, message]));
	const entries = [];
	const mails = new Map();
	order.history.forEach((event, i) => {
		const id = event.detail && event.detail.message_id;
		const one = { ...event, n: i, message: byId.get(id) };
		const mail = id && /^message_/.test(event.event) && mails.get(id);
		// one entry for a message, where its latest event is, with the way it went
		if (mail) Object.assign(mail, { ...one, detail: { ...mail.detail, ...one.detail, machine: undefined }, trail: [...mail.trail, event] });
		else entries.push(one);
		if (!mail && id && /^message_/.test(event.event)) mails.set(id, Object.assign(one, { trail: [event] }));
	});
	for (const { at, step, reason } of why || []) {
		if (!OURS.has(reason) && !NOW.has(reason) && at && !(reason === order.status && order.closed_at) && new Date(at) <= Date.now())
			entries.push({ at, event: 'skipped', detail: { reason, step }, n: 1e6 });
	}
	entries.sort((a, b) => new Date(b.at) - new Date(a.at) || b.n - a.n);
	// what can be done about a reason is said once
	const told = new Set();
	for (const entry of entries) {
		if (entry.event !== 'skipped') continue;
		entry.told = told.has(entry.detail.reason);
		told.add(entry.detail.reason);
	}
	return entries;
}

function about({ event, detail = {}, message, trail, told }, order) {
	const said = [];
	if (event === 'note') return html`<p class="note-text" dir="auto">${detail.note}</p>`;
	if (event === 'skipped') return html`<p>${reasonWords(detail.reason)}${detail.step ? ` (step ${detail.step})` : ''}.${told ? '' : ` ${reasonAdvice(detail.reason)}`}</p>`;
	if (message) said.push(html`<span>${typeOf(message.message_type)} to <bdi>${message.recipient}</bdi></span>`);
	if (detail.campaign) said.push(`${stateOf(detail.campaign).label}, step ${detail.step}`);
	else if (trail) said.push('by hand');
	if (message && message.subject) said.push(html`<span>“${message.subject}”</span>`);
	if (detail.variant) said.push(`variant ${detail.variant}`);
	if (detail.holdout) said.push('although in the holdout group');
	if (detail.machine) said.push('by a program, not by a person');
	if (event === 'created' || event === 'abandoned' || event === 'converted') said.push(`${plural(detail.item_count ?? 0, 'article')}, ${money(detail.value, detail.currency)}`);
	if (event === 'abandoned' && detail.furthest_step) said.push(`came as far as: ${STEPS[detail.furthest_step]}`);
	if (detail.paid_amount) said.push(money(detail.paid_amount, detail.currency || order.currency));
	if (detail.refund_amount) said.push(money(detail.refund_amount, detail.currency || order.currency));
	if (detail.reason && !/^(first|next|again)$/.test(detail.reason)) said.push(event === 'message_failed' ? reasonWords(detail.reason) : stateOf(detail.reason).label);
	if (event === 'message_failed' && message && message.response) said.push(html`<code>${message.response}</code>`);
	const trailed = trail && trail.length > 1 && html`<ol class="trail">${trail.map((one, i) => html`<li key=${i}><time datetime=${one.at} title=${exact(one.at)}>${day(one.at) === day(trail[trail.length - 1].at) ? clock(one.at) : day(one.at, { day: 'numeric', month: 'short' })}</time> ${eventOf(one.event)[0].replace('Message ', '')}${one.detail.machine ? ' by a program' : ''}</li>`)}</ol>`;
	return html`${said.length > 0 && html`<p>${said.map((part, i) => html`${i > 0 && ' · '}${part}`)}</p>`}${trailed}${detail.changes && html`<${Changes} changes=${detail.changes} currency=${order.currency} />`}`;
}

function Notes({ order, reload, box }) {
	const [text, set] = useState('');
	const [problem, setProblem] = useState(null);
	const [busy, setBusy] = useState(false);
	if (!may('add_note')) return null;
	const add = async (event) => {
		event.preventDefault();
		if (!text.trim() || busy) return;
		setBusy(true);
		setProblem(null);
		try {
			await send('POST', `incomplete-orders/${order.id}/notes/`, { note: text.trim() });
			set('');
			announce('The note is kept.', 'good');
			reload();
		} catch (failure) {
			setProblem(failure);
		}
		setBusy(false);
	};
	return html`<form class="add-note" onSubmit=${add}>
		<label for="note" class="hidden">Note</label>
		<textarea id="note" ref=${box} rows=${text.includes('\n') || text.length > 80 ? 3 : 1} placeholder="Add a note: the team sees it, the customer does not" value=${text} onInput=${(event) => set(event.target.value)}
			onKeyDown=${(event) => { if (event.key === 'Escape') event.target.blur(); if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) add(event); }} />
		<button type="submit" class="outline" disabled=${!text.trim() || busy} aria-busy=${busy ? 'true' : null}>Add note</button>
		${problem && html`<${ProblemNotice} problem=${problem} />`}
	</form>`;
}

function Timeline({ order, messages, why, reload, noteBox }) {
	const entries = entriesOf(order, messages.data && messages.data.results, why.data && why.data.results);
	const days = [];
	for (const entry of entries) {
		const name = day(entry.at);
		if (!days.length || days[days.length - 1].name !== name) days.push({ name, entries: [] });
		days[days.length - 1].entries.push(entry);
	}
	return html`<${Section} title="Timeline">
		<${Notes} order=${order} reload=${reload} box=${noteBox} />
		${[messages, why].filter(({ problem }) => problem).map(({ problem, reload: retry }, i) => html`<${ProblemNotice} key=${i} problem=${problem} retry=${retry} />`)}
		<div class="timeline">${days.map(({ name, entries: those }) => html`<section key=${name} aria-label=${name}><h3>${name}</h3><ol>${those.map((entry, i) => {
			const [label, colour] = eventOf(entry.event);
			return html`<li key=${i} data-colour=${colour} data-event=${entry.event}><div class="line"><strong>${label}</strong><span class="soft">${entry.who && html`${entry.who} · `}<time datetime=${entry.at} title=${`${exact(entry.at)}, ${ago(entry.at)}`}>${clock(entry.at)}</time></span></div>
				${about(entry, order)}</li>`;
		})}</ol></section>`)}</div>
	<//>`;
}

// What comes by itself, and what could be done.
function Next({ order, why, messages }) {
	const rows = why.data ? why.data.results : [];
	const now = rows[rows.length - 1];
	const waiting = (messages.data ? messages.data.results : []).find(({ status }) => status === 'queued' || status === 'sending');
	const said = [];
	if (order.closed_at) said.push(['It is closed', html`Nothing more is sent. ${order.close_reason ? html`Reason: ${stateOf(order.close_reason).label}.` : ''}`]);
	else if (waiting) said.push([waiting.status === 'sending' ? 'A message is being sent' : 'A message waits to be sent', html`${typeOf(waiting.message_type)} to ${waiting.recipient}, due <${Ago} at=${waiting.due_at} />.`]);
	else if (now && now.reason === 'not_due') said.push(['Next message', html`Step ${now.step}${now.at ? html`, <strong><${Ago} at=${now.at} /></strong> (${day(now.at, { weekday: 'short', day: 'numeric', month: 'short' })} ${clock(now.at)})` : ''}.`]);
	else if (now && now.reason === 'not_abandoned') said.push(['No message yet', html`Messages begin when it is abandoned${now.at && new Date(now.at) > Date.now() ? html`: <strong><${Ago} at=${now.at} /></strong>, unless the customer does something` : ''}.`]);
	else if (now && !OURS.has(now.reason)) said.push([reasonWords(now.reason), reasonAdvice(now.reason)]);
	if (order.payment_deadline && order.status === 'payment_pending') said.push(['Payment', html`It is waited for until <${Ago} at=${order.payment_deadline} />.`]);
	if (!order.closed_at) said.push(['Expiry', html`<${Ago} at=${order.expires_at} /> (${day(order.expires_at)}).`]);
	return html`<${Section} title="What happens next"><dl class="next">${said.map(([title, text]) => html`<div key=${title}><dt>${title}</dt><dd>${text}</dd></div>`)}</dl>
		${why.problem && html`<${ProblemNotice} problem=${why.problem} retry=${why.reload} />`}<//>`;
}

// ---------------------------------------------------------------------------
// A message as it would be sent now, in a frame of its own.

// html: a mail's, whose scripts never run and which asks nobody but the shop's image hosts
export function MailFrame({ content, images, title = 'The mail' }) {
	const frame = useRef();
	const [height, setHeight] = useState(320);
	const [ready, setReady] = useState(false);
	useEffect(() => {
		const hear = (event) => {
			if (!frame.current || event.source !== frame.current.contentWindow || !event.data) return;
			if (event.data.frame === 'ready') setReady(true);
			if (event.data.frame === 'height') setHeight(Math.min(2000, Math.max(120, Number(event.data.height) || 0)));
		};
		addEventListener('message', hear);
		return () => removeEventListener('message', hear);
	}, []);
	useEffect(() => { if (ready) frame.current.contentWindow.postMessage({ html: content, images }, '*'); }, [ready, content, images]);
	return html`<iframe ref=${frame} class="mail" src="frame.html" title=${title} tabindex="0" style=${{ height: `${height}px` }}></iframe>`;
}

function MailPreview({ template, order, subject, onShown }) {
	const [state, set] = useState({ mail: null, problem: null });
	const [turn, again] = useState(0);
	useEffect(() => {
		let wanted = true;
		send('POST', `templates/${encodeURIComponent(template)}/render/`, { id: order.id })
			.then((mail) => { if (wanted) { set({ mail, problem: null }); onShown(mail); } }, (problem) => { if (wanted) set({ mail: null, problem }); });
		return () => { wanted = false; };
	}, [template, turn]);
	if (state.problem) return html`<${ProblemNotice} problem=${state.problem} retry=${() => again(turn + 1)} />`;
	if (!state.mail) return html`<div class="loading" aria-busy="true" style=${{ minHeight: '46vh' }}><span class="hidden">Loading the mail</span></div>`;
	return html`<figure class="mail"><figcaption><strong>${subject || state.mail.subject}</strong><br /><small>As it would be now. Its links lead nowhere.</small></figcaption>
		<div class="mail-window"><${MailFrame} content=${state.mail.html} title=${`Preview: ${subject || state.mail.subject}`} /></div></figure>`;
}

// ---------------------------------------------------------------------------
// Correcting it in place. What somebody else changed meanwhile is shown beside what was typed
// here, and nothing typed is lost.

const shown = (name, value, currency) => (name.startsWith('line.') ? (value ? `${value.quantity} × ${money(value.unit_price, currency)}` : 'not in the cart')
	: CHARGES.some(([charge]) => charge === name) ? money(value || 0, currency) : value || '(empty)');

// What was changed on both sides; the person says which one counts.
function Conflict({ conflict, base, mine, currency, onTake, onApply, onTakeAll }) {
	const { theirs, both, onlyTheirs, who, at, version } = conflict;
	const rows = [...both, ...onlyTheirs];
	return html`<section class="card conflict" role="alert" aria-labelledby="conflict" tabindex="-1">
		<h2 id="conflict">Somebody else has changed this order</h2>
		<p>${who ? html`<strong>${who}</strong> saved it` : 'It was saved'}${at && ` ${ago(at)}`} while you were editing; it is at version ${version} now. Nothing that you typed is lost${both.length
			? '. Choose which one counts, and save again.' : ', and nothing that you changed was touched.'}</p>
		${rows.length > 0 && html`<div class="table-wrap"><table class="keep" aria-label="What was changed on both sides">
			<thead><tr><th scope="col">Field</th><th scope="col">Before</th><th scope="col">Theirs</th><th scope="col">Mine</th></tr></thead>
			<tbody>${rows.map((name) => html`<tr key=${name}><th scope="row">${labelOf(name, theirs, base, mine)}</th><td class="soft">${shown(name, base[name], currency)}</td>
				${both.includes(name) ? ['theirs', 'mine'].map((side) => html`<td key=${side}><label class="pick"><input type="radio" name=${'take ' + name} checked=${(side === 'theirs') === Boolean(conflict.take[name])}
					onChange=${() => onTake(name, side === 'theirs')} /> ${shown(name, side === 'mine' ? mine[name] : theirs[name], currency)}</label></td>`)
				: html`<td colspan="2">${shown(name, theirs[name], currency)} <span class="soft">(taken: you did not change it)</span></td>`}</tr>`)}</tbody></table></div>`}
		${conflict.closed ? html`<p>The order is ${conflict.closed} now and cannot be edited any more. A note can be added.</p>` : html`<div class="actions">
			<button type="button" onClick=${onApply}>Apply mine to version ${version} and save</button>
			<button type="button" class="outline secondary" onClick=${onTakeAll}>Take theirs, drop mine</button></div>`}
	</section>`;
}

function Lines({ draft, base, put, problems, currency }) {
	const set = (name, part) => (event) => put(name, { ...draft[name], [part]: event.target.value });
	const box = (name, part, label, more) => html`<${Field} label=${label} name=${`${name}/${part}`} value=${draft[name][part] ?? ''} problem=${problems[`${name}/${part}`]} onInput=${set(name, part)} autocomplete="off" ...${more} />`;
	const names = linesOf(draft);
	const gone = Object.keys(base).filter((name) => name.startsWith('line.') && !draft[name]);
	const add = () => {
		let n = 1;
		while (`line.+${n}` in draft) n++;
		put(`line.+${n}`, { sku: '', name: '', quantity: '1', unit_price: '' });
		setTimeout(() => { const first = document.getElementsByName(`line.+${n}/sku`)[0]; if (first) first.focus(); });
	};
	return html`<${Section} title="Items">
		${names.map((name) => {
			const line = draft[name];
			const fresh = name.startsWith('line.+');
			return html`<fieldset key=${name} class="edit-line"><legend class="hidden">${line.name || line.sku || 'New line'}</legend>
				${fresh ? html`${box(name, 'sku', 'Article number')}${box(name, 'name', 'Name')}`
				: html`<div class="what"><strong>${line.name || line.sku}</strong><br /><span class="soft">${[line.variant, line.name && line.sku].filter(Boolean).join(' · ')}</span></div>`}
				${box(name, 'quantity', 'Quantity', { inputmode: 'numeric', size: 6 })}
				${box(name, 'unit_price', `Price (${currency})`, { inputmode: 'decimal', size: 10 })}
				<button type="button" class="outline secondary small" aria-label=${`Remove ${line.name || line.sku || 'the new line'}`} onClick=${() => put(name, undefined)}>Remove</button>
			</fieldset>`;
		})}
		${names.length === 0 && html`<p class="soft">No line is left.</p>`}
		${gone.map((name) => html`<p key=${name} class="removed"><s>${labelOf(name, base)}</s> is removed. <button type="button" class="link" onClick=${() => put(name, base[name])}>Put it back</button></p>`)}
		<button type="button" class="outline small add" onClick=${add}>Add a line</button>
	<//>`;
}

function OrderEdit({ order, onSaved, onCancel }) {
	const [base, setBase] = useState(() => ({ version: order.version, history: order.history.length, map: flat(order) }));
	const [draft, setDraft] = useState(base.map);
	const [problems, setProblems] = useState({});
	const [problem, setProblem] = useState(null);
	const [conflict, setConflict] = useState(null);
	const [busy, setBusy] = useState(false);
	const form = useRef();
	const dirty = useMemo(() => changedIn(base.map, draft), [base, draft]);
	const { currency } = order;
	const put = (name, value) => {
		setDraft((old) => ({ ...old, [name]: value }));
		setProblems(({ [name]: _, ...rest }) => Object.fromEntries(Object.entries(rest).filter(([key]) => !key.startsWith(name + '/'))));
	};
	const drop = async () => {
		if (dirty.length === 0 || await confirm({ title: 'Drop what you typed?', body: `${dirty.map((name) => labelOf(name, draft, base.map)).join(', ')}: nothing of it was saved.`, action: 'Drop it', cancel: 'Go on editing', danger: true })) onCancel();
	};
	useKeys({ Escape: drop }, { Escape: 'Leave the edit', 'Ctrl+Enter': 'Save' });
	useLayoutEffect(() => {
		const first = form.current && form.current.querySelector('input');
		if (first) first.focus();
	}, []);
	useEffect(() => (dirty.length === 0 ? undefined : guardLeaving(() => confirm({ title: 'Leave without saving?', body: 'What you typed here was not saved.', action: 'Leave', cancel: 'Stay', danger: true }))), [dirty.length > 0]);
	const refuse = (wrong) => {
		setProblems(wrong);
		setTimeout(() => form.current?.querySelector('[aria-invalid=true]')?.focus());
	};

	// Reads what there is now and sets it against mine.
	const meet = async () => {
		const now = await get(`incomplete-orders/${order.id}/`);
		const theirs = flat(now);
		const since = now.history.slice(base.history).filter(({ event }) => event !== 'note');
		const last = since.filter(({ who }) => who).pop() || since.pop();
		setConflict({ now, theirs, ...compare(base.map, draft, theirs), take: {}, version: now.version, closed: now.closed_at ? now.status : '',
			who: last && (last.who || (last.event === 'updated' ? 'The customer' : 'A deadline')), at: last && last.at });
		setTimeout(() => document.querySelector('.conflict')?.focus());
	};
	const save = async (event, on = base, what = draft) => {
		event?.preventDefault();
		const wrong = check(what);
		setProblem(null);
		setProblems({});
		if (Object.keys(wrong).length) return void refuse(wrong);
		const body = patchOf(on.map, what);
		if (Object.keys(body).length === 0) return void onSaved(null);
		setBusy(true);
		try {
			const saved = await send('PATCH', `incomplete-orders/${order.id}/`, body, { 'If-Match': `"${on.version}"` });
			announce('Saved.', 'good');
			onSaved(saved);
		} catch (failure) {
			setBusy(false);
			if (failure.code === 'IC009') return void meet().catch(setProblem);
			const { field, part } = fieldOf(failure, what);
			if (field) refuse({ [part ? `${field}/${part}` : field]: inWords(failure) });
			else setProblem(failure);
		}
	};
	const apply = () => {
		const on = { version: conflict.now.version, history: conflict.now.history.length, map: conflict.theirs };
		const what = merge(base.map, draft, conflict.theirs, conflict.take);
		setBase(on);
		setDraft(what);
		setConflict(null);
		save(null, on, what);
	};
	const inputs = (fields, prefix = '') => fields.map(([name, label]) => html`<${Field} key=${name} label=${label} name=${prefix + name} value=${draft[prefix + name]} problem=${problems[prefix + name]}
		type=${name === 'delivery_instructions' ? 'textarea' : name === 'email' && !prefix ? 'email' : 'text'} autocomplete="off" class=${'is-' + name} onInput=${(event) => put(prefix + name, event.target.value)} />`);
	const { subtotal, total } = totals(draft);
	const before = totals(base.map).total;
	return html`<form ref=${form} class="order-edit" noValidate onSubmit=${save} onKeyDown=${(event) => {
		if (event.key === 'Escape' && !event.defaultPrevented) { event.preventDefault(); drop(); }
		if (event.key === 'Enter' && (event.ctrlKey || event.metaKey)) save(event);
	}}>
		${problem && html`<${ProblemNotice} problem=${problem} />`}
		${conflict && html`<${Conflict} conflict=${conflict} base=${base.map} mine=${draft} currency=${currency} onApply=${apply}
			onTake=${(name, yes) => setConflict({ ...conflict, take: { ...conflict.take, [name]: yes } })} onTakeAll=${() => onSaved(conflict.now)} />`}
		<div class="split"><div>
			<${Lines} draft=${draft} base=${base.map} put=${put} problems=${problems} currency=${currency} />
			<${Section} title="Charges"><div class="edit-grid">${inputs(CHARGES)}${inputs([['coupon_code', 'Coupon']])}</div>
				<p class="sum">Subtotal ${money(subtotal, currency)}, <strong>total ${money(total, currency)}</strong>${Number.isFinite(total) && Math.abs(total - before) > 1e-9 && html` <span class="soft">(was ${money(before, currency)})</span>`}</p>
				${total < 0 && html`<${Notice} kind="warn" title="The discounts are larger than the rest.">So it could not be converted.<//>`}<//>
		</div><div>
			<${Section} title="Contact"><div class="edit-grid">${inputs(CONTACT)}</div><//>
			<${Section} title="Shipping address"><div class="edit-grid">${inputs(ADDRESS, 'address.')}</div><//>
		</div></div>
		<div class="save-bar">
			<span class="soft">${dirty.length === 0 ? 'Nothing changed yet' : dirty.map((name) => labelOf(name, draft, base.map)).filter((label, i, all) => all.indexOf(label) === i).join(', ')}</span>
			<button type="button" class="outline secondary" onClick=${drop}>Cancel</button>
			<button type="submit" disabled=${busy || dirty.length === 0} aria-busy=${busy ? 'true' : null}>Save</button>
		</div>
	</form>`;
}

// ---------------------------------------------------------------------------
// What can be done: which of it the state and the role allow, what will happen in words before
// it does, and the doing.

const OPEN = ['pending', 'payment_pending', 'payment_failed', 'abandoned'];
const isOpen = (order) => OPEN.includes(order.status);
const waits = (item) => item.quantity - (item.filled || 0);

// Asks, does it, says what came of it. The key is one for all tries of one decision.
async function act({ title, body, action, danger, fields, method = 'POST', path, make = () => undefined, said }, done) {
	const values = await confirm({ title, body, action, danger, fields });
	if (!values) return;
	await tell(method, path, make(values), said, done);
}
async function tell(method, path, body, said, done, key = newKey()) {
	try {
		const answer = await send(method, path, body, { 'Idempotency-Key': key });
		announce(typeof said === 'function' ? said(answer) : said, 'good');
		done(answer);
	} catch (problem) {
		const again = problem.status === 0 || problem.status === 503;
		if (again && await confirm({ title: problem.title || 'No answer', body: `${problem.detail} If it was done all the same, trying again does not do it twice.`, action: 'Try again' }))
			return tell(method, path, body, said, done, key);
		if (!again) announce([problem.detail || problem.title, problem.hint].filter(Boolean).join(' '), 'bad');
		done(null);
	}
}

function Part({ close, order }) {
	const [counts, set] = useState(order.items.map(() => ''));
	const [values, setValues] = useState({ order_number: '', paid: true });
	const wrong = order.items.map((item, i) => counts[i] !== '' && (!/^\d{1,7}$/.test(counts[i]) || Number(counts[i]) > waits(item)));
	const chosen = order.items.map((item, i) => ({ ...item, quantity: Number(counts[i]) || 0 })).filter(({ quantity }) => quantity > 0);
	const sum = chosen.reduce((total, item) => total + item.quantity * item.unit_price, 0);
	const submit = (event) => {
		event.preventDefault();
		if (chosen.length && !wrong.some(Boolean)) close({ ...values, lines: chosen.map(({ filled: _, ...line }) => line) });
	};
	return html`<form onSubmit=${submit}><header><h2>Convert a part</h2></header>
		<p>An order is made of the lines and quantities that you choose. The rest stays here, as an order that is filled in part.</p>
		<table class="keep part"><thead><tr><th scope="col">Article</th><th scope="col" class="right">Open</th><th scope="col">Convert</th></tr></thead>
			<tbody>${order.items.map((item, i) => html`<tr key=${i}><td>${item.name || item.sku}${item.variant && html`<br /><small>${item.variant}</small>`}</td><td class="right number">${waits(item)}</td>
				<td><input type="text" inputmode="numeric" aria-label=${`How many of ${item.name || item.sku}`} value=${counts[i]} disabled=${waits(item) < 1} aria-invalid=${wrong[i] ? 'true' : null} placeholder="0"
					onInput=${(event) => set(counts.map((old, at) => (at === i ? event.target.value.trim() : old)))} /></td></tr>`)}</tbody></table>
		${wrong.some(Boolean) && html`<p class="problem" role="alert">No more than is open, as a whole number.</p>`}
		<${Field} label="Order number" hint="Without one the next number is taken." value=${values.order_number} onInput=${(event) => setValues({ ...values, order_number: event.target.value })} />
		<label><input type="checkbox" checked=${values.paid} onChange=${(event) => setValues({ ...values, paid: event.target.checked })} /> It is paid</label>
		<footer><button type="button" class="outline secondary" onClick=${() => close(false)}>Cancel</button>
			<button type="submit" disabled=${!chosen.length || wrong.some(Boolean)}>${chosen.length ? `Convert lines of ${money(sum, order.currency)}` : 'Convert'}</button></footer></form>`;
}

// The text that a message by hand has: that of its type, else of the campaign's step of as many attempts.
const SUFFIX = { abandoned_cart: 'abandoned', payment_reminder: 'reminder', final_reminder: 'final', discount_offer: 'offer' };
async function nextStep(order, messages) {
	const attempts = (messages || []).filter(({ episode, status }) => episode === order.episode && status !== 'cancelled').length;
	const steps = (await get('campaigns/')).results.filter(({ campaign, step }) => campaign === order.kind && step !== null).sort((a, b) => a.step - b.step);
	return steps[Math.min(attempts, steps.length - 1)] || { message_type: 'abandoned_cart', template: `${order.kind}_abandoned` };
}

function Mail({ close, order, messages }) {
	const [type, setType] = useState('');
	const [subject, setSubject] = useState('');
	const [next, setNext] = useState(null);
	const [problem, setProblem] = useState(null);
	const [busy, setBusy] = useState(false);
	const [shown, show] = useState(null);
	const key = useRef(newKey());
	useEffect(() => { nextStep(order, messages).then(setNext, setProblem); }, []);
	const template = type ? `${order.kind}_${SUFFIX[type]}` : next && next.template;
	const submit = async (event) => {
		event.preventDefault();
		if (busy) return;
		setBusy(true);
		setProblem(null);
		try {
			close(await send('POST', `incomplete-orders/${order.id}/send_recovery_email/`, { ...(type && { email_type: type }), ...(subject.trim() && { subject: subject.trim() }) }, { 'Idempotency-Key': key.current }));
		} catch (failure) {
			if (failure.code === 'IC008') key.current = newKey();
			setProblem(failure);
			setBusy(false);
		}
	};
	const why = problem && problem.code === 'IC015' && /: ([a-z_]+)$/.exec(problem.detail || '');
	return html`<form class="wide" onSubmit=${submit}><header><h2>Send a recovery mail</h2></header>
		<p>To <strong>${order.email}</strong>. It is queued at once, and the campaign’s next step waits at least the shop’s gap between messages.${order.recovery_attempts > 0 && html` There ${order.recovery_attempts === 1 ? 'was one message' : `were ${number(order.recovery_attempts)} messages`} before.`}</p>
		${problem && (why ? html`<${Notice} kind="bad" title="It may not be sent.">${reasonWords(why[1])}.<//>` : html`<${ProblemNotice} problem=${problem} />`)}
		<div class="grid-2">
			<${Choice} label="Which one" value=${type} options=${[['', next ? `The next one: ${typeOf(next.message_type)}` : 'The next one'], ...Object.entries(MESSAGE_TYPES)]} onChange=${setType} />
			<${Field} label="Subject" hint="Without one that of the text." maxlength="200" placeholder=${shown && shown.subject || ''} value=${subject} onInput=${(event) => setSubject(event.target.value)} />
		</div>
		${template && html`<${MailPreview} key=${template} template=${template} order=${order} subject=${subject.trim()} onShown=${show} />`}
		<footer><button type="button" class="outline secondary" onClick=${() => close(false)}>Cancel</button>
			<button type="submit" disabled=${busy} aria-busy=${busy ? 'true' : null}>Send to ${order.email}</button></footer></form>`;
}

// [{name, label, run, primary?, danger?}]
const REASON = { name: 'reason', label: 'Reason', hint: 'For the history; may be left out.', maxlength: 500 };
const PAID = { name: 'paid', label: 'It is paid', type: 'checkbox', value: true };
const given = (values) => Object.fromEntries(Object.entries(values).map(([name, value]) => [name, typeof value === 'string' ? value.trim() : value]).filter(([, value]) => value !== ''));

function actionsOf(order, done, messages) {
	const path = `incomplete-orders/${order.id}/`;
	const open = isOpen(order);
	const left = order.items.filter((item) => waits(item) > 0);
	const sum = money(order.total, order.currency);
	const who = order.name || order.email || 'The customer';
	const stops = 'Waiting recovery messages are cancelled.';
	const all = [];
	const add = (right, when, action) => { if (may(right) && when) all.push(action); };
	add('send_recovery_email', order.status === 'abandoned' && order.email, {
		name: 'send', label: 'Send recovery mail', primary: true,
		run: async () => { if (await dialog(Mail, { order, messages })) { announce('The message is queued.', 'good'); done(); } },
	});
	add('convert_order', order.can_convert, {
		name: 'convert', label: 'Convert', primary: order.status !== 'abandoned' || !order.email,
		run: () => act({ title: 'Convert to an order?', body: `An order of ${plural(left.reduce((n, item) => n + waits(item), 0), 'article')} for ${sum} is made, and ${order.reference} is closed. ${stops}`, action: `Convert ${sum}`,
			fields: [{ name: 'order_number', label: 'Order number', hint: 'Without one the next number is taken.' }, PAID],
			path: path + 'convert_to_order/', make: given, said: (answer) => `Converted to order ${answer.order_number}.` }, done),
	});
	add('edit_order', open, { name: 'edit', label: 'Edit', keys: 'e' });
	add('convert_order', order.can_convert && left.reduce((n, item) => n + waits(item), 0) > 1, {
		name: 'part', label: 'Convert a part …',
		run: async () => {
			const values = await dialog(Part, { order });
			if (values) await tell('POST', path + 'convert_to_order/', given(values), (answer) => `Converted to order ${answer.order_number}, part ${answer.part}.`, done);
		},
	});
	add('mark_abandoned', ['pending', 'payment_pending', 'payment_failed'].includes(order.status) && order.items.length > 0, {
		name: 'abandon', label: 'Mark as abandoned …',
		run: () => act({ title: 'Mark as abandoned?', body: `It counts as abandoned from now on, before its cut-off, and a campaign that is on begins to write to ${who}.`, action: 'Mark as abandoned', fields: [REASON], path: path + 'mark_abandoned/', make: given, said: 'It is abandoned.' }, done),
	});
	add('mark_payment_pending', ['pending', 'payment_failed', 'abandoned'].includes(order.status) && !order.is_expired && order.items.length > 0, {
		name: 'pending', label: 'A payment is on its way …',
		run: () => act({ title: 'Wait for a payment?', body: 'While it is waited for, the order is neither abandoned nor expired, and nothing is sent.', action: 'Wait for it',
			fields: [{ name: 'payment_reference', label: 'Reference of the payment', hint: 'Of the payment provider; may be left out.' }], path: path + 'mark_payment_pending/', make: given, said: 'The payment is waited for.' }, done),
	});
	add('mark_payment_failed', ['pending', 'payment_pending'].includes(order.status) && !order.is_expired && order.items.length > 0, {
		name: 'failed', label: 'The payment failed …',
		run: () => act({ title: 'Did the payment fail?', body: 'The order waits for the customer again and can be paid in another way. If nothing happens it is abandoned.', action: 'It failed', fields: [REASON], path: path + 'mark_payment_failed/', make: given, said: 'The payment failed.' }, done),
	});
	add('redeem_coupon', open, {
		name: 'coupon', label: 'Redeem a coupon …',
		run: () => act({ title: 'Redeem a coupon', body: 'A coupon that came with one of our messages is taken off the total of this order.', action: 'Redeem', fields: [{ name: 'code', label: 'Code', required: true, autocapitalize: 'characters' }],
			path: path + 'redeem_coupon/', make: given, said: (answer) => `${money(answer.coupon_discount, answer.currency)} less: the total is ${money(answer.total, answer.currency)}.` }, done),
	});
	add('record_order', open || ['expired', 'dismissed', 'deleted'].includes(order.status), {
		name: 'foreign', label: 'It was ordered elsewhere …',
		run: () => act({ title: 'Was it ordered elsewhere?', body: `${order.reference} is closed as converted by an order that the shop has already. ${stops}`, action: 'Record it',
			fields: [{ name: 'foreign_order', label: 'Number or id of that order', required: true }, { name: 'total', label: `Total in ${order.currency}`, inputmode: 'decimal', pattern: '\\d+(\\.\\d+)?', value: String(order.total), hint: 'What was ordered there.' }, PAID],
			path: 'orders/', make: (values) => ({ ...given(values), id: order.id, currency: order.currency }), said: 'Recorded.' }, done),
	});
	add('dismiss_order', open, {
		name: 'dismiss', label: 'Dismiss …', danger: true,
		run: () => act({ title: 'Dismiss it?', body: `${order.reference} is closed and nothing more is sent for it. ${stops} It cannot be opened again.`, action: 'Dismiss', danger: true, fields: [REASON], path: path + 'dismiss/', make: given, said: 'Dismissed.' }, done),
	});
	add('delete_order', open, {
		name: 'delete', label: 'Delete …', danger: true,
		run: async () => {
			const values = await confirm({ title: 'Delete it?', body: `The cart of ${who}, ${sum}, is removed. ${stops} What is left of it is deleted when the shop’s retention is over. It cannot be opened again.`, action: 'Delete', danger: true, fields: [REASON] });
			if (values) await tell('DELETE', `${path}?${new URLSearchParams(given(values))}`, undefined, 'Deleted.', done);
		},
	});
	return all;
}

// Of an order that came of it
function conversionActions(conversion, done) {
	const path = `orders/${conversion.order_id}/`;
	const rest = Number(conversion.total) - Number(conversion.refunded);
	const all = [];
	if (may('record_payment') && !conversion.paid) {
		all.push({ name: 'paid', label: 'Record the payment', run: () => act({ title: 'Is it paid?', body: `Order ${conversion.order_number}: ${money(conversion.total, conversion.currency)} counts as paid from now on.`, action: 'It is paid', path: path + 'payment/', said: 'The payment is recorded.' }, done) });
	}
	if (may('record_refund') && conversion.paid && rest > 0) {
		all.push({ name: 'refund', label: 'Refund …', run: () => act({ title: 'Record a refund', body: `Of order ${conversion.order_number}, ${money(conversion.total, conversion.currency)}${Number(conversion.refunded) ? `, ${money(conversion.refunded, conversion.currency)} was paid back already` : ''}. It is recorded here, and taken off the recovered revenue; the money itself is paid back by your payment provider.`,
			action: 'Record the refund', danger: true, fields: [{ name: 'amount', label: `Amount in ${conversion.currency}`, required: true, inputmode: 'decimal', pattern: '\\d+(\\.\\d+)?', value: String(Number(rest.toFixed(6))) }],
			path: path + 'refunds/', make: given, said: (answer) => `Recorded. ${money(answer.refunded, conversion.currency)} was paid back in all.` }, done) });
	}
	return all;
}

// ---------------------------------------------------------------------------
// The page

// Hosts of images are limited by the policy of the page: what may not be shown is a box.
function Image({ url }) {
	const [broken, set] = useState(false);
	const safe = safeUrl(url);
	return safe && !broken ? html`<img class="thumb" src=${safe} alt="" loading="lazy" width="48" height="48" onError=${() => set(true)} />` : html`<span class="thumb" aria-hidden="true"></span>`;
}
const Away = ({ url, children }) => (safeUrl(url) ? html`<a href=${safeUrl(url)} target="_blank" rel="noopener noreferrer">${children}</a>` : children);

function Items({ order, actions }) {
	const { currency, items } = order;
	const filled = items.some((item) => item.filled);
	const subtotal = items.reduce((sum, item) => sum + item.quantity * item.unit_price, 0);
	const rows = [['Subtotal', subtotal], ['Shipping', order.shipping], ['Tax', order.tax], ['Discount', -order.discount], [order.coupon_code ? `Coupon ${order.coupon_code}` : 'Coupon', -order.coupon_discount]];
	return html`<${Section} title="Items" actions=${actions}>
		${items.length === 0 && html`<${Empty} title="The cart is empty.">Nothing can be converted and nothing is sent.<//>`}
		<ul class="items">${items.map((item, i) => html`<li key=${i}><${Image} url=${item.image_url} />
			<div class="what"><${Away} url=${item.url}><bdi>${item.name || item.sku}</bdi><//>
				<div class="soft">${[item.variant, item.name && item.sku].filter(Boolean).join(' · ')}</div>
				${filled && html`<div class="soft"><${Term} name="filled" means="How many of them are ordered already. What is left can still be converted.">${number(item.filled || 0)} of ${number(item.quantity)} ordered<//></div>`}</div>
			<div class="each number soft">${number(item.quantity)} × ${money(item.unit_price, currency)}</div>
			<div class="number sum">${money(item.quantity * item.unit_price, currency)}</div></li>`)}</ul>
		<table class="keep totals" aria-label="Totals"><tbody>
			${rows.map(([label, amount], i) => (i === 0 || Number(amount) !== 0 || (i === 4 && order.coupon_code)) && html`<tr key=${label}><th scope="row">${label}${i === 0 && html` <span class="soft">${plural(order.item_count, 'article')}</span>`}</th><td class="right number">${money(amount, currency)}</td></tr>`)}
			<tr class="total"><th scope="row">Total</th><td class="right number">${money(order.total, currency)}</td></tr>
		</tbody></table>
	<//>`;
}

// What was ordered, paid and paid back
function Conversions({ order, done }) {
	if (!order.orders.length) return null;
	return html`<${Section} title=${order.orders.length === 1 ? 'Order' : 'Orders'}>${order.orders.map((one) => html`<article key=${one.order_id} class="conversion">
		<header><strong>${one.foreign_order || one.order_number}</strong>${one.foreign_order && html` <span class="soft">of the shop</span>`} <${Pill} state=${one.paid ? 'recovered' : 'payment_pending'} label=${one.paid ? 'Paid' : 'Not paid'} title="" />
			<span class="actions">${conversionActions(one, done).map(({ name, label, run }) => html`<button key=${name} type="button" class="outline small" onClick=${run}>${label}</button>`)}</span></header>
		<dl class="facts"><dt>Total</dt><dd class="number">${money(one.total, one.currency)}</dd>
			<dt>Ordered</dt><dd><${Ago} at=${one.converted_at} /></dd>
			${one.paid_at && html`<dt>Paid</dt><dd><${Ago} at=${one.paid_at} /></dd>`}
			${Number(one.refunded) > 0 && html`<dt>Paid back</dt><dd class="number">${money(one.refunded, one.currency)}</dd>`}
			${one.items && html`<dt>Lines</dt><dd>${one.items.map((item) => `${item.quantity} × ${item.name || item.sku}`).join(', ')}</dd>`}</dl>
		${one.refunds && html`<ul class="refunds">${one.refunds.map((refund) => html`<li key=${refund.refund}><span class="number">${money(refund.amount, one.currency)}</span> paid back <${Ago} at=${refund.refunded_at} /></li>`)}</ul>`}
	</article>`)}<//>`;
}

const CONSENT = { granted: 'Agreed to be written to', withdrawn: 'Withdrew the consent' };
function Consent({ order, consents, suppressions }) {
	const said = order.context && order.context.consent;
	const last = consents && consents.results.find(({ in_force, purpose }) => in_force && purpose === 'recovery');
	const stopped = suppressions && suppressions.results[0];
	const status = last ? last.status : said && said.status;
	return html`<dt>Consent</dt><dd>${status ? html`${CONSENT[status] || stateOf(status).label}${(last || said).at && html`, <${Ago} at=${(last || said).at} />`}` : 'Nothing is known'}
		${stopped && html`<br /><strong class="bad-text">May not be mailed: ${stateOf(stopped.reason).label.toLowerCase()}</strong> (<${Ago} at=${stopped.at} />)`}</dd>`;
}

function Customer({ order }) {
	const by = order.email ? { email: order.email } : order.customer_id ? { customer_id: order.customer_id } : null;
	const consents = useGet(by && may('list_consents') ? 'consents/' : null, by || {});
	const suppressions = useGet(order.email && may('list_suppressions') ? 'suppressions/' : null, { email: order.email });
	const mine = useGet(order.customer_id ? 'incomplete-orders/' : null, { search: order.customer_id, page_size: 10 });
	const same = useGet(order.email ? 'incomplete-orders/' : null, { search: order.email, page_size: 10 });
	const others = [...new Map([mine, same].flatMap(({ data }) => (data ? data.results : [])).filter(({ id }) => id !== order.id).map((one) => [one.id, one])).values()]
		.sort((a, b) => new Date(b.created_at) - new Date(a.created_at));
	return html`<${Section} title="Customer"><dl class="facts">
			<dt>Name</dt><dd><bdi>${order.name || '–'}</bdi></dd>
			<dt>E-mail</dt><dd>${order.email ? html`<a href=${`mailto:${encodeURIComponent(order.email)}`}>${order.email}</a>` : html`– <span class="soft">(nothing can be sent)</span>`}</dd>
			<dt>Phone</dt><dd>${order.phone ? html`<a href=${`tel:${order.phone.replace(/[^+\d]/g, '')}`}>${order.phone}</a>` : '–'}</dd>
			<dt>Customer</dt><dd>${order.customer_id ? order.customer_id : 'Guest'}</dd>
			<${Consent} order=${order} consents=${consents.data} suppressions=${suppressions.data} />
		</dl>
		${others.length > 0 && html`<h3>Other orders of the same person</h3><ul class="others">${others.slice(0, 8).map((one) => html`<li key=${one.id}><a href=${link(`orders/${one.id}/`)}>${one.reference}</a> <${Pill} state=${one.status} /> <span class="number">${money(one.total, one.currency)}</span> <span class="soft"><${Ago} at=${one.created_at} /></span></li>`)}</ul>
			${others.length > 8 && html`<a href=${link('orders/', { search: order.email || order.customer_id })}>All of them</a>`}`}
	<//>`;
}

function countryName(code) {
	try {
		return /^[A-Za-z]{2}$/.test(code) ? new Intl.DisplayNames(undefined, { type: 'region' }).of(code.toUpperCase()) : code;
	} catch {
		return code;
	}
}
function Address({ order }) {
	const a = order.address || {};
	const lines = [[a.first_name, a.last_name].filter(Boolean).join(' '), a.company, a.address_line_1, a.address_line_2, [a.postal_code, a.city].filter(Boolean).join(' '), a.state, a.country && countryName(a.country)].filter(Boolean);
	if (!lines.length && !a.phone && !a.email && !a.delivery_instructions) return html`<${Section} title="Shipping address"><p class="soft">Not given yet.</p><//>`;
	const missing = [['first_name', 'first name'], ['address_line_1', 'street'], ['city', 'city'], ['country', 'country']].filter(([name]) => !a[name]).map(([, label]) => label);
	return html`<${Section} title="Shipping address" actions=${html`<${Copy} text=${lines.join('\n')} />`}>
		<address dir="auto">${lines.map((line, i) => html`${i > 0 && html`<br />`}${line}`)}</address>
		${(a.phone || a.email) && html`<p>${[a.phone, a.email].filter(Boolean).join(' · ')}</p>`}
		${a.delivery_instructions && html`<p class="note-text">${a.delivery_instructions}</p>`}
		${missing.length > 0 && html`<p class="soft">Missing: ${missing.join(', ')}.</p>`}<//>`;
}

function Context({ order }) {
	const { consent: _, engagement, referrer, user_agent, ...rest } = order.context || {};
	const known = [['device', 'Device'], ['source', 'Source'], ['locale', 'Language'], ['time_zone', 'Time zone'], ['ip', 'IP address'], ['notes', 'Customer’s note']];
	const facts = known.filter(([name]) => rest[name]).map(([name, label]) => [label, String(rest[name])]);
	if (referrer) facts.push(['Came from', html`<${Away} url=${referrer}>${referrer}<//>`]);
	if (user_agent) facts.push(['Browser', user_agent]);
	if (engagement && engagement.views) facts.push(['Page looked at', `${plural(engagement.views, 'time')}${engagement.scroll !== undefined ? `, down to ${engagement.scroll} %` : ''}`]);
	for (const [name, value] of Object.entries(rest)) {
		if (name !== 'bot' && !known.some(([one]) => one === name)) facts.push([name, typeof value === 'object' ? JSON.stringify(value) : String(value)]);
	}
	return html`<${Section} title="Context"><dl class="facts">
		<dt>Came as far as</dt><dd>${STEPS[order.furthest_step]}</dd>
		<dt><${Term} name="last activity">Last activity<//></dt><dd><${Ago} at=${order.last_activity_at} /></dd>
		${order.episode > 0 && html`<dt><${Term} name="episode">Episode<//></dt><dd>${number(order.episode)}</dd>`}
		${order.abandonment_reason && html`<dt>Why abandoned</dt><dd>${order.abandonment_reason}</dd>`}
		${order.payment_reference && html`<dt>Payment</dt><dd>${order.payment_reference}</dd>`}
		<dt>Session</dt><dd>${order.session_id || '–'}</dd>
		${facts.map(([label, value]) => html`<dt key=${label}>${label}</dt><dd>${value}</dd>`)}
		${order.continues_id && html`<dt>Goes on from</dt><dd><a href=${link(`orders/${order.continues_id}/`)}>an earlier order</a></dd>`}
	</dl><//>`;
}

function Order({ order, messages, why, asked, onChanged }) {
	const [editing, edit] = useState(false);
	const [edits, setEdits] = useState(0);
	const noteBox = useRef();
	const done = () => onChanged();
	const actions = actionsOf(order, done, messages.data && messages.data.results).map((action) => (action.name === 'edit' ? { ...action, run: () => edit(true) } : action));
	const named = (name) => actions.find((action) => action.name === name);
	const startEdit = () => { if (named('edit')) edit(true); };
	useKeys({ e: startEdit, n: () => noteBox.current?.focus() }, { e: 'Edit', n: 'Add a note' });
	const front = ['send', 'convert', 'edit'].map(named).filter(Boolean);
	const more = actions.filter((action) => !front.includes(action));
	const title = `${person(order)}, ${order.reference}`;
	return html`<${Page} title=${title} heading=${html`<bdi>${person(order)}</bdi> <${Pill} state=${order.status} />`} actions=${!editing && html`
			${front.map((action) => html`<button key=${action.name} type="button" class=${action.primary ? '' : 'outline secondary'} onClick=${action.run} title=${action.keys && `Key ${action.keys}`}>${action.label}</button>`)}
			${more.length > 0 && html`<${Menu} label="More" items=${more.map(({ label, run, danger }) => ({ label, danger, onClick: run }))} />`}`}>
		<p class="order-line"><span class="big number">${money(order.total, order.currency)}</span>
			<span>${order.reference} <${Copy} text=${order.reference} /></span>
			<span>${KINDS[order.kind]}, ${plural(order.item_count, 'article')}</span>
			<span>Created <${Ago} at=${order.created_at} /></span>
			${order.abandoned_at && html`<span>Abandoned <${Ago} at=${order.abandoned_at} /></span>`}
			${order.closed_at && html`<span>Closed <${Ago} at=${order.closed_at} /></span>`}
			${order.order_number && html`<span>Order ${order.order_number}</span>`}
			${order.bot && html`<span><${Pill} state="bot" label="Robot" title="Kept apart in every figure, and never mailed." /></span>`}</p>
		${asked.problem && html`<${Notice} kind="warn" title="It could not be loaded again.">${asked.problem.detail} <button type="button" class="link" onClick=${asked.reload}>Try again</button><//>`}
		${editing ? html`<${OrderEdit} key=${edits} order=${order} onCancel=${() => edit(false)} onSaved=${() => { edit(false); setEdits(edits + 1); done(); }} />`
		: html`<div class="order-grid"><div>
			<${Items} order=${order} />
			<${Conversions} order=${order} done=${done} />
		</div><div class="side">
			<${Next} order=${order} why=${why} messages=${messages} />
			<${Customer} order=${order} />
			<${Address} order=${order} />
			<${Context} order=${order} />
		</div><div>
			<${Timeline} order=${order} messages=${messages} why=${why} reload=${done} noteBox=${noteBox} />
		</div></div>`}
	<//>`;
}

function OneOrder({ params }) {
	const path = `incomplete-orders/${params.id}/`;
	const order = useGet(path);
	const messages = useGet(may('list_messages') ? path + 'messages/' : null, { page_size: 100 });
	const why = useGet(may('why_not_sent') ? path + 'why_not_sent/' : null);
	const all = [order, messages, why];
	useEvery(30, () => all.forEach((one) => one.refresh()));
	if (order.problem && order.problem.status === 404) {
		return html`<${Page} title="No such order"><${Empty} title="There is no such order, or it is not yours to see."><a href=${link('orders/')}>To all orders</a><//><//>`;
	}
	if (order.data === null && order.problem) return html`<${Page} title="Order"><${Asked} of=${order} /><//>`;
	return order.data === null ? html`<div class="page" aria-busy="true"><div class="loading" style=${{ minHeight: '24rem' }}><span class="hidden">Loading the order</span></div></div>`
		: html`<${Order} key=${order.data.id} order=${order.data} messages=${messages} why=${why} asked=${order} onChanged=${() => all.forEach((one) => one.reload())} />`;
}

// ---------------------------------------------------------------------------
// All messages: what waits, what was sent and what became of it, what was given up

const MESSAGE_TABS = [['', 'All'], ['queued,sending', 'Waiting'], ['sent', 'Sent'], ['dead', 'Given up'], ['cancelled', 'Cancelled']];
const CAMPAIGNS = { cart: 'Carts', payment: 'Payments', partial: 'Partly filled' };

// What is known of it that is furthest on
const FURTHEST = [['complained_at', 'complained'], ['bounced_at', 'bounced'], ['unsubscribed_at', 'unsubscribed'], ['replied_at', 'replied'], ['clicked_at', 'clicked'], ['opened_at', 'opened'], ['delivered_at', 'delivered']];
function became(message) {
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

async function sendAgain(message, reload) {
	if (!await confirm({ title: 'Send it again?', body: `The message to ${message.recipient} is due at once and is tried for five more days. It was given up because: ${message.response || reasonWords(message.reason)}`, action: 'Send again' })) return;
	await answerDead('retry', message, 'It is queued again.', reload);
}
async function discard(message, reload) {
	if (!await confirm({ title: 'Discard it?', body: `The message to ${message.recipient} is never sent.`, action: 'Discard', danger: true })) return;
	await answerDead('discard', message, 'Discarded.', reload);
}
async function answerDead(what, { message_id: id }, said, reload) {
	try {
		const { changed } = await send('POST', `queue/dead/${id}/${what}/`, undefined, { 'Idempotency-Key': newKey() });
		announce(changed ? said : 'Somebody else was faster: it is not given up any more.', changed ? 'good' : '');
	} catch (problem) {
		announce(problem.detail, 'bad');
	}
	reload();
}

// Several at once: each by itself, and what became of each is told.
async function severalDead(what, chosen, finish) {
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

function Messages({ query }) {
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
		{ name: 'state', label: 'State', render: (row) => { const { state } = became(row); return html`<div><${Pill} state=${state} />${row.reason && row.status !== 'sent' && html`<div class="soft" title=${reasonAdvice(row.reason)}>${reasonWords(row.reason)}</div>`}${row.status === 'dead' && row.response && html`<div class="soft reply">${row.response}</div>`}</div>`; } },
		{ name: 'when', label: 'When', render: (row) => { const { at } = became(row); return html`<div><${Ago} at=${at} />${row.status === 'queued' && row.attempts > 0 && html`<div class="soft">tried ${plural(row.attempts, 'time')}</div>`}</div>`; } },
		{ name: 'queued', label: 'Queued', hideSmall: true, render: (row) => html`<${Ago} at=${row.queued_at} />` },
		...(dead ? [{ name: 'do', label: 'Do', render: (row) => html`<div class="actions"><button type="button" class="outline small" onClick=${() => sendAgain(row, reload)}>Send again</button><button type="button" class="outline secondary small" onClick=${() => discard(row, reload)}>Discard</button></div>` }] : []),
	];
	const filtered = search || email_type || campaign || variant || start_date || end_date;
	const empty = filtered ? html`<${Empty} title="No message is like that."><p>Messages of a recipient are found by the whole address.</p><//>`
		: status === 'dead' ? html`<${Empty} title="Nothing was given up.">Every message was sent, or is tried again by itself.<//>`
		: status ? html`<${Empty} title=${`No message is ${(MESSAGE_TABS.find(([name]) => name === status) || ['', stateOf(status).label])[1].toLowerCase()}.`} />`
		: html`<${Empty} title="There are no messages yet."><p>They are queued when a campaign is on and orders are abandoned. <a href=${link('campaigns/')}>Enable a campaign</a>, or send one by hand from an order.</p><//>`;
	return html`<${Page} title="Messages">
		<${Queue} queue=${queue} />
		<${Tabs} label="States" current=${status} tabs=${MESSAGE_TABS.map(([name, label]) => ({ name, label }))} to=${(name) => link('messages/', { ...query, shop: undefined, ...(query.shop && { shop: query.shop }), status: name || null, cursor: null })} />
		<${Filters} query=${query} />
		${dead && chosen.size > 0 && html`<div class="bulk" role="region" aria-label="Chosen messages"><strong>${plural(chosen.size, 'message')} chosen</strong>
			${['retry', 'discard'].map((what) => html`<button key=${what} type="button" class=${what === 'retry' ? 'small' : 'outline secondary small'} onClick=${() => severalDead(what, list.data.results.filter(({ message_id: id }) => chosen.has(id)), () => { choose(new Set()); reload(); })}>${what === 'retry' ? 'Send again' : 'Discard'}</button>`)}
			<button type="button" class="link" onClick=${() => choose(new Set())}>Choose none</button></div>`}
		<${Asked} of=${list} height="20rem">${(data) => html`
			<${Table} label="Messages" columns=${columns} rows=${data.results} keyOf=${(row) => row.message_id} onOpen=${(row) => go(`orders/${row.order_id}/`)} empty=${empty} ...${dead ? { selected: chosen, onSelect: choose } : {}} />
			<${Pager} data=${data} label="messages" />`}<//>
	<//>`;
}

export default ({ params, query }) => (params.id ? html`<${OneOrder} params=${params} />` : html`<${Messages} query=${query} />`);
