// Values as people read them, in the language of their browser and the time zone of the shop.
const cache = new Map();
let zone = Intl.DateTimeFormat().resolvedOptions().timeZone;

function cached(make, options) {
	const key = make.name + JSON.stringify(options);
	if (!cache.has(key)) cache.set(key, new make(undefined, options));
	return cache.get(key);
}
const none = (value) => value === null || value === undefined || value === '' || Number.isNaN(Number(value));

export const setZone = (name) => { if (name) zone = name; };
export const zoneName = () => zone;

export function money(amount, currency, options = {}) {
	if (none(amount)) return '–';
	try {
		return cached(Intl.NumberFormat, { style: 'currency', currency, ...options }).format(amount);
	} catch {
		return `${amount} ${currency || ''}`;
	}
}
export const number = (n, options) => (none(n) ? '–' : cached(Intl.NumberFormat, options).format(n));
export const percent = (ratio, digits = 1) => (none(ratio) ? '–' : cached(Intl.NumberFormat, { style: 'percent', minimumFractionDigits: digits, maximumFractionDigits: digits }).format(ratio));
export const capped = (count, isCapped) => number(count) + (isCapped ? '+' : '');

// 20 min ago, in 3 days
export function ago(instant, now = Date.now()) {
	if (!instant) return '–';
	const seconds = (new Date(instant) - now) / 1000;
	const size = Math.abs(seconds);
	if (size < 45) return 'just now';
	const [unit, divide] = size < 3600 * 0.9 ? ['minute', 60] : size < 86400 * 0.9 ? ['hour', 3600] : size < 86400 * 45 ? ['day', 86400] : size < 86400 * 500 ? ['month', 2629800] : ['year', 31557600];
	return cached(Intl.RelativeTimeFormat, { numeric: 'always', style: 'short' }).format(Math.round(seconds / divide), unit);
}
export const exact = (instant, timeZone = zone) => (instant ? cached(Intl.DateTimeFormat, { dateStyle: 'medium', timeStyle: 'medium', timeZone }).format(new Date(instant)) + ` (${timeZone})` : '');
export const clock = (instant, timeZone = zone) => (instant ? cached(Intl.DateTimeFormat, { hour: '2-digit', minute: '2-digit', timeZone }).format(new Date(instant)) : '');

// A calendar day, "2026-11-22" or an instant in the shop's zone.
export function day(date, options = { day: 'numeric', month: 'short', year: 'numeric' }) {
	if (!date) return '–';
	return /^\d{4}-\d\d-\d\d$/.test(date)
		? cached(Intl.DateTimeFormat, { ...options, timeZone: 'UTC' }).format(new Date(date + 'T00:00:00Z'))
		: cached(Intl.DateTimeFormat, { ...options, timeZone: zone }).format(new Date(date));
}
// "2026-11-22": the day that it is in the shop, moved by some
export function today(plus = 0, timeZone = zone) {
	const parts = Object.fromEntries(cached(Intl.DateTimeFormat, { year: 'numeric', month: '2-digit', day: '2-digit', timeZone, calendar: 'iso8601', numberingSystem: 'latn' }).formatToParts(new Date()).map(({ type, value }) => [type, value]));
	return addDays(`${parts.year}-${parts.month}-${parts.day}`, plus);
}
export const addDays = (date, n) => new Date(Date.parse(date + 'T00:00:00Z') + n * 86400000).toISOString().slice(0, 10);

// Seconds, as the two largest units: 2 d 4 h
export function duration(seconds) {
	if (none(seconds)) return '–';
	let rest = Math.round(Math.abs(seconds));
	const parts = [];
	for (const [unit, size] of [['d', 86400], ['h', 3600], ['min', 60], ['s', 1]]) {
		const n = Math.floor(rest / size);
		rest -= n * size;
		if (n) parts.push(`${n} ${unit}`);
		else if (parts.length) break;
	}
	return (seconds < 0 ? '−' : '') + (parts.slice(0, 2).join(' ') || '0 s');
}

// A change against the period before: of rates in points, of everything else in per cent.
export function change(now, before, { rate = false } = {}) {
	if (none(now) || none(before) || (!rate && Number(before) === 0)) return { text: '', words: 'no comparison', direction: 0 };
	// 9 digits: binary numbers have no 1.95
	const by = Number((rate ? (now - before) * 100 : (now - before) / Math.abs(before)).toFixed(9));
	const size = rate ? number(Math.abs(by), { maximumFractionDigits: 1 }) + ' points' : percent(Math.abs(by));
	const direction = Math.sign(Math.round(by * 1000));
	return {
		text: direction === 0 ? '= same' : (direction > 0 ? '▲ ' : '▼ ') + size,
		words: direction === 0 ? 'the same as before' : (direction > 0 ? 'more by ' : 'less by ') + size,
		direction,
	};
}

// Only what a browser may follow from data: http and https.
export function safeUrl(url) {
	try {
		const parsed = new URL(url);
		return parsed.protocol === 'https:' || parsed.protocol === 'http:' ? parsed.href : null;
	} catch {
		return null;
	}
}
export const person = (order) => order.name || order.email || order.customer_email || order.phone || order.customer_phone || (order.customer_id ? `Customer ${order.customer_id}` : 'Guest');
export const plural = (n, one, many = one + 's') => `${number(n)} ${Number(n) === 1 ? one : many}`;
