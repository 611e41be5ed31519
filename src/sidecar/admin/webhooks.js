// The shop's own programs that hear what happens, and what they were told.
import { html, useState } from './vendor/preact.js';
import { send, useGet, may } from './api.js';
import { useRoute, link, setQuery } from './route.js';
import { plural } from './format.js';
import { Page, Section, Tabs, Table, Pager, Field, Switch, Asked, Notice, ProblemNotice, Empty, Pill, Copy, Ago, Menu, confirm, dialog, announce, useShop } from './ui.js';

const EVENTS = {
	abandoned: 'Abandoned: nobody has touched the cart for the cut-off',
	returned: 'Returned: the customer came back to it',
	recovered: 'Recovered: it had been abandoned and was paid',
	converted: 'Converted: it became an order',
};
const STATUSES = { queued: 'Waiting', sending: 'Being sent', delivered: 'Delivered', dead: 'Given up' };
const COLOURS = { queued: 'queued', sending: 'sending', delivered: 'delivered', dead: 'dead' };
const path = (name, more = '') => `webhooks/${encodeURIComponent(name)}/${more}`;
const complain = (problem) => announce([problem.detail, problem.hint].filter(Boolean).join(' '), 'bad');

function Secret({ close, name, secret, fresh }) {
	return html`<form onSubmit=${(event) => { event.preventDefault(); close(); }}><header><h2>The secret of ${name}</h2></header>
		<${Notice} kind="warn" title="It is shown this once">Keep it where that program keeps its secrets. Who has lost it needs a new one.<//>
		<${Copy} text=${secret} block />
		<p>Each delivery is signed with it, as Standard Webhooks say: <code>webhook-signature</code> is the HMAC with SHA-256 of <code>webhook-id.webhook-timestamp.body</code>.
		${!fresh && ' For a day the former secret signs, too, so that you can change over without losing anything.'}</p>
		<footer><button type="submit">I have kept it</button></footer></form>`;
}

function Edit({ close, hook }) {
	const [values, set] = useState(hook || { webhook: '', url: '', events: Object.keys(EVENTS), contact: false, active: true });
	const [problem, setProblem] = useState(null);
	const [busy, setBusy] = useState(false);
	const put = (name, value) => { set({ ...values, [name]: value }); setProblem(null); };
	// a problem stands at its field
	const at = (name) => (problem && new RegExp(`"${name}"`).test(problem.detail) ? [problem.detail.replace(/^argument "\w+" /, 'It ').replace('//: ', '//. '), problem.hint].filter(Boolean).join(' ') : null);
	const placed = ['webhook', 'url', 'events'].some(at);
	const submit = async (event) => {
		event.preventDefault();
		setBusy(true);
		try {
			const { url, events, contact, active } = values;
			close({ name: values.webhook, ...(await send('PUT', path(values.webhook.trim() || '-'), { url: url.trim(), events, contact, active })) });
		} catch (failure) {
			setProblem(failure);
			setBusy(false);
		}
	};
	return html`<form onSubmit=${submit} noValidate><header><h2>${hook ? `Change ${hook.webhook}` : 'New webhook'}</h2></header>
		${problem && !placed && html`<${ProblemNotice} problem=${problem} />`}
		${!hook && html`<${Field} label="Name" value=${values.webhook} problem=${at('webhook')} placeholder="crm" spellcheck=${false} autocomplete="off" hint="1 to 63 of a-z, 0-9, _ and -; what you call that program." onInput=${(event) => put('webhook', event.target.value)} />`}
		<${Field} label="Address" type="url" value=${values.url} problem=${at('url')} placeholder="https://crm.example.com/hook" spellcheck=${false} autocomplete="off" hint="Each event is posted to it as JSON, signed." onInput=${(event) => put('url', event.target.value)} />
		<fieldset class="events"><legend>Events</legend>${Object.entries(EVENTS).map(([name, words]) => html`<label key=${name}><input type="checkbox" checked=${values.events.includes(name)}
			onChange=${(event) => put('events', Object.keys(EVENTS).filter((one) => (one === name ? event.target.checked : values.events.includes(one))))} /> ${words}</label>`)}
			${(at('events') || values.events.length === 0) && html`<small class="problem">Choose at least one.</small>`}</fieldset>
		<${Switch} label="With contact data" checked=${values.contact} onChange=${(on) => put('contact', on)} hint="Address, phone, name and customer go along. Erasing a person here does not reach what that program has kept." />
		<${Switch} label="On" checked=${values.active} onChange=${(on) => put('active', on)} hint="Off: nothing new is queued; what waits stays. What happens meanwhile is not told later." />
		<footer><button type="button" class="outline secondary" onClick=${() => close(false)}>Cancel</button><button type="submit" disabled=${busy || values.events.length === 0}>${hook ? 'Save' : 'Add'}</button></footer></form>`;
}

function State({ hook }) {
	if (!hook.active) return html`<${Pill} state="dismissed" label="Off" title="Nothing new is queued." />`;
	if (hook.failing_since) return html`<${Pill} state="failed" label="Not answering" />`;
	return html`<${Pill} state="ok" label="On" />`;
}

function Hook({ hook, reload, edit }) {
	const name = hook.webhook;
	const does = async (act, said) => {
		try {
			const result = await act();
			if (said) announce(said, 'good');
			reload();
			return result;
		} catch (problem) {
			complain(problem);
			return null;
		}
	};
	const ping = () => does(() => send('POST', path(name, 'ping/')), 'A ping is queued: its delivery says how it went.');
	const renew = async () => {
		if (!(await confirm({ title: `Make a new secret for ${name}?`, body: 'For a day both sign. Then deliveries are signed with the new one only.', action: 'Make a new secret' }))) return;
		const made = await does(() => send('PUT', path(name), { new_secret: true }));
		if (made) dialog(Secret, { name, secret: made.secret });
	};
	const remove = async () => {
		if (!(await confirm({ title: `Delete ${name}?`, body: `${hook.waiting ? `What waits for it is deleted, too: ${plural(hook.waiting, 'delivery', 'deliveries')}. ` : ''}It cannot be undone; its secret is gone.`, action: 'Delete', danger: true }))) return;
		does(() => send('DELETE', path(name)), `${name} is deleted.`);
	};
	const toggle = () => does(() => send('PUT', path(name), { active: !hook.active }), hook.active ? `${name} is off.` : `${name} is on.`);
	const deliveries = (status) => link('webhooks/', { tab: 'deliveries', webhook: name, status });
	return html`<${Section} title=${name} actions=${html`<${State} hook=${hook} />${may('configure_webhook') && html`<button type="button" class="outline small" onClick=${() => edit(hook)}>Change</button>
		<button type="button" class="outline small" onClick=${ping}>Ping</button>
		<${Menu} label="More" items=${[{ label: hook.active ? 'Turn off' : 'Turn on', onClick: toggle }, { label: 'New secret', onClick: renew }, { label: 'Delete', onClick: remove, danger: true }]} />`}`}>
		${hook.failing_since && html`<${Notice} kind="warn" title="It does not answer">Since <${Ago} at=${hook.failing_since} />, ${plural(hook.failures, 'attempt')}. ${hook.retry_at && html`The next one is <${Ago} at=${hook.retry_at} />. `}
			<a href=${deliveries()}>What it answered</a><//>`}
		<dl class="facts"><dt>Address</dt><dd><code>${hook.url}</code></dd>
			<dt>Events</dt><dd>${hook.events.map((event) => html`<${Pill} key=${event} state=${event} label=${event} /> `)}</dd>
			<dt>Contact data</dt><dd>${hook.contact ? 'goes along' : 'is left out'}</dd>
			<dt>Deliveries</dt><dd><a href=${deliveries('queued')}>${plural(hook.waiting, 'waiting', 'waiting')}</a>, <a href=${deliveries('dead')} class=${hook.dead ? 'bad' : ''}>${plural(hook.dead, 'given up', 'given up')}</a>, <a href=${deliveries()}>all</a></dd>
			<dt>Changed</dt><dd><${Ago} at=${hook.changed_at} /></dd></dl>
	<//>`;
}

function Deliveries({ shop, hooks }) {
	const { query } = useRoute();
	const { status, webhook } = query;
	const of = useGet(shop ? 'webhook-deliveries/' : null, { shop, status, webhook, cursor: query.cursor, page_size: 25 });
	const retry = async (row) => {
		try {
			await send('POST', `webhook-deliveries/${row.delivery_id}/retry/`);
			announce('It goes again.', 'good');
			of.reload();
		} catch (problem) {
			complain(problem);
		}
	};
	const columns = [
		{ name: 'event', label: 'Event', render: (row) => html`<span><strong>${row.event}</strong>${row.order_id && html` <a href=${link(`orders/${row.order_id}/`)}>order</a>`}</span>` },
		hooks.length > 1 && !webhook && { name: 'webhook', label: 'Webhook' },
		{ name: 'status', label: 'State', render: (row) => html`<${Pill} state=${COLOURS[row.status]} label=${STATUSES[row.status]} />` },
		{ name: 'answer', label: 'Answer', render: (row) => html`<span class="wrap">${row.http_status ? `HTTP ${row.http_status}` : ''}${row.problem && html` <small>${row.problem}</small>`}${!row.http_status && !row.problem && '–'}</span>` },
		{ name: 'attempts', label: 'Attempts', align: 'right', hideSmall: true },
		{ name: 'at', label: 'Happened', render: (row) => html`<${Ago} at=${row.at} />` },
		{ name: 'due', label: 'Due', hideSmall: true, render: (row) => (row.status === 'queued' ? html`<${Ago} at=${row.due_at} />` : '–') },
		{ name: 'again', label: 'Again', render: (row) => (row.status === 'dead' && may('retry_delivery') ? html`<button type="button" class="outline small" onClick=${() => retry(row)}>Retry</button>` : '') },
	].filter(Boolean);
	return html`<${Tabs} label="State of deliveries" current=${status || ''} to=${(name) => link('webhooks/', { tab: 'deliveries', webhook, status: name || null })}
			tabs=${[{ name: '', label: 'All' }, ...Object.entries(STATUSES).map(([name, label]) => ({ name, label }))]} />
		<${Section} title="Deliveries" actions=${hooks.length > 1 && html`<select aria-label="Webhook" value=${webhook || ''} onChange=${(event) => setQuery({ webhook: event.target.value || null, cursor: null })}>
			<option value="">All webhooks</option>${hooks.map((one) => html`<option key=${one.webhook} value=${one.webhook} selected=${one.webhook === webhook}>${one.webhook}</option>`)}</select>`}>
		<${Asked} of=${of} height="16rem">${(data) => html`<${Table} label="Deliveries" columns=${columns} rows=${data.results} keyOf=${(row) => row.delivery_id}
			empty=${html`<${Empty} title=${status || webhook ? 'No delivery like that' : 'Nothing was told yet'}>${status || webhook ? html`<a href=${link('webhooks/', { tab: 'deliveries' })}>All deliveries</a>` : 'The next event of a webhook that is on appears here. A ping does it at once.'}<//>`} />
			<${Pager} data=${data} label="deliveries" />`}<//><//>`;
}

export default function Webhooks() {
	const shop = useShop();
	const { query } = useRoute();
	const of = useGet(shop ? 'webhooks/' : null, { shop });
	const hooks = (of.data && of.data.results) || [];
	const tab = query.tab === 'deliveries' ? 'deliveries' : 'webhooks';
	const edit = async (hook) => {
		const done = await dialog(Edit, { hook: hook && { ...hook } });
		if (!done) return;
		of.reload();
		if (done.secret) await dialog(Secret, { name: done.name, secret: done.secret, fresh: !hook });
		announce(`${done.name} is saved.`, 'good');
	};
	const add = may('configure_webhook') && html`<button type="button" onClick=${() => edit(null)}>Add a webhook</button>`;
	return html`<${Page} title="Webhooks" actions=${add}>
		<${Tabs} label="Parts" current=${tab} to=${(name) => link('webhooks/', { tab: name === 'webhooks' ? null : name })} tabs=${[{ name: 'webhooks', label: 'Webhooks', count: of.data ? hooks.length : null }, { name: 'deliveries', label: 'Deliveries' }]} />
		${tab === 'deliveries' ? html`<${Deliveries} shop=${shop} hooks=${hooks} />` : html`<${Asked} of=${of} height="16rem">${() => (hooks.length
			? hooks.map((hook) => html`<${Hook} key=${hook.webhook} hook=${hook} reload=${of.reload} edit=${edit} />`)
			: html`<div class="card"><${Empty} title="No program hears of anything yet" command=${`SELECT incomplete_orders.configure_webhook('crm', 'https://crm.example.com/hook', shop => '${shop}');`}>
				A webhook tells a program of yours, a CRM say, as soon as a cart is abandoned, comes back, or is bought. Add one here, or in SQL:<//></div>`)}<//>`}
	<//>`;
}
