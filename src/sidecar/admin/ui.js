// What pages are made of.
import { html, useState, useEffect, useRef, useId } from './ui_base.js';
import { useRoute, go, setQuery, depthOf } from './route.js';
import { ago, exact, money, capped, clock } from './format.js';
import { WORDS, stateOf } from './words.js';
import { dialog, confirm, announce } from './dialog.js';
import { Table } from './table.js';

export { dialog, confirm, announce, Table };

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

export { go };
