// The shop's own tables that carts are captured from: what is read of them, and how it goes.
import { html, useState } from './vendor/preact.js';
import { send, useGet, may } from './api.js';
import { useRoute, link, go } from './route.js';
import { money, plural } from './format.js';
import { Page, Section, Table, Asked, Notice, Empty, Pill, Copy, Ago, Menu, confirm, announce } from './ui.js';
import { useShop, quoted } from './one_shop.js';
import { Attach } from './attach.js';
import { Mapping } from './mapping.js';

const CHECKS = ['attachments', 'attached tables', 'attached carts', 'unread carts'];
const path = (name, more = '') => `attachments/${encodeURIComponent(name)}/${more}`;

// What health() says of attached tables, where it is not well; all of it or what names one.
function Trouble({ name }) {
	const of = useGet(may('health') ? 'health/' : null);
	const bad = ((of.data && of.data.results) || []).filter((check) => CHECKS.includes(check.check_name) && check.state !== 'ok' && (!name || check.value.includes(`"${name}"`)));
	return bad.map((check) => html`<${Notice} key=${check.check_name} kind=${check.state === 'alarm' ? 'bad' : 'warn'} title=${check.value}>${check.advice}<//>`);
}

const Waiting = ({ row }) => (row.waiting ? html`<span>${plural(row.waiting, 'cart')}${row.waiting_since && html` <small>since <${Ago} at=${row.waiting_since} /></small>`}</span>` : 'none');

function List({ shop }) {
	const of = useGet(shop ? 'attachments/' : null, { shop });
	const columns = [
		{ name: 'name', label: 'Name', render: (row) => html`<a href=${link(`attached/${row.name}/`)}>${row.name}</a>` },
		{ name: 'preset', label: 'Shop system', render: (row) => row.preset || 'own mapping' },
		{ name: 'tables', label: 'Tables', hideSmall: true, render: (row) => html`<small class="wrap">${row.tables.join(', ')}</small>` },
		{ name: 'state', label: 'State', render: (row) => html`<${Pill} state=${row.state === 'ok' ? (row.refused ? 'warn' : 'ok') : row.state} label=${row.state === 'ok' && !row.refused ? 'Captured' : null} title=${row.problem} />` },
		{ name: 'waiting', label: 'To be read', render: (row) => html`<${Waiting} row=${row} />` },
		{ name: 'refused', label: 'Not understood', align: 'right', render: (row) => (row.refused ? html`<strong class="bad">${row.refused}</strong>` : '0') },
		{ name: 'read', label: 'Last read', render: (row) => (row.last_read_at ? html`<${Ago} at=${row.last_read_at} />` : 'not yet') },
	];
	return html`<${Page} title="Attached tables" actions=${may('attach') && html`<a role="button" href=${link('attached/', { attach: 1 })}>Attach tables</a>`}>
		<${Trouble} />
		<${Section} title="What is attached"><${Asked} of=${of}>${(data) => html`<${Table} label="Attached tables" columns=${columns} rows=${data.results} keyOf=${(row) => row.attachment} onOpen=${(row) => go(`attached/${row.name}/`)}
			empty=${html`<${Empty} title="No table is attached" command=${`SELECT incomplete_orders.grant_to('owner_of_the_tables', 'admin', ${quoted(shop)});\nSET ROLE owner_of_the_tables;\nSELECT * FROM incomplete_orders.attach('main', 'vendure', shop => ${quoted(shop)}, dry_run => true);`}>
				A shop whose tables are in this database needs no code: its carts are read from them. ${may('attach') ? html`<a href=${link('attached/', { attach: 1 })}>Look what is there</a>, or do it in SQL:` : 'In SQL:'}<//>`} />`}<//><//>
	<//>`;
}

// ---------------------------------------------------------------------------
// One

export function Cart({ row }) {
	const cart = row.cart || {};
	const items = Array.isArray(cart.items) ? cart.items : [];
	return html`<li class="sample"><div class="check-head"><h3 class="wrap">${cart.name || cart.email || `Cart ${row.cart_key}`}</h3><${Pill} state=${row.problem ? 'warn' : row.state} label=${row.problem ? 'Not understood' : null} /></div>
		${row.problem && html`<p class="bad">${row.problem}</p>`}
		<dl class="facts"><dt>Cart</dt><dd><code>${row.cart_key}</code></dd>
			${['email', 'phone', 'customer_id', 'session_id', 'locale', 'time_zone', 'consent'].map((name) => cart[name] && html`<dt key=${name}>${name.replace('_id', '').replace('_', ' ').replace('email', 'e-mail')}</dt><dd key=${name + '-value'}>${cart[name]}</dd>`)}
			<dt>Lines</dt><dd>${items.length ? html`<ul>${items.map((item, i) => html`<li key=${i}>${item.quantity} × ${item.name || item.sku} <small>${money(item.unit_price, cart.currency || 'USD')}</small></li>`)}</ul>` : 'none'}</dd>
			${cart.total !== undefined && cart.total !== null && html`<dt>Total</dt><dd>${money(cart.total, cart.currency || 'USD')}</dd>`}</dl></li>`;
}

function One({ shop, name }) {
	const of = useGet(shop ? 'attachments/' : null, { shop });
	const sample = useGet(shop && may('sample_attachment') ? path(name, 'sample/') : null, { shop });
	const row = of.data && of.data.results.find((one) => one.name === name);
	const again = async () => {
		try {
			await send('POST', path(name, 'reconcile/'));
			announce('All open carts will be read again.', 'good');
			of.reload();
		} catch (problem) {
			announce(problem.detail, 'bad');
		}
	};
	const detach = async () => {
		const values = await confirm({
			title: `Detach ${name}?`, danger: true, action: 'Detach',
			body: html`<p>The triggers on ${plural(row.tables.length, 'table')} are dropped and nothing more is captured. What was captured stays. Orders of it that are still open are dismissed, because nobody would hear that they are bought.</p>`,
			fields: [{ name: 'typed', label: html`Type <strong>${name}</strong> to go on`, required: true, autocomplete: 'off', pattern: name }],
		});
		if (!values || values.typed !== name) return;
		try {
			const { results } = await send('DELETE', path(name));
			const left = results.filter((one) => one.action === 'left');
			announce(left.length ? `${name} is detached, but not dropped: ${left.map((one) => one.object).join('; ')}` : `${name} is detached.`, left.length ? 'bad' : 'good');
			go('attached/');
		} catch (problem) {
			announce([problem.detail, problem.hint].filter(Boolean).join(' '), 'bad');
		}
	};
	const actions = row && html`${may('reconcile') && html`<button type="button" class="outline" onClick=${again}>Read all again</button>`}
		<${Menu} label="More" items=${[may('attach') && { label: 'Change the mapping', href: link('attached/', { attach: 1, name }) }, may('detach') && { label: 'Detach', onClick: detach, danger: true }]} />`;
	return html`<${Page} title=${name} actions=${actions}>
		<p><a href=${link('attached/')}>All attached tables</a></p>
		<${Asked} of=${of}>${() => (row ? html`
			${row.problem && html`<${Notice} kind="bad" title=${`It cannot be read: ${row.problem}`}>Since <${Ago} at=${row.problem_at} />. Nothing is lost meanwhile, and carts that changed since are neither abandoned nor mailed. Give the role the right that is missing, or ${may('attach') ? html`<a href=${link('attached/', { attach: 1, name })}>change the mapping</a>` : 'change the mapping'} to what the tables are called now.
				<${Copy} text=${`GRANT USAGE ON SCHEMA ${row.mapping.schema || 'public'} TO ${row.role};\nGRANT SELECT, TRIGGER ON ${row.tables.join(', ')} TO ${row.role};`} block /><//>`}
			<${Trouble} name=${name} />
			<div class="grid-2">
				<${Section} title="State"><dl class="facts"><dt>State</dt><dd><${Pill} state=${row.state} label=${row.state === 'ok' ? 'Captured' : null} /></dd>
					<dt>Shop system</dt><dd>${row.preset || 'own mapping'}</dd><dt>Read as role</dt><dd>${row.role}</dd>
					<dt>Tables</dt><dd>${row.tables.map((one) => html`<code key=${one}>${one}</code> `)}</dd>
					<dt>To be read</dt><dd><${Waiting} row=${row} /></dd><dt>Not understood</dt><dd>${plural(row.refused, 'cart')}</dd>
					<dt>Last read</dt><dd>${row.last_read_at ? html`<${Ago} at=${row.last_read_at} />` : 'not yet: the scheduler reads'}</dd><dt>Attached</dt><dd><${Ago} at=${row.attached_at} /></dd></dl><//>
				<${Section} title="Sample" note="Open carts as they are in the tables now, and as they are understood." actions=${html`<button type="button" class="outline small" onClick=${sample.reload}>Look again</button>`}>
					<${Asked} of=${sample}>${(data) => (data.results.length ? html`<ul class="samples">${data.results.map((one) => html`<${Cart} key=${one.cart_key} row=${one} />`)}</ul>` : html`<p class="soft">There is no open cart in the tables.</p>`)}<//><//>
			</div>
			<${Section} title="What is read from where"><${Mapping} mapping=${row.mapping} /><//>`
			: html`<${Empty} title="There is no attachment of that name"><a href=${link('attached/')}>All attached tables</a><//>`)}<//>
	<//>`;
}

export default function Attached({ params }) {
	const shop = useShop();
	const { query } = useRoute();
	if (params.name) return html`<${One} shop=${shop} name=${params.name} />`;
	if (query.attach && may('attach')) return html`<${Attach} shop=${shop} name=${query.name} Cart=${Cart} />`;
	return html`<${List} shop=${shop} />`;
}
