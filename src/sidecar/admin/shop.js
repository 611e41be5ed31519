// A shop: its settings, the key of its pages, who works for it, what it knows of a person.
import { html, useState, useEffect, useRef } from './vendor/preact.js';
import { send, href, useGet, may, loadSession } from './api.js';
import { useRoute, link, go, guardLeaving } from './route.js';
import { day, duration, percent, plural } from './format.js';
import { Page, Section, Tabs, Table, Field, Choice, Asked, Notice, ProblemNotice, Pill, Copy, confirm, dialog, announce, useShop, quoted } from './ui.js';

// ---------------------------------------------------------------------------
// The inputs, one for each kind of setting that the API knows; a kind that is not known here
// is JSON.

const UNITS = [['days', 86400], ['hours', 3600], ['minutes', 60], ['seconds', 1]];

// "1 day 02:00:00" in seconds; null: it has months, or is nothing of that kind
function seconds(span) {
	const found = /^(?:(\d+) days?)?(?:(?:^| )(\d+):(\d\d):(\d\d))?$/.exec(span || '-');
	return found ? (found[1] || 0) * 86400 + (found[2] || 0) * 3600 + (found[3] || 0) * 60 + Number(found[4] || 0) : null;
}
const known = (name) => (Intl.supportedValuesOf ? Intl.supportedValuesOf(name) : []);
const lines = (text) => text.split('\n').map((one) => one.trim()).filter(Boolean);
const same = (a, b) => JSON.stringify(a) === JSON.stringify(b);

// The value as people read it.
function shown({ kind }, value) {
	if (value === null || value === undefined || same(value, []) || same(value, {})) return '';
	if (kind === 'span') return seconds(value) === null ? value : duration(seconds(value));
	if (kind === 'share') return percent(value, value * 100 % 1 ? 1 : 0);
	if (kind === 'time') return value.slice(0, 5);
	return typeof value === 'object' ? JSON.stringify(value) : String(value);
}

function Span({ ids, value, onChange }) {
	const total = seconds(value);
	const [unit, setUnit] = useState(() => (UNITS.find(([, size]) => total && total % size === 0) || UNITS[1])[0]);
	const size = UNITS.find(([name]) => name === unit)[1];
	if (value !== null && total === null) return html`<input type="text" ...${ids} value=${value} onInput=${(event) => onChange(event.target.value || null)} />`;
	const put = (n, name) => onChange(n === '' ? null : `${n} ${name}`);
	const n = total === null ? '' : Math.round((total / size) * 1000) / 1000;
	return html`<div class="span"><input type="number" min="0" step="any" inputmode="decimal" ...${ids} value=${n} onInput=${(event) => put(event.target.value, unit)} />
		<select aria-label="Unit" value=${unit} onChange=${(event) => { setUnit(event.target.value); if (n !== '') put(n, event.target.value); }}>
			${UNITS.map(([name]) => html`<option key=${name} value=${name} selected=${name === unit}>${name}</option>`)}</select></div>`;
}

// "90 minutes", as it is typed, is one of the spans that seconds() reads
const normal = (text) => {
	const found = /^([\d.]+) (days|hours|minutes|seconds)$/.exec(text || '');
	if (!found) return text;
	const total = Math.round(found[1] * UNITS.find(([name]) => name === found[2])[1]);
	const pad = (n) => String(n).padStart(2, '0');
	const days = Math.floor(total / 86400);
	const rest = total % 86400;
	const clock = `${pad(Math.floor(rest / 3600))}:${pad(Math.floor(rest / 60) % 60)}:${pad(rest % 60)}`;
	return [days && `${days} day${days === 1 ? '' : 's'}`, (rest || !days) && clock].filter(Boolean).join(' ');
};

function Lines({ ids, value, onChange, rows = 3, ...rest }) {
	const [text, set] = useState((value || []).join('\n'));
	// what was typed stays as it was typed; what comes from elsewhere counts
	const now = same(lines(text), value || []) ? text : (value || []).join('\n');
	return html`<textarea rows=${rows} spellcheck=${false} ...${ids} ...${rest} value=${now} onInput=${(event) => { set(event.target.value); onChange(lines(event.target.value)); }} />`;
}

function Json({ ids, value, onChange }) {
	const write = (one) => (one === null || same(one, {}) ? '' : JSON.stringify(one, null, 2));
	const [text, set] = useState(write(value));
	const [wrong, setWrong] = useState(false);
	const put = (typed) => {
		set(typed);
		try {
			onChange(typed.trim() === '' ? null : JSON.parse(typed));
			setWrong(false);
		} catch {
			setWrong(true);
			onChange(typed, true);
		}
	};
	return html`<textarea rows="4" class="code" spellcheck=${false} placeholder="{}" ...${ids} aria-invalid=${wrong ? 'true' : ids['aria-invalid']} value=${text} onInput=${(event) => put(event.target.value)} />
		${wrong && html`<small class="problem">This is not JSON yet.</small>`}`;
}

// An object whose keys are known: one input for each; an empty one is no key.
function Parts({ parts, value, onChange }) {
	const put = (name, one) => {
		const next = { ...value };
		if (one === '' || one === null || one === false || same(one, [])) delete next[name];
		else next[name] = one;
		onChange(next);
	};
	return html`<div class="parts">${parts.map(({ name, kind, meaning }) => kind === 'switch'
		? html`<label key=${name} class="switch"><input type="checkbox" role="switch" checked=${Boolean(value && value[name])} onChange=${(event) => put(name, event.target.checked)} /> ${meaning}</label>`
		: html`<${Field} key=${name} label=${meaning}>${(ids) => kind === 'list'
			? html`<${Lines} ids=${ids} rows="2" placeholder="one a line" value=${(value && value[name]) || []} onChange=${(one) => put(name, one)} />`
			: html`<input type="number" min="0" step="any" ...${ids} value=${value && value[name] !== undefined ? value[name] : ''} onInput=${(event) => put(name, event.target.value === '' ? '' : Number(event.target.value))} />`}<//>`)}</div>`;
}

const TYPES = { url: 'url', email: 'email', currency: 'text', zone: 'text', text: 'text', locale: 'text', function: 'text' };
const HOLDERS = { url: 'https://', email: 'orders@shop.example', function: 'schema.function', locale: 'en, de-AT' };

// ids: of Field; value: as the API has it; onChange(value, wrong)
function Control({ setting, ids, value, onChange }) {
	const { kind, setting: name } = setting;
	const text = (event) => onChange(event.target.value === '' ? null : event.target.value);
	switch (kind) {
		case 'span':
			return html`<${Span} ids=${ids} value=${value} onChange=${(one) => onChange(normal(one))} />`;
		case 'time':
			return html`<input type="time" ...${ids} value=${value ? value.slice(0, 5) : ''} onInput=${(event) => onChange(event.target.value ? event.target.value + ':00' : null)} />`;
		case 'integer':
		case 'number':
			return html`<input type="number" min="0" step=${kind === 'integer' ? 1 : 'any'} ...${ids} value=${value === null ? '' : value} onInput=${(event) => onChange(event.target.value === '' ? null : Number(event.target.value))} />`;
		case 'share':
			return html`<div class="span"><input type="number" min="0" max="100" step="any" ...${ids} value=${value === null ? '' : Math.round(value * 1e6) / 1e4}
				onInput=${(event) => onChange(event.target.value === '' ? null : Math.round(event.target.value * 1e4) / 1e6)} /><span>%</span></div>`;
		case 'choice':
			return html`<select ...${ids} value=${value} onChange=${text}>${setting.choices.map((one) => html`<option key=${one} value=${one} selected=${one === value}>${one}</option>`)}</select>`;
		case 'boolean':
			return html`<input type="checkbox" role="switch" ...${ids} checked=${value} onChange=${(event) => onChange(event.target.checked)} />`;
		case 'list':
			return html`<${Lines} ids=${ids} value=${value} placeholder="one a line" onChange=${onChange} />`;
		case 'lines':
			return html`<textarea rows="3" ...${ids} value=${value || ''} onInput=${text} />`;
		case 'colour':
			return html`<div class="span"><input type="text" placeholder="#1a7f37" spellcheck=${false} ...${ids} value=${value || ''} onInput=${text} />
				<input type="color" aria-label="Pick a colour" value=${/^#[0-9a-f]{6}$/i.test(value || '') ? value : '#0069a6'} onInput=${text} /></div>`;
		case 'object':
			return setting.parts.length ? html`<${Parts} parts=${setting.parts} value=${value} onChange=${onChange} />` : html`<${Json} ids=${ids} value=${value} onChange=${onChange} />`;
		case 'key':
			return value ? html`<div class="key"><code id=${ids.id}>${value}</code><${Copy} text=${value} /></div>` : html`<p class="soft">There is none: pages of other origins cannot send carts.</p>`;
		default:
			if (!TYPES[kind]) return html`<${Json} ids=${ids} value=${value} onChange=${onChange} />`;
			return html`<input type=${TYPES[kind]} list=${kind === 'zone' || kind === 'currency' ? `known-${name}` : null} spellcheck=${false} autocomplete="off" placeholder=${HOLDERS[kind]}
				...${ids} value=${value === null ? '' : value} onInput=${text} />
				${(kind === 'zone' || kind === 'currency') && html`<datalist id=${`known-${name}`}>${known(kind === 'zone' ? 'timeZone' : 'currency').map((one) => html`<option key=${one} value=${one} />`)}</datalist>`}`;
	}
}

// ---------------------------------------------------------------------------
// Settings


async function rotate(reload) {
	const values = await confirm({
		title: 'Make a new publishable key?',
		body: 'Put the new key into the pages of the shop. The present one goes on working for as long as you say here, so that pages that are open or cached can still send their carts. One that is older stops at once.',
		fields: [{ name: 'keep', label: 'The present key works for', value: '7 days', options: [['7 days', '7 days more'], ['1 day', '1 day more'], ['1 hour', '1 hour more'], ['30 days', '30 days more'], ['0', 'no time: it stops now']] }],
		action: 'Make a new key',
	});
	if (!values) return;
	try {
		await send('POST', 'settings/publishable-key/', { keep: values.keep });
		announce('There is a new publishable key.', 'good');
		reload();
	} catch (problem) {
		announce(`${problem.detail} ${problem.hint || ''}`, 'bad');
	}
}

function Row({ setting, draft, problem, onChange, reload }) {
	const { setting: name, label, meaning, value, default_value: standard, note, kind } = setting;
	const isNew = draft !== undefined;
	const now = !isNew ? value : draft === null ? standard : draft;
	// null is how a default comes back
	const put = (next, wrong) => onChange(name, wrong ? { wrong: next } : same(next, value) ? undefined : same(next, standard) ? null : next);
	return html`<div class=${isNew ? 'setting changed' : 'setting'} id=${`setting-${name}`} data-setting=${name}>
		<${Field} label=${html`${label} <code class="of">${name}</code> ${isNew && html`<span class="pill" data-colour="converted">changed</span>`}`} hint=${meaning} problem=${problem}>
			${(ids) => html`<div class="control"><${Control} setting=${setting} ids=${ids} value=${now && now.wrong !== undefined ? now.wrong : now} onChange=${put} />
				<p class="below">${kind === 'key'
					? html`${may('rotate_publishable_key') && html`<button type="button" class="outline small" onClick=${() => rotate(reload)}>${value ? 'New key' : 'Make a key'}</button>`}`
					: html`${standard !== null && shown(setting, standard) && html`<span>Default: ${shown(setting, standard)}</span>`}
						${standard !== null && !same(now, standard) && html` <button type="button" class="link" onClick=${() => put(standard)}>Use the default</button>`}
						${isNew && html` <button type="button" class="link" onClick=${() => onChange(name, undefined)}>Undo</button>`}`}
					${note && html` <span>${note}</span>`}</p></div>`}
		<//></div>`;
}

// Which setting the database complains of, and what it says.
function ofSetting(problem, rows) {
	const [, name, why] = /setting "(\w+)"(?::\s*([^]*))?/.exec(problem.detail || '') || [];
	const row = name && rows.find((one) => one.setting === name);
	// how a length of time is written is of no use beside its two inputs
	return row ? { [name]: [why || problem.detail, row.kind !== 'span' && problem.hint].filter(Boolean).join(' ') } : null;
}

function Settings({ rows, reload }) {
	const [drafts, setDrafts] = useState({});
	const [problems, setProblems] = useState({});
	const [failure, setFailure] = useState(null);
	const [busy, setBusy] = useState(false);
	const form = useRef();
	const names = Object.keys(drafts);
	const title = (name) => (rows.find((row) => row.setting === name) || { label: name }).label;
	const refused = Object.keys(problems).filter((name) => problems[name]);
	const wrong = names.filter((name) => drafts[name] && drafts[name].wrong !== undefined);
	useEffect(() => (names.length === 0 ? undefined : guardLeaving(() => confirm({
		title: 'Leave without saving?', body: `${plural(names.length, 'setting')} changed and not saved.`, action: 'Leave', cancel: 'Stay', danger: true }))), [names.length > 0]);
	const change = (name, value) => {
		setDrafts((old) => {
			const next = { ...old };
			if (value === undefined) delete next[name];
			else next[name] = value;
			return next;
		});
		setProblems((old) => ({ ...old, [name]: undefined }));
	};
	const point = (name) => {
		const field = form.current.querySelector(`[data-setting="${name}"] :is(input, textarea, select)`);
		if (!field) return;
		field.focus({ preventScroll: true });
		field.scrollIntoView({ block: 'center' });
	};
	const save = async (event) => {
		event.preventDefault();
		if (names.length === 0 || busy) return;
		if (wrong.length) return point(wrong[0]);
		setBusy(true);
		setFailure(null);
		try {
			await send('PATCH', 'settings/', drafts);
			setDrafts({});
			setProblems({});
			announce(`Saved: ${names.map(title).join(', ')}.`, 'good');
			reload();
			if (['name', 'time_zone', 'currency'].some((name) => name in drafts)) loadSession().catch(() => {});
		} catch (problem) {
			const at = ofSetting(problem, rows);
			if (at) {
				setProblems(at);
				setTimeout(() => point(Object.keys(at)[0]));
			} else setFailure(problem);
		}
		setBusy(false);
	};
	const sections = [...new Set(rows.map((row) => row.section))];
	return html`<form ref=${form} class="settings" noValidate onSubmit=${save}>
		<nav class="jump" aria-label="Groups of settings">${sections.map((section, i) => html`<button type="button" class="plain" key=${section}
			onClick=${() => { const at = form.current.querySelectorAll('section')[i]; at.scrollIntoView({ block: 'start' }); at.querySelector('input, textarea, select, button').focus({ preventScroll: true }); }}>${section}</button>`)}</nav>
		<div>${sections.map((section) => html`<${Section} key=${section} title=${section}>
			${rows.filter((row) => row.section === section).map((row) => html`<${Row} key=${row.setting} setting=${row} draft=${drafts[row.setting]} problem=${problems[row.setting]} onChange=${change} reload=${reload} />`)}<//>`)}
		${failure && html`<${ProblemNotice} problem=${failure} />`}
		<div class="save" hidden=${names.length === 0} role="region" aria-label="Changes that are not saved">
			<span><strong>${plural(names.length, 'setting')} changed</strong> <small role="status">${refused.length
				? html`<span class="problem">Nothing was saved: see ${refused.map(title).join(', ')}</span>` : names.map(title).join(', ')}</small></span>
			<div class="actions"><button type="button" class="outline secondary" disabled=${busy} onClick=${() => { setDrafts({}); setProblems({}); setFailure(null); }}>Discard</button>
				<button type="submit" disabled=${busy} aria-busy=${busy ? 'true' : null}>Save</button></div>
		</div></div>
	</form>`;
}

// ---------------------------------------------------------------------------
// Members

const PURPOSES = {
	admin: 'Staff: everything in the shop',
	analyst: 'Figures, without anything personal',
	app: 'The shop’s own program',
	sender: 'The program that sends mails and runs what is due',
};

function Members({ of, shop }) {
	const [role, setRole] = useState('');
	const [purpose, setPurpose] = useState('admin');
	const grants = `CREATE ROLE ${/^[a-z_][a-z0-9_]*$/.test(role || 'maria') ? role || 'maria' : `"${role.replace(/"/g, '""')}"`} LOGIN PASSWORD '...';\nSELECT incomplete_orders.grant_to(${quoted(role || 'maria')}, '${purpose}', ${quoted(shop)});`;
	const takeBack = (row) => `SELECT incomplete_orders.revoke_from(${quoted(row.role)}, '${row.purpose}'${row.all_shops ? '' : `, ${quoted(shop)}`});`;
	const columns = [
		{ name: 'role', label: 'Role', render: (row) => html`<strong class="wrap">${row.role}</strong>${row.mine && html` <small>you</small>`}${!row.works && html` <${Pill} state="lost" label="gone" title="The role was dropped: this has no effect any more." />`}` },
		{ name: 'purpose', label: 'Purpose', render: (row) => html`<span>${row.purpose}<br /><small>${PURPOSES[row.purpose]}</small></span>` },
		{ name: 'where', label: 'Where', render: (row) => (row.all_shops ? 'All shops' : 'This shop') },
		{ name: 'since', label: 'Since', render: (row) => html`<span>${day(row.granted_at)} <small>by ${row.granted_by}</small></span>`, hideSmall: true },
		{ name: 'back', label: 'Take back', render: (row) => html`<${Copy} text=${takeBack(row)} label="Copy the command" />` },
	];
	return html`<${Section} title="Who works for this shop" note="Roles of the database, each with what it may do here. Only superusers and members of incomplete_orders_owner change this, in SQL.">
		<${Asked} of=${of}>${(data) => html`<${Table} label="Members" columns=${columns} rows=${data.results} keyOf=${(row) => row.role + row.purpose + row.all_shops}
			empty=${html`<p class="empty">Nobody but superusers works for this shop yet.</p>`} />`}<//><//>
	<${Section} title="Let somebody work here">
		<div class="row gap"><${Field} label="Role" placeholder="maria" autocomplete="off" autocapitalize="none" spellcheck=${false} value=${role} onInput=${(event) => setRole(event.target.value)} />
			<${Choice} label="Purpose" value=${purpose} options=${Object.entries(PURPOSES).map(([name, words]) => [name, `${name}: ${words}`])} onChange=${setPurpose} /></div>
		<p class="note">To be run by a superuser or a member of incomplete_orders_owner. Without the last argument of grant_to it is for all shops.</p>
		<${Copy} text=${grants} block />
	<//>`;
}

// ---------------------------------------------------------------------------
// Persons

const TABLES = { open_orders: 'open orders', closed_orders: 'closed orders', orders: 'completed orders', messages: 'messages', suppressions: 'suppressions', consents: 'consents', order_notes: 'notes', order_changes: 'former values of edits', person_orders: 'links between carts and persons', coupon_persons: 'coupons' };
const inWords = (table) => TABLES[table] || table.replace(/_/g, ' ');
const DID = { erase: 'emptied', delete: 'deleted', cancel: 'cancelled', suppress: 'suppressed', remove: 'taken out' };

function saveFile(name, data) {
	const a = document.createElement('a');
	a.href = URL.createObjectURL(new Blob([JSON.stringify(data, null, 2)], { type: 'application/json' }));
	a.download = name;
	a.click();
	setTimeout(() => URL.revokeObjectURL(a.href), 10000);
}

function Persons({ shop }) {
	const [email, setEmail] = useState('');
	const [customer, setCustomer] = useState('');
	const [found, setFound] = useState(null);
	const [gone, setGone] = useState(null);
	const [problem, setProblem] = useState(null);
	const whom = { ...(email.trim() && { email: email.trim() }), ...(customer.trim() && { customer_id: customer.trim() }) };
	const call = async (act) => {
		setProblem(null);
		try {
			await act();
		} catch (failure) {
			setProblem(failure);
		}
	};
	const look = (event) => {
		event.preventDefault();
		setGone(null);
		call(async () => setFound({ whom, data: await send('POST', 'customers/export/', whom) }));
	};
	const forget = async () => {
		const name = found.whom.email || found.whom.customer_id;
		const values = await confirm({
			title: 'Forget this person?', danger: true, action: 'Forget',
			body: html`<p>What waits for <strong class="wrap">${name}</strong> is cancelled, the address is never mailed again, and everything personal goes from every table. Orders, amounts and figures stay, without a name. It cannot be undone.</p>`,
			fields: [{ name: 'typed', label: html`Type <strong class="wrap">${name}</strong> to go on`, autocomplete: 'off', spellcheck: false, required: true,
				pattern: name.replace(/[.*+?^${}()|[\]\\/-]/g, '\\$&'), title: `Exactly ${name}` }],
		});
		if (!values) return;
		if (values.typed !== name) {
			announce('What was typed is not that name: nothing was done.', 'bad');
			return;
		}
		call(async () => {
			setGone({ name, results: (await send('POST', 'customers/forget/', found.whom)).results });
			setFound(null);
			announce(`${name} is forgotten.`, 'good');
		});
	};
	const rows = found && Object.entries(found.data).filter(([, value]) => Array.isArray(value) && value.length);
	return html`<${Section} title="What is kept about a person" note="For the rights of access and of erasure. Named by the address, by the customer's number, or both. By the address alone the customers whose orders have it are included.">
		<form onSubmit=${look}><div class="row gap">
			<${Field} label="E-mail" type="email" autocomplete="off" value=${email} onInput=${(event) => setEmail(event.target.value)} />
			<${Field} label="Customer" autocomplete="off" value=${customer} onInput=${(event) => setCustomer(event.target.value)} />
			<button type="submit" class="fit" disabled=${!Object.keys(whom).length}>Look</button></div></form>
		${problem && html`<${ProblemNotice} problem=${problem} />`}
		<div aria-live="polite">
		${found && html`<h3 class="wrap">${found.whom.email || found.whom.customer_id}</h3>
			${rows.length ? html`<ul>${rows.map(([table, value]) => html`<li key=${table}>${plural(value.length, 'row')} of ${inWords(table)}</li>`)}</ul>` : html`<p>Nothing is kept.</p>`}
			<div class="actions"><button type="button" class="outline" onClick=${() => saveFile('person.json', found.data)}>Download as JSON</button>
				${may('forget_customer') && html`<button type="button" class="danger" onClick=${forget}>Forget this person</button>`}</div>`}
		${gone && html`<${Notice} kind="good" title="The person is forgotten">${gone.results.length ? html`<ul>${gone.results.map((one) => html`<li key=${one.relation + one.action}>${plural(one.n, 'row')} of ${inWords(one.relation)} ${DID[one.action] || one.action}</li>`)}</ul>` : 'Nothing was kept.'}<//>`}
		</div>
	<//>
	${may('export_shop') && html`<${Section} title="Everything of this shop" note="Every row of every table, one JSON object a line, of one instant. It has personal data, but no secrets; keep it accordingly.">
		<a role="button" class="outline" href=${href('shops/export.ndjson', { shop })} download=${`${shop}.ndjson`}>Download the shop</a><//>`}`;
}

// ---------------------------------------------------------------------------
// Another shop, and the page

function NewShop({ close }) {
	const [values, set] = useState({ shop: '', name: '', currency: 'USD', time_zone: Intl.DateTimeFormat().resolvedOptions().timeZone || 'UTC' });
	const [problem, setProblem] = useState(null);
	const put = (name) => (event) => set({ ...values, [name]: event.target.value });
	const submit = async (event) => {
		event.preventDefault();
		try {
			await send('POST', 'shops/', values);
			close(values.shop);
		} catch (failure) {
			setProblem(failure);
		}
	};
	return html`<form onSubmit=${submit}><header><h2>New shop</h2></header>
		${problem && html`<${ProblemNotice} problem=${problem} />`}
		<${Field} label="Name" required value=${values.name} onInput=${put('name')} hint="What customers read." />
		<${Field} label="Key" required pattern="[a-z0-9_\\-]{1,63}" value=${values.shop} onInput=${put('shop')} hint="a-z, 0-9, _ and -. It stands in every call and never changes." />
		<div class="grid-2"><${Field} label="Currency" required pattern="[A-Z]{3}" value=${values.currency} onInput=${put('currency')} hint="Three letters, as EUR" />
		<${Field} label="Time zone" required value=${values.time_zone} onInput=${put('time_zone')} hint="As Europe/Berlin" /></div>
		<footer><button type="button" class="outline secondary" onClick=${() => close(false)}>Cancel</button><button type="submit">Make the shop</button></footer></form>`;
}

export default function Shop() {
	const shop = useShop();
	const { query } = useRoute();
	const settings = useGet(shop ? 'settings/list/' : null, { shop });
	const members = useGet(shop && may('list_members') ? 'members/' : null, { shop });
	const tabs = [{ name: 'settings', label: 'Settings' }, may('list_members') && { name: 'members', label: 'Members' }, may('export_customer') && { name: 'privacy', label: 'Privacy' }].filter(Boolean);
	const tab = tabs.some(({ name }) => name === query.tab) ? query.tab : 'settings';
	// only who is admin of all shops may make another
	const creates = may('create_shop') && members.data && members.data.results.some((row) => row.mine && row.all_shops && row.purpose === 'admin');
	const create = async () => {
		const made = await dialog(NewShop);
		if (!made) return;
		await loadSession().catch(() => {});
		announce('The shop is made. Look through its settings.', 'good');
		go('shop/', { shop: made });
	};
	const name = settings.data && settings.data.results.find((row) => row.setting === 'name');
	return html`<${Page} title="Shop" heading=${name ? name.value : 'Shop'} actions=${creates && html`<button type="button" class="outline" onClick=${create}>New shop</button>`}>
		<${Tabs} label="Parts of the shop" tabs=${tabs} current=${tab} to=${(one) => link('shop/', { tab: one === 'settings' ? null : one })} />
		${shop && tab === 'settings' && html`<${Asked} of=${settings} height="40rem">${(data) => html`<${Settings} rows=${data.results} reload=${settings.reload} />`}<//>`}
		${shop && tab === 'members' && html`<${Members} of=${members} shop=${shop} />`}
		${shop && tab === 'privacy' && html`<${Persons} shop=${shop} />`}
	<//>`;
}
