// What pages are made of: keys, dialogs and announcements, tables, and everything smaller.
import { html, render, useState, useEffect, useRef } from './vendor/preact.js';
import { session } from './api.js';
import { useRoute, setQuery, depthOf } from './route.js';
import { ago, exact, money, number, percent, capped, clock } from './format.js';
import { WORDS, stateOf } from './words.js';

// An id that stays with the component; preact's small build has none.
let ids = 0;
export const useId = () => useState(() => `i${++ids}`)[0];

// ---------------------------------------------------------------------------
// Keys of a page: they count while nobody types, and ? lists them.

const sets = [];

const isTyping = (target) => target.isContentEditable || /^(TEXTAREA|SELECT)$/.test(target.tagName) ||
	(target.tagName === 'INPUT' && !/^(checkbox|radio|button|submit|reset)$/.test(target.type));

document.addEventListener('keydown', (event) => {
	if (event.defaultPrevented || event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
	if (isTyping(event.target) || document.querySelector('dialog[open]')) return;
	// what is there to be pressed keeps its own keys
	if (/^(Enter| )$/.test(event.key) && event.target.closest('a, button, summary, input, select')) return;
	for (let i = sets.length - 1; i >= 0; i--) {
		const act = sets[i].keys[event.key];
		if (act) {
			event.preventDefault();
			act(event);
			return;
		}
	}
});

// keys: {'/': function}; help: {'/': 'Search'}
export function useKeys(keys, help = {}) {
	const set = useRef({});
	Object.assign(set.current, { keys, help });
	useEffect(() => {
		const mine = set.current;
		sets.push(mine);
		return () => sets.splice(sets.indexOf(mine), 1);
	}, []);
}
export const keysNow = () => Object.entries(Object.assign({}, ...sets.map((set) => set.help)));

// ---------------------------------------------------------------------------
// Dialogs and what is announced. A dialog is the browser's own: the focus stays inside, Esc
// closes it, and afterwards the focus is where it was.

// Shows Component({close}) until it calls close(value).
export function dialog(Component, props = {}) {
	return new Promise((resolve) => {
		const host = document.body.appendChild(document.createElement('div'));
		const before = document.activeElement;
		const close = (value) => {
			render(null, host);
			host.remove();
			if (before && before.isConnected) before.focus();
			resolve(value);
		};
		render(html`<${Frame} close=${close}><${Component} ...${props} close=${close} /><//>`, host);
	});
}

function Frame({ close, children }) {
	const at = useRef();
	useEffect(() => {
		at.current.showModal();
		const first = at.current.querySelector('[autofocus], input:not([type=hidden]), select, textarea, button:not(.close)');
		if (first) first.focus();
	}, []);
	return html`<dialog ref=${at} onCancel=${(event) => { event.preventDefault(); close(false); }}
		onClick=${(event) => event.target === at.current && close(false)}><article>${children}</article></dialog>`;
}

// fields: [{name, label, type?, options?, value?, required?, hint?, pattern?}]. The values, or false.
export const confirm = (about) => dialog(Confirm, about);

function Confirm({ close, title, body, action = 'Yes', cancel = 'Cancel', danger = false, fields = [] }) {
	const [values, set] = useState(Object.fromEntries(fields.map(({ name, value = '' }) => [name, value])));
	const submit = (event) => {
		event.preventDefault();
		close(values);
	};
	const put = (name) => (event) => set({ ...values, [name]: event.target.type === 'checkbox' ? event.target.checked : event.target.value });
	return html`<form onSubmit=${submit}>
		<header><h2 id="dialog-title">${title}</h2></header>
		<div class="body">${typeof body === 'string' ? html`<p>${body}</p>` : body}</div>
		${fields.map(({ name, label, type = 'text', options, hint, value: _, ...rest }) => html`<label key=${name} class=${type === 'checkbox' ? 'check' : ''}>
			${type === 'checkbox' ? html`<input type="checkbox" checked=${values[name]} onChange=${put(name)} ...${rest} />` : null}
			${label}
			${type === 'checkbox' ? null
			: options ? html`<select value=${values[name]} onChange=${put(name)} ...${rest}>${options.map(([value, text]) => html`<option value=${value}>${text}</option>`)}</select>`
			: type === 'textarea' ? html`<textarea value=${values[name]} onInput=${put(name)} ...${rest} />`
			: html`<input type=${type} value=${values[name]} onInput=${put(name)} ...${rest} />`}
			${hint && html`<small>${hint}</small>`}
		</label>`)}
		<footer>
			<button type="button" class="secondary outline" onClick=${() => close(false)}>${cancel}</button>
			<button type="submit" class=${danger ? 'danger' : ''}>${action}</button>
		</footer>
	</form>`;
}

// What happened, told to everybody

let tell = () => {};
let last = 0;

// kind: 'good', 'bad' (stays until it is closed) or nothing
export const announce = (text, kind = '') => tell({ text, kind, key: ++last });

export function Announcements() {
	const [list, set] = useState([]);
	const drop = (key) => set((all) => all.filter((one) => one.key !== key));
	tell = (one) => {
		set((all) => [...all.slice(-3), one]);
		if (one.kind !== 'bad') setTimeout(() => drop(one.key), 7000);
	};
	const those = (bad) => list.filter(({ kind }) => (kind === 'bad') === bad).map(({ text, kind, key }) => html`<div key=${key} class="toast" data-kind=${kind}>
		<span>${text}</span><button type="button" class="plain" aria-label="Close" onClick=${() => drop(key)}>×</button></div>`);
	return html`<div class="toasts"><div role="status" aria-live="polite">${those(false)}</div><div role="alert">${those(true)}</div></div>`;
}

// ---------------------------------------------------------------------------
// A table: sorted by its headings, with rows that are chosen and opened by mouse and by
// keyboard; on a phone each row is a card.

// columns: [{name, label, render(row), align?, sort?, hideSmall?, title?}]; rows as the API
// gives them; keyOf(row); selected: a Set of keys and onSelect(Set); onOpen(row); sort: as the
// API takes it, "-created_at", and onSort(it); empty: what is shown without rows.
export function Table({ columns, rows, keyOf = (row) => row.id, selected, onSelect, onOpen, sort, onSort, empty, label, foot }) {
	const at = useRef();
	const [current, setCurrent] = useState(-1);
	const here = rows[current];
	const focus = (i) => {
		const to = Math.max(0, Math.min(rows.length - 1, i));
		setCurrent(to);
		const row = at.current && at.current.querySelectorAll('tbody tr')[to];
		if (row) row.focus();
	};
	useEffect(() => setCurrent(-1), [rows]);
	const toggle = (row) => {
		const next = new Set(selected);
		const key = keyOf(row);
		if (!next.delete(key)) next.add(key);
		onSelect(next);
	};
	useKeys({
		j: () => focus(current + 1),
		k: () => focus(current - 1),
		...(onSelect && { x: () => here && toggle(here) }),
		...(onOpen && { Enter: () => here && onOpen(here) }),
	}, { 'j k': 'Next, previous row', ...(onSelect && { x: 'Choose the row' }), ...(onOpen && { Enter: 'Open the row' }) });

	if (rows.length === 0) return empty || html`<p class="empty">Nothing here.</p>`;
	const chosen = selected ? rows.filter((row) => selected.has(keyOf(row))).length : 0;
	const all = () => {
		const next = new Set(selected);
		for (const row of rows) {
			if (chosen === rows.length) next.delete(keyOf(row));
			else next.add(keyOf(row));
		}
		onSelect(next);
	};
	const order = (by) => (sort === '-' + by ? 'descending' : sort === by ? 'ascending' : null);
	const open = (row) => (event) => {
		if (event.target.closest('a, button, input, select, label, summary') || String(getSelection())) return;
		onOpen(row);
	};
	return html`<div class="table-wrap"><table class=${onOpen ? 'opens' : ''} ref=${at} aria-label=${label}>
		<thead><tr>
			${onSelect && html`<th class="choose" scope="col"><input type="checkbox" aria-label="Choose all rows of this page" checked=${chosen === rows.length}
				ref=${(box) => { if (box) box.indeterminate = chosen > 0 && chosen < rows.length; }} onChange=${all} /></th>`}
			${columns.map((column) => html`<th key=${column.name} scope="col" class=${column.align === 'right' ? 'right' : ''} data-small=${column.hideSmall ? 'no' : null}
				aria-sort=${column.sort ? order(column.sort) || 'none' : null}>${column.sort && onSort
				? html`<button type="button" class="plain sort" data-order=${order(column.sort)} onClick=${() => onSort(sort === '-' + column.sort ? column.sort : '-' + column.sort)}>${column.label}</button>`
				: column.label}</th>`)}
		</tr></thead>
		<tbody>${rows.map((row, i) => html`<tr key=${keyOf(row)} tabindex=${i === (current < 0 ? 0 : current) ? '0' : '-1'} class=${i === current ? 'current' : ''}
			data-chosen=${selected && selected.has(keyOf(row)) ? '' : null}
			onFocus=${(event) => event.target === event.currentTarget && setCurrent(i)}
			onClick=${onOpen && open(row)}
			onKeyDown=${onOpen && ((event) => event.key === 'Enter' && event.target === event.currentTarget && (event.preventDefault(), onOpen(row)))}>
			${onSelect && html`<td class="choose"><input type="checkbox" aria-label="Choose this row" checked=${selected.has(keyOf(row))} onChange=${() => toggle(row)} /></td>`}
			${columns.map((column) => html`<td key=${column.name} class=${column.align === 'right' ? 'right number' : ''} data-label=${typeof column.label === 'string' ? column.label : column.title || ''}
				data-small=${column.hideSmall ? 'no' : null}><div class="cell">${column.render ? column.render(row) : row[column.name]}</div></td>`)}
		</tr>`)}</tbody>
		${foot && html`<tfoot>${foot}</tfoot>`}
	</table></div>`;
}

// ---------------------------------------------------------------------------
// Everything smaller

const classes = (...names) => names.filter(Boolean).join(' ');

// Sets the title of the window; the heading has the focus after a move to another page.
export function Page({ title, heading, actions, children }) {
	const at = useRef();
	useEffect(() => { document.title = `${title} · Incomplete orders`; }, [title]);
	useEffect(() => { if (window.movedByHand) at.current.focus({ preventScroll: true }); }, []);
	return html`<div class="page">
		<header class="page-head"><h1 tabindex="-1" ref=${at}>${heading || title}</h1>${actions && html`<div class="actions">${actions}</div>`}</header>
		${children}
	</div>`;
}

export function Section({ title, note, actions, children, ...rest }) {
	const id = useId();
	return html`<section class="card" aria-labelledby=${id} ...${rest}>
		<header class="section-head"><h2 id=${id}>${title}</h2>${actions && html`<div class="actions">${actions}</div>`}</header>
		${note && html`<p class="note">${note}</p>`}
		${children}
	</section>`;
}

// tabs: [{name, label, count?, capped?}]; to: name -> address, or onPick: name -> anything
export function Tabs({ tabs, current, to, onPick, label }) {
	return html`<nav class="tabs" aria-label=${label || 'Views'}><ul>${tabs.map((tab) => html`<li key=${tab.name}>
		<a href=${to ? to(tab.name) : '#'} aria-current=${tab.name === current ? 'page' : null}
			onClick=${onPick && ((event) => { event.preventDefault(); onPick(tab.name); })}>
			${tab.label}${tab.count !== undefined && tab.count !== null && html` <span class="count">${capped(tab.count, tab.capped)}</span>`}</a></li>`)}</ul></nav>`;
}

// Pages by cursor. "Previous" is the way back, as far as "next" led here.
export function Pager({ data, shown, label = 'rows' }) {
	const { query } = useRoute();
	if (!data) return null;
	const next = data.next && new URL(data.next, location.href).searchParams.get('cursor');
	const deep = depthOf() > 0;
	if (!next && !query.cursor) return shown === undefined ? null : html`<p class="pager"><span>${shown} ${label}</span></p>`;
	return html`<nav class="pager" aria-label="Pages">
		<button type="button" class="outline secondary" disabled=${!query.cursor} onClick=${() => (deep ? history.back() : setQuery({ cursor: null }))}>${deep || !query.cursor ? 'Previous' : 'First page'}</button>
		<span>${data.count !== undefined && data.count !== null ? `${capped(data.count, data.count_capped)} ${label}` : ''}</span>
		<button type="button" class="outline secondary" disabled=${!next} onClick=${() => setQuery({ cursor: next }, { deeper: true })}>Next</button>
	</nav>`;
}

export function Pill({ state, label, title }) {
	const { label: word, colour, means } = stateOf(state);
	return html`<span class="pill" data-colour=${colour} title=${title || means}>${label || word}</span>`;
}

// A word of the field with its definition, on hover, on focus and by touch.
export function Term({ name, means, children }) {
	const id = useId();
	const text = means || WORDS[name];
	if (!text) return children || name;
	return html`<span class="term"><button type="button" class="plain" aria-describedby=${id} onKeyDown=${(event) => event.key === 'Escape' && event.target.blur()}>${children || name}</button><span role="tooltip" id=${id}>${text}</span></span>`;
}

export const Ago = ({ at }) => (at ? html`<time datetime=${at} title=${exact(at)}>${ago(at)}</time>` : '–');
export const Money = ({ amount, currency }) => html`<span class="number">${money(amount, currency)}</span>`;

// A labelled input; children instead of it: any other control, given the ids by (ids) => ...
export function Field({ label, hint, problem, children, class: className, ...input }) {
	const id = useId();
	const ids = { id, 'aria-describedby': classes(hint && `${id}-hint`, problem && `${id}-problem`) || null, 'aria-invalid': problem ? 'true' : null };
	const type = input.type || 'text';
	return html`<div class=${classes('field', className)}>
		<label for=${id}>${label}</label>
		${typeof children === 'function' ? children(ids) : type === 'textarea' ? html`<textarea ...${ids} ...${input} />` : html`<input type=${type} ...${ids} ...${input} />`}
		${hint && html`<small id=${`${id}-hint`}>${hint}</small>`}
		${problem && html`<small id=${`${id}-problem`} class="problem">${problem}</small>`}
	</div>`;
}

export const Choice = ({ label, hint, problem, value, options, onChange, ...rest }) => html`<${Field} label=${label} hint=${hint} problem=${problem}>
	${(ids) => html`<select ...${ids} ...${rest} value=${value} onChange=${(event) => onChange(event.target.value)}>${options.map(([name, text]) => html`<option key=${name} value=${name} selected=${name === value}>${text}</option>`)}</select>`}
<//>`;

export const Switch = ({ label, checked, onChange, hint, ...rest }) => html`<label class="switch"><input type="checkbox" role="switch" checked=${checked} ...${rest}
	onChange=${(event) => onChange(event.target.checked, event)} /> ${label}${hint && html`<small>${hint}</small>`}</label>`;

// of: what useGet gave. The layout stays while it loads; old data stays, and says so.
export function Asked({ of, children, height = '8rem' }) {
	if (of.data !== null) return html`<div aria-busy=${of.loading && of.url === null ? 'true' : null} class=${of.loading ? 'reloading' : ''}>
		${of.problem && html`<${Notice} kind="warn" title=${`This is of ${clock(of.at)}. It could not be loaded again.`}>${of.problem.detail} <button type="button" class="link" onClick=${of.reload}>Try again</button><//>`}
		${children(of.data)}</div>`;
	if (of.problem) return html`<${ProblemNotice} problem=${of.problem} retry=${of.reload} />`;
	return html`<div class="loading" aria-busy="true" style=${{ minHeight: height }}><span class="hidden">Loading</span></div>`;
}

export function Empty({ title, children, command }) {
	return html`<div class="empty"><h3>${title}</h3>${children && html`<div>${children}</div>`}${command && html`<${Copy} text=${command} block />`}</div>`;
}

export function Notice({ kind = 'info', title, children }) {
	return html`<div class="notice" data-kind=${kind} role=${kind === 'bad' ? 'alert' : null}>${title && html`<strong>${title}</strong>`}${children && html`<div>${children}</div>`}</div>`;
}

// A problem in words, what to do, and another try.
export function ProblemNotice({ problem, retry }) {
	const detail = problem.status === 403 && problem.code ? 'Your role may not do this. ' + (problem.detail || '') : problem.detail;
	return html`<${Notice} kind="bad" title=${problem.title || 'This did not work.'}>
		<p>${detail}</p>${problem.hint && html`<p>${problem.hint}</p>`}
		${problem.retryAfter ? html`<p>It can be tried again in ${problem.retryAfter} s.</p>` : null}
		${retry && html`<button type="button" class="outline" onClick=${retry}>Try again</button>`}
	<//>`;
}

// Text to be copied: a command, an address.
export function Copy({ text, label = 'Copy', block = false }) {
	const copy = async () => {
		try {
			await navigator.clipboard.writeText(text);
			announce('Copied.');
		} catch {
			announce('The browser does not allow it here: mark the text and copy it.', 'bad');
		}
	};
	const button = html`<button type="button" class="outline secondary small" onClick=${copy}>${label}</button>`;
	return block ? html`<div class="command"><pre tabindex="0"><code>${text}</code></pre>${button}</div>` : button;
}

// items: [{label, onClick?, href?, danger?, download?}]
export function Menu({ label, items }) {
	const at = useRef();
	const shut = (back) => { at.current.open = false; if (back) at.current.querySelector('summary').focus(); };
	return html`<details class="menu" ref=${at} onKeyDown=${(event) => event.key === 'Escape' && shut(true)}
		onFocusOut=${(event) => event.relatedTarget && !at.current.contains(event.relatedTarget) && shut(false)}>
		<summary class="outline secondary small">${label}</summary>
		<ul>${items.filter(Boolean).map((item) => html`<li key=${item.label}>${item.href
			? html`<a href=${item.href} download=${item.download} onClick=${() => shut(false)}>${item.label}</a>`
			: html`<button type="button" class=${classes('plain', item.danger && 'danger-text')} onClick=${() => { shut(true); item.onClick(); }}>${item.label}</button>`}</li>`)}</ul>
	</details>`;
}

// A search field whose value is in the address; / goes to it.
export function Search({ label, name = 'search', hint }) {
	const { query } = useRoute();
	const [text, set] = useState(query[name] || '');
	useEffect(() => set(query[name] || ''), [query[name]]);
	const find = (event) => {
		event.preventDefault();
		setQuery({ [name]: text.trim() || null, cursor: null });
	};
	return html`<form role="search" class="search" onSubmit=${find}>
		<input type="search" id="search" aria-label=${label} placeholder=${hint || label} value=${text}
			onInput=${(event) => { set(event.target.value); if (event.target.value === '' && query[name]) setQuery({ [name]: null, cursor: null }); }}
			onKeyDown=${(event) => event.key === 'Escape' && event.target.blur()} /></form>`;
}

// The shop of a page that is of one shop: where several can be chosen and none is, the first
// one is. null until the address says which.
export function useShop() {
	const { query } = useRoute();
	const shops = session().shops || [];
	const shop = query.shop || (shops.length === 1 ? shops[0].shop : null);
	const first = (shops.find((one) => one.shop === 'default') || shops[0] || {}).shop;
	useEffect(() => { if (!shop && first) setQuery({ shop: first }, { replace: true }); }, [shop]);
	return shop;
}

// A text as SQL writes it.
export const quoted = (text) => `'${String(text).replace(/'/g, "''")}'`;

// ---------------------------------------------------------------------------
// What can be chance: shares with their 95 % interval, variants against each other, and lift

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
const difference = (a, b) => ({ by: a.p - b.p, low: a.p - b.p - Math.hypot(a.p - a.low, b.high - b.p), high: a.p - b.p + Math.hypot(a.high - a.p, b.p - b.low) });
const points = (value) => `${value > 0 ? '+' : value < 0 ? '−' : ''}${number(Math.abs(value * 100), { maximumFractionDigits: 1 })}`;

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
