// The REST API, as whoever is logged in; and who that is.
import { useState, useEffect, useRef } from './vendor/preact.js';
import { route } from './route.js';

const root = new URL(document.baseURI).pathname.replace(/admin\/$/, '') + 'api/v1/incomplete-orders/';
const listeners = new Set();
let known = null; // the session; null: nobody is logged in
let ended = ''; // why not, in words

// What went wrong, as the API says it (RFC 9457), or as the network does.
class Problem extends Error {
	constructor(about) {
		super(about.detail || about.title);
		Object.assign(this, about);
	}
}

export const session = () => known;
export const sessionEnded = () => ended;
export const may = (name) => Boolean(known && known.may && known.may[name]);

function know(value, why = '') {
	known = value;
	ended = why;
	for (const listener of [...listeners]) listener(value);
}
export function useSession() {
	const [value, set] = useState(known);
	useEffect(() => {
		listeners.add(set);
		set(known);
		return () => listeners.delete(set);
	}, []);
	return value;
}

// The address of a route: for links to files, and for ask().
export function href(path, query = {}) {
	const all = new URLSearchParams();
	for (const [name, value] of Object.entries({ shop: route().query.shop, ...query })) {
		if (value !== undefined && value !== null && value !== '') all.set(name, value);
	}
	const text = all.toString();
	return root + path + (text && (path.includes('?') ? '&' : '?') + text);
}

async function ask(method, url, { body, headers, signal, background } = {}) {
	let response;
	let answer = null;
	try {
		response = await fetch(url, {
			method,
			signal,
			credentials: 'same-origin',
			cache: 'no-store',
			body: body === undefined ? undefined : JSON.stringify(body),
			headers: {
				Accept: 'application/json',
				'X-Requested-With': 'incomplete-orders',
				...(body !== undefined && { 'Content-Type': 'application/json' }),
				...(method !== 'GET' && known && { 'X-CSRF-Token': known.csrf_token }),
				...(background && { 'X-Background': '1' }),
				...headers,
			},
		});
		const text = await response.text();
		if (text && /json/.test(response.headers.get('Content-Type') || '')) answer = JSON.parse(text);
		else if (text) answer = text;
	} catch (error) {
		if (error.name === 'AbortError') throw error;
		throw new Problem({
			status: 0,
			title: 'No answer',
			detail: 'The program that answers this page (incomplete-orders serve) cannot be reached.',
			hint: 'It may be starting again. Nothing that you typed is lost: try again.',
		});
	}
	if (response.ok) return answer;
	const problem = new Problem({
		title: response.statusText || 'Error',
		...(answer && typeof answer === 'object' ? answer : {}),
		status: response.status,
		retryAfter: Number(response.headers.get('Retry-After')) || 0,
	});
	if (response.status === 401 && known) know(null, 'Your session has ended. Sign in to go on where you were.');
	throw problem;
}

export const get = (path, query, options) => ask('GET', href(path, query), options);
export const send = (method, path, body, headers) => ask(method, href(path), { body, headers });
export const newKey = () => crypto.randomUUID ? crypto.randomUUID() : Array.from(crypto.getRandomValues(new Uint32Array(4)), (n) => n.toString(16).padStart(8, '0')).join('');

export async function loadSession() {
	try {
		know((await get('session/')) || null, ended); // nothing: nobody is logged in
	} catch (problem) {
		if (problem.status !== 401) throw problem;
	}
}
export const signIn = async (role, password) => know(await ask('POST', href('session/'), { body: { role, password } }));
export async function signOut() {
	try {
		// this session, whichever shop is looked at
		await ask('DELETE', href('session/', { shop: null }));
	} finally {
		know(null, 'You are signed out.');
	}
}

// What a route answers; old data stays while it is asked anew. Path null: nothing is asked.
export function useGet(path, query, options) {
	const url = path === null ? null : href(path, query);
	const [state, set] = useState({ url: null, data: null, problem: null, loading: url !== null, at: null });
	const [turn, reload] = useState(0);
	const quiet = useRef(false);
	useEffect(() => {
		if (url === null) return undefined;
		const aborter = new AbortController();
		set((old) => ({ ...old, loading: true, problem: quiet.current ? old.problem : null }));
		ask('GET', url, { signal: aborter.signal, background: quiet.current || (options && options.background) })
			.then((data) => set({ url, data, problem: null, loading: false, at: new Date() }))
			.catch((problem) => problem.name === 'AbortError' || set((old) => ({ ...old, problem, loading: false })));
		quiet.current = false;
		return () => aborter.abort();
	}, [url, turn]);
	return {
		...state,
		reload: () => reload((n) => n + 1),
		// without counting as activity of the person
		refresh: () => { quiet.current = true; reload((n) => n + 1); },
	};
}

// Calls again and again, but not while nobody looks.
export function useEvery(seconds, act) {
	const latest = useRef(act);
	latest.current = act;
	useEffect(() => {
		const timer = setInterval(() => document.hidden || latest.current(), seconds * 1000);
		return () => clearInterval(timer);
	}, [seconds]);
}
