// What the database says of itself, the worst first, and what to do about it.
import { html } from './vendor/preact.js';
import { useGet, useEvery, may } from './api.js';
import { link } from './route.js';
import { clock, duration, exact, number, plural } from './format.js';
import { Page, Section, Asked, Notice, Pill, Copy, Ago } from './ui.js';

export { default as HealthBanner, default as Banner } from './banner.js';

const OPEN = "SELECT pid, usename, state, xact_start, left(query, 60) AS query\nFROM pg_stat_activity WHERE xact_start IS NOT NULL ORDER BY xact_start;";

// What the checks look at, and the command or the page that helps. A check that is not named
// here shows its own name and advice.
const CHECKS = {
	setup: ['Tables', 'The tables are those of the version that is installed.', 'SELECT incomplete_orders.setup();'],
	tick: ['Scheduler', 'It abandons, mails and expires what is due, every minute.', 'incomplete-orders tick --every 60s'],
	overdue: ['What is due', 'How long the oldest thing that is due has waited.', 'CALL incomplete_orders.tick();'],
	'partitions of closed_orders': ['Room for closed orders', 'A partition for each month, made ahead.', OPEN],
	'partitions of order_events': ['Room for events', 'A partition for each month, made ahead.', OPEN],
	retention: ['Retention', 'What is kept no longer is deleted once a day.', 'CALL incomplete_orders.tick();'],
	hooks: ['Functions of the shop', 'Availability and payment state, as the shop’s own functions say them.', null, ['shop/', 'Settings of the shop']],
	attachments: ['Reading attached tables', 'The shop’s tables can be read as they are described.', null, ['attached/', 'Attached tables']],
	'attached tables': ['Triggers on attached tables', 'Writes of the shop are noticed.', null, ['attached/', 'Attached tables']],
	'attached carts': ['Carts of attached tables', 'Carts whose rows make no sense are left out.', null, ['attached/', 'Attached tables']],
	'unread carts': ['Delay of attached tables', 'How long a changed cart has waited to be read.', 'CALL incomplete_orders.tick();', ['attached/', 'Attached tables']],
	campaigns: ['Campaigns', 'Those that are on have all that a mail needs.', null, ['shop/', 'Settings of the shop']],
	'message queue': ['Mails that wait', 'They are sent when they are due.', 'systemctl restart incomplete-orders-send', ['messages/', 'Messages', { status: 'queued' }]],
	'dead messages': ['Mails that were given up', 'After several attempts, or because nobody can get them.', null, ['messages/', 'Those messages', { status: 'dead' }]],
	webhooks: ['Webhooks', 'Your own programs hear what happens.', null, ['webhooks/', 'Webhooks']],
	'event tail': ['Events for reports', 'They are added up by and by.', 'CALL incomplete_orders.tick();'],
	procedures: ['Procedures', 'They may commit their batches.', 'ALTER PROCEDURE incomplete_orders.tick RESET ALL;\nALTER PROCEDURE incomplete_orders.tick SECURITY INVOKER;'],
	triggers: ['Triggers', 'Those of our tables and of the shop’s fire.', 'SELECT incomplete_orders.setup();'],
	'oldest snapshot': ['Old transactions', 'One that stays open keeps every old row version.', OPEN],
	'replication slots': ['Replication', 'A slot that falls behind keeps old row versions.', 'SELECT slot_name, active, age(xmin) FROM pg_replication_slots;'],
	pg_cron: ['pg_cron', 'One of the ways to run the scheduler.', 'SELECT * FROM incomplete_orders.schedule_jobs();'],
};
const WORST = { alarm: 0, warn: 1, ok: 2 };

// intervals as people say them
const spoken = (text) => (text || '').replace(/(?:(\d+) days? )?\b(\d\d):(\d\d):(\d\d)\b/g, (_, d = 0, h, m, s) => duration(d * 86400 + h * 3600 + m * 60 + Number(s)));
const about = (check) => CHECKS[check.check_name] || [check.check_name.replace(/^./, (c) => c.toUpperCase()), '', /^pg_cron job/.test(check.check_name) ? 'SELECT * FROM incomplete_orders.jobs();' : null];

function Trouble({ check }) {
	const [title, means, command, page] = about(check);
	return html`<li class="check" data-state=${check.state}>
		<div class="check-head"><h3>${title}</h3><${Pill} state=${check.state} /></div>
		<p class="check-value wrap">${spoken(check.value)}</p>
		${means && html`<p class="soft">${means}</p>`}
		${check.advice && html`<p class="wrap"><strong>What to do.</strong> ${spoken(check.advice)}</p>`}
		${page && html`<p><a href=${link(page[0], page[2])}>${page[1]}</a></p>`}
		${command && html`<${Copy} text=${command} block />`}
	</li>`;
}

function Checks({ rows }) {
	const sorted = [...rows].sort((a, b) => WORST[a.state] - WORST[b.state]);
	const bad = sorted.filter((one) => one.state !== 'ok');
	const alarms = bad.filter((one) => one.state === 'alarm').length;
	const well = sorted.filter((one) => one.state === 'ok');
	return html`
		${bad.length === 0
			? html`<${Notice} kind="good" title="Everything is well">${plural(well.length, 'check')} found nothing to do.<//>`
			: html`<${Notice} kind=${alarms ? 'bad' : 'warn'} title=${alarms ? `${plural(alarms, 'thing')} must be done now` : 'Nothing is broken, but look at this'}>
				${alarms > 0 && bad.length > alarms ? `${bad.length - alarms} more should be looked at. ` : ''}${plural(well.length, 'check')} found nothing.<//>`}
		${bad.length > 0 && html`<${Section} title="To do"><ul class="checks">${bad.map((check) => html`<${Trouble} key=${check.check_name} check=${check} />`)}</ul><//>`}
		<${Section} title="Well"><div class="table-wrap"><table class="well" aria-label="Checks that found nothing">
			<thead><tr><th scope="col">Check</th><th scope="col">State</th><th scope="col">Found</th><th scope="col">What it looks at</th></tr></thead>
			<tbody>${well.map((check) => html`<tr key=${check.check_name}><td data-label="">${about(check)[0]}</td><td data-label="State" data-small="no"><${Pill} state="ok" /></td>
				<td class="wrap" data-label=""><span>${spoken(check.value)}${check.advice && html`<br /><small>${check.advice}</small>`}</span></td><td class="soft" data-small="no">${about(check)[1]}</td></tr>`)}</tbody></table></div><//>`;
}

const QUEUE = { queued: 'Waiting', sending: 'Being sent', dead: 'Given up' };

function Queue({ rows, several }) {
	if (rows.length === 0) return html`<p class="soft">No mail waits, none was given up.</p>`;
	return html`<dl class="facts">${rows.map((row) => html`<dt key=${row.shop + row.status}>${QUEUE[row.status] || row.status}${several && html`, ${row.shop}`}</dt>
		<dd><a href=${link('messages/', { shop: row.shop, status: row.status })}>${plural(row.messages, 'mail')}</a>${row.oldest_due_at && html` <small>the oldest due <${Ago} at=${row.oldest_due_at} /></small>`}</dd>`)}</dl>`;
}

const SCHEDULER = { ok: 'It runs.', stopped: 'It stands still.', never: 'It has never run.', ahead: 'It ran in the future: the clock was set back.' };

export default function Health() {
	const checks = useGet('health/');
	const queue = useGet(may('queue_status') ? 'queue/' : null, { shop: '*' });
	const scheduler = useGet(may('scheduler_status') ? 'scheduler/' : null);
	const jobs = useGet(may('jobs') ? 'scheduler/jobs/' : null);
	const all = [checks, queue, scheduler, jobs];
	useEvery(30, () => all.forEach((one) => one.refresh()));
	return html`<${Page} title="Health" actions=${html`<span class="soft">${checks.at ? html`as of <time datetime=${checks.at.toISOString()} title=${exact(checks.at)}>${clock(checks.at)}</time>, again every 30 s` : ''}</span>
		<button type="button" class="outline" onClick=${() => all.forEach((one) => one.reload())}>Check now</button>`}>
		<div class="split"><div><${Asked} of=${checks} height="20rem">${(data) => html`<${Checks} rows=${data.results} />`}<//></div>
		<div>
			<${Section} title="Scheduler"><${Asked} of=${scheduler} height="4rem">${(one) => html`
				<p><${Pill} state=${one.state === 'ok' ? 'ok' : one.state === 'stopped' ? 'alarm' : 'warn'} label=${SCHEDULER[one.state]} /></p>
				<dl class="facts"><dt>Last ended</dt><dd>${one.ended_at ? html`<${Ago} at=${one.ended_at} />` : 'never'}</dd><dt>Should run</dt><dd>every ${number(one.every_seconds)} s</dd></dl>`}<//>
				${jobs.data && jobs.data.results.map((job) => html`<dl class="facts job" key=${job.job}><dt>pg_cron</dt><dd>${job.command}</dd><dt>Plan</dt><dd>${job.schedule} as ${job.role}</dd>
					<dt>Last run</dt><dd>${job.state}${job.last_end && html`, <${Ago} at=${job.last_end} />`}${job.last_message && html`<br /><small>${job.last_message}</small>`}</dd></dl>`)}
			<//>
			<${Section} title="Mails"><${Asked} of=${queue} height="4rem">${(data) => html`<${Queue} rows=${data.results} several=${new Set(data.results.map((row) => row.shop)).size > 1} />`}<//><//>
		</div></div>
	<//>`;
}
