// The texts of messages: the list, and one text with the mail that it makes beside it.
import { html, useState, useEffect, useRef } from './vendor/preact.js';
import { may, send, useGet } from './api.js';
import { link, go, setQuery } from './route.js';
import { money, number, person } from './format.js';
import { announce, Asked, Choice, confirm, Empty, Field, Notice, Page, ProblemNotice, Section, Switch, Table, Tabs, useShop } from './ui.js';
import { MailFrame } from './order.js';
import { campaignName, SaveBar, templateName, textOf, useDraft } from './campaigns.js';

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

function List({ texts, reload }) {
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
	return html`${fault.problem.replace(/^field "\w+" /, (found) => '').replace(/^./, (c) => c.toUpperCase())}.
		${fault.line ? html` <button type="button" class="link" onClick=${onGo}>Line ${fault.line}, column ${fault.column}</button>.` : ''} ${fault.hint && fault.hint.length < 200 ? fault.hint : ''}`;
}

function Editor({ template, text, shop, reload }) {
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

function One({ template, query, of, shop }) {
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
		<${Editor} key=${`${template} ${text.locale}`} template=${template} text=${text} shop=${shop} reload=${of.reload} />
	<//>`;
}

export default function Texts({ params, query }) {
	const shop = useShop();
	const of = useGet(shop && 'templates/');
	if (!of.data) return html`<${Page} title="Texts"><${Asked} of=${of} height="30rem" /><//>`;
	return params.template ? html`<${One} template=${params.template} query=${query} of=${of} shop=${shop} />` : html`<${List} texts=${of.data.results} reload=${of.reload} />`;
}
