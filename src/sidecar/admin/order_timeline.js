// What happened to an order: its history, the messages of it, notes, and why something was
// not sent; the newest first, by day. And what will happen next.
import { html, useState, useEffect, useRef } from './vendor/preact.js';
import { may, send } from './api.js';
import { link } from './route.js';
import { ago, clock, day, duration, exact, money, plural } from './format.js';
import { Ago, Notice, ProblemNotice, Section, announce } from './ui.js';
import { stateOf, STEPS } from './words.js';
import { CHARGES, labelOf } from './order_fields.js';

export const MESSAGE_TYPES = { abandoned_cart: 'Abandoned cart', payment_reminder: 'Payment reminder', final_reminder: 'Final reminder', discount_offer: 'Discount offer' };
export const typeOf = (type) => MESSAGE_TYPES[type] || stateOf(type).label;

// Why nothing was or is sent: what it means, and what can be done.
const WHY = {
	no_recipient: ['There is no e-mail address', 'Edit the order and enter one.'],
	bot: ['It is taken for a robot’s', 'Robots are never mailed by a campaign; by hand it can be sent.'],
	empty: ['Nothing is left in the cart that is not ordered yet', ''],
	unsubscribed: ['The person has unsubscribed', 'They must agree again themselves.'],
	not_me: ['The person said that this cart is not theirs', 'Check the e-mail address.'],
	hard_bounce: ['Mails to the address come back', 'Ask for another address and correct it here.'],
	complaint: ['The person reported a mail as spam', 'Do not write to them again.'],
	erased: ['The person asked to be forgotten', ''],
	suppressed: ['The address is suppressed', 'Under Suppressions it can be taken off.'],
	no_consent: ['There is no consent to be written to', 'The shop’s setting “consent rule” asks for one.'],
	excluded_address: ['The address is excluded by the shop’s settings', 'See Shop, exclusions.'],
	excluded_domain: ['The domain of the address is excluded by the shop’s settings', 'See Shop, exclusions.'],
	excluded_customer: ['The customer is excluded by the shop’s settings', 'See Shop, exclusions.'],
	excluded_products: ['Everything in it is excluded by the shop’s settings', 'See Shop, exclusions.'],
	excluded_value: ['Its value is outside of what the shop writes about', 'See Shop, exclusions.'],
	other_cart: ['The same person has a better cart, which is written about', ''],
	cap_per_episode: ['It had as many messages as the shop allows', 'One more can be sent by hand.'],
	cap_per_person: ['The person had as many messages as the shop allows in 30 days', 'One more can be sent by hand.'],
	ordered: ['The person has ordered since', 'Nothing to do; dismiss it if it is only in the way.'],
	already_bought: ['They bought the same shortly before', ''],
	holdout: ['They are in the holdout group, which gets no messages', 'So that the effect of messages can be measured. By hand it can be sent.'],
	campaign_disabled: ['The campaign is off', 'Enable it under Campaigns, or send by hand.'],
	before_campaign: ['It was abandoned before the campaign was enabled', 'Send by hand if it is worth it.'],
	customer_returned: ['The customer came back', ''],
	converted: ['It became an order', ''],
	dismissed: ['It was dismissed', ''],
	deleted: ['The cart was removed', ''],
	expired: ['Its time was over', ''],
	reversed: ['Its order was taken back', ''],
	lost: ['The messages and their time are over: it counts as lost', 'One more can be sent by hand.'],
	attempts_exhausted: ['All steps of the campaign are done', 'One more can be sent by hand.'],
	unavailable: ['Nothing of it can be sold any more', ''],
	too_old: ['It could not be sent for five days', 'See Health: does a sender run?'],
	rejected: ['The mail server refused the message', 'See the reply at the message; check the address.'],
	discarded: ['It was given up by staff', ''],
	min_gap: ['The person had another message shortly before', 'It is sent later by itself.'],
	quiet_hours: ['It is night where the person is', 'It is sent later by itself.'],
	availability: ['The shop could not say what can still be sold', 'It is tried again by itself; see Health.'],
	not_abandoned: ['It is not abandoned', 'Messages begin when it is. It can be marked as abandoned at once.'],
	not_due: ['The next message is not due yet', ''],
	due: ['The next message is due', 'It is queued within a minute, if the scheduler runs.'],
	queued: ['A message waits to be sent', ''],
	sending: ['A message is being sent', ''],
	sent: ['A message was sent', ''],
};
export const whyWords = (reason) => (WHY[reason] || [stateOf(reason).label, ''])[0];
export const whyAdvice = (reason) => (WHY[reason] || ['', ''])[1];

const EVENTS = {
	created: ['Created', 'created'], updated: ['Changed by the customer', 'created'], edited: ['Edited', 'quiet'], abandoned: ['Abandoned', 'abandoned'],
	reanimated: ['The customer came back', 'created'], retried: ['The payment is tried again', 'created'], converted: ['Converted to an order', 'converted'],
	paid: ['Paid', 'recovered'], refunded: ['Refunded', 'lost'], expired: ['Expired', 'quiet'], dismissed: ['Dismissed', 'quiet'], deleted: ['Deleted', 'quiet'], lost: ['Counted as lost', 'lost'],
	reversed: ['The order was taken back', 'lost'], merged: ['Put together with another cart', 'quiet'], continued: ['Goes on in another cart', 'created'], restored: ['Restored by the recovery link', 'recovered'],
	left: ['The page was left', 'quiet'], checkout_error: ['The checkout showed an error', 'lost'], payment_pending: ['A payment is waited for', 'created'], payment_failed: ['The payment failed', 'lost'],
	payment_withdrawn: ['The payment was taken back', 'lost'], coupon_redeemed: ['A coupon was redeemed', 'recovered'], holdout: ['Drawn for the holdout group', 'quiet'], note: ['Note', 'converted'],
	message_queued: ['Message queued', 'created'], message_sent: ['Message sent', 'converted'], message_delivered: ['Message delivered', 'converted'], message_opened: ['Message opened', 'recovered'],
	message_clicked: ['Link in the message clicked', 'recovered'], message_failed: ['Message not sent', 'lost'], message_replied: ['Answered the message', 'recovered'], message_bounced: ['Message came back', 'lost'],
	message_unsubscribed: ['Unsubscribed', 'lost'], message_complained: ['Reported as spam', 'lost'], skipped: ['No message', 'abandoned'],
};
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
export function entriesOf(order, messages, why) {
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
	if (event === 'skipped') return html`<p>${whyWords(detail.reason)}${detail.step ? ` (step ${detail.step})` : ''}.${told ? '' : ` ${whyAdvice(detail.reason)}`}</p>`;
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
	if (detail.reason && !/^(first|next|again)$/.test(detail.reason)) said.push(event === 'message_failed' ? whyWords(detail.reason) : stateOf(detail.reason).label);
	if (event === 'message_failed' && message && message.response) said.push(html`<code>${message.response}</code>`);
	const trailed = trail && trail.length > 1 && html`<ol class="trail">${trail.map((one, i) => html`<li key=${i}><time datetime=${one.at} title=${exact(one.at)}>${day(one.at) === day(trail[trail.length - 1].at) ? clock(one.at) : day(one.at, { day: 'numeric', month: 'short' })}</time> ${(EVENTS[one.event] || [''])[0].replace(/^(Message|Link in the message) /, '')}${one.detail.machine ? ' by a program' : ''}</li>`)}</ol>`;
	return html`${said.length > 0 && html`<p>${said.map((part, i) => html`${i > 0 && ' · '}${part}`)}</p>`}${trailed}${detail.changes && html`<${Changes} changes=${detail.changes} currency=${order.currency} />`}`;
}

export function Notes({ order, reload, box }) {
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

export function Timeline({ order, messages, why, reload, noteBox }) {
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
			const [label, colour] = EVENTS[entry.event] || [stateOf(entry.event).label, 'quiet'];
			return html`<li key=${i} data-colour=${colour} data-event=${entry.event}><div class="line"><strong>${label}</strong><span class="soft">${entry.who && html`${entry.who} · `}<time datetime=${entry.at} title=${`${exact(entry.at)}, ${ago(entry.at)}`}>${clock(entry.at)}</time></span></div>
				${about(entry, order)}</li>`;
		})}</ol></section>`)}</div>
	<//>`;
}

// What comes by itself, and what could be done.
export function Next({ order, why, messages }) {
	const rows = why.data ? why.data.results : [];
	const now = rows[rows.length - 1];
	const waiting = (messages.data ? messages.data.results : []).find(({ status }) => status === 'queued' || status === 'sending');
	const said = [];
	if (order.closed_at) said.push(['It is closed', html`Nothing more is sent. ${order.close_reason ? html`Reason: ${stateOf(order.close_reason).label}.` : ''}`]);
	else if (waiting) said.push([waiting.status === 'sending' ? 'A message is being sent' : 'A message waits to be sent', html`${typeOf(waiting.message_type)} to ${waiting.recipient}, due <${Ago} at=${waiting.due_at} />.`]);
	else if (now && now.reason === 'not_due') said.push(['Next message', html`Step ${now.step}${now.at ? html`, <strong><${Ago} at=${now.at} /></strong> (${day(now.at, { weekday: 'short', day: 'numeric', month: 'short' })} ${clock(now.at)})` : ''}.`]);
	else if (now && now.reason === 'not_abandoned') said.push(['No message yet', html`Messages begin when it is abandoned${now.at && new Date(now.at) > Date.now() ? html`: <strong><${Ago} at=${now.at} /></strong>, unless the customer does something` : ''}.`]);
	else if (now && !OURS.has(now.reason)) said.push([whyWords(now.reason), whyAdvice(now.reason)]);
	if (order.payment_deadline && order.status === 'payment_pending') said.push(['Payment', html`It is waited for until <${Ago} at=${order.payment_deadline} />.`]);
	if (!order.closed_at) said.push(['Expiry', html`<${Ago} at=${order.expires_at} /> (${day(order.expires_at)}).`]);
	return html`<${Section} title="What happens next"><dl class="next">${said.map(([title, text]) => html`<div key=${title}><dt>${title}</dt><dd>${text}</dd></div>`)}</dl>
		${why.problem && html`<${ProblemNotice} problem=${why.problem} retry=${why.reload} />`}<//>`;
}
