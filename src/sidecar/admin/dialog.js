// Dialogs and what is announced. A dialog is the browser's own: the focus stays inside, Esc
// closes it, and afterwards the focus is where it was.
import { html, render, useState, useEffect, useRef } from './vendor/preact.js';

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

// ---------------------------------------------------------------------------
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
