// Where the person is: the address is the state. Paths are below admin/, and a link is an
// ordinary <a>, which is taken here unless it is opened elsewhere.
import { useState, useEffect } from './vendor/preact.js';

const base = new URL(document.baseURI).pathname;
const listeners = new Set();
let guard = null;

function read() {
	const here = decodeURI(location.pathname);
	return {
		path: here.startsWith(base) ? here.slice(base.length) : '',
		query: Object.fromEntries(new URLSearchParams(location.search)),
	};
}
let current = read();

function changed() {
	current = read();
	for (const listener of [...listeners]) listener(current);
}

export const route = () => current;

export function useRoute() {
	const [value, set] = useState(current);
	useEffect(() => {
		listeners.add(set);
		set(current);
		return () => listeners.delete(set);
	}, []);
	return value;
}

// The address of a page; the chosen shop goes along.
export function link(path, query = {}) {
	const all = new URLSearchParams();
	for (const [name, value] of Object.entries({ shop: current.query.shop, ...query })) {
		if (value !== undefined && value !== null && value !== '') all.set(name, value);
	}
	const text = all.toString();
	return base + encodeURI(path) + (text && '?' + text);
}

// What is asked before a page with unsaved changes is left: a function that returns false
// (stay) or true; also a promise. Returns what takes it back.
export function guardLeaving(ask) {
	guard = ask;
	const onUnload = (event) => event.preventDefault();
	addEventListener('beforeunload', onUnload);
	return () => {
		if (guard === ask) guard = null;
		removeEventListener('beforeunload', onUnload);
	};
}

// depth counts the pages that "next" led through, so that "previous" is the way back.
async function move(url, { replace = false, deeper = false, keepGuard = false } = {}) {
	const to = new URL(url, location.href);
	// another shop is another page
	if (guard && ((!keepGuard && to.pathname !== location.pathname) || (to.searchParams.get('shop') || '') !== (current.query.shop || ''))) {
		if (!(await guard())) return;
		guard = null;
	}
	const depth = deeper ? depthOf() + 1 : replace ? depthOf() : 0;
	history[replace ? 'replaceState' : 'pushState']({ depth }, '', url);
	if (!replace && !keepGuard) scrollTo(0, 0);
	changed();
}
export const depthOf = () => (history.state && history.state.depth) || 0;

export const go = (path, query, options) => move(link(path, query), options);

// Merges into the query of this page; null removes.
export function setQuery(values, options) {
	const query = { ...current.query, ...values };
	return move(link(current.path, { shop: null, ...query }), { keepGuard: true, ...options });
}

addEventListener('popstate', async () => {
	const left = current;
	if (guard && read().path !== left.path) {
		const to = location.href;
		history.pushState({ depth: 0 }, '', link(left.path, { shop: null, ...left.query }));
		move(to);
		return;
	}
	changed();
});

document.addEventListener('click', (event) => {
	const a = event.target.closest && event.target.closest('a[href]');
	if (!a || event.defaultPrevented || event.button || event.metaKey || event.ctrlKey || event.shiftKey || event.altKey) return;
	if (a.target || a.hasAttribute('download') || a.origin !== location.origin || !a.pathname.startsWith(base)) return;
	if (a.getAttribute('href').startsWith('#')) return;
	event.preventDefault();
	move(a.href);
});
