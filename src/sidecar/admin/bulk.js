// One thing done to many orders: what would happen, how far it is, and what became of each.
import { html, useState, useEffect, useLayoutEffect, useRef } from './vendor/preact.js';
import { send, newKey } from './api.js';
import { link } from './route.js';
import { number, plural } from './format.js';
import { announce, Notice, ProblemNotice, Copy } from './ui.js';

export const MOST = 10000; // what the API takes
const TYPES = [['', 'What the campaign would send next'], ['abandoned_cart', 'Abandoned cart'], ['payment_reminder', 'Payment reminder'], ['final_reminder', 'Final reminder'], ['discount_offer', 'Discount offer']];

// label; verb in the infinitive, of what is done, and how one says it; the right; orders in a request
export const ACTIONS = [
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

const WHY = {
	not_abandoned: 'It is not abandoned', converted: 'It is an order already', expired: 'Its deadline has passed', dismissed: 'It was dismissed', deleted: 'It was deleted', reversed: 'Its order was taken back',
	no_recipient: 'No e-mail is known', empty: 'It is empty', ordered: 'The customer has ordered since', no_consent: 'The customer has not agreed to mail', bot: 'It is a bot’s',
	unsubscribed: 'The customer has unsubscribed', hard_bounce: 'The address is undeliverable', complaint: 'The customer has complained', erased: 'The customer was erased', suppressed: 'The address is suppressed',
	not_me: 'Somebody else has this address', 'named twice': 'It was named twice',
};
export const whyOf = (reason) => WHY[reason] || (reason ? String(reason).replace(/^order [0-9a-f-]{36} /i, 'It ').replace(/^excluded_/, 'Excluded: ').replace(/_/g, ' ').replace(/^./, (c) => c.toUpperCase()) : 'Refused');

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

export function Bulk({ action, orders, onDone, onEnd, close }) {
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
