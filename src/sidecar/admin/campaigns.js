// Campaigns: whether they are on, what they send when, and what came of it; one campaign's
// sequence, to be edited; who gets what. The texts that they send, and whom they reach.
import { html, useEffect, useLayoutEffect, useRef, useState } from './vendor/preact.js';
import { get, may, send, useGet } from './api.js';
import { go, guardLeaving, link, setQuery } from './route.js';
import { exact, money, number, percent, person, plural, today } from './format.js';
import { Ago, announce, Asked, Choice, confirm, dialog, Empty, Field, Notice, Page, Pager, Pill, ProblemNotice, Search, Section, Switch, Table, Tabs, Term, useShop, compare, Lift, Whisker, wilson } from './ui.js';
import { reasonWords } from './words.js';
import { MailFrame } from './order.js';

const UNITS = { minutes: 60, hours: 3600, days: 86400 };
const UNIT_CHOICES = Object.keys(UNITS).map((unit) => [unit, unit]);

function seconds(span) {
	const text = String(span ?? '');
	const clock = /(-?)(\d+):(\d\d):(\d\d)/.exec(text);
	const of = (name, size) => { const found = new RegExp(`(-?\\d+) ${name}`).exec(text); return found ? Number(found[1]) * size : 0; };
	return of('year', 31536000) + of('mon', 2592000) + of('day', 86400) + (clock ? (clock[1] ? -1 : 1) * (clock[2] * 3600 + clock[3] * 60 + Number(clock[4])) : 0);
}
// the largest unit in which it is a whole number
function inUnit(span) {
	const all = seconds(span);
	const unit = all && all % 86400 === 0 ? 'days' : all % 3600 === 0 ? 'hours' : 'minutes';
	return { value: String(all / UNITS[unit]), unit };
}
const secondsOf = ({ value, unit }) => Number(value) * UNITS[unit];
function spanWords(all) {
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

const KIND_WORDS = {
	cart: ['Abandoned carts', 'Somebody filled a cart and left without ordering.'],
	payment: ['Unpaid orders', 'Somebody ordered, and the payment failed or was not finished.'],
	partial: ['Rest of an order', 'A part of an order is done, the rest is still open.'],
};
const campaignName = (campaign) => (KIND_WORDS[campaign] || [campaign])[0];
const templateName = (template) => String(template).replace(/_/g, ' ').replace(/^./, (c) => c.toUpperCase());

// The text that most people read: the shop's language first, then English.
const textOf = (texts, template, language = 'en') => {
	const own = texts.filter((text) => text.template === template);
	return own.find(({ locale }) => locale === language) || own.find(({ locale }) => locale === language.split('-')[0]) || own.find(({ locale }) => locale === 'en') || own[0];
};

const couponWords = (coupon) => {
	const value = coupon.kind === 'percentage' ? `${number(coupon.value)} %` : money(coupon.value, coupon.currency);
	return `${value} off${Number(coupon.minimum_value) > 0 ? ` from ${money(coupon.minimum_value, coupon.currency)}` : ''}, valid for ${spanWords(seconds(coupon.valid_for))}`;
};

// ---------------------------------------------------------------------------
// Results

const COUNTS = ['sent', 'opened', 'clicked', 'converted', 'held_out'];
// Rows of statistics_by_campaign() as one: counts added, revenue by currency.
function total(rows) {
	const all = Object.fromEntries(COUNTS.map((name) => [name, rows.reduce((sum, row) => sum + Number(row[name] || 0), 0)]));
	all.revenue = rows.filter((row) => Number(row.revenue) > 0);
	return all;
}
const share = (part, whole) => (Number(whole) > 0 ? percent(part / whole) : '–');
const revenueWords = (rows) => {
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
function useDraft(key, saved) {
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
		return guardLeaving(() => confirm({ title: 'Leave with unsaved changes?', body: 'They are kept in this tab until you come back.', action: 'Leave', cancel: 'Stay' }));
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
function SaveBar({ dirty, busy, note, onSave, onDiscard, label = 'Save' }) {
	if (!dirty) return null;
	return html`<div class="save" role="region" aria-label="Unsaved changes"><span>${note || 'Not saved yet.'}</span>
		<button type="button" class="outline secondary" onClick=${onDiscard}>Discard</button>
		<button type="button" aria-busy=${busy ? 'true' : null} disabled=${busy} onClick=${onSave}>${label}</button></div>`;
}

// Settings without which no mail may leave.
const SETTING_WORDS = { from_email: 'the address of the sender', base_url: 'the address of the pages behind the links', postal_address: 'the postal address, which the law asks for in every mail' };
const Missing = ({ missing }) => html`<p>No mail can leave: the shop lacks ${missing.map((name, i) => html`${i ? (i === missing.length - 1 ? ' and ' : ', ') : ''}<strong>${SETTING_WORDS[name] || name}</strong>`)}. <a href=${link('shop/')}>Set it in the shop's settings</a></p>`;

const campaignsOf = (rows) => {
	const all = new Map();
	for (const row of rows) {
		if (!all.has(row.campaign)) all.set(row.campaign, { ...row, steps: [] });
		if (row.step !== null) all.get(row.campaign).steps.push(row);
	}
	return [...all.values()];
};

// ---------------------------------------------------------------------------
// On and off

const REACH = [['0', 'From now on only'], ['1 day', 'Also of the last day'], ['3 days', 'Also of the last 3 days'], ['7 days', 'Also of the last 7 days']];
const inHours = (hours) => new Date(Date.now() + hours * 3600000).toISOString();

function Forecast({ of }) {
	const some = of.mailed > 0;
	const skipped = of.reasons.filter(({ action }) => action === 'skipped');
	return html`<p><strong>${some ? `${plural(of.mailed, 'person', 'people')} would get a mail` : 'Nobody would get a mail'}</strong> within the next 24 hours${skipped.length ? html`, ${plural(of.total - of.mailed, 'person', 'people')} would not:` : '.'}</p>
		${skipped.length > 0 && html`<ul class="reasons">${skipped.map(({ reason, n }) => html`<li key=${reason}><span class="number">${number(n)}</span> ${reasonWords(reason)}</li>`)}</ul>`}`;
}

function Switching({ campaign, close }) {
	const on = !campaign.enabled;
	const [reach, setReach] = useState('1 day');
	const [forecast, setForecast] = useState(null);
	const [problem, setProblem] = useState(null);
	const [busy, setBusy] = useState(false);
	useEffect(() => {
		let stale = false;
		setForecast(null);
		get(`campaigns/${campaign.campaign}/preview/`, { at: inHours(24), page_size: 1, not_older_than: on ? reach : null }).then((data) => stale || setForecast(data), (failure) => stale || setProblem(failure));
		return () => { stale = true; };
	}, [reach]);
	const submit = async (event) => {
		event.preventDefault();
		setBusy(true);
		setProblem(null);
		try {
			await send('POST', `campaigns/${campaign.campaign}/${on ? 'enable' : 'disable'}/`, on ? { not_older_than: reach } : undefined);
			close(true);
		} catch (failure) {
			setProblem(failure);
			setBusy(false);
		}
	};
	return html`<form onSubmit=${submit}>
		<header><h2>${on ? 'Turn on' : 'Turn off'}: ${campaignName(campaign.campaign)}</h2></header>
		${on && html`<${Choice} label="Who is mailed" hint="By when their cart was left; nobody earlier is ever mailed." value=${reach} options=${REACH} onChange=${setReach} />`}
		${on && campaign.missing && html`<${Notice} kind="warn"><${Missing} missing=${campaign.missing} /><//>`}
		<div aria-live="polite" aria-busy=${forecast || problem ? null : 'true'} class="forecast">${forecast && (on ? html`<${Forecast} of=${forecast} />`
			: html`<p>${forecast.mailed > 0 ? html`<strong>${plural(forecast.mailed, 'person', 'people')}</strong> who would get a mail within the next 24 hours get none.` : 'Nobody would get a mail within the next 24 hours.'}</p>
				<p>What waits in the queue is cancelled at once. Turned on again, orders go on with the step behind the last one that they had.</p>`)}</div>
		${problem && html`<${ProblemNotice} problem=${problem} />`}
		<footer><button type="button" class="secondary outline" onClick=${() => close(false)}>Cancel</button>
			<button type="submit" class=${on ? '' : 'danger'} disabled=${busy} aria-busy=${busy ? 'true' : null}>${on ? 'Turn on' : 'Turn off'}</button></footer>
	</form>`;
}

// Asks, does it, and says whether it was done.
async function switchCampaign(campaign) {
	const done = await dialog(Switching, { campaign });
	if (done) announce(`${campaignName(campaign.campaign)}: ${campaign.enabled ? 'turned off' : 'turned on'}.`, 'good');
	return done;
}

function OnOff({ campaign, onDone }) {
	const flip = async (event) => {
		event.preventDefault();
		if (await switchCampaign(campaign)) onDone();
	};
	return html`<label class="switch"><input type="checkbox" role="switch" checked=${campaign.enabled} aria-label=${`${campaignName(campaign.campaign)} is on`} onClick=${flip} /> <span aria-hidden="true">${campaign.enabled ? 'On' : 'Off'}</span></label>`;
}

// ---------------------------------------------------------------------------
// The list

const NUMBERS = [['sent', 'Sent'], ['opened', 'Opened'], ['clicked', 'Clicked'], ['converted', 'Recovered']];
const Results = ({ rows }) => {
	const all = total(rows);
	if (!all.sent && !all.held_out) return html`<p class="soft">Nothing was sent in these 30 days.</p>`;
	return html`<dl class="results">${NUMBERS.map(([name, label]) => html`<div key=${name}><dt>${name === 'converted' ? html`<${Term} name="message conversion">${label}<//>` : label}</dt>
		<dd class="number"><b>${number(all[name])}</b>${name !== 'sent' && html` <small>${share(all[name], all.sent)}</small>`}</dd></div>`)}
		<div class="paid"><dt>Paid</dt><dd class="number"><b>${revenueWords(all.revenue)}</b></dd></div></dl>`;
};

function Campaign({ campaign, texts, statistics, onDone }) {
	const { steps } = campaign;
	return html`<section class="card campaign" aria-labelledby=${`c-${campaign.campaign}`}>
		<header class="section-head"><h2 id=${`c-${campaign.campaign}`}><a href=${link(`campaigns/${campaign.campaign}/`)}>${campaignName(campaign.campaign)}</a></h2><${OnOff} campaign=${campaign} onDone=${onDone} /></header>
		<p class="note">${(KIND_WORDS[campaign.campaign] || ['', ''])[1]}</p>
		${steps.length === 0 ? html`<${Empty} title="No steps">It sends nothing. <a href=${link(`campaigns/${campaign.campaign}/`)}>Add the first step</a><//>`
		: html`<ol class="steps">${steps.map((step) => {
			const text = textOf(texts, step.template);
			return html`<li key=${step.step}><span class="when">${spanWords(seconds(step.delay))}</span> <span class="what">${text ? text.subject : step.template}
				${step.coupon && html` <span class="tag">${step.coupon} off</span>`}${step.variants > 1 && html` <span class="tag">${step.variants} variants</span>`}</span></li>`;
		})}</ol>`}
		<${Asked} of=${statistics} height="3rem">${(data) => html`<${Results} rows=${data.results.filter((row) => row.campaign === campaign.campaign)} />`}<//>
		<a class="go-on" href=${link(`campaigns/${campaign.campaign}/`)}>Edit the sequence<span class="hidden"> of ${campaignName(campaign.campaign)}</span></a>
	</section>`;
}

// those that are known; none: the one that is nearest to it
const liftsOf = (rows) => {
	const known = rows.filter(({ lift }) => lift !== null);
	return known.length ? known : [...rows].sort((a, b) => b.treated - a.treated).slice(0, 1);
};

function List() {
	const shop = useShop();
	const days = { start_date: today(-29), end_date: today() };
	const campaigns = useGet(shop && 'campaigns/');
	const texts = useGet(shop && 'templates/');
	const statistics = useGet(shop && 'incomplete-orders/statistics_by_campaign/', days);
	const whole = useGet(shop && 'incomplete-orders/statistics/', { start_date: today(-89), end_date: today() });
	return html`<${Page} title="Campaigns" actions=${html`<a role="button" class="outline secondary" href=${link('templates/')}>Texts</a>`}>
		<${Asked} of=${campaigns} height="20rem">${(data) => {
			const list = campaignsOf(data.results);
			const missing = list.find((one) => one.missing);
			return html`
				${missing && html`<${Notice} kind="warn" title="One thing is missing before anything can be sent"><${Missing} missing=${missing.missing} /><//>`}
				${!list.some(({ enabled }) => enabled) && html`<${Notice} title="All campaigns are off">Look at the first one, send yourself a test of its texts, and turn it on.<//>`}
				<div class="campaigns">${list.map((campaign) => html`<${Campaign} key=${campaign.campaign} campaign=${campaign} texts=${(texts.data || { results: [] }).results} statistics=${statistics} onDone=${campaigns.reload} />`)}</div>`;
		}}<//>
		<${Section} title=${html`<${Term} name="lift">Lift<//> of all campaigns`} note="The last 90 days.">
			<${Asked} of=${whole}>${(data) => (data.results.length ? liftsOf(data.results).map((of, _, all) => html`<div key=${of.currency}>${all.length > 1 && html`<h3>${of.currency}</h3>`}<${Lift} of=${of} /></div>`) : html`<p class="soft">Nothing was abandoned in that time.</p>`)}<//>
		<//>
	<//>`;
}

// ---------------------------------------------------------------------------
// One campaign: what the server has, as the editor has it; and back

let made = 0;
const plain = (value) => String(Number(value));

function draftOf(campaign, variants, coupons) {
	const of = (rows, step) => rows.filter((row) => row.campaign === campaign.campaign && row.step === step.step);
	return campaign.steps.map((step) => {
		const [coupon] = of(coupons, step);
		return {
			key: `s${step.step}`, step: step.step, delay: inUnit(step.delay), template: step.template,
			variants: of(variants, step).map(({ variant, weight, template }) => ({ variant, weight: String(weight), template })),
			coupon: coupon ? { kind: coupon.kind, value: plain(coupon.value), minimum_value: plain(coupon.minimum_value), valid_for: inUnit(coupon.valid_for), cool_down: inUnit(coupon.cool_down) } : null,
		};
	});
}
const span = ({ value, unit }) => `${value} ${unit}`;
const bodyOf = (draft) => draft.map(({ step, delay, template, variants, coupon }) => ({
	...(step && { step }), delay: span(delay), template,
	...(variants.length && { variants: variants.map(({ variant, weight, template: text }) => ({ variant, weight: Number(weight), template: text })) }),
	...(coupon && { coupon: { [coupon.kind]: coupon.value, minimum_value: coupon.minimum_value || '0', valid_for: span(coupon.valid_for), cool_down: span(coupon.cool_down) } }),
}));

// What is wrong before the server is asked: "steps[0].delay" -> words
function faultsOf(draft) {
	const faults = {};
	draft.forEach((step, i) => {
		const at = `steps[${i}]`;
		const before = draft[i - 1];
		if (!/^\d{1,6}$/.test(step.delay.value)) faults[`${at}.delay`] = 'A whole number, please.';
		else if (secondsOf(step.delay) > 365 * 86400) faults[`${at}.delay`] = 'At most 365 days.';
		else if (before && secondsOf(step.delay) <= secondsOf(before.delay)) faults[`${at}.delay`] = `Later than the step before it, which is due after ${spanWords(secondsOf(before.delay))}.`;
		if (step.coupon && !(Number(step.coupon.value) > 0 && (step.coupon.kind === 'amount' || Number(step.coupon.value) <= 100))) faults[`${at}.coupon`] = step.coupon.kind === 'percentage' ? 'More than 0 and at most 100 %.' : 'More than 0.';
		step.variants.forEach((variant, n) => {
			if (!/^[a-z0-9][a-z0-9_-]{0,39}$/.test(variant.variant)) faults[`${at}.variants[${n}]`] = 'A name of small letters, digits, - and _.';
			else if (step.variants.some((other, m) => m < n && other.variant === variant.variant)) faults[`${at}.variants[${n}]`] = 'There is one of that name already.';
			else if (!/^\d{1,4}$/.test(variant.weight) || Number(variant.weight) > 1000) faults[`${at}.variants[${n}]`] = 'A weight from 0 to 1000.';
		});
	});
	return faults;
}

// ---------------------------------------------------------------------------
// Parts of a step

const Span = ({ label, value, onChange, problem, hint, min = 0 }) => html`<${Field} label=${label} problem=${problem} hint=${hint} class="timespan">${(ids) => html`<span class="span-inputs">
	<input type="number" inputmode="numeric" min=${min} step="1" ...${ids} value=${value.value} onInput=${(event) => onChange({ ...value, value: event.target.value })} />
	<select aria-label=${`${label}: unit`} value=${value.unit} onChange=${(event) => onChange({ ...value, unit: event.target.value })}>${UNIT_CHOICES.map(([name, text]) => html`<option value=${name} selected=${name === value.unit}>${text}</option>`)}</select></span>`}<//>`;

function Coupon({ coupon, onChange, problem, currency }) {
	const put = (values) => onChange({ ...coupon, ...values });
	return html`<fieldset class="inner"><legend>Discount</legend>
		<div class="fields">
			<${Choice} label="Kind" value=${coupon.kind} options=${[['percentage', 'Per cent'], ['amount', currency || 'Amount']]} onChange=${(kind) => put({ kind })} />
			<${Field} label=${coupon.kind === 'percentage' ? 'Per cent off' : `${currency || 'Amount'} off`} inputmode="decimal" value=${coupon.value} problem=${problem} onInput=${(event) => put({ value: event.target.value.replace(',', '.') })} />
			<${Field} label=${`For goods of at least${currency ? ` (${currency})` : ''}`} inputmode="decimal" value=${coupon.minimum_value} onInput=${(event) => put({ minimum_value: event.target.value.replace(',', '.') })} />
			<${Span} label="Valid for" value=${coupon.valid_for} min="1" onChange=${(valid_for) => put({ valid_for })} />
			<${Span} label="Next one not before" value=${coupon.cool_down} hint="Nobody gets two within that time." onChange=${(cool_down) => put({ cool_down })} />
		</div></fieldset>`;
}

function Variants({ variants, onChange, faults, templates, rows }) {
	const sum = variants.reduce((all, { weight }) => all + (Number(weight) || 0), 0);
	const put = (n, values) => onChange(variants.map((one, i) => (i === n ? { ...one, ...values } : one)));
	const shares = variants.map(({ variant }) => { const row = rows.find((one) => one.variant === variant); return row && { row, it: wilson(row.converted, row.sent) }; });
	const most = Math.max(0.01, ...shares.map((one) => (one && one.it ? one.it.high : 0)));
	const verdict = compare(rows);
	return html`<fieldset class="inner"><legend>Variants against each other</legend>
		${variants.map((one, n) => html`<div class="variant" key=${n}>
			<div class="fields">
				<${Field} label="Name" value=${one.variant} problem=${faults[n]} onInput=${(event) => put(n, { variant: event.target.value })} />
				<${Field} label="Weight" type="number" min="0" max="1000" value=${one.weight} hint=${sum > 0 ? `${number((100 * (Number(one.weight) || 0)) / sum, { maximumFractionDigits: 0 })} % of the people` : 'nobody'} onInput=${(event) => put(n, { weight: event.target.value })} />
				<${Choice} label="Text" value=${one.template} options=${templates} onChange=${(template) => put(n, { template })} />
				<button type="button" class="outline secondary small" onClick=${() => onChange(variants.filter((_, i) => i !== n))}>Remove<span class="hidden"> variant ${one.variant}</span></button>
			</div>
			${shares[n] && html`<p class="variant-result number"><${Whisker} it=${shares[n].it} most=${most} /> <span>${plural(shares[n].row.converted, 'order')} of ${number(shares[n].row.sent)} sent: <b>${share(shares[n].row.converted, shares[n].row.sent)}</b></span></p>`}
		</div>`)}
		${verdict && html`<p class="note">${verdict.replace(/^[^:]*: v/, 'V')}</p>`}
		${sum === 0 && html`<p class="problem">With no weight at all nobody gets any of them.</p>`}
	</fieldset>`;
}

const nextName = (variants) => [...'abcdefghijklmnopqrstuvwxyz'].find((name) => !variants.some(({ variant }) => variant === name)) || `v${variants.length + 1}`;

function Step({ step, i, count, draft, change, faults, texts, kind, currency, language, rows, focus }) {
	const at = `steps[${i}]`;
	const card = useRef();
	const put = (values) => change(draft.map((one) => (one === step ? { ...one, ...values } : one)));
	const text = textOf(texts, step.template, language);
	const templates = [...new Set(texts.map(({ template }) => template))].sort((a, b) => (b.startsWith(kind) - a.startsWith(kind)) || a.localeCompare(b)).map((name) => [name, templateName(name)]);
	// the instants stay where they are: what is sent then moves
	const move = (to) => {
		if (to < 0 || to >= count) return;
		const next = [...draft];
		[next[i], next[to]] = [{ ...draft[to], delay: draft[i].delay }, { ...draft[i], delay: draft[to].delay }];
		change(next);
		focus(step.key);
		announce(`Moved to place ${to + 1} of ${count}.`);
	};
	const remove = () => {
		change(draft.filter((one) => one !== step));
		focus((draft[i + 1] || draft[i - 1] || {}).key);
		announce('The step is removed; nothing is saved yet.');
	};
	const name = step.step ? `Step ${step.step}` : 'New step';
	const sums = total(rows);
	return html`<li class="step" data-key=${step.key}>
		<article class="card" tabindex="-1" ref=${card} aria-label=${`${name}, place ${i + 1} of ${count}`}
			onKeyDown=${(event) => { if (event.altKey && (event.key === 'ArrowUp' || event.key === 'ArrowDown')) { event.preventDefault(); move(i + (event.key === 'ArrowUp' ? -1 : 1)); } }}>
			<header class="step-head"><h3>${name}</h3>
				${step.coupon && html`<span class="tag">discount</span>`}${step.variants.length > 0 && html`<span class="tag">${plural(step.variants.length, 'variant')}</span>`}
				<span class="step-tools">
					<button type="button" class="plain" aria-label=${`${name}: earlier`} title="Alt ↑" disabled=${i === 0} onClick=${() => move(i - 1)}>↑</button>
					<button type="button" class="plain" aria-label=${`${name}: later`} title="Alt ↓" disabled=${i === count - 1} onClick=${() => move(i + 1)}>↓</button>
					<button type="button" class="plain" aria-label=${`Remove ${name}`} onClick=${remove}>×</button></span></header>
			<div class="fields">
				<${Span} label="After the abandonment" value=${step.delay} problem=${faults[`${at}.delay`]} onChange=${(delay) => put({ delay })}
					hint=${draft[i - 1] && !faults[`${at}.delay`] ? `${spanWords(secondsOf(step.delay) - secondsOf(draft[i - 1].delay))} after the step before` : null} />
				${step.variants.length === 0 && html`<${Choice} label="Text" value=${step.template} options=${templates} problem=${faults[`${at}.template`]} onChange=${(template) => put({ template })} />`}
			</div>
			${step.variants.length === 0 && text && html`<p class="subject"><span class="soft">Subject</span> ${text.subject} <a href=${link(`templates/${step.template}/`)}>Edit<span class="hidden"> the text ${templateName(step.template)}</span></a></p>`}
			<div class="row">
				<${Switch} label="Discount" checked=${Boolean(step.coupon)} onChange=${(on) => put(on
					? { coupon: { kind: 'percentage', value: '10', minimum_value: '0', valid_for: { value: '7', unit: 'days' }, cool_down: { value: '30', unit: 'days' } }, template: texts.some(({ template }) => template === `${kind}_offer`) ? `${kind}_offer` : step.template }
					: { coupon: null })} />
				<button type="button" class="link" onClick=${() => put({ variants: [...step.variants, ...(step.variants.length ? [] : [{ variant: 'a', weight: '1', template: step.template }]), { variant: step.variants.length ? nextName(step.variants) : 'b', weight: '1', template: step.template }] })}>${step.variants.length ? 'Add a variant' : 'Try two texts against each other'}</button>
			</div>
			${step.coupon && html`<${Coupon} coupon=${step.coupon} currency=${currency} problem=${faults[`${at}.coupon`]} onChange=${(coupon) => put({ coupon })} />`}
			${step.coupon && text && !/\{\{[#^/&]?\s*discount_offer/.test(text.body) && html`<p class="problem">This text does not name the discount: put {{discount_offer}} into it, or nobody learns of it.</p>`}
			${step.variants.length > 0 && html`<${Variants} variants=${step.variants} templates=${templates} rows=${byVariant(rows)}
				faults=${step.variants.map((_, n) => faults[`${at}.variants[${n}]`])} onChange=${(variants) => put({ variants })} />`}
			${faults[at] && html`<p class="problem">${faults[at]}</p>`}
			${sums.sent > 0 && html`<p class="step-result number"><b>${number(sums.sent)}</b> sent <b>${share(sums.opened, sums.sent)}</b> opened <b>${share(sums.clicked, sums.sent)}</b> clicked <b>${share(sums.converted, sums.sent)}</b> ordered <span class="soft">in 30 days</span></p>`}
		</article></li>`;
}
// one row for each variant, whatever the currency
const byVariant = (rows) => [...new Set(rows.map(({ variant }) => variant).filter(Boolean))].map((variant) => {
	const own = rows.filter((row) => row.variant === variant);
	return { ...own[0], ...total(own) };
});

const Add = ({ onClick, label }) => html`<li class="add"><button type="button" class="outline secondary small" onClick=${onClick} aria-label=${label}>+</button></li>`;

// ---------------------------------------------------------------------------
// Saving

function changesOf(said, draft) {
	const moved = said.numbers.some((n, i) => draft[i].step && draft[i].step !== n);
	return html`<ul>
		<li>${said.waiting > 0 ? html`<b>${plural(said.waiting, 'order')}</b> wait for a message of this campaign. ${said.moved > 0 ? html`The next one of <b>${number(said.moved)}</b> of them is due at another time.` : 'None of them is due at another time.'}` : 'No order waits for a message of this campaign.'}</li>
		<li>${said.queued > 0 ? `${plural(said.queued, 'message')} in the queue ${said.queued === 1 ? 'leaves' : 'leave'} as ${said.queued === 1 ? 'it is' : 'they are'}.` : 'No message is in the queue.'}</li>
		${moved && html`<li>The steps are then numbered ${said.numbers.join(', ')}: nobody gets a message again that they had.</li>`}
	</ul>`;
}

function useSaving(campaign, draft, after) {
	const [problem, setProblem] = useState(null);
	const [busy, setBusy] = useState(false);
	const put = (dry_run) => send('PUT', `campaigns/${campaign}/`, { steps: bodyOf(draft), dry_run });
	const save = async () => {
		setProblem(null);
		setBusy(true);
		try {
			const said = await put(true);
			setBusy(false);
			if (await confirm({ title: 'Save the sequence?', body: changesOf(said, draft), action: 'Save' })) {
				await put(false);
				announce('The sequence is saved.', 'good');
				after();
			}
		} catch (failure) {
			setProblem(failure);
			announce(failure.detail || failure.title, 'bad');
		}
		setBusy(false);
	};
	return { problem, busy, save, clear: () => setProblem(null) };
}

// ---------------------------------------------------------------------------
// Around it

const Rules = ({ of }) => html`<dl class="facts">
	<dt>Begins</dt><dd>${spanWords(seconds(of.cut_off))} after the last activity</dd>
	<dt>Consent</dt><dd>${of.consent_rule === 'strict' ? 'only who agreed' : 'everybody who did not object'}</dd>
	<dt>Quiet hours</dt><dd>${of.quiet_from === of.quiet_to ? 'none' : `${String(of.quiet_from).slice(0, 5)} to ${String(of.quiet_to).slice(0, 5)}, where the person is`}</dd>
	<dt>At most</dt><dd>${plural(of.cap_per_episode, 'message')} for one abandonment, ${number(of.cap_per_person)} to one person in 30 days${seconds(of.min_gap) > 0 ? `, ${spanWords(seconds(of.min_gap))} apart` : ''}</dd>
	<dt>Held out</dt><dd>${Number(of.holdout) > 0 ? `${number(Number(of.holdout) * (Number(of.holdout) <= 1 ? 100 : 1))} % get nothing, so that the effect can be measured` : 'nobody'}</dd>
	<dt>Excluded</dt><dd>${of.exclusions && Object.keys(of.exclusions).length ? Object.entries(of.exclusions).map(([name, value]) => `${name.replace(/_/g, ' ')}: ${Array.isArray(value) ? value.join(', ') : value}`).join('; ') : 'nobody'}</dd>
</dl>`;

const HORIZONS = [['24', 'Next 24 hours'], ['72', 'Next 3 days'], ['168', 'Next 7 days']];
function Planned({ campaign }) {
	const [hours, setHours] = useState('24');
	const [turn, setTurn] = useState(0);
	const [at, setAt] = useState('');
	useEffect(() => setAt(new Date(Date.now() + hours * 3600000).toISOString()), [hours, turn]);
	const of = useGet(!at ? null : `campaigns/${campaign.campaign}/preview/`, { at, page_size: 100, not_older_than: campaign.enabled ? null : '1 day' });
	const outcome = (row) => (row.action === 'skipped' ? html`<span class="soft">Nothing: ${reasonWords(row.reason)}</span>` : row.reason ? html`Mail <span class="soft">(${reasonWords(row.reason)})</span>` : 'Mail');
	const columns = [
		{ name: 'recipient', label: 'Who', render: (row) => html`<a class="wrap" href=${link(`orders/${row.order_id}/`)}>${row.recipient || 'No address'}</a>` },
		{ name: 'due_at', label: 'When', render: (row) => html`<${Ago} at=${row.due_at} />` },
		{ name: 'step', label: 'Step', render: (row) => `${row.step ?? '–'}${row.variant ? `, ${row.variant}` : ''}` },
		{ name: 'action', label: 'What', render: outcome },
	];
	return html`<${Section} title="Who gets what, and when" note=${campaign.enabled ? 'By the sequence as it is saved: each order whose next step is due in that time.' : 'As if the campaign were turned on now, for carts that were left within the last day. It is off, and nobody is mailed.'}
		actions=${html`<select aria-label="Time" value=${hours} onChange=${(event) => setHours(event.target.value)}>${HORIZONS.map(([value, label]) => html`<option value=${value} selected=${value === hours}>${label}</option>`)}</select> <button type="button" class="outline secondary small" onClick=${() => setTurn(turn + 1)}>Look again</button>`}>
		<${Asked} of=${of}>${(data) => html`<p><b>${plural(data.mailed, 'person', 'people')}</b> ${data.mailed === 1 ? 'gets' : 'get'} a mail${data.total > data.mailed ? html`, <b>${number(data.total - data.mailed)}</b> ${data.total - data.mailed === 1 ? 'does' : 'do'} not` : ''}.</p>
			<${Table} label="Who gets what" columns=${columns} rows=${data.results} keyOf=${(row) => row.order_id} empty=${html`<${Empty} title="Nothing is due in that time">Orders appear here as soon as their next step falls due.<//>`} />
			${data.total > data.results.length && html`<p class="note">The first ${number(data.results.length)} of ${number(data.total)}.</p>`}`}<//>
	<//>`;
}

// ---------------------------------------------------------------------------
// The page

function Editor({ campaign, variants, coupons, texts, settings, statistics, shop, reload }) {
	const saved = draftOf(campaign, variants, coupons);
	const { draft, dirty, kept, change, discard } = useDraft(`campaign ${shop} ${campaign.campaign}`, saved);
	const saving = useSaving(campaign.campaign, draft, reload);
	const [focused, setFocused] = useState(null);
	const list = useRef();
	useLayoutEffect(() => {
		if (!focused || !list.current) return;
		const card = list.current.querySelector(`[data-key="${focused}"] > article`);
		if (card) card.focus();
		setFocused(null);
	}, [focused]);
	if (!draft) return null;
	const faults = faultsOf(draft);
	const { problem } = saving;
	if (problem && problem.field) faults[problem.field.replace(/\.variants$/, '')] = problem.detail;
	const edit = (next) => { saving.clear(); change(next); };
	const add = (i) => {
		const before = draft[i - 1] ? secondsOf(draft[i - 1].delay) : 0;
		const after = draft[i] ? secondsOf(draft[i].delay) : null;
		const due = after === null ? (before ? before + 48 * 3600 : 3600) : Math.max(before + 60, Math.round((before + after) / 2 / 3600) * 3600);
		const template = texts.some((text) => text.template === `${campaign.campaign}_reminder`) ? `${campaign.campaign}_reminder` : texts[0].template;
		const step = { key: `n${++made}`, step: null, delay: inUnit(`${Math.floor(due / 3600)}:${String(Math.floor((due % 3600) / 60)).padStart(2, '0')}:00`), template, variants: [], coupon: null };
		edit([...draft.slice(0, i), step, ...draft.slice(i)]);
		setFocused(step.key);
		announce(`A step is added at place ${i + 1}.`);
	};
	const rowsOf = (step) => statistics.filter((row) => row.campaign === campaign.campaign && row.step === step.step);
	const wrong = Object.keys(faults).length;
	return html`
		${kept && html`<${Notice} title="Your unsaved changes are here again.">They were kept in this tab. <button type="button" class="link" onClick=${discard}>Throw them away</button><//>`}
		${problem && !problem.field && html`<${ProblemNotice} problem=${problem} />`}
		<fieldset class="flow-all"><legend class="hidden">Sequence</legend>
		<ol class="flow" ref=${list}>
			<li class="start"><span>${KIND_WORDS[campaign.campaign] ? KIND_WORDS[campaign.campaign][0] : 'Abandoned'}</span><small>no activity for ${spanWords(seconds(settings.cut_off))}</small></li>
			${draft.map((step, i) => [
				html`<${Add} key=${`add ${step.key}`} label=${i === 0 ? 'Add a step at the beginning' : `Add a step between place ${i} and ${i + 1}`} onClick=${() => add(i)} />`,
				html`<${Step} key=${step.key} step=${step} i=${i} count=${draft.length} draft=${draft} change=${edit} faults=${faults} texts=${texts} kind=${campaign.campaign} currency=${settings.currency} language=${settings.locale || 'en'} rows=${rowsOf(step)} focus=${setFocused} />`,
			])}
			<li class="add last"><button type="button" class="outline" onClick=${() => add(draft.length)}>Add a step</button></li>
			<li class="end"><small>Stops as soon as the person orders, comes back, or unsubscribes.</small></li>
		</ol></fieldset>
		<${SaveBar} dirty=${dirty} busy=${saving.busy} note=${wrong ? `${plural(wrong, 'thing')} to put right.` : 'The changes are not saved yet.'} label="Save …" onDiscard=${() => { saving.clear(); discard(); }}
			onSave=${() => { if (Object.keys(faultsOf(draft)).length) { const first = list.current.querySelector('[aria-invalid=true]'); if (first) first.focus(); announce('Something is to be put right first.', 'bad'); } else saving.save(); }} />`;
}

function One({ params }) {
	const shop = useShop();
	const { campaign: name } = params;
	const campaigns = useGet(shop && 'campaigns/');
	const variants = useGet(shop && 'variants/');
	const coupons = useGet(shop && 'coupons/');
	const texts = useGet(shop && 'templates/');
	const settings = useGet(shop && 'settings/');
	const statistics = useGet(shop && 'incomplete-orders/statistics_by_campaign/', { start_date: today(-29), end_date: today() });
	const all = [campaigns, variants, coupons, texts, settings];
	const of = { data: all.every(({ data }) => data) || null, problem: (all.find(({ problem }) => problem) || {}).problem, loading: all.some(({ loading }) => loading), url: campaigns.url, at: campaigns.at, reload: () => all.forEach(({ reload }) => reload()) };
	const campaign = campaigns.data && campaignsOf(campaigns.data.results).find((one) => one.campaign === name);
	return html`<${Page} title=${campaignName(name)} actions=${campaign && html`<${OnOff} campaign=${campaign} onDone=${campaigns.reload} />`}>
		<p class="crumbs"><a href=${link('campaigns/')}>Campaigns</a></p>
		<${Asked} of=${of} height="30rem">${() => (!campaign ? html`<${Empty} title="There is no such campaign">A shop has one for carts, one for payments and one for the rest of orders. <a href=${link('campaigns/')}>To the campaigns</a><//>` : html`
			${campaign.missing && html`<${Notice} kind="warn"><${Missing} missing=${campaign.missing} /><//>`}
			<div class="split">
				<${Editor} campaign=${campaign} variants=${variants.data.results} coupons=${coupons.data.results} texts=${texts.data.results} settings=${settings.data} statistics=${statistics.data ? statistics.data.results : []} shop=${shop} reload=${of.reload} />
				<${Section} title="Rules for everybody" actions=${html`<a href=${link('shop/')}>Change</a>`}><${Rules} of=${settings.data} /><//>
			</div>
			<${Planned} campaign=${campaign} />`)}<//>
	<//>`;
}

// ---------------------------------------------------------------------------
// The texts of messages: the list, and one text with the mail that it makes beside it.

const FIELDS = [
	['subject', 'Subject'],
	['preheader', 'Preview line', 'Shown behind the subject by most mail programs.'],
	['headline', 'Headline'],
	['body', 'Text', 'An empty line begins a new paragraph. The lines of the cart come below it by themselves.'],
	['button', 'Button'],
	['footer', 'Footer', 'Why the person gets this mail. The way to unsubscribe and the postal address follow by themselves.'],
];
const LONG = { body: 11, footer: 4 };
const fieldsOf = (text) => Object.fromEntries(FIELDS.map(([name]) => [name, text[name] || '']));
const languageName = (locale) => { try { return new Intl.DisplayNames(undefined, { type: 'language' }).of(locale); } catch { return locale; } };
const usedBy = (steps) => (steps || []).map((step) => { const [campaign, n, variant] = step.split(' '); return `${campaignName(campaign)}, step ${n}${variant ? ` (${variant})` : ''}`; });

// ---------------------------------------------------------------------------
// The list

function TextList({ texts, reload }) {
	const names = [...new Set(texts.map(({ template }) => template))];
	const rows = names.map((template) => ({ template, all: texts.filter((text) => text.template === template), shown: textOf(texts, template) }));
	const create = async () => {
		const values = await confirm({
			title: 'A new text', action: 'Create', body: 'It begins as a copy in every language, and is yours to change.',
			fields: [{ name: 'template', label: 'Name', required: true, pattern: '[a-z][a-z0-9_]{0,62}', hint: 'Small letters, digits and _, as in cart_summer.' },
				{ name: 'from', label: 'A copy of', options: names.map((name) => [name, templateName(name)]), value: names[0] }],
		});
		if (!values) return;
		try {
			for (const text of texts.filter(({ template }) => template === values.from)) await send('PUT', `templates/${encodeURIComponent(values.template)}/${text.locale}/`, fieldsOf(text));
			go(`templates/${values.template}/`);
		} catch (failure) {
			announce(failure.detail || failure.title, 'bad');
			reload();
		}
	};
	const columns = [
		{ name: 'template', label: 'Text', render: (row) => html`<a href=${link(`templates/${row.template}/`)}>${templateName(row.template)}</a>` },
		{ name: 'subject', label: 'Subject', render: (row) => html`<span class="wrap">${row.shown.subject}</span>` },
		{ name: 'locales', label: 'Languages', render: (row) => row.all.map(({ locale, own }) => html`<span class="tag" data-own=${own ? '' : null} title=${own ? 'Your own text' : 'As it comes with the program'}>${locale}${own ? ', yours' : ''}</span> `) },
		{ name: 'steps', label: 'Sent by', render: (row) => usedBy(row.shown.steps).join('; ') || html`<span class="soft">by hand only</span>` },
	];
	return html`<${Page} title="Texts" actions=${html`<button type="button" onClick=${create}>New text</button>`}>
		<p class="note">What the messages say. The texts that come with the program are complete: change what you like, and go back at any time.</p>
		<${Table} label="Texts" columns=${columns} rows=${rows} keyOf=${(row) => row.template} onOpen=${(row) => go(`templates/${row.template}/`)} />
	<//>`;
}

// ---------------------------------------------------------------------------
// The mail

function useRendered(template, body) {
	const [state, set] = useState({ mail: null, problem: null, busy: true });
	const key = JSON.stringify(body);
	useEffect(() => {
		let stale = false;
		set((old) => ({ ...old, busy: true }));
		const timer = setTimeout(() => send('POST', `templates/${encodeURIComponent(template)}/render/`, body)
			.then((mail) => stale || set({ mail, problem: null, busy: false }), (problem) => stale || set((old) => ({ ...old, problem, busy: false }))), state.mail ? 300 : 0);
		return () => { stale = true; clearTimeout(timer); };
	}, [template, key]);
	return state;
}

function Preview({ of, tab, width, images }) {
	const { mail, problem } = of;
	if (problem) return html`<${ProblemNotice} problem=${problem} />`;
	if (!mail) return html`<div class="loading mail-frame" aria-busy="true"><span class="hidden">Loading</span></div>`;
	if (mail.html === undefined) return html`<${Notice} kind="warn" title="No mail can be made of this.">${mail.problems.length ? 'What is wrong stands at the fields.' : mail.reason}<//>`;
	return html`<div class="mail">
		<dl class="mail-head"><dt>From</dt><dd class="wrap">${mail.sender}</dd><dt>Subject</dt><dd class="wrap"><b>${mail.subject}</b></dd></dl>
		${tab === 'text' ? html`<pre class="mail-text" tabindex="0" aria-label="Plain text">${mail.text}</pre>`
		: html`<div class=${`mail-frame ${width}`}><${MailFrame} content=${mail.html} images=${images} /></div>`}
	</div>`;
}

function Test({ template, body, disabled }) {
	const [to, setTo] = useState('');
	const [said, setSaid] = useState(null);
	const [busy, setBusy] = useState(false);
	const submit = async (event) => {
		event.preventDefault();
		setBusy(true);
		setSaid(null);
		try {
			setSaid(await send('POST', `templates/${encodeURIComponent(template)}/test/`, { ...body, to: to.trim() }));
		} catch (problem) {
			setSaid({ problem });
		}
		setBusy(false);
	};
	const WORDS = { sent: ['good', 'Sent.'], rejected: ['bad', 'The mail server refused it.'], deferred: ['warn', 'The mail server puts it off.'], untried: ['bad', 'The mail server could not be reached.'] };
	return html`<${Section} title="Send yourself a test" note="What you see here, to your own mailbox. Nothing is counted, and its links lead nowhere.">
		<form class="test" onSubmit=${submit}><${Field} label="Address" type="email" required autocomplete="email" value=${to} onInput=${(event) => setTo(event.target.value)} />
			<button type="submit" class="outline" disabled=${busy || disabled} aria-busy=${busy ? 'true' : null}>Send a test</button></form>
		<div aria-live="polite">${said && (said.problem ? html`<${ProblemNotice} problem=${said.problem} />` : html`<${Notice} kind=${WORDS[said.result][0]} title=${`${WORDS[said.result][1]} ${said.recipient}`}>${said.response}<//>`)}</div>
	<//>`;
}

// ---------------------------------------------------------------------------
// The editor

// Where line and column are in a text.
function offsetOf(value, line, column) {
	const lines = value.split('\n');
	return lines.slice(0, line - 1).reduce((sum, one) => sum + one.length + 1, 0) + column - 1;
}

function Fault({ fault, onGo }) {
	return html`${fault.problem.replace(/^field "\w+" /, '').replace(/^./, (c) => c.toUpperCase())}.
		${fault.line ? html` <button type="button" class="link" onClick=${onGo}>Line ${fault.line}, column ${fault.column}</button>.` : ''} ${fault.hint && fault.hint.length < 200 ? fault.hint : ''}`;
}

function TextEditor({ template, text, shop, reload }) {
	const { locale } = text;
	const { draft, dirty, kept, change, discard } = useDraft(`text ${shop} ${template} ${locale}`, fieldsOf(text));
	const [order, setOrder] = useState('');
	const [tab, setTab] = useState('html');
	const [width, setWidth] = useState('desktop');
	const [images, setImages] = useState(true);
	const [problem, setProblem] = useState(null);
	const [busy, setBusy] = useState(false);
	const [last, setLast] = useState('body');
	const boxes = useRef({});
	const variables = useGet('templates/variables/');
	const orders = useGet(may('list_orders') ? 'incomplete-orders/' : null, { status: 'abandoned', page_size: 20 });
	const body = { locale, ...(order && { id: order }), fields: draft || fieldsOf(text) };
	const rendered = useRendered(template, body);
	if (!draft) return null;
	const faults = Object.fromEntries(((rendered.mail && rendered.mail.problems) || []).map((one) => [one.field, one]));
	const put = (name, value) => { setProblem(null); change({ ...draft, [name]: value }); };
	const select = (fault) => {
		const box = boxes.current[fault.field];
		const from = offsetOf(box.value, fault.line, fault.column);
		box.focus();
		box.setSelectionRange(from, Math.max(from + 1, box.value.indexOf('}}', from) + 2));
	};
	const insert = (name) => {
		const box = boxes.current[last];
		const { selectionStart: from, selectionEnd: to, value } = box;
		const tag = `{{${name}}}`;
		put(last, value.slice(0, from) + tag + value.slice(to));
		requestAnimationFrame(() => { box.focus(); box.setSelectionRange(from + tag.length, from + tag.length); });
	};
	const save = async () => {
		setBusy(true);
		setProblem(null);
		try {
			await send('PUT', `templates/${encodeURIComponent(template)}/${locale}/`, draft);
			announce('The text is saved. Messages that wait are sent with it.', 'good');
			reload();
		} catch (failure) {
			setProblem(failure);
		}
		setBusy(false);
	};
	const builtIn = /^(cart|payment|partial)_(abandoned|reminder|final|offer)$/.test(template) && /^(en|de)$/.test(locale);
	const reset = async () => {
		if (!(await confirm({ title: builtIn ? 'Back to the text that comes with the program?' : 'Delete this text?', body: `Your own text in ${languageName(locale)} is deleted. Messages that wait are sent with ${builtIn ? 'the other one' : 'that of another language'}.`, action: 'Delete my text', danger: true }))) return;
		try {
			await send('DELETE', `templates/${encodeURIComponent(template)}/${locale}/`);
			discard();
			announce(builtIn ? 'The text is again as it came.' : 'The text is deleted.', 'good');
			reload();
		} catch (failure) {
			setProblem(failure);
		}
	};
	return html`
		${kept && html`<${Notice} title="Your unsaved changes are here again.">They were kept in this tab. <button type="button" class="link" onClick=${discard}>Throw them away</button><//>`}
		${problem && html`<${ProblemNotice} problem=${problem} />`}
		<div class="text-editor">
			<div class="card">
								${FIELDS.map(([name, label, hint]) => html`<${Field} key=${name} label=${label} hint=${hint} problem=${faults[name] && html`<${Fault} fault=${faults[name]} onGo=${() => select(faults[name])} />`}>
					${(ids) => (LONG[name]
					? html`<textarea ...${ids} rows=${LONG[name]} value=${draft[name]} ref=${(box) => { boxes.current[name] = box; }} onFocus=${() => setLast(name)} onInput=${(event) => put(name, event.target.value)} />`
					: html`<input type="text" ...${ids} value=${draft[name]} ref=${(box) => { boxes.current[name] = box; }} onFocus=${() => setLast(name)} onInput=${(event) => put(name, event.target.value)} />`)}<//>`)}
				<details class="variables"><summary>What a text can name</summary>
					<p class="note">Goes into “${FIELDS.find(([name]) => name === last)[1]}”, where the cursor is.</p>
					<ul>${((variables.data || { results: [] }).results).filter(({ inside }) => !inside).map((one) => html`<li key=${one.name}><button type="button" class="outline secondary small" onClick=${() => insert(/text/.test(one.kind) ? one.name : `#${one.name}}}{{/${one.name}`)}>${one.name}</button> <small>${one.meaning}</small></li>`)}</ul></details>
				${text.own && html`<p><button type="button" class="link" onClick=${reset}>${builtIn ? 'Back to the text that comes with the program' : 'Delete this text'}</button></p>`}
			</div>
			<div class="preview">
				<section class="card" aria-label="Preview">
					<div class="preview-tools">
						<${Tabs} label="Parts of the mail" tabs=${[{ name: 'html', label: 'HTML' }, { name: 'text', label: 'Plain text' }]} current=${tab} onPick=${setTab} />
						${tab === 'html' && html`<div class="segments" role="group" aria-label="Width">${[['phone', 'Phone'], ['desktop', 'Desktop']].map(([name, label]) => html`<button type="button" key=${name} class="outline secondary small" aria-pressed=${width === name} onClick=${() => setWidth(name)}>${label}</button>`)}</div>
						<${Switch} label="Images" checked=${images} onChange=${setImages} />`}
						${orders.data && html`<select aria-label="With the data of" value=${order} onChange=${(event) => setOrder(event.target.value)}><option value="">A made-up order</option>
							${orders.data.results.map((one) => html`<option key=${one.id} value=${one.id} selected=${one.id === order}>${person(one)}, ${money(one.total_amount ?? one.total, one.currency)}</option>`)}</select>`}
					</div>
					<div aria-busy=${rendered.busy && !rendered.mail ? 'true' : null} class=${rendered.busy ? 'reloading' : ''}><${Preview} of=${rendered} tab=${tab} width=${width} images=${images} /></div>
					${rendered.mail && rendered.mail.bytes > 102000 && html`<p class="problem">It has ${number(Math.round(rendered.mail.bytes / 1024))} kB: some mail programs cut off what is above 100.</p>`}
				</section>
				<${Test} template=${template} body=${body} disabled=${Object.keys(faults).length > 0} />
			</div>
		</div>
		<${SaveBar} dirty=${dirty} busy=${busy} note=${Object.keys(faults).length ? 'Something is to be put right first.' : 'The changes are not saved yet.'} onDiscard=${() => { setProblem(null); discard(); }}
			onSave=${() => { const first = FIELDS.map(([name]) => name).find((name) => faults[name]); if (first) boxes.current[first].focus(); else save(); }} />`;
}

function OneText({ template, query, of, shop }) {
	const texts = of.data.results.filter((text) => text.template === template);
	if (texts.length === 0) return html`<${Page} title=${templateName(template)}><${Empty} title="There is no such text"><a href=${link('templates/')}>To the texts</a><//><//>`;
	const text = texts.find(({ locale }) => locale === query.locale) || textOf(of.data.results, template);
	const add = async () => {
		const values = await confirm({ title: 'Another language', action: 'Add', body: `It begins as a copy of the text in ${languageName(text.locale)}. Whoever reads that language gets it.`, fields: [{ name: 'locale', label: 'Language', required: true, hint: 'A tag, as in fr or de-AT.' }] });
		if (!values) return;
		try {
			await send('PUT', `templates/${encodeURIComponent(template)}/${encodeURIComponent(values.locale.trim())}/`, fieldsOf(text));
			of.reload();
			setQuery({ locale: values.locale.trim() });
		} catch (failure) {
			announce(failure.detail || failure.title, 'bad');
		}
	};
	const used = usedBy(text.steps);
	return html`<${Page} title=${templateName(template)}>
		<p class="crumbs"><a href=${link('templates/')}>Texts</a> <span class="soft">${used.length ? `Sent by ${used.join('; ')}` : 'Sent by hand only'}</span></p>
		<div class="row languages"><${Tabs} label="Languages" tabs=${texts.map(({ locale, own }) => ({ name: locale, label: `${languageName(locale)}${own ? ' (yours)' : ''}` }))} current=${text.locale} to=${(locale) => link(`templates/${template}/`, { locale })} />
			<button type="button" class="link" onClick=${add}>Add a language</button></div>
		<${TextEditor} key=${`${template} ${text.locale}`} template=${template} text=${text} shop=${shop} reload=${of.reload} />
	<//>`;
}

function Texts({ params, query }) {
	const shop = useShop();
	const of = useGet(shop && 'templates/');
	if (!of.data) return html`<${Page} title="Texts"><${Asked} of=${of} height="30rem" /><//>`;
	return params.template ? html`<${OneText} template=${params.template} query=${query} of=${of} shop=${shop} />` : html`<${TextList} texts=${of.data.results} reload=${of.reload} />`;
}

// ---------------------------------------------------------------------------
// Who may not be mailed, who agreed to be, and who has which coupon. The database keeps keyed hashes of people, not
// their addresses: whoever is looked for has to be named.

const WHY = {
	unsubscribed: ['Unsubscribed', 'The person used the link of a message.'], hard_bounce: ['Address does not exist', 'A mail server said that there is no such address.'],
	complaint: ['Complaint', 'The person called a message spam.'], not_me: ['Not me', 'The person says that the cart is not theirs.'],
	erased: ['Forgotten', 'The person asked to be forgotten.'], suppressed: ['By staff', 'Somebody of your staff put it here.'],
};
const SCOPES = { recovery: 'Reminders', all: 'Every message', data: 'Data only' };
// What it means to write to somebody again, by why they are here.
const LAW = {
	unsubscribed: 'They objected to be mailed. Writing to them again is unlawful in most countries unless they agreed anew.',
	complaint: 'They called a message spam. Writing to them again is unlawful in most countries unless they agreed anew.',
	not_me: 'They said that the cart is not theirs, and never agreed to anything. Write to them again only if they asked you to.',
	erased: 'They asked to be forgotten (GDPR, article 17). Write to them again only if they agreed anew.',
	hard_bounce: 'A mail server said that the address does not exist. Lift it only if you know that it does now.',
	suppressed: 'Somebody of your staff put it here. Ask them why before you lift it.',
};
const Hash = ({ person }) => html`<code title="A keyed hash of the address; the address itself is not kept here">${String(person).slice(0, 8)}</code>`;

async function attempt(act, good) {
	try {
		const { changed } = await act();
		announce(changed ? good : 'Nothing changed: it was so already.', changed ? 'good' : '');
		return true;
	} catch (failure) {
		announce(failure.detail || failure.title, 'bad');
		return false;
	}
}

const LIFTED = 'Whatever the reason was, the address may be mailed again. Messages that were cancelled stay cancelled.';

function Suppressions({ query }) {
	const shop = useShop();
	const of = useGet(shop && 'suppressions/', { email: query.email, cursor: query.cursor, page_size: 20 });
	const add = async () => {
		const values = await confirm({
			title: 'Stop messages to an address', action: 'Stop messages', body: 'From now on no recovery message goes there, and what waits for it is cancelled at once.',
			fields: [{ name: 'email', label: 'E-mail address', type: 'email', required: true, value: query.email || '' },
				{ name: 'reason', label: 'Why', options: ['suppressed', 'unsubscribed', 'complaint', 'not_me', 'hard_bounce'].map((name) => [name, WHY[name][0]]), value: 'suppressed', hint: 'A stronger reason is never replaced by a weaker one.' }],
		});
		if (values && await attempt(() => send('POST', 'suppressions/', values), 'No more messages to that address.')) of.reload();
	};
	const lift = async (row) => {
		const known = query.email;
		const values = await confirm({
			title: known ? `Write to ${known} again?` : 'Let an address be mailed again', action: 'Lift it', danger: true,
			body: html`<p>${row ? LAW[row.reason] || '' : 'They objected to be mailed. Writing to them again is unlawful in most countries unless they agreed anew.'}</p><p>${LIFTED}</p>`,
			fields: [...(known ? [] : [{ name: 'email', label: 'E-mail address', type: 'email', required: true, hint: row ? 'Only a hash is kept here: type the address to show that you know whom it is about.' : null }]),
				{ name: 'agreed', label: 'I have a lawful reason: they agreed anew, or it was a mistake.', type: 'checkbox', required: true }],
		});
		if (values && await attempt(() => send('POST', 'suppressions/remove/', { email: known || values.email }), 'That address may be mailed again.')) of.reload();
	};
	const columns = [
		{ name: 'person', label: 'Person', render: (row) => (query.email ? html`<span class="wrap">${query.email}</span>` : html`<${Hash} person=${row.person} />`) },
		{ name: 'reason', label: 'Why', render: (row) => html`<${Pill} state=${row.reason} label=${(WHY[row.reason] || [row.reason])[0]} title=${(WHY[row.reason] || [])[1]} />` },
		{ name: 'scope', label: 'Stops', render: (row) => SCOPES[row.scope] || row.scope },
		{ name: 'at', label: 'Since', render: (row) => html`<${Ago} at=${row.at} />` },
		...(may('unsuppress') ? [{ name: 'lift', label: '', render: (row) => row.scope !== 'data' && html`<button type="button" class="link" onClick=${() => lift(row)}>Lift<span class="hidden"> the suppression of ${query.email || row.person}</span></button>` }] : []),
	];
	return html`<${Page} title="Suppressions" actions=${html`${may('suppress') && html`<button type="button" onClick=${add}>Add an address</button>`}${may('unsuppress') && html`<button type="button" class="outline secondary" onClick=${() => lift(null)}>Lift one</button>`}`}>
		<p class="note">People who are <${Term} name="suppressed">suppressed<//> get no messages, whatever campaign is on.</p>
		<${Search} name="email" label="Look for an e-mail address" hint="E-mail address" />
		<${Asked} of=${of}>${(data) => html`<${Table} label="Suppressions" columns=${columns} rows=${data.results} keyOf=${(row) => row.person + row.scope}
			empty=${query.email ? html`<${Empty} title="Not suppressed">${query.email} may be mailed, if they agreed.<//>` : html`<${Empty} title="Nobody is suppressed">Whoever unsubscribes, complains or has an address that does not exist appears here by itself.<//>`} />
			<${Pager} data=${data} shown=${data.results.length} label="suppressions" />`}<//>
	<//>`;
}

function Consents({ query }) {
	const shop = useShop();
	const byCustomer = query.customer_id;
	const of = useGet(shop && 'consents/', { email: query.email, customer_id: byCustomer, cursor: query.cursor, page_size: 20 });
	const record = async () => {
		const values = await confirm({
			title: 'Record what somebody said', action: 'Record', body: 'It is kept with the present instant and never changed: the newest entry counts.',
			fields: [{ name: 'email', label: 'E-mail address', type: 'email', required: true, value: query.email || '' },
				{ name: 'status', label: 'They', options: [['granted', 'agreed to be mailed'], ['withdrawn', 'withdrew their agreement']], value: 'granted' },
				{ name: 'source', label: 'Where', required: true, hint: 'As you could prove it: phone, form in the shop, letter.' },
				{ name: 'text_version', label: 'Which words they agreed to', hint: 'The version of the text, if there is one.' }],
		});
		if (!values) return;
		const { text_version: version, ...rest } = values;
		if (await attempt(() => send('POST', 'consents/', version ? values : rest), values.status === 'granted' ? 'The agreement is recorded.' : 'The withdrawal is recorded.')) of.reload();
	};
	const columns = [
		{ name: 'person', label: 'Person', render: (row) => (query.email ? html`<span class="wrap">${query.email}</span>` : html`<${Hash} person=${row.person} />`) },
		{ name: 'status', label: 'Said', render: (row) => html`<${Pill} state=${row.status === 'granted' ? 'recovered' : 'lost'} label=${row.status === 'granted' ? 'Agreed' : 'Withdrew'} title=" " />` },
		{ name: 'in_force', label: 'Counts', render: (row) => (row.in_force ? 'now' : html`<span class="soft">no more</span>`) },
		{ name: 'purpose', label: 'To what' },
		{ name: 'source', label: 'Where', render: (row) => html`<span class="wrap">${row.source || '–'}</span>` },
		{ name: 'text_version', label: 'Words', hideSmall: true, render: (row) => html`<span class="wrap">${row.text_version || '–'}</span>` },
		{ name: 'at', label: 'When', render: (row) => html`<${Ago} at=${row.at} />` },
	];
	return html`<${Page} title="Consents" actions=${may('record_consent') && html`<button type="button" onClick=${record}>Record one</button>`}>
		<p class="note">What people agreed to or withdrew, as it was said; nothing is ever overwritten. Look for an address to see its history.</p>
		<${Search} name="email" label="Look for an e-mail address" hint="E-mail address" />
		<${Asked} of=${of}>${(data) => html`<${Table} label="Consents" columns=${columns} rows=${data.results} keyOf=${(row) => `${row.person} ${row.purpose} ${row.at}`}
			empty=${query.email ? html`<${Empty} title="Nothing is known of that address">It neither agreed nor withdrew anything. Who must agree to be mailed is a setting: <a href=${link('shop/')}>consent_rule</a>.<//>`
			: html`<${Empty} title="Nobody said anything yet" command="incomplete_orders.record_consent('ann@example.com', 'granted', source => 'checkout')">Checkouts record consent by themselves; your program can do it, too:<//>`} />
			<${Pager} data=${data} shown=${data.results.length} label="entries" />`}<//>
	<//>`;
}

// ---------------------------------------------------------------------------
// Coupons: what steps of campaigns offer, and the codes that went out with messages

const USED = { open: ['Open', 'created', 'It can still be redeemed.'], used: ['Redeemed', 'recovered', 'An order was placed with it.'], expired: ['Expired', 'quiet', 'Its time is over, and nobody used it.'] };
const TABS = [{ name: '', label: 'All' }, ...Object.entries(USED).map(([name, [label]]) => ({ name, label }))];

const CODES = [
	{ name: 'code', label: 'Code', render: (row) => html`<code>${row.code}</code>` },
	{ name: 'state', label: 'State', render: (row) => html`<${Pill} state=${USED[row.state][1]} label=${USED[row.state][0]} title=${USED[row.state][2]} />` },
	{ name: 'value', label: 'Discount', render: (row) => (row.kind === 'percentage' ? `${number(row.value)} %` : money(row.value, row.currency)) },
	{ name: 'recipient', label: 'Went to', render: (row) => (row.order_id ? html`<a class="wrap" href=${link(`orders/${row.order_id}/`)}>${row.recipient}</a>` : html`<span class="soft">not kept any more</span>`) },
	{ name: 'campaign', label: 'With', hideSmall: true, render: (row) => (row.campaign ? html`<a href=${link(`campaigns/${row.campaign}/`)}>${campaignName(row.campaign)}, step ${row.step}</a>` : 'by hand') },
	{ name: 'issued_at', label: 'Given', render: (row) => html`<${Ago} at=${row.issued_at} />` },
	{ name: 'used_at', label: 'Redeemed', render: (row) => (row.used_at ? html`<a href=${link(`orders/${row.used_by}/`)}><${Ago} at=${row.used_at} /></a>` : html`<span class="soft" title=${exact(row.expires_at)}>${row.state === 'open' ? html`until <${Ago} at=${row.expires_at} />` : 'never'}</span>`) },
	{ name: 'cost', label: 'Cost', align: 'right', render: (row) => (row.cost === null ? '–' : money(row.cost, row.currency)) },
];

function Coupons({ query }) {
	const shop = useShop();
	const offers = useGet(shop && 'coupons/');
	const issued = useGet(shop && 'coupons/issued/', { state: query.state, cursor: query.cursor, page_size: 20 });
	return html`<${Page} title="Coupons">
		<${Section} title="What messages offer">
			<${Asked} of=${offers} height="4rem">${(data) => (data.results.length === 0
			? html`<${Empty} title="No message offers a discount">Give a step one in <a href=${link('campaigns/cart/')}>the sequence of abandoned carts</a>: the third is the usual place.<//>`
			: html`<ul class="offers">${data.results.map((row) => html`<li key=${row.campaign + row.step}><a href=${link(`campaigns/${row.campaign}/`)}>${campaignName(row.campaign)}, step ${row.step}</a> ${couponWords(row)}</li>`)}</ul>`)}<//>
		<//>
		<${Section} title="Codes that went out" note="Each is for one person or the cart that it came for, and can be used once.">
			<${Tabs} label="States" tabs=${TABS} current=${query.state || ''} to=${(name) => link('coupons/', { state: name || null })} />
			<${Asked} of=${issued}>${(data) => html`<${Table} label="Codes" columns=${CODES} rows=${data.results} keyOf=${(row) => row.code}
				empty=${html`<${Empty} title="No codes here">${query.state ? 'None is in this state.' : 'A code is made when a message with a discount is sent.'}<//>`} />
				<${Pager} data=${data} shown=${data.results.length} label="codes" />`}<//>
		<//>
	<//>`;
}

const Campaigns = ({ params }) => (params.campaign ? html`<${One} params=${params} />` : html`<${List} />`);
const PARTS = { campaigns: Campaigns, templates: Texts, consents: Consents, coupons: Coupons, suppressions: Suppressions };
export default ({ path, query, params }) => html`<${PARTS[path.split('/')[0]]} params=${params} query=${query} />`;
