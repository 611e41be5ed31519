// The frame around every page: who is logged in, where one can go, which shop; and the page.
import { html, render, useState, useEffect, useRef, useErrorBoundary } from './vendor/preact.js';
import { get, may, useEvery, useSession, loadSession, signIn, signOut, sessionEnded } from './api.js';
import { route, useRoute, link, setQuery, go } from './route.js';
import { setZone } from './format.js';
import { Ago, Announcements, Copy, Field, Notice, Page, ProblemNotice, dialog, keysNow, useKeys } from './ui.js';

// path, what its heading in the navigation says, the module, and what one must be allowed to
const PAGES = [
	['', 'Overview', () => import('./overview.js'), 'statistics'],
	['orders/', 'Orders', () => import('./orders.js'), 'list_orders'],
	['orders/{id}/', null, () => import('./order.js'), 'list_orders'],
	['messages/', 'Messages', () => import('./order.js'), 'list_messages'],
	['campaigns/', 'Campaigns', () => import('./campaigns.js'), 'enable_campaign'],
	['campaigns/{campaign}/', null, () => import('./campaigns.js'), 'enable_campaign'],
	['templates/', 'Texts', () => import('./campaigns.js'), 'save_template'],
	['templates/{template}/', null, () => import('./campaigns.js'), 'save_template'],
	['coupons/', 'Coupons', () => import('./campaigns.js'), 'list_coupons'],
	['suppressions/', 'Suppressions', () => import('./campaigns.js'), 'list_suppressions'],
	['consents/', 'Consents', () => import('./campaigns.js'), 'list_consents'],
	['shop/', 'Shop', () => import('./shop.js'), 'shop_settings'],
	['attached/', 'Attached tables', () => import('./shop.js'), 'sample_attachment'],
	['attached/{name}/', null, () => import('./shop.js'), 'sample_attachment'],
	['webhooks/', 'Webhooks', () => import('./shop.js'), 'list_webhooks'],
	['health/', 'Health', () => import('./shop.js'), 'health'],
];

function find(path) {
	const given = path.replace(/\/$/, '').split('/');
	for (const [pattern, , load, right] of PAGES) {
		const wanted = pattern.replace(/\/$/, '').split('/');
		const params = {};
		if (wanted.length === given.length && wanted.every((part, i) => (/^\{/.test(part) ? given[i] && (params[part.slice(1, -1)] = decodeURIComponent(given[i])) : part === given[i])))
			return { pattern, load, right, params };
	}
	return null;
}

// ---------------------------------------------------------------------------
// Logging in

function Login() {
	const [values, set] = useState({ role: '', password: '' });
	const [problem, setProblem] = useState(null);
	const [busy, setBusy] = useState(false);
	const put = (name) => (event) => set({ ...values, [name]: event.target.value });
	useEffect(() => { document.title = 'Sign in · Incomplete orders'; }, []);
	const submit = async (event) => {
		event.preventDefault();
		setBusy(true);
		setProblem(null);
		try {
			await signIn(values.role.trim(), values.password);
		} catch (failure) {
			setProblem(failure);
			set({ ...values, password: '' });
			setBusy(false);
		}
	};
	return html`<main class="login"><form class="card" onSubmit=${submit}>
		<h1>Incomplete orders</h1>
		${sessionEnded() && !problem && html`<${Notice}>${sessionEnded()}<//>`}
		${problem && html`<${Notice} kind="bad" title=${problem.status === 401 ? 'That is not right.' : problem.status === 403 ? 'This role cannot sign in here.' : problem.title}>${problem.detail}${problem.hint && html`<br />${problem.hint}`}${problem.retryAfter ? html`<br />Try again in ${problem.retryAfter} s.` : ''}<//>`}
		<${Field} label="Role" name="role" autocomplete="username" autocapitalize="none" spellcheck=${false} required autofocus value=${values.role} onInput=${put('role')} />
		<${Field} label="Password" name="password" type="password" autocomplete="current-password" required value=${values.password} onInput=${put('password')} />
		<button type="submit" disabled=${busy} aria-busy=${busy ? 'true' : null}>${busy ? 'Signing in' : 'Sign in'}</button>
		<small>A role of the database with its password. Whatever you do here, its rights count.</small>
	</form></main>`;
}

// ---------------------------------------------------------------------------
// Around the page

function Help({ close }) {
	return html`<form method="dialog" onSubmit=${() => close()}><header><h2>Keys</h2></header>
		<dl class="keys">${[...keysNow()].map(([key, what]) => html`<div key=${key}><dt>${key.split(' ').map((one) => html`<kbd>${one}</kbd> `)}</dt><dd>${what}</dd></div>`)}</dl>
		<footer><button type="submit" autofocus>Close</button></footer></form>`;
}

function Nav({ current, onGo }) {
	const groups = [];
	for (const [path, label, , right] of PAGES) {
		if (!label || !may(right)) continue;
		const group = path === '' || /^(orders|messages)/.test(path) ? 0 : /^(campaigns|templates|coupons|suppr|cons)/.test(path) ? 1 : 2;
		(groups[group] = groups[group] || []).push([path, label]);
	}
	return html`<nav class="main" id="navigation" aria-label="Pages">${['', 'Recovery', 'Settings'].map((title, i) => groups[i] && html`<div key=${i}>
		${title && html`<h2>${title}</h2>`}
		<ul>${groups[i].map(([path, label]) => html`<li key=${path}><a href=${link(path)} onClick=${onGo} aria-current=${(path === '' ? current === '' : current.startsWith(path)) ? 'page' : null}>${label}</a></li>`)}</ul></div>`)}</nav>`;
}

function ShopChoice({ shops }) {
	const { query } = useRoute();
	if (!shops || shops.length < 2) return shops && shops[0] ? html`<span class="shop-name">${shops[0].name || shops[0].shop}</span>` : null;
	const choose = async ({ target }) => {
		await setQuery({ shop: target.value || null, cursor: null });
		target.value = route().query.shop || ''; // who stays because of unsaved changes
	};
	return html`<select class="shop-choice" aria-label="Shop" value=${query.shop || ''} onChange=${choose}>
		<option value="">All shops</option>${shops.map(({ shop, name }) => html`<option key=${shop} value=${shop} selected=${shop === query.shop}>${name || shop}</option>`)}</select>`;
}

// On every page, when the scheduler stands still; staff who may not ask see nothing.
const SAYS = {
	stopped: { kind: 'bad', title: 'The scheduler stands still', advice: 'Carts are still captured, but nothing is abandoned, mailed or expired until it runs again. Start it, or look why it fails:' },
	never: { kind: 'warn', title: 'The scheduler has never run', advice: 'Until it does, nothing is abandoned, mailed or expired. Start it:' },
	ahead: { kind: 'warn', title: 'The scheduler ran in the future', advice: 'The clock of the server was set back. It goes on when that instant comes; correct the clock, or run it once:' },
};
const COMMANDS = { stopped: 'systemctl restart incomplete-orders-tick', never: 'incomplete-orders tick --every 60s', ahead: 'CALL incomplete_orders.tick();' };

// The state that the scheduler is in, asked again every minute and when somebody comes back.
function useScheduler(seconds = 60) {
	const [status, set] = useState(null);
	const allowed = may('scheduler_status');
	const ask = () => allowed && get('scheduler/', {}, { background: true }).then(set, () => {});
	useEffect(() => {
		const back = () => document.hidden || ask();
		ask();
		document.addEventListener('visibilitychange', back);
		return () => document.removeEventListener('visibilitychange', back);
	}, [allowed]);
	useEvery(seconds, ask);
	return status;
}

function Banner() {
	const status = useScheduler();
	const { path } = useRoute();
	const says = status && SAYS[status.state];
	if (!says) return null;
	return html`<div class="banner"><${Notice} kind=${says.kind} title=${html`${says.title}${status.ended_at && status.state === 'stopped' && html`: it last ran <${Ago} at=${status.ended_at} />`}`}>
		${says.advice} <code>${COMMANDS[status.state]}</code> <${Copy} text=${COMMANDS[status.state]} />${path !== 'health/' && html` <a href=${link('health/')}>What else is wrong</a>`}
	<//></div>`;
}

// ---------------------------------------------------------------------------
// The page itself

function Loaded({ page, path, query }) {
	const [Part, set] = useState(null);
	const [missing, setMissing] = useState(null);
	const [failure, again] = useErrorBoundary((error) => console.error(error));
	useEffect(() => {
		page.load().then((module) => set(() => module.default), () => setMissing(true));
	}, []);
	if (missing) return html`<${ProblemNotice} problem=${{ title: 'This page could not be loaded.', detail: 'The program was stopped, or another version of it runs now.' }} retry=${() => location.reload()} />`;
	if (failure) return html`<${ProblemNotice} problem=${{ title: 'This page failed.', detail: String(failure.message || failure), hint: 'This is our fault. The data is as it was.' }} retry=${() => { again(); location.reload(); }} />`;
	return Part ? html`<${Part} path=${path} query=${query} params=${page.params} />` : html`<div class="loading" aria-busy="true"><span class="hidden">Loading</span></div>`;
}

function Frame({ session }) {
	const { path, query } = useRoute();
	const [open, setOpen] = useState(false);
	const page = find(path);
	const shop = session.shops && (session.shops.find((one) => one.shop === query.shop) || session.shops[0]);
	setZone(shop && shop.time_zone);
	const came = useRef(path);
	useEffect(() => {
		setOpen(false);
		if (came.current !== path) window.movedByHand = true;
		came.current = path;
	}, [path]);
	const asked = useRef(query.shop);
	useEffect(() => {
		// rights are those in the shop
		if (asked.current !== query.shop) loadSession().catch(() => {});
		asked.current = query.shop;
	}, [query.shop]);
	useKeys({
		'?': () => dialog(Help),
		'/': () => document.getElementById('search') ? document.getElementById('search').focus() : go('orders/', { focus: 'search' }),
		g: () => document.querySelector('nav.main a').focus(),
	}, { '/': 'Search', g: 'Go to another page', '?': 'These keys', Esc: 'Close, leave a field' });
	return html`<a class="skip" href="#main" onClick=${(event) => { event.preventDefault(); document.getElementById('main').focus(); }}>To the page</a>
		<header class="top">
			<button type="button" class="outline secondary small burger" aria-expanded=${open} aria-controls="navigation" onClick=${() => setOpen(!open)}>Menu</button>
			<a class="brand" href=${link('')}>Incomplete orders</a>
			<${ShopChoice} shops=${session.shops} />
			<span class="who">${session.role}</span>
			<button type="button" class="outline secondary small" onClick=${() => signOut().catch(() => {})}>Sign out</button>
		</header>
		<div class=${open ? 'frame open' : 'frame'}>
			<${Nav} current=${path} onGo=${() => setOpen(false)} />
			<main id="main" tabindex="-1">
				<${Banner} />
				${!page ? html`<${Page} title="There is no such page"><p>The address leads nowhere. <a href=${link('')}>To the overview</a></p><//>`
				: !may(page.right) ? html`<${Page} title="Not allowed"><p>Role ${session.role} may not see this page. An administrator can give it more rights with <code>grant_to()</code>.</p><//>`
				: html`<${Loaded} key=${page.pattern + JSON.stringify(page.params) + '|' + (query.shop || '')} page=${page} path=${path} query=${query} />`}
			</main>
		</div>`;
}

function App() {
	const session = useSession();
	const [ready, setReady] = useState(false);
	const [problem, setProblem] = useState(null);
	const [last, setLast] = useState(null);
	const start = () => {
		setProblem(null);
		loadSession().then(() => setReady(true), setProblem);
	};
	useEffect(start, []);
	useEffect(() => { if (session) setLast(session); }, [session]);
	if (problem) return html`<main class="login"><${ProblemNotice} problem=${problem} retry=${start} /></main>`;
	if (!ready) return null;
	// What somebody was about to change stays there, unseen, until the same role is back.
	const shown = session || last;
	return html`${!session && html`<${Login} />`}
		${shown && html`<div key=${shown.role} hidden=${!session}><${Frame} session=${shown} /></div>`}
		<${Announcements} />`;
}

render(html`<${App} />`, document.getElementById('app'));
