// What the menu calls settings: a shop, its attached tables, its webhooks, and health. One file,
// because the four compress much better together than each by itself.
import { html, useState, useEffect, useRef } from './vendor/preact.js';
import { send, href, session, useGet, useEvery, may, loadSession } from './api.js';
import { useRoute, link, go, setQuery, guardLeaving } from './route.js';
import { clock, day, duration, exact, money, number, percent, plural } from './format.js';
import { Page, Section, Tabs, Table, Pager, Field, Switch, Choice, Asked, Notice, ProblemNotice, Empty, Pill, Copy, Ago, Menu, confirm, dialog, announce, useShop, quoted } from './ui.js';

const complain = (problem) => announce([problem.detail, problem.hint].filter(Boolean).join(' '), 'bad');

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
		body: 'Put the new key into the pages of the shop. The present one goes on working for as long as you say here; one that is older stops at once.',
		fields: [{ name: 'keep', label: 'The present key works for', value: '7 days', options: [['7 days', '7 days more'], ['1 day', '1 day more'], ['1 hour', '1 hour more'], ['30 days', '30 days more'], ['0', 'no time: it stops now']] }],
		action: 'Make a new key',
	});
	if (!values) return;
	try {
		await send('POST', 'settings/publishable-key/', { keep: values.keep });
		announce('There is a new publishable key.', 'good');
		reload();
	} catch (problem) {
		complain(problem);
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

const inWords = (table) => table.replace(/_/g, ' ');
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
	return html`<${Section} title="What is kept about a person" note="Named by the address, the customer's number, or both. The address alone includes the customers whose orders have it.">
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

function Shop() {
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
		<div hidden=${tab !== 'settings'}><${Asked} of=${settings} height="40rem">${(data) => html`<${Settings} rows=${data.results} reload=${settings.reload} />`}<//></div>
		${shop && tab === 'members' && html`<${Members} of=${members} shop=${shop} />`}
		${shop && tab === 'privacy' && html`<${Persons} shop=${shop} />`}
	<//>`;
}

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

const OF_ATTACHED = ['attachments', 'attached tables', 'attached carts', 'unread carts'];
const attachment = (name, more = '') => `attachments/${encodeURIComponent(name)}/${more}`;

// What health() says of attached tables, where it is not well; all of it or what names one.
function AttachTrouble({ name, but }) {
	const of = useGet(may('health') ? 'health/' : null);
	const bad = ((of.data && of.data.results) || []).filter((check) => OF_ATTACHED.includes(check.check_name) && check.check_name !== but && check.state !== 'ok' && (!name || check.value.includes(`"${name}"`)));
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
		<${AttachTrouble} />
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
	const sample = useGet(row && !row.problem && may('sample_attachment') ? attachment(name, 'sample/') : null, { shop });
	const again = async () => {
		try {
			await send('POST', attachment(name, 'reconcile/'));
			announce('All open carts will be read again.', 'good');
			of.reload();
		} catch (problem) {
			complain(problem);
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
			const { results } = await send('DELETE', attachment(name));
			const left = results.filter((one) => one.action === 'left');
			announce(left.length ? `${name} is detached, but not dropped: ${left.map((one) => one.object).join('; ')}` : `${name} is detached.`, left.length ? 'bad' : 'good');
			go('attached/');
		} catch (problem) {
			complain(problem);
		}
	};
	const actions = row && html`${may('reconcile') && html`<button type="button" class="outline" onClick=${again}>Read all again</button>`}
		<${Menu} label="More" items=${[may('attach') && { label: 'Change the mapping', href: link('attached/', { attach: 1, name }) }, may('detach') && { label: 'Detach', onClick: detach, danger: true }]} />`;
	return html`<${Page} title=${name} actions=${actions}>
		<p><a href=${link('attached/')}>All attached tables</a></p>
		<${Asked} of=${of}>${() => (row ? html`
			${row.problem && html`<${Notice} kind="bad" title=${`It cannot be read: ${row.problem}`}>Since <${Ago} at=${row.problem_at} />. Nothing is lost meanwhile, and carts that changed since are neither abandoned nor mailed. Give the role the right that is missing, or ${may('attach') ? html`<a href=${link('attached/', { attach: 1, name })}>change the mapping</a>` : 'change the mapping'} to what the tables are called now.
				<${Copy} text=${`GRANT USAGE ON SCHEMA ${row.mapping.schema || 'public'} TO ${row.role};\nGRANT SELECT, TRIGGER ON ${row.tables.join(', ')} TO ${row.role};`} block /><//>`}
			<${AttachTrouble} name=${name} but=${row.problem && OF_ATTACHED[0]} />
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

function Attached({ params }) {
	const shop = useShop();
	const { query } = useRoute();
	if (params.name) return html`<${One} shop=${shop} name=${params.name} />`;
	if (query.attach && may('attach')) return html`<${Attach} shop=${shop} name=${query.name} />`;
	return html`<${List} shop=${shop} />`;
}

// ---------------------------------------------------------------------------
// Webhooks: the shop's own programs that hear what happens, and what they were told

const EVENTS = {
	abandoned: 'Abandoned: nobody has touched the cart for the cut-off',
	returned: 'Returned: the customer came back to it',
	recovered: 'Recovered: it had been abandoned and was paid',
	converted: 'Converted: it became an order',
};
const STATUSES = { queued: 'Waiting', sending: 'Being sent', delivered: 'Delivered', dead: 'Given up' };
const COLOURS = { queued: 'queued', sending: 'sending', delivered: 'delivered', dead: 'dead' };
const hookPath = (name, more = '') => `webhooks/${encodeURIComponent(name)}/${more}`;

function Secret({ close, name, secret, fresh }) {
	return html`<form onSubmit=${(event) => { event.preventDefault(); close(); }}><header><h2>The secret of ${name}</h2></header>
		<${Notice} kind="warn" title="It is shown this once">Keep it where that program keeps its secrets. Who has lost it needs a new one.<//>
		<${Copy} text=${secret} block />
		<p>Each delivery is signed with it, as Standard Webhooks say.
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
			close({ name: values.webhook, ...(await send('PUT', hookPath(values.webhook.trim() || '-'), { url: url.trim(), events, contact, active })) });
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
	const ping = () => does(() => send('POST', hookPath(name, 'ping/')), 'A ping is queued: its delivery says how it went.');
	const renew = async () => {
		if (!(await confirm({ title: `Make a new secret for ${name}?`, body: 'For a day both sign. Then deliveries are signed with the new one only.', action: 'Make a new secret' }))) return;
		const made = await does(() => send('PUT', hookPath(name), { new_secret: true }));
		if (made) dialog(Secret, { name, secret: made.secret });
	};
	const remove = async () => {
		if (!(await confirm({ title: `Delete ${name}?`, body: `${hook.waiting ? `What waits for it is deleted, too: ${plural(hook.waiting, 'delivery', 'deliveries')}. ` : ''}It cannot be undone; its secret is gone.`, action: 'Delete', danger: true }))) return;
		does(() => send('DELETE', hookPath(name)), `${name} is deleted.`);
	};
	const toggle = () => does(() => send('PUT', hookPath(name), { active: !hook.active }), hook.active ? `${name} is off.` : `${name} is on.`);
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
		{ name: 'answer', label: 'Answer', render: (row) => (row.http_status || row.problem ? html`<span class="wrap">${row.http_status && `HTTP ${row.http_status}`} <small>${row.problem}</small></span>` : '') },
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

function Webhooks() {
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

// ---------------------------------------------------------------------------
// Health: what the database says of itself, the worst first, and what to do about it

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

function Health() {
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

const PAGES = { shop: Shop, attached: Attached, webhooks: Webhooks, health: Health };
export default ({ path, params }) => html`<${PAGES[path.split('/')[0]]} params=${params} />`;
