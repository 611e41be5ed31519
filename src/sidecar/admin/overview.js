// The overview: what was lost, what came back, and whether it is getting better.
import { html, useMemo, useState, useEffect } from './vendor/preact.js';
import { Page, Term, Asked, Empty, Copy, Switch, useKeys } from './ui.js';
import { useGet, useEvery, get, session, may } from './api.js';
import { useRoute, link, setQuery } from './route.js';
import { money, number, percent, day, clock, duration, change, zoneName, addDays, today } from './format.js';
import { Near, Chart, Curves, Bars, Columns, Funnel, stepName, worstOf, Hours, hourName, Campaigns, Lift, compare, nameOf, Cohorts, cohortRows, cohortColumns, sum, most, ratio } from './charts.js';

// ---------------------------------------------------------------------------
// Its days, as the address says: period, from and to

const PERIODS = { today: 'Today', '7d': '7 days', '30d': '30 days', '90d': '90 days', month: 'This month', last_month: 'Last month', custom: 'Custom' };
const isDay = (text) => /^\d{4}-\d\d-\d\d$/.test(text || '') && !Number.isNaN(Date.parse(text));
const daysBetween = (since, until) => Math.round((Date.parse(until) - Date.parse(since)) / 86400000) + 1;

// The day that it is in the shops: the latest one, as the reports have it.
const lastDay = (shops) => shops.map(({ time_zone: zone }) => today(0, zone)).sort().pop() || today();

// {name, since, until, n, before: {since, until}}: both days are counted; before is as many days.
// last: the day that it is.
function periodOf({ period, from, to }, last) {
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
const range = ({ since, until }) => (since === until ? day(since) : since.slice(0, 4) === until.slice(0, 4) ? `${day(since, short)} – ${day(until)}` : `${day(since)} – ${day(until)}`);
const inWords = (period) => ({ today: 'today', month: 'this month', last_month: 'last month' }[period.name] || (period.name === 'custom' ? range(period) : `in the last ${period.n} days`));

function PeriodChoice({ period }) {
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

// ---------------------------------------------------------------------------
// The figures of statistics()

// An interval of PostgreSQL ("1 day 02:03:04") in seconds.
function seconds(interval) {
	if (interval === null || interval === undefined) return null;
	const [, sign, h, m, s] = /(-?)(\d+):(\d+):([\d.]+)/.exec(interval) || [0, '', 0, 0, 0];
	const part = (unit, size) => Number((new RegExp(`(-?\\d+) ${unit}`).exec(interval) || [0, 0])[1]) * size;
	return part('year', 31557600) + part('mon', 2592000) + part('day', 86400) + (sign ? -1 : 1) * (h * 3600 + m * 60 + Number(s));
}

// good: 1 when more is better, -1 when less is; orders: filters of the list behind it, by the day
// of creation, or of the abandonment for what became of that
const BIG = [
	{ name: 'abandoned_value', label: 'Left behind', term: 'abandoned', kind: 'money', good: -1, sub: (of) => `${number(of.abandoned)} of ${number(of.total)} orders`, orders: { status: 'abandoned' } },
	{ name: 'recovered_value', label: 'Recovered', term: 'recovered revenue', kind: 'money', good: 1, sub: (of) => `${number(of.recovered)} orders paid after a click`, left: { outcome: 'recovered' } },
	{ name: 'recovery_rate', label: 'Recovery rate', term: 'recovery rate', kind: 'rate', good: 1, sub: (of) => `${number(of.recovered)} of ${number(of.recoverable)} recoverable`, left: { outcome: 'recovered' } },
	{ name: 'lost_value', label: 'Lost', term: 'lost value', kind: 'money', good: -1, sub: () => 'given up after messages and 14 days', left: { status: 'abandoned,expired' } },
];
const SMALL = [
	{ name: 'total', label: 'Orders begun', term: 'created', good: 0, orders: { tab: 'all' } },
	{ name: 'converted', label: 'Converted', term: 'converted', good: 1, orders: { status: 'converted' } },
	{ name: 'conversion_rate', label: 'Conversion rate', term: 'conversion rate', kind: 'rate', good: 1, orders: { status: 'converted' } },
	{ name: 'abandonment_rate', label: 'Abandonment rate', term: 'abandonment rate', kind: 'rate', good: -1, orders: { status: 'pending,payment_pending,payment_failed,abandoned,expired,dismissed,deleted' } },
	{ name: 'checkout_abandonment_rate', label: 'Checkouts abandoned', term: 'checkout abandonment rate', kind: 'rate', good: -1, orders: { status: 'abandoned' } },
	{ name: 'assisted', label: 'Assisted', term: 'assisted', good: 1, left: { outcome: 'assisted' } },
	{ name: 'unaided', label: 'Unaided', term: 'unaided', good: 0, left: { outcome: 'unaided' } },
	{ name: 'messages_sent', label: 'Messages sent', term: 'attempts', good: 0 },
	{ name: 'median_time_to_recover', label: 'Half recovered within', term: 'time to recover', kind: 'span', good: -1, left: { outcome: 'recovered' } },
	{ name: 'average_days_to_abandon', label: 'Time to abandon', term: 'days to abandon', kind: 'days', good: 0, orders: { status: 'abandoned' } },
];
const round = { maximumFractionDigits: 0 };
function shown({ name, kind }, of) {
	const value = of[name];
	if (value === null || value === undefined) return '–';
	if (kind === 'money') return money(value, of.currency, Math.abs(value) >= 100000 ? round : {});
	if (kind === 'rate') return percent(value);
	if (kind === 'span') return duration(seconds(value));
	return kind === 'days' ? duration(value * 86400) : number(value);
}
const sizeOf = ({ name, kind }, of) => (kind === 'span' ? seconds(of[name]) : of[name]);

// How it changed, with the sign as a word, too.
function Change({ figure, of, before }) {
	const { text, direction } = Number(before.total) ? change(sizeOf(figure, of), sizeOf(figure, before), { rate: figure.kind === 'rate' }) : {};
	if (!text) return html`<p class="change soft">no comparison</p>`;
	const tone = direction * figure.good > 0 ? 'good' : direction * figure.good < 0 ? 'bad' : 'soft';
	return html`<p class="change ${tone} number" title=${`Before: ${shown(figure, before)}`}>${text}${direction ? (direction > 0 ? ' more' : ' less') : ''}${tone === 'soft' ? '' : html`<span class="hidden">, which is ${tone === 'good' ? 'better' : 'worse'}</span>`}</p>`;
}

const createdIn = ({ since, until }, currency, more) => may('list_orders') && link('orders/', { start_date: since, end_date: until, currency, ...more });
const abandonedIn = ({ since, until }, currency, more) => may('list_orders') && link('orders/', { abandoned_start: since, abandoned_end: until, currency, tab: more.status || more.outcome ? null : 'all', ...more });

// The value leads to the orders behind it.
function Figure({ figure, of, before, period, big }) {
	const to = figure.left ? abandonedIn(period, of.currency, figure.left) : figure.orders ? createdIn(period, of.currency, figure.orders) : may('list_messages') && link('messages/', { status: 'sent' });
	const value = shown(figure, of);
	return html`<div class=${big ? 'figure big card' : 'figure'} data-figure=${figure.name}>
		<h2><${Term} name=${figure.term}>${figure.label}<//></h2>
		<p class="value number" title=${figure.kind === 'money' ? money(of[figure.name], of.currency) : null}>${to ? html`<a href=${to} aria-label=${`${figure.label}: ${value}. ${figure.left || figure.orders ? 'The orders behind it' : 'The messages'}`}>${value}</a>` : value}</p>
		${figure.sub && html`<p class="soft number">${figure.sub(of)}</p>`}
		${before && (big || Number(before.total) > 0) && html`<${Change} figure=${figure} of=${of} before=${before} />`}
	</div>`;
}

function headline(of, before, period) {
	const left = Number(of.abandoned) ? `${number(of.abandoned)} orders worth ${money(of.abandoned_value, of.currency, round)} lie abandoned` : 'No order lies abandoned';
	const back = Number(of.recovered) ? `${number(of.recovered)} came back by a message and paid ${money(of.recovered_value, of.currency, round)}` : 'none came back by a message';
	let trend = '';
	if (before && Number(before.total)) {
		const { direction, text } = change(of.recovered_value, before.recovered_value);
		trend = !text ? '' : direction === 0 ? ' As much was recovered as before.' : ` That is ${text.slice(2)} ${direction > 0 ? 'more' : 'less'} recovered than in the ${period.n === 1 ? 'day' : `${period.n} days`} before.`;
	}
	return `${inWords(period).replace(/^./, (c) => c.toUpperCase())}: ${left}; ${back}.${trend}`;
}

// ---------------------------------------------------------------------------
// The charts

const CURVES = [
	{ name: 'total', label: 'Created', colour: 'created' },
	{ name: 'episodes', label: 'Abandoned', colour: 'abandoned' },
	{ name: 'recovered', label: 'Recovered', colour: 'recovered' },
	{ name: 'converted', label: 'Converted', colour: 'converted' },
	{ name: 'lost', label: 'Lost', colour: 'lost' },
];
const int = (value) => number(value);
const left = { align: 'left' };
const cash = (currency) => (value) => money(value, currency);
const compact = (currency) => (value) => money(value, currency, { notation: 'compact', maximumFractionDigits: 1 });
const OUTCOMES = (currency) => [
	{ name: 'episodes', label: 'Abandoned', show: int }, { name: 'episode_value', label: 'Worth', show: cash(currency) },
	{ name: 'recovered', label: 'Recovered', show: int }, { name: 'recovered_value', label: 'Paid', show: cash(currency) },
	{ name: 'assisted', label: 'Assisted', show: int }, { name: 'unaided', label: 'Unaided', show: int },
];
const share = (part, whole) => percent(ratio(part, whole) ?? 0);

function Days({ rows, before, currency, zone, last, file }) {
	const columns = [{ name: 'day', label: 'Day', show: (value) => day(value), ...left }, ...CURVES.map(({ name, label }) => ({ name, label, show: int }))];
	const cashColumns = [columns[0], { name: 'recovered_value', label: 'Recovered', show: cash(currency) }, { name: 'episode_value', label: 'Abandoned, worth', show: cash(currency) }, { name: 'converted_value', label: 'Converted, worth', show: cash(currency) }];
	const top = most(rows, 'episodes');
	const best = most(rows, 'recovered_value');
	const total = sum(rows, 'recovered_value');
	const unit = `Orders a day, by the day in ${zone} on which they were begun (created, converted) or abandoned (the others).${before ? ' Dashed: the period before.' : ''}`;
	const any = rows.some((row) => CURVES.some(({ name }) => Number(row[name])));
	return html`
		<${Chart} title="By day" file=${file('days')} columns=${columns} rows=${any ? rows : []} data-chart="days"
			says=${top && Number(top.episodes) ? `Most carts were abandoned on ${day(top.day, { weekday: 'long', day: 'numeric', month: 'long' })}: ${number(top.episodes)}; on average ${number(sum(rows, 'episodes') / rows.length, { maximumFractionDigits: 1 })} a day.` : 'Nothing was abandoned in these days.'}>
			<${Curves} last=${last} rows=${rows} before=${before} curves=${CURVES} show=${int} unit=${unit} label="Orders by day" /><//>
		<${Chart} title="Money recovered by day" file=${file('recovered')} columns=${cashColumns} rows=${any ? rows : []} data-chart="money"
			says=${total > 0 ? `${money(total, currency)} in all; the best day was ${day(best.day, { weekday: 'long', day: 'numeric', month: 'long' })} with ${money(best.recovered_value, currency)}.` : 'Nothing that was abandoned in these days was recovered yet.'}>
			<${Curves} last=${last} rows=${rows} before=${before} curves=${[{ name: 'recovered_value', label: 'Recovered', colour: 'recovered' }]} show=${cash(currency)} axis=${compact(currency)} height=${180} pick="hide_money" fill
				unit=${`${currency}, paid less refunds, by the day of the abandonment.`} label="Money recovered by day" /><//>`;
}

const words = (value) => (value === null ? 'Not told' : String(value).replace(/_/g, ' ').replace(/^./, (c) => c.toUpperCase()));
const span = (low, high, show) => (high === null ? `${show(low)} and more` : `${show(low)} – ${show(high)}`);

// Bars by a word: reasons, devices, sources, steps.
function ByWord({ title, name, rows, currency, period, file, empty, says }) {
	const all = sum(rows, 'episodes');
	const known = rows.filter((row) => row.episodes > 0 && row[name] !== null);
	const list = known.length ? rows.filter((row) => row.episodes > 0) : [];
	const first = most(known, 'episodes');
	return html`<${Chart} title=${title} file=${file} columns=${[{ name, label: title, show: words, ...left }, ...OUTCOMES(currency)]} rows=${list} empty=${all ? empty : null} data-chart=${name}
		says=${first && says(words(first[name]).toLowerCase(), share(first.episodes, all))}>
		<${Bars} colour="abandoned" label=${title} bars=${[...list].sort((a, b) => b.episodes - a.episodes).slice(0, 8).map((row) => ({ key: String(row[name]), label: words(row[name]), href: name !== 'reason' && row[name] && abandonedIn(period, currency, { [name]: row[name] }), size: row.episodes, part: row.recovered,
			text: html`${number(row.episodes)} <span class="soft">${share(row.episodes, all)}; recovered ${number(row.recovered)}</span>`, title: `${money(row.episode_value, currency)} abandoned, ${money(row.recovered_value, currency)} recovered` }))} />
		${list.length > 8 && html`<p class="note">And ${list.length - 8} more in the table.</p>`}<//>`;
}

const REPORTS = {
	hours: { path: 'statistics_by_hour/', height: '23rem' },
	funnel: { path: 'funnel/', height: '25rem' },
	products: { path: 'statistics_by_product/', height: '25rem', page_size: 100 },
	values: { path: 'statistics_by_value/', height: '22rem' },
	times: { path: 'statistics_by_recovery_time/', height: '22rem' },
	reasons: { path: 'statistics_by_reason/' },
	devices: { path: 'statistics_by_device/' },
	sources: { path: 'statistics_by_source/' },
	campaigns: { path: 'statistics_by_campaign/' },
	cohorts: { path: 'statistics_by_cohort_age/' },
};

function draw(name, { rows, currency, period, zone, file, of, query }) {
	const cashNow = cash(currency);
	switch (name) {
	case 'hours': {
		const top = most(rows, 'episodes');
		return html`<${Chart} title="When they leave" file=${file(name)} data-chart="hours" rows=${sum(rows, 'episodes') + sum(rows, 'created') ? rows : []}
			columns=${[{ name: 'weekday', label: 'Weekday', show: (value, row) => hourName(row).split(' ')[0], ...left }, { name: 'hour', label: 'Hour' }, { name: 'created', label: 'Created', show: int }, ...OUTCOMES(currency)]}
			says=${top && Number(top.episodes) ? `Most carts are left on ${hourName(top)}: ${number(top.episodes)} of ${number(sum(rows, 'episodes'))}.` : 'Nothing was abandoned in these days.'}
			note=${`Hours of ${zone}.`}><${Hours} rows=${rows} name="episodes" colour="abandoned" what="abandoned" /><//>`;
	}
	case 'funnel': {
		const worst = worstOf(rows);
		const first = rows[0];
		const end = rows[rows.length - 1];
		return html`<${Chart} title="How far they come" file=${file(name)} data-chart="funnel" rows=${first && first.orders > 0 ? rows : []}
			columns=${[{ name: 'step', label: 'Step', show: stepName, ...left }, { name: 'orders', label: 'Orders', show: int }, { name: 'share', label: 'Of all', show: (value) => percent(value) }, { name: 'from_previous', label: 'Of the step before', show: (value) => percent(value) }]}
			says=${first && `${share(end.orders, first.orders)} of those who begin buy in the end.${worst ? ` Most are lost before ${stepName(worst.step).toLowerCase()}: ${percent(1 - worst.from_previous)} of those who had come so far.` : ''}`}>
			<${Funnel} rows=${rows} /><//>`;
	}
	case 'reasons':
		return html`<${ByWord} title="Why they leave" name="reason" rows=${rows} currency=${currency} period=${period} file=${file(name)} says=${(first, part) => `The most frequent reason: ${first}, ${part} of the abandonments.`}
			empty=${html`<h3>Nobody said why</h3><p>The page’s script tells of checkouts that fail; your code can with <code>track_abandonment()</code>.</p>`} />`;
	case 'devices':
		return html`<${ByWord} title="Devices" name="device" rows=${rows} currency=${currency} period=${period} file=${file(name)} says=${(first, part) => `Most are left with: ${first}, ${part}.`}
			empty=${html`<h3>No device is known</h3><p>Give <code>context.device</code> with the cart.</p>`} />`;
	case 'sources':
		return html`<${ByWord} title="Sources" name="source" rows=${rows} currency=${currency} period=${period} file=${file(name)} says=${(first, part) => `Most of those who left came from: ${first}, ${part}.`}
			empty=${html`<h3>No source is known</h3><p>Give <code>context.source</code> with the cart.</p>`} />`;
	case 'values': {
		const list = rows.filter((row) => row.episodes > 0);
		const top = most(list, 'episodes');
		const show = compact(currency);
		return html`<${Chart} title="What is in them" file=${file(name)} data-chart="values" rows=${list}
			columns=${[{ name: 'value_from', label: 'From', show: cashNow }, { name: 'value_before', label: 'Below', show: cashNow }, ...OUTCOMES(currency)]}
			says=${top && `Most abandoned carts are worth ${span(top.value_from, top.value_before, show)}: ${number(top.episodes)}, ${share(top.episodes, sum(list, 'episodes'))}.`}>
			<${Columns} colour="abandoned" axis=${`Value of the cart from, ${currency}; height: abandonments`} show=${int} label="Abandonments by value"
				columns=${list.map((row) => ({ key: row.value_from, label: number(row.value_from, { notation: 'compact' }), size: Number(row.episodes), words: `${span(row.value_from, row.value_before, show)}: ${number(row.episodes)} abandoned, recovered ${number(row.recovered)}` }))} /><//>`;
	}
	case 'products': {
		const list = rows.slice(0, 10);
		return html`<${Chart} title="What is left behind" file=${file(name)} data-chart="products" rows=${rows} all=${async () => (await get('incomplete-orders/statistics_by_product/', query)).results.filter((row) => row.currency === currency)}
			columns=${[{ name: 'product', label: 'Product', ...left }, { name: 'name', label: 'Name', ...left }, { name: 'abandoned', label: 'Abandoned', show: int }, { name: 'abandoned_quantity', label: 'Pieces', show: int }, { name: 'abandoned_value', label: 'Worth', show: cashNow },
				{ name: 'recovered', label: 'Recovered', show: int }, { name: 'recovered_quantity', label: 'Pieces recovered', show: int }, { name: 'recovered_value', label: 'Paid', show: cashNow }]}
			says=${list[0] && `${list[0].name || list[0].product} lies in the most abandoned carts: ${number(list[0].abandoned)}.`} note=${rows.length >= REPORTS.products.page_size ? `The table has the first ${REPORTS.products.page_size}; the file has all.` : null}>
			<${Bars} colour="abandoned" label="Products" bars=${list.map((row) => ({ key: row.product, label: row.name || row.product, size: Number(row.abandoned), part: Number(row.recovered), title: row.product,
				text: html`${number(row.abandoned)} <span class="soft">${money(row.abandoned_value, currency)}</span>` }))} /><//>`;
	}
	case 'campaigns': {
		const list = rows.filter((row) => row.sent > 0 || row.held_out > 0 || row.converted > 0);
		const best = most(list, 'revenue');
		const steps = new Map();
		for (const row of list) if (row.variant) steps.set(`${row.campaign} ${row.step}`, [...(steps.get(`${row.campaign} ${row.step}`) || []), row]);
		const trials = [...steps.values()].map(compare).filter(Boolean);
		return html`<${Chart} title="What messages bring back" file=${file(name)} data-chart="campaigns" rows=${list}
			columns=${[{ name: 'campaign', label: 'Campaign', show: (value) => value ?? 'By hand', ...left }, { name: 'step', label: 'Step' }, { name: 'variant', label: 'Variant', show: (value) => value ?? '–', ...left },
				...['queued', 'held_out', 'sent', 'opened', 'clicked', 'unsubscribed', 'bounced', 'converted'].map((column) => ({ name: column, label: words(column), show: int })), { name: 'conversion_rate', label: 'Of the sent', show: (value) => percent(value) }, { name: 'revenue', label: 'Paid', show: cashNow }, { name: 'coupon_cost', label: 'Discounts', show: cashNow }]}
			empty=${html`<h3>No message was sent in these days</h3><p>${may('enable_campaign') ? html`<a href=${link('campaigns/')}>Look at the campaigns</a>: one that is on writes to those who left.` : 'Somebody who may change campaigns can turn one on.'}</p>`}
			says=${best && (Number(best.revenue) ? `${nameOf(best)} brought back the most: ${cashNow(best.revenue)} by ${number(best.converted)} orders.` : `${number(sum(list, 'sent'))} messages were sent; none has brought an order back yet.`)}>
			<${Campaigns} rows=${list} money=${cashNow} />
			${trials.map((text) => html`<p key=${text} class="trial">${text}</p>`)}
			<${Lift} of=${of} /><//>`;
	}
	case 'times': {
		const last = rows.reduce((end, row, i) => (row.recovered > 0 ? i : end), 0);
		const list = rows.slice(0, Math.max(8, last + 1));
		const top = most(rows, 'recovered');
		const short = (value) => duration(seconds(value));
		return html`<${Chart} title="How long it takes to win them back" file=${file(name)} data-chart="times" rows=${rows}
			columns=${[{ name: 'time_from', label: 'From', show: short }, { name: 'time_before', label: 'Before', show: short }, { name: 'recovered', label: 'Recovered', show: int }, { name: 'recovered_value', label: 'Paid', show: cashNow }, { name: 'share', label: 'Share', show: (value) => percent(value) }, { name: 'share_before', label: 'Up to here', show: (value) => percent(value) }]}
			empty="Nothing was recovered in these days." says=${top && `Most pay ${span(top.time_from, top.time_before, short)} after they left${of.median_time_to_recover ? `; a half within ${short(of.median_time_to_recover)}, nine of ten within ${short(of.p90_time_to_recover)}` : ''}.`}>
			<${Columns} colour="recovered" axis="From the abandonment to the payment; height: recovered orders" show=${int} label="Recovered orders by time"
				columns=${list.map((row) => ({ key: row.time_from, label: short(row.time_from), size: Number(row.recovered), words: `${span(row.time_from, row.time_before, short)}: ${number(row.recovered)} recovered, ${percent(row.share)}; up to here ${percent(row.share_before)}` }))} /><//>`;
	}
	case 'cohorts': {
		const list = cohortRows(rows);
		const whole = list.filter((row) => row.mature && row.recoverable > 0);
		const best = whole.reduce((found, row) => (!found || row.recovered / row.recoverable > found.recovered / found.recoverable ? row : found), null);
		return html`<${Chart} title="Week by week" file=${file(name)} data-chart="cohorts" rows=${list} columns=${cohortColumns(rows)}
			says=${best ? `Of the weeks that are over, that from ${day(best.week)} was won back best: ${share(best.recovered, best.recoverable)} of the recoverable.` : list.length ? 'No week is old enough to be compared yet.' : ''}
			note="By the week of the abandonment, from Monday. Lighter and with *: may still grow."><${Cohorts} rows=${list} /><//>`;
	}
	}
	return null;
}

// ---------------------------------------------------------------------------
// The page

export default function Overview() {
	const { query } = useRoute();
	const compared = query.compare !== 'no';
	const shops = session().shops || [];
	const shop = query.shop || (shops.length > 1 ? '*' : undefined);
	const chosen = shop === '*' ? shops : [shops.find((one) => one.shop === shop) || shops[0]].filter(Boolean);
	const last = lastDay(chosen);
	const period = periodOf(query, last);
	const days = ({ since, until }) => ({ shop, start_date: since, end_date: until });
	const now = useGet('incomplete-orders/statistics/', days(period));
	const past = useGet(compared ? 'incomplete-orders/statistics/' : null, days(period.before));
	const byDay = useGet('incomplete-orders/statistics_by_day/', days(period));
	const pastByDay = useGet(compared ? 'incomplete-orders/statistics_by_day/' : null, days(period.before));
	const all = [now, past, byDay, pastByDay];
	const refresh = () => all.forEach((one) => one.refresh());
	useEvery(300, refresh);
	const pick = (name) => setQuery({ period: name === '30d' ? null : name, from: null, to: null });
	useKeys({ d: () => pick('today'), w: () => pick('7d'), m: () => pick('30d'), q: () => pick('90d'), c: () => setQuery({ compare: compared ? 'no' : null }), r: refresh },
		{ 'd w m q': 'Today, 7, 30, 90 days', c: 'Compare with the period before', r: 'Load anew' });

	const currencies = now.data ? now.data.results.map((row) => row.currency) : [];
	const own = (chosen.length === 1 && chosen[0]) || {};
	const currency = [query.currency, own.currency, (most(now.data ? now.data.results : [], 'total') || {}).currency].find((one) => currencies.includes(one));
	const of = now.data && now.data.results.find((row) => row.currency === currency);
	const before = compared && past.data ? past.data.results.find((row) => row.currency === currency) || { total: 0 } : null;
	const rows = useMemo(() => byDay.data && byDay.data.results.filter((row) => row.currency === currency), [byDay.data, currency]);
	// a period in which nothing happened is no comparison
	const rowsBefore = useMemo(() => {
		const list = compared && pastByDay.data ? pastByDay.data.results.filter((row) => row.currency === currency) : [];
		return list.some((row) => row.total > 0 || row.episodes > 0) ? list : null;
	}, [pastByDay.data, currency, compared]);
	const file = (what) => `${query.shop || own.shop || 'all'}-${what}-${period.since}-${period.until}${currencies.length > 1 ? `-${currency}` : ''}`;
	const zone = new Set(chosen.map((one) => one.time_zone)).size > 1 ? 'each shop’s own time zone' : zoneName();

	return html`<${Page} title="Overview" actions=${html`
		<${Copy} text=${location.href} label="Copy link" />
		<button type="button" class="outline secondary small" onClick=${refresh}>Refresh</button>`}>
		<div class="overview">
		<div class="choices"><${PeriodChoice} period=${period} />
			<div class="actions">
				${currencies.length > 1 && html`<select aria-label="Currency" value=${currency} onChange=${(event) => setQuery({ currency: event.target.value })}>${currencies.map((one) => html`<option key=${one} value=${one} selected=${one === currency}>${one}</option>`)}</select>`}
				<${Switch} label="Compare" checked=${compared} onChange=${(on) => setQuery({ compare: on ? null : 'no' })} />
			</div></div>
		<p class="note as-of">${range(period)}${compared ? `, against ${range(period.before)}${before && !Number(before.total) ? ', when nothing was begun' : ''}` : ''}. Days of ${zone}. <span class="number">${now.at ? `As of ${clock(now.at)}.` : ''}</span>${currencies.length > 1 ? ` Only ${currency}: currencies are never added up.` : ''}</p>
		<div class="summary"><${Asked} of=${now} height="24rem">${() => !of ? html`<${Empty} title="No figures yet">There is no shop whose figures you may see.<//>` : html`
			<p class="headline number">${headline(of, before, period)}</p>
			${Number(of.total) === 0 && Number(of.messages_sent) === 0 && Number(of.recoverable) === 0 && html`<div class="card"><${Empty} title="Nothing happened in these days"
				command=${`SELECT incomplete_orders.capture_cart('session-1', '[{"sku":"MUG-1","quantity":1,"unit_price":"9.50"}]', email => 'ann@example.com'${own.shop ? `, shop => '${own.shop.replace(/'/g, "''")}'` : ''});`}>
				Choose a longer period. If the shop is new: carts come from the page's script, from the shop's own code, or from its tables. One by hand:<//></div>`}
			<div class="figures-big">${BIG.map((figure) => html`<${Figure} key=${figure.name} big figure=${figure} of=${of} before=${before} period=${period} />`)}</div>
			<div class="card figures-small">${SMALL.map((figure) => html`<${Figure} key=${figure.name} figure=${figure} of=${of} before=${before} period=${period} />`)}</div>`}<//></div>
		<div class="near" style=${{ minHeight: rows ? '' : '49rem' }}><${Asked} of=${byDay} height="46rem">${() => rows && html`<${Days} rows=${rows} before=${rowsBefore} currency=${currency} zone=${zone} last=${last} file=${file} />`}<//></div>
		<div class="charts">${of && Object.entries(REPORTS).map(([name, { path, height, page_size }]) => html`<${Near} key=${name} name=${name} path=${`incomplete-orders/${path}`} query=${{ ...days(period), page_size }} height=${height} currency=${currency}>
			${(list) => draw(name, { rows: list, currency, period, zone, file, of, query: days(period) })}<//>`)}</div>
		</div><//>`;
}
