// The days that a page is about, as its address says: period, from and to.
import { html, useState, useEffect } from './ui_base.js';
import { useRoute, setQuery } from './route.js';
import { addDays, today, day } from './format.js';

export const PERIODS = { today: 'Today', '7d': '7 days', '30d': '30 days', '90d': '90 days', month: 'This month', last_month: 'Last month', custom: 'Custom' };
const isDay = (text) => /^\d{4}-\d\d-\d\d$/.test(text || '') && !Number.isNaN(Date.parse(text));
export const daysBetween = (since, until) => Math.round((Date.parse(until) - Date.parse(since)) / 86400000) + 1;

// The day that it is in the shops: the latest one, as the reports have it.
export const lastDay = (shops) => shops.map(({ time_zone: zone }) => today(0, zone)).sort().pop() || today();

// {name, since, until, n, before: {since, until}}: both days are counted; before is as many days.
// last: the day that it is.
export function periodOf({ period, from, to }, last) {
	let name = PERIODS[period] ? period : '30d';
	let since;
	let until = last;
	if (name === 'custom' && !(isDay(from) && isDay(to) && from <= to && daysBetween(from, to) <= 3660)) name = '30d';
	if (name === 'custom') [since, until] = [from, to];
	else if (name === 'today') since = last;
	else if (name === 'month') since = last.slice(0, 8) + '01';
	else if (name === 'last_month') {
		until = addDays(last.slice(0, 8) + '01', -1);
		since = until.slice(0, 8) + '01';
	} else since = addDays(last, 1 - parseInt(name, 10));
	const n = daysBetween(since, until);
	return { name, since, until, n, before: { since: addDays(since, -n), until: addDays(since, -1) } };
}

const short = { day: 'numeric', month: 'short' };
export const range = ({ since, until }) => (since === until ? day(since) : since.slice(0, 4) === until.slice(0, 4) ? `${day(since, short)} – ${day(until)}` : `${day(since)} – ${day(until)}`);
export const inWords = (period) => ({ today: 'today', month: 'this month', last_month: 'last month' }[period.name] || (period.name === 'custom' ? range(period) : `in the last ${period.n} days`));

export function PeriodChoice({ period }) {
	const { query } = useRoute();
	const [own, setOwn] = useState({ from: period.since, to: period.until });
	const [open, setOpen] = useState(period.name === 'custom');
	useEffect(() => {
		setOwn({ from: period.since, to: period.until });
		setOpen(period.name === 'custom');
	}, [period.name, period.since, period.until]);
	const choose = (name) => (name === 'custom' ? setOpen(true) : setQuery({ period: name === '30d' ? null : name, from: null, to: null }));
	const wrong = !isDay(own.from) || !isDay(own.to) || own.from > own.to ? 'The first day must not be after the last one.' : daysBetween(own.from, own.to) > 3660 ? 'At most ten years.' : null;
	const show = (event) => {
		event.preventDefault();
		if (!wrong) setQuery({ period: 'custom', ...own });
	};
	const now = open ? 'custom' : period.name;
	return html`<div class="period">
		<fieldset class="segments"><legend class="hidden">Period</legend>${Object.entries(PERIODS).map(([name, label]) => html`<label key=${name} data-on=${now === name ? '' : null}><input type="radio" name="period" value=${name} checked=${now === name} onChange=${() => choose(name)} />${label}</label>`)}</fieldset>
		${open && html`<form class="row" onSubmit=${show}>
			<label>From <input type="date" name="from" required value=${own.from} onInput=${(event) => setOwn({ ...own, from: event.target.value })} /></label>
			<label>To <input type="date" name="to" required value=${own.to} onInput=${(event) => setOwn({ ...own, to: event.target.value })} aria-invalid=${wrong ? 'true' : null} /></label>
			<button type="submit" disabled=${Boolean(wrong)}>Show</button>${wrong && html`<small class="problem" role="alert">${wrong}</small>`}</form>`}
	</div>`;
}
