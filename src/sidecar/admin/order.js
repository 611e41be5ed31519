// One order: who, what, how much, what happened, what happens next, what can be done.
import { html, useState, useRef, useEffect } from './vendor/preact.js';
import { get, may, useEvery, useGet } from './api.js';
import { link } from './route.js';
import { useKeys } from './keys.js';
import { ago, day, exact, money, number, person, plural, safeUrl } from './format.js';
import { Ago, Asked, Copy, Empty, Menu, Money, Notice, Page, Pill, Section, Term } from './ui.js';
import { KINDS, STEPS, stateOf } from './words.js';
import { actionsOf, conversionActions, isOpen } from './order_actions.js';
import { OrderEdit } from './order_edit.js';
import { Next, Timeline } from './order_timeline.js';

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
			<tr class="total"><th scope="row">Total</th><td class="right number"><${Money} amount=${order.total} currency=${currency} /></td></tr>
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
	const known = [['device', 'Device'], ['source', 'Source'], ['locale', 'Language'], ['time_zone', 'Time zone'], ['ip', 'Address'], ['notes', 'Customer’s note']];
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

export default function OneOrder({ params }) {
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
