// What the pages of campaigns, texts and coupons have in common: lengths of time, names, why
// somebody gets nothing, drafts that survive a reload.
import { html, useState, useEffect } from './vendor/preact.js';
import { guardLeaving, link } from './route.js';
import { money, number, percent, plural } from './format.js';
import { confirm } from './dialog.js';

// ---------------------------------------------------------------------------
// Lengths of time, as the database writes them: "1 day 02:00:00", "24:00:00"

const UNITS = { minutes: 60, hours: 3600, days: 86400 };
export const UNIT_CHOICES = Object.keys(UNITS).map((unit) => [unit, unit]);

export function seconds(span) {
	const text = String(span ?? '');
	const clock = /(-?)(\d+):(\d\d):(\d\d)/.exec(text);
	const of = (name, size) => { const found = new RegExp(`(-?\\d+) ${name}`).exec(text); return found ? Number(found[1]) * size : 0; };
	return of('year', 31536000) + of('mon', 2592000) + of('day', 86400) + (clock ? (clock[1] ? -1 : 1) * (clock[2] * 3600 + clock[3] * 60 + Number(clock[4])) : 0);
}
// the largest unit in which it is a whole number
export function inUnit(span) {
	const all = seconds(span);
	const unit = all && all % 86400 === 0 ? 'days' : all % 3600 === 0 ? 'hours' : 'minutes';
	return { value: String(all / UNITS[unit]), unit };
}
export const secondsOf = ({ value, unit }) => Number(value) * UNITS[unit];
export function spanWords(all) {
	const parts = [];
	let rest = Math.round(all / 60);
	for (const [unit, size] of [['day', 1440], ['hour', 60], ['minute', 1]]) {
		const n = Math.floor(rest / size);
		rest -= n * size;
		if (n) parts.push(plural(n, unit));
	}
	return parts.join(' ') || 'at once';
}

// ---------------------------------------------------------------------------
// Names

export const KIND_WORDS = {
	cart: ['Abandoned carts', 'Somebody filled a cart and left without ordering.'],
	payment: ['Unpaid orders', 'Somebody ordered, and the payment failed or was not finished.'],
	partial: ['Rest of an order', 'A part of an order is done, the rest is still open.'],
};
export const campaignName = (campaign) => (KIND_WORDS[campaign] || [campaign])[0];
export const templateName = (template) => String(template).replace(/_/g, ' ').replace(/^./, (c) => c.toUpperCase());

// The text that most people read: the shop's language first, then English.
export const textOf = (texts, template, language = 'en') => {
	const own = texts.filter((text) => text.template === template);
	return own.find(({ locale }) => locale === language) || own.find(({ locale }) => locale === language.split('-')[0]) || own.find(({ locale }) => locale === 'en') || own[0];
};

export const couponWords = (coupon) => {
	const value = coupon.kind === 'percentage' ? `${number(coupon.value)} %` : money(coupon.value, coupon.currency);
	return `${value} off${Number(coupon.minimum_value) > 0 ? ` from ${money(coupon.minimum_value, coupon.currency)}` : ''}, valid for ${spanWords(seconds(coupon.valid_for))}`;
};

// ---------------------------------------------------------------------------
// Why somebody gets nothing

const REASONS = {
	no_recipient: 'No e-mail address is known', bot: 'A robot, not a customer', empty: 'Nothing is left to buy', unsubscribed: 'Unsubscribed',
	not_me: 'Says that the cart is not theirs', hard_bounce: 'The address does not exist', complaint: 'Called a mail spam', erased: 'Was forgotten on request',
	suppressed: 'Suppressed by staff', no_consent: 'Did not agree to be mailed', excluded_address: 'The address is excluded', excluded_domain: 'The domain is excluded',
	excluded_customer: 'The customer is excluded', excluded_products: 'Only excluded products are left', excluded_value: 'Too little is left to buy',
	other_cart: 'Has a better cart, which is mailed', cap_per_episode: 'Enough messages for this abandonment', cap_per_person: 'Enough messages in 30 days',
	ordered: 'Has bought since', already_bought: 'Had bought it shortly before', holdout: 'Held out, to measure what messages do', unavailable: 'Nothing of it can be sold any more',
	campaign_disabled: 'The campaign is off', before_campaign: 'Abandoned before the campaign began', customer_returned: 'Was active again', lost: 'Too long ago', expired: 'The order expired',
	converted: 'Has ordered', min_gap: 'Later: another message was sent shortly before', quiet_hours: 'Later: it is night where they are', availability: 'Later: the shop could not be asked what it can sell',
};
export const reasonWords = (reason) => REASONS[reason] || String(reason || '').replace(/_/g, ' ');

// ---------------------------------------------------------------------------
// Results

const COUNTS = ['sent', 'opened', 'clicked', 'converted', 'held_out', 'unsubscribed'];
// Rows of statistics_by_campaign() as one: counts added, revenue by currency.
export function total(rows) {
	const all = Object.fromEntries(COUNTS.map((name) => [name, rows.reduce((sum, row) => sum + Number(row[name] || 0), 0)]));
	all.revenue = rows.filter((row) => Number(row.revenue) > 0);
	return all;
}
export const share = (part, whole) => (Number(whole) > 0 ? percent(part / whole) : '–');
export const revenueWords = (rows) => {
	const sums = new Map();
	for (const { currency, revenue } of rows) sums.set(currency, (sums.get(currency) || 0) + Number(revenue));
	return [...sums].map(([currency, sum]) => money(sum, currency)).join(' + ') || '–';
};

// ---------------------------------------------------------------------------
// Drafts: kept until they are saved or thrown away, also over a reload

const drafts = {
	read: (key) => { try { return JSON.parse(sessionStorage.getItem(key)); } catch { return null; } },
	write: (key, value) => { try { value === null ? sessionStorage.removeItem(key) : sessionStorage.setItem(key, JSON.stringify(value)); } catch { /* then it is kept in this page alone */ } },
};
// saved: what the server has (null: not known yet). {draft, change, dirty, discard, kept}
export function useDraft(key, saved) {
	const [draft, set] = useState(null);
	const [kept, setKept] = useState(false);
	const is = JSON.stringify(saved);
	useEffect(() => {
		if (saved === null) return;
		const found = drafts.read(key);
		const stays = Boolean(found && found.of === is && JSON.stringify(found.draft) !== is);
		set(stays ? found.draft : saved);
		setKept(stays);
	}, [key, is]);
	const dirty = draft !== null && saved !== null && JSON.stringify(draft) !== is;
	useEffect(() => {
		if (!dirty) return undefined;
		return guardLeaving(() => confirm({ title: 'Leave with unsaved changes?', body: 'They are kept in this tab, and are here again when you come back. Customers do not see them.', action: 'Leave', cancel: 'Stay' }));
	}, [dirty]);
	return {
		draft,
		dirty,
		kept: kept && dirty,
		change: (next) => { set(next); drafts.write(key, JSON.stringify(next) === is ? null : { of: is, draft: next }); },
		discard: () => { set(saved); drafts.write(key, null); setKept(false); },
	};
}

// The bar that stands at the foot while something is not saved.
export function SaveBar({ dirty, busy, note, onSave, onDiscard, label = 'Save' }) {
	if (!dirty) return null;
	return html`<div class="save" role="region" aria-label="Unsaved changes"><span>${note || 'Not saved yet.'}</span>
		<button type="button" class="outline secondary" onClick=${onDiscard}>Discard</button>
		<button type="button" aria-busy=${busy ? 'true' : null} disabled=${busy} onClick=${onSave}>${label}</button></div>`;
}

// Settings without which no mail may leave.
export const SETTING_WORDS = { from_email: 'the address of the sender', base_url: 'the address of the pages behind the links', postal_address: 'the postal address, which the law asks for in every mail' };
export const Missing = ({ missing }) => html`<p>No mail can leave: the shop lacks ${missing.map((name, i) => html`${i ? (i === missing.length - 1 ? ' and ' : ', ') : ''}<strong>${SETTING_WORDS[name] || name}</strong>`)}. <a href=${link('shop/')}>Set it in the shop's settings</a></p>`;
