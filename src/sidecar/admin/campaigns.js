// Campaigns: whether they are on, what they send when, and what came of it; one campaign's
// sequence, to be edited; who gets what. And what texts and coupons have in common with it.
import { html, useState, useEffect, useRef } from './vendor/preact.js';
import { get, send, useGet } from './api.js';
import { guardLeaving, link } from './route.js';
import { money, number, percent, plural, today } from './format.js';
import { Ago, announce, Asked, Choice, confirm, dialog, Empty, Field, Notice, Page, ProblemNotice, Section, Switch, Table, Term, useShop } from './ui.js';
import { reasonWords } from './words.js';
import { compare, Lift, Whisker, wilson } from './overview.js';

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
export function SaveBar({ dirty, busy, note, onSave, onDiscard, label = 'Save' }) {
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
function Planned({ campaign, texts }) {
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
	useEffect(() => {
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

export default ({ params }) => (params.campaign ? html`<${One} params=${params} />` : html`<${List} />`);
