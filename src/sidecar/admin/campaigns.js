// Campaigns: whether they are on, what they send when, and what came of it.
import { html, useState, useEffect } from './vendor/preact.js';
import { get, may, send, useGet } from './api.js';
import { link } from './route.js';
import { addDays, number, plural, today } from './format.js';
import { useShop } from './one_shop.js';
import { announce, Asked, Choice, dialog, Empty, Notice, Page, Pill, ProblemNotice, Section, Term } from './ui.js';
import { campaignName, KIND_WORDS, Missing, reasonWords, revenueWords, seconds, share, spanWords, textOf, total } from './campaign_parts.js';
import { Lift } from './chart_trials.js';

export const campaignsOf = (rows) => {
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

export function Forecast({ of }) {
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
		${on && html`<${Choice} label="Who is mailed" hint="By when their cart was left. Nobody who left earlier is ever mailed by this campaign." value=${reach} options=${REACH} onChange=${setReach} />`}
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
export async function switchCampaign(campaign) {
	const done = await dialog(Switching, { campaign });
	if (done) announce(`${campaignName(campaign.campaign)}: ${campaign.enabled ? 'turned off' : 'turned on'}.`, 'good');
	return done;
}

export function OnOff({ campaign, onDone }) {
	if (!may('enable_campaign')) return html`<${Pill} state=${campaign.enabled ? 'recovered' : 'off'} label=${campaign.enabled ? 'On' : 'Off'} title=" " />`;
	const flip = async (event) => {
		event.preventDefault();
		if (await switchCampaign(campaign)) onDone();
	};
	return html`<label class="switch"><input type="checkbox" role="switch" checked=${campaign.enabled} aria-label=${`${campaignName(campaign.campaign)} is on`} onClick=${flip} /> <span aria-hidden="true">${campaign.enabled ? 'On' : 'Off'}</span></label>`;
}

// ---------------------------------------------------------------------------
// The list

const NUMBERS = [['sent', 'Sent'], ['opened', 'Opened'], ['clicked', 'Clicked'], ['converted', 'Recovered']];
export const Results = ({ rows }) => {
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

export default function Campaigns() {
	const shop = useShop();
	const days = { start_date: today(-29), end_date: today() };
	const campaigns = useGet(shop && 'campaigns/');
	const texts = useGet(shop && may('list_templates') ? 'templates/' : null);
	const statistics = useGet(shop && 'incomplete-orders/statistics_by_campaign/', days);
	const whole = useGet(shop && 'incomplete-orders/statistics/', { start_date: addDays(today(), -89), end_date: today() });
	return html`<${Page} title="Campaigns" actions=${may('list_templates') && html`<a role="button" class="outline secondary" href=${link('templates/')}>Texts</a>`}>
		<${Asked} of=${campaigns} height="20rem">${(data) => {
			const list = campaignsOf(data.results);
			const missing = list.find((one) => one.missing);
			return html`
				${missing && html`<${Notice} kind="warn" title="One thing is missing before anything can be sent"><${Missing} missing=${missing.missing} /><//>`}
				${!list.some(({ enabled }) => enabled) && html`<${Notice} title="All campaigns are off">Look at the first one, send yourself a test of its texts, and turn it on. Before anything is sent you see how many people would get a mail.<//>`}
				<div class="campaigns">${list.map((campaign) => html`<${Campaign} key=${campaign.campaign} campaign=${campaign} texts=${(texts.data || { results: [] }).results} statistics=${statistics} onDone=${campaigns.reload} />`)}</div>`;
		}}<//>
		<${Section} title=${html`<${Term} name="lift">Lift<//> of all campaigns`} note="The last 90 days.">
			<${Asked} of=${whole}>${(data) => (data.results.length ? liftsOf(data.results).map((of, _, all) => html`<div key=${of.currency}>${all.length > 1 && html`<h3>${of.currency}</h3>`}<${Lift} of=${of} /></div>`) : html`<p class="soft">Nothing was abandoned in that time.</p>`)}<//>
		<//>
	<//>`;
}
