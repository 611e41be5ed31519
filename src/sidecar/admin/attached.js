// The shop's own tables that carts are captured from: what is read of them, how it goes, and
// attaching them, which is not on before it was seen what would be captured.
import { html, useState, useEffect } from './vendor/preact.js';
import { send, session, useGet, may } from './api.js';
import { useRoute, link, go } from './route.js';
import { money, plural } from './format.js';
import { Page, Section, Table, Field, Asked, Notice, ProblemNotice, Empty, Pill, Copy, Ago, Menu, confirm, announce, useShop, quoted } from './ui.js';

// ---------------------------------------------------------------------------
// A mapping of attach() as a table: which field of a cart comes from which column.

const FIELDS = {
	cart: { id: 'Cart', email: 'E-mail', phone: 'Phone', name: 'Name', customer: 'Customer', session: 'Session', locale: 'Language', time_zone: 'Time zone', consent: 'Consent', currency: 'Currency', updated_at: 'Last change', completed_at: 'Bought at', deleted_at: 'Deleted at', order_number: 'Order number', where: 'Which rows are carts' },
	lines: { id: 'Line', cart: 'Cart of the line', sku: 'Article (sku)', name: 'Name of the article', quantity: 'Quantity', unit_price: 'Price of one', product: 'Product', image: 'Image', where: 'Which rows are lines' },
	orders: { cart: 'Cart of the order', order: 'Order', live: 'Which orders count', total: 'Total', currency: 'Currency', completed_at: 'Bought at' },
	'': { total: 'Total', completed: 'Bought, if', in_progress: 'Being paid, if', superseded: 'Taken over by another cart, if', money: 'Amounts', on_delete: 'A row that is deleted means', restore_url: 'Link back to the cart', settle: 'Rests before it is read', always: 'Fires on a subscriber, too' },
};
const GROUPS = { cart: 'Carts', lines: 'Lines', orders: 'Orders', '': 'Rules' };
const PREDICATES = ['where', 'live', 'completed', 'in_progress', 'superseded'];
const MONEY = { major: 'in whole units, as 19.90', minor: 'in the smallest unit of the currency' };

// Where a value comes from: the column, and how one gets there.
function source(value, table) {
	if (typeof value !== 'object' || value === null) return [html`<code>${table ? `${table}.${value}` : String(value)}</code>`, ''];
	if (value.sql !== undefined) return [html`<code>${value.sql}</code>`, 'expression'];
	if (value.join !== undefined) {
		const [from] = source(value.column, value.as || value.join);
		return [from, html`joined, where <code>${value.on}</code>`];
	}
	return [html`<code>${JSON.stringify(value)}</code>`, ''];
}

function Mapping({ mapping }) {
	const rows = [];
	for (const group of Object.keys(GROUPS)) {
		const part = group ? mapping[group] : Object.fromEntries(Object.entries(mapping).filter(([name]) => FIELDS[''][name]));
		if (!part || Object.keys(part).length === 0) continue;
		rows.push(html`<tr key=${group} class="group"><th scope="rowgroup" colspan="3">${GROUPS[group]}${part.table && html` <code>${(mapping.schema ? `${mapping.schema}.` : '') + part.table}</code>`}</th></tr>`);
		const names = [...new Set([...Object.keys(FIELDS[group]), ...Object.keys(part)])].filter((name) => name !== 'table' && name !== 'as' && part[name] !== undefined && part[name] !== null);
		for (const name of names) {
			const value = part[name];
			const [from, how] = name === 'money' ? [MONEY[value] || `${value} decimal places are left out`, ''] : PREDICATES.includes(name) || !group ? [html`<code>${typeof value === 'object' ? value.sql || JSON.stringify(value) : String(value)}</code>`, ''] : source(value, part.table);
			rows.push(html`<tr key=${group + name}><td data-label="">${FIELDS[group][name] || name}</td><td class="wrap" data-label="From">${from}</td><td class="soft wrap" data-label="How">${how}</td></tr>`);
		}
	}
	for (const [i, watch] of (mapping.watch || []).entries()) rows.push(i === 0 && html`<tr key="watch" class="group"><th scope="rowgroup" colspan="3">Watched, too</th></tr>`,
		html`<tr key=${`watch${i}`}><td data-label="">${watch.table}</td><td class="wrap" data-label="From"><code>${watch.table}.${watch.column}</code></td><td class="soft" data-label="How">changes the carts with that ${watch.cart}</td></tr>`);
	return html`<div class="table-wrap"><table class="mapping" aria-label="Mapping"><thead><tr><th scope="col">Field</th><th scope="col">From</th><th scope="col">How</th></tr></thead><tbody>${rows}</tbody></table></div>`;
}

// What one mapping is with the keys of another in place of its own, at any depth; null removes.
function merged(base, changes) {
	const result = { ...base };
	for (const [name, value] of Object.entries(changes || {})) {
		if (value === null) delete result[name];
		else if (typeof value === 'object' && !Array.isArray(value) && typeof result[name] === 'object' && result[name] !== null) result[name] = merged(result[name], value);
		else result[name] = value;
	}
	return result;
}

// ---------------------------------------------------------------------------
// What is attached

const CHECKS = ['attachments', 'attached tables', 'attached carts', 'unread carts'];
const path = (name, more = '') => `attachments/${encodeURIComponent(name)}/${more}`;

// What health() says of attached tables, where it is not well; all of it or what names one.
function Trouble({ name, but }) {
	const of = useGet(may('health') ? 'health/' : null);
	const bad = ((of.data && of.data.results) || []).filter((check) => CHECKS.includes(check.check_name) && check.check_name !== but && check.state !== 'ok' && (!name || check.value.includes(`"${name}"`)));
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

function Cart({ row }) {
	const cart = row.cart || {};
	const items = Array.isArray(cart.items) ? cart.items : [];
	return html`<li class="sample"><div class="check-head"><h3 class="wrap">${cart.name || cart.email || `Cart ${row.cart_key}`}</h3><${Pill} state=${row.problem ? 'warn' : row.state} label=${row.problem ? 'Not understood' : null} /></div>
		${row.problem && html`<p class="bad">${row.problem}</p>`}
		<dl class="facts"><dt>Cart</dt><dd><code>${row.cart_key}</code></dd>
			${['email', 'phone', 'customer_id', 'session_id', 'locale', 'time_zone', 'consent'].map((name) => cart[name] && html`<dt>${FIELDS.cart[name.replace('_id', '')]}</dt><dd>${cart[name]}</dd>`)}
			<dt>Lines</dt><dd>${items.length ? html`<ul>${items.map((item, i) => html`<li key=${i}>${item.quantity} × ${item.name || item.sku} <small>${money(item.unit_price, cart.currency || 'USD')}</small></li>`)}</ul>` : 'none'}</dd>
			${cart.total !== undefined && cart.total !== null && html`<dt>Total</dt><dd>${money(cart.total, cart.currency || 'USD')}</dd>`}</dl></li>`;
}

function One({ shop, name }) {
	const of = useGet(shop ? 'attachments/' : null, { shop });
	const row = of.data && of.data.results.find((one) => one.name === name);
	const sample = useGet(row && !row.problem && may('sample_attachment') ? path(name, 'sample/') : null, { shop });
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
			<${Trouble} name=${name} but=${row.problem && CHECKS[0]} />
			<div class="split"><div>
				<${Section} title="State"><dl class="facts"><dt>State</dt><dd><${Pill} state=${row.state} label=${row.state === 'ok' ? 'Captured' : null} /></dd>
					<dt>Shop system</dt><dd>${row.preset || 'own mapping'}</dd><dt>Read as role</dt><dd>${row.role}</dd>
					<dt>Tables</dt><dd>${row.tables.map((one) => html`<code key=${one}>${one}</code> `)}</dd>
					<dt>To be read</dt><dd><${Waiting} row=${row} /></dd><dt>Not understood</dt><dd>${plural(row.refused, 'cart')}</dd>
					<dt>Last read</dt><dd>${row.last_read_at ? html`<${Ago} at=${row.last_read_at} />` : 'not yet: the scheduler reads'}</dd><dt>Attached</dt><dd><${Ago} at=${row.attached_at} /></dd></dl><//>
				<${Section} title="What is read from where"><${Mapping} mapping=${row.mapping} /><//>
				</div>
				<${Section} title="Sample" note="Open carts as they are in the tables now, and as they are understood." actions=${html`<button type="button" class="outline small" onClick=${sample.reload}>Look again</button>`}>
					${row.problem ? html`<p class="soft">There is none while the tables cannot be read.</p>` : html`<${Asked} of=${sample}>${(data) => (data.results.length ? html`<ul class="samples">${data.results.map((one) => html`<${Cart} key=${one.cart_key} row=${one} />`)}</ul>` : html`<p class="soft">There is no open cart in the tables.</p>`)}<//>`}<//>
			</div>`
			: html`<${Empty} title="There is no attachment of that name"><a href=${link('attached/')}>All attached tables</a><//>`)}<//>
	<//>`;
}

// ---------------------------------------------------------------------------
// Attaching

const OWN = { schema: 'public', cart: { table: 'carts', id: 'id', email: 'email', customer: 'customer_id', updated_at: 'updated_at' }, lines: { table: 'cart_lines', cart: 'cart_id', sku: 'sku', name: 'name', quantity: 'quantity', unit_price: 'price' }, money: 'major', completed: 'cart.ordered_at IS NOT NULL' };
const name_of = (role) => (/^[a-z_][a-z0-9_]*$/.test(role) ? role : `"${role.replace(/"/g, '""')}"`);
const key = (one) => `${one.preset}|${one.schema}`;
const write = (mapping) => JSON.stringify(mapping, null, 2);

// A line of the answer to a trial: "sample 17" has the cart behind its state.
function sampleOf({ check_name: check, result }) {
	const found = /^(\S+) (\{.*\})\s*(.*)$/s.exec(result || '');
	try {
		return { cart_key: check.replace(/^sample /, ''), state: found[1], cart: JSON.parse(found[2]), problem: found[3] || null };
	} catch {
		return { cart_key: check.replace(/^sample /, ''), state: 'pending', cart: {}, problem: result };
	}
}

function Found({ list, picked, pick }) {
	return html`<fieldset class="found"><legend class="hidden">Tables</legend>
		${list.map((one) => html`<label key=${key(one)} class="choice"><input type="radio" name="found" checked=${picked === key(one)} onChange=${() => pick(one)} />
			<span><strong>${one.preset}</strong> in schema <code>${one.schema}</code> ${one.attached ? html`<${Pill} state="ok" label=${`attached as ${one.attached}`} />` : one.missing.length ? html`<${Pill} state="warn" label="differs" />` : html`<${Pill} state="ok" label="fits" />`}
			<br /><small class="wrap">${one.tables.join(', ')}</small>
			${one.missing.length > 0 && html`<br /><small class="problem">Not there: ${one.missing.join(', ')}</small>`}</span></label>`)}
		<label class="choice"><input type="radio" name="found" checked=${picked === 'own'} onChange=${() => pick(null)} /><span><strong>Another shop</strong><br /><small>Its tables are described by a mapping of your own.</small></span></label>
	</fieldset>`;
}

function Attach({ shop, name: given }) {
	const found = useGet(shop ? 'attachable/' : null, { shop });
	const known = useGet(shop && given ? 'attachments/' : null, { shop });
	const [picked, setPicked] = useState(null);
	const [name, setName] = useState(given || 'main');
	const [text, setText] = useState('');
	const [trial, setTrial] = useState(null);
	const [problem, setProblem] = useState(null);
	const [busy, setBusy] = useState(false);
	const one = found.data && found.data.results.find((row) => key(row) === picked);
	const preset = one ? one.preset : picked && picked !== 'own' ? picked.split('|')[0] : null;
	const base = useGet(preset ? `presets/${encodeURIComponent(preset)}/` : null, { shop });
	const pick = (row) => {
		setPicked(row ? key(row) : 'own');
		setText(write(row ? { schema: row.schema } : OWN));
		setTrial(null);
	};
	useEffect(() => {
		if (picked || !found.data || (given && !known.data)) return;
		const own = given && known.data.results.find((row) => row.name === given);
		const best = found.data.results.find((row) => !row.attached) || found.data.results[0];
		if (own) {
			setPicked('own');
			setText(write(own.mapping));
		} else pick(best || null);
	}, [found.data, known.data]);
	let mapping = null;
	try {
		mapping = JSON.parse(text || '{}');
	} catch { /* said at its field */ }
	const whole = mapping && typeof mapping === 'object' && (preset ? base.data && merged(base.data, mapping) : mapping);
	const ask = async (dry) => {
		setBusy(true);
		setProblem(null);
		try {
			const { results } = await send('PUT', `attachments/${encodeURIComponent(name.trim() || '-')}/`, { ...(preset && { preset }), mapping, dry_run: dry });
			if (dry) setTrial({ text, name, picked, results });
			else {
				announce(`${name} is attached. The scheduler reads the carts that are there.`, 'good');
				go(`attached/${name}/`);
			}
		} catch (failure) {
			setProblem(failure);
		}
		setBusy(false);
	};
	const tried = trial && trial.text === text && trial.name === name && trial.picked === picked ? trial.results : null;
	const faults = tried && tried.filter((row) => /^FAULT/.test(row.result));
	const samples = tried && tried.filter((row) => /^sample /.test(row.check_name)).map(sampleOf);
	const checks = tried && tried.filter((row) => !/^sample /.test(row.check_name));
	const role = name_of(session().role);
	const refused = one ? one.refused : [];
	return html`<${Page} title=${given ? `Change ${given}` : 'Attach tables'}>
		<p><a href=${link(given ? `attached/${given}/` : 'attached/')}>${given ? `Back to ${given}` : 'All attached tables'}</a></p>
		<form noValidate onSubmit=${(event) => { event.preventDefault(); ask(true); }}>
		${!given && html`<${Section} title="1. Which tables" note="Tables of this database that look like those of a shop that is known. Nothing is changed by looking.">
			<${Asked} of=${found} height="6rem">${(data) => html`
				${data.results.length === 0 && html`<${Notice} title="No known shop is found in the schemas that your role may use">If the shop's tables are here, its owner gives your role the right to see them:
					<${Copy} text=${`GRANT USAGE ON SCHEMA public TO ${role};`} block /><//>`}
				<${Found} list=${data.results} picked=${picked} pick=${pick} />`}<//>
			${refused.length > 0 && html`<${Notice} kind="warn" title="Your role may not read these tables, or not put triggers on them">Everything is read with your rights, never with more. The owner of the tables gives them, or attaches:
				<${Copy} text=${`GRANT SELECT, TRIGGER ON ${refused.join(', ')} TO ${role};`} block /><//>`}
		<//>`}
		<${Section} title=${given ? 'The mapping' : '2. How they are read'}>
			${!given && html`<${Field} label="Name of the attachment" value=${name} spellcheck=${false} autocomplete="off" hint="1 to 63 of a-z, 0-9, _ and -. You see it here and in health()." onInput=${(event) => setName(event.target.value)} />`}
			<${Field} label=${preset ? 'What differs from the preset' : 'Mapping'} problem=${mapping === null ? 'This is not JSON yet.' : null}
				hint=${preset ? 'JSON. A key replaces that of the preset at any depth, null removes it: {"cart": {"phone": null}}.' : 'JSON: the tables, and which column each field comes from.'}>${(ids) => html`<textarea class="code" rows=${Math.min(24, Math.max(4, text.split('\n').length + 1))} spellcheck=${false} ...${ids} value=${text} onInput=${(event) => setText(event.target.value)} />`}<//>
			${whole && whole.cart && html`<details open=${!preset}><summary>What is read from where</summary><${Mapping} mapping=${whole} /></details>`}
			${problem && html`<${ProblemNotice} problem=${problem} />`}
			<div class="actions"><button type="submit" class=${tried && !faults.length ? 'outline' : ''} disabled=${busy || !mapping} aria-busy=${busy && !tried ? 'true' : null}>Check, and show samples</button></div>
		<//>
		<div aria-live="polite">${tried && html`<${Section} title=${given ? 'What would be captured' : '3. What would be captured'}>
			${faults.length > 0 ? html`<${Notice} kind="bad" title=${`${plural(faults.length, 'fault')}: it cannot be attached like this`}><ul>${faults.map((row) => html`<li key=${row.check_name}><strong>${row.check_name}</strong> ${row.result.replace(/^FAULT: /, '')}</li>`)}</ul><//>`
				: html`${samples.length ? html`<p class="note">${plural(samples.length, 'open cart')}, read and understood as ${samples.length === 1 ? 'it' : 'they'} would be. Nothing is on yet.</p><ul class="samples three">${samples.map((row) => html`<${Cart} key=${row.cart_key} row=${row} />`)}</ul>`
					: html`<p>Everything fits, and there is no open cart to show.</p>`}
				<div class="actions"><button type="button" disabled=${busy} aria-busy=${busy ? 'true' : null} onClick=${() => ask(false)}>${given ? 'Use this mapping' : 'Switch it on'}</button>
					<small>Triggers are put on the tables, all at once or not at all; the shop's writes go on.</small></div>`}
			<details><summary>${plural(checks.length, 'check')}</summary><dl class="facts">${checks.map((row) => html`<dt key=${row.check_name}>${row.check_name}</dt><dd key=${row.check_name + '-is'} class=${/^FAULT/.test(row.result) ? 'bad' : ''}>${row.result}</dd>`)}</dl></details>
		<//>`}</div>
		</form>
	<//>`;
}

export default function Attached({ params }) {
	const shop = useShop();
	const { query } = useRoute();
	if (params.name) return html`<${One} shop=${shop} name=${params.name} />`;
	if (query.attach && may('attach')) return html`<${Attach} shop=${shop} name=${query.name} />`;
	return html`<${List} shop=${shop} />`;
}
