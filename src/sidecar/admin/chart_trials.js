// What can be chance: shares with their 95 % interval, variants against each other, and lift.
import { html } from './ui_base.js';
import { number, percent } from './format.js';

const z2 = 1.959963984540054 ** 2;
// Wilson's score interval of a share, at 95 %.
export function wilson(part, whole) {
	if (!(whole > 0)) return null;
	const p = part / whole;
	const spread = Math.sqrt((z2 * (p * (1 - p) + z2 / (4 * whole))) / whole);
	const middle = p + z2 / (2 * whole);
	return { p, low: Math.max(0, (middle - spread) / (1 + z2 / whole)), high: Math.min(1, (middle + spread) / (1 + z2 / whole)) };
}
// Newcombe's interval of the difference of two.
export const difference = (a, b) => ({ by: a.p - b.p, low: a.p - b.p - Math.hypot(a.p - a.low, b.high - b.p), high: a.p - b.p + Math.hypot(a.high - a.p, b.p - b.low) });
const points = (value) => `${value > 0 ? '+' : value < 0 ? '−' : ''}${number(Math.abs(value * 100), { maximumFractionDigits: 1 })}`;

export const nameOf = (row) => (row.campaign ? `${row.campaign}, step ${row.step}` : 'By hand') + (row.variant ? `, variant ${row.variant}` : '');

// What the variants of one step say about each other, in words.
export function compare(rows) {
	const able = rows.filter(({ sent }) => sent > 0).map((row) => ({ row, ...wilson(row.converted, row.sent) })).sort((a, b) => b.p - a.p);
	if (able.length < 2) return null;
	const [best, next] = able;
	const { by, low, high } = difference(best, next);
	const of = `${best.row.campaign}, step ${best.row.step}`;
	if (Math.min(best.row.sent, next.row.sent) < 100 || low <= 0) return `${of}: variant ${best.row.variant} is ahead of ${next.row.variant} by ${number(by * 100, { maximumFractionDigits: 1 })} points, which is not yet certain: the difference may be anything from ${points(low)} to ${points(high)} points.`;
	return `${of}: variant ${best.row.variant} converts better than ${next.row.variant}, by ${points(low)} to ${points(high)} points (95 % certain).`;
}

// A share with its interval, on the scale 0 to most.
export function Whisker({ it, most, colour = 'converted' }) {
	if (!it) return html`<span class="soft">none sent</span>`;
	const x = (value) => `${Math.max(0, Math.min(100, (100 * value) / most))}%`;
	return html`<span class="whisker" data-colour=${colour} title=${`${percent(it.p)}, 95 % certain between ${percent(it.low)} and ${percent(it.high)}`}><i style=${{ left: x(it.low), width: `${Math.min(100, (100 * (it.high - it.low)) / most)}%` }}></i><b style=${{ left: x(it.p) }}></b></span>`;
}

// rows of statistics_by_campaign() that were sent or held out
export function Campaigns({ rows, money }) {
	const shares = rows.map((row) => wilson(row.converted, row.sent));
	const most = Math.max(0.01, ...shares.filter(Boolean).map(({ high }) => high));
	return html`<div class="table-wrap" tabindex="0" role="region" aria-label="Campaigns"><table class="trials">
		<thead><tr><th scope="col">Message</th><th scope="col" class="right">Sent</th><th scope="col" class="right" data-small="no">Opened</th><th scope="col" class="right" data-small="no">Clicked</th><th scope="col" class="right">Converted</th><th scope="col" class="right">Of the sent</th><th scope="col">with its 95 % interval, 0 to ${percent(most, 0)}</th><th scope="col" class="right">Paid</th></tr></thead>
		<tbody>${rows.map((row, i) => html`<tr key=${nameOf(row)}><td class="wrap" data-label="">${nameOf(row)}</td>
			<td class="right number" data-label="Sent">${number(row.sent)}</td><td class="right number" data-small="no" data-label="Opened">${percent(row.open_rate)}</td><td class="right number" data-small="no" data-label="Clicked">${percent(row.click_rate)}</td>
			<td class="right number" data-label="Converted">${number(row.converted)}</td><td class="right number" data-label="Of the sent">${percent(row.conversion_rate)}</td><td data-label="Interval"><${Whisker} it=${shares[i]} most=${most} /></td><td class="right number" data-label="Paid">${money(row.revenue)}</td></tr>`)}</tbody>
	</table></div>`;
}

// The lift of statistics(): of messages against none.
export function Lift({ of }) {
	if (of.lift === null) {
		return html`<p class="lift"><b>What would have come back anyway is not known yet</b><br />${of.lift_reason === 'several shops'
			? 'There is no lift over several shops, because they may hold out different shares. Choose one shop.'
			: html`It takes 100 persons with messages and 100 without whose time is over; so far ${number(of.treated)} and ${number(of.held_out)}. The setting holdout of the shop says how many get none.`}</p>`;
	}
	const low = Number(of.lift_low);
	const high = Number(of.lift_high);
	const most = Math.max(0.01, Math.abs(low), Math.abs(high)) * 1.15;
	const x = (value) => `${50 + (50 * value) / most}%`;
	const words = low > 0 ? 'Messages bring back orders that would not have come by themselves.' : high < 0 ? 'Those with messages order less often than those without.' : 'Not yet certain: the difference may be chance.';
	return html`<div class="lift"><p><b class="number">${points(Number(of.lift))} points lift</b> <span class="number soft">95 % certain between ${points(low)} and ${points(high)}</span><br />${words}
		<span class="soft">${number(of.treated)} persons with messages, ${number(of.held_out)} without.</span></p>
		<span class="whisker big" data-colour=${low > 0 ? 'recovered' : high < 0 ? 'lost' : 'quiet'}><u></u><i style=${{ left: x(low), width: `${(50 * (high - low)) / most}%` }}></i><b style=${{ left: x(Number(of.lift)) }}></b></span>
		<p class="scale-3 note number"><span>${points(-most)}</span><span>0</span><span>${points(most)} points</span></p></div>`;
}
