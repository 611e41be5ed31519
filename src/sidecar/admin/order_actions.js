// What can be done with one order: which of it its state and the role allow, what will
// happen in words before it does, and the doing.
import { html, useState, useEffect, useRef } from './vendor/preact.js';
import { get, may, newKey, send } from './api.js';
import { money, number, plural } from './format.js';
import { Choice, Field, Notice, ProblemNotice, announce, confirm, dialog } from './ui.js';
import { MESSAGE_TYPES, typeOf, whyWords } from './order_timeline.js';
import { MailPreview } from './order_mail.js';

const OPEN = ['pending', 'payment_pending', 'payment_failed', 'abandoned'];
export const isOpen = (order) => OPEN.includes(order.status);
export const waits = (item) => item.quantity - (item.filled || 0);

// Asks, does it, says what came of it. The key is one for all tries of one decision.
async function act({ title, body, action, danger, fields, method = 'POST', path, make = () => undefined, said }, done) {
	const values = await confirm({ title, body, action, danger, fields });
	if (!values) return;
	await tell(method, path, make(values), said, done);
}
export async function tell(method, path, body, said, done, key = newKey()) {
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

// ---------------------------------------------------------------------------
// Dialogs of their own

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
		${problem && (why ? html`<${Notice} kind="bad" title="It may not be sent.">${whyWords(why[1])}.<//>` : html`<${ProblemNotice} problem=${problem} />`)}
		<div class="grid-2">
			<${Choice} label="Which one" value=${type} options=${[['', next ? `The next one: ${typeOf(next.message_type)}` : 'The next one'], ...Object.entries(MESSAGE_TYPES)]} onChange=${setType} />
			<${Field} label="Subject" hint="Without one that of the text." maxlength="200" placeholder=${shown && shown.subject || ''} value=${subject} onInput=${(event) => setSubject(event.target.value)} />
		</div>
		${template && html`<${MailPreview} key=${template} template=${template} order=${order} subject=${subject.trim()} onShown=${show} />`}
		<footer><button type="button" class="outline secondary" onClick=${() => close(false)}>Cancel</button>
			<button type="submit" disabled=${busy} aria-busy=${busy ? 'true' : null}>Send to ${order.email}</button></footer></form>`;
}

// ---------------------------------------------------------------------------
// All of it: [{name, label, run, primary?, danger?}]

const REASON = { name: 'reason', label: 'Reason', hint: 'For the history; may be left out.', maxlength: 500 };
const PAID = { name: 'paid', label: 'It is paid', type: 'checkbox', value: true };
const given = (values) => Object.fromEntries(Object.entries(values).map(([name, value]) => [name, typeof value === 'string' ? value.trim() : value]).filter(([, value]) => value !== ''));

export function actionsOf(order, done, messages) {
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
export function conversionActions(conversion, done) {
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
