// Who may not be mailed, who agreed to be, and who has which coupon. The database keeps keyed hashes of people, not
// their addresses: whoever is looked for has to be named.
import { html } from './vendor/preact.js';
import { may, send, useGet } from './api.js';
import { link } from './route.js';
import { exact, money, number } from './format.js';
import { Ago, announce, Asked, confirm, Empty, Page, Pager, Pill, Search, Section, Table, Tabs, Term, useShop } from './ui.js';
import { campaignName, couponWords } from './campaigns.js';

const WHY = {
	unsubscribed: ['Unsubscribed', 'The person used the link of a message.'], hard_bounce: ['Address does not exist', 'A mail server said that there is no such address.'],
	complaint: ['Complaint', 'The person called a message spam.'], not_me: ['Not me', 'The person says that the cart is not theirs.'],
	erased: ['Forgotten', 'The person asked to be forgotten.'], suppressed: ['By staff', 'Somebody of your staff put it here.'],
};
const SCOPES = { recovery: 'Reminders', all: 'Every message', data: 'Data only' };
// What it means to write to somebody again, by why they are here.
const LAW = {
	unsubscribed: 'They objected to be mailed. Writing to them again is unlawful in most countries unless they agreed anew.',
	complaint: 'They called a message spam. Writing to them again is unlawful in most countries unless they agreed anew.',
	not_me: 'They said that the cart is not theirs, and never agreed to anything. Write to them again only if they asked you to.',
	erased: 'They asked to be forgotten (GDPR, article 17). Write to them again only if they agreed anew.',
	hard_bounce: 'A mail server said that the address does not exist. Lift it only if you know that it does now.',
	suppressed: 'Somebody of your staff put it here. Ask them why before you lift it.',
};
const Hash = ({ person }) => html`<code title="A keyed hash of the address; the address itself is not kept here">${String(person).slice(0, 8)}</code>`;

async function attempt(act, good) {
	try {
		const { changed } = await act();
		announce(changed ? good : 'Nothing changed: it was so already.', changed ? 'good' : '');
		return true;
	} catch (failure) {
		announce(failure.detail || failure.title, 'bad');
		return false;
	}
}

const LIFTED = 'Whatever the reason was, the address may be mailed again. Messages that were cancelled stay cancelled.';

function Suppressions({ query }) {
	const shop = useShop();
	const of = useGet(shop && 'suppressions/', { email: query.email, cursor: query.cursor, page_size: 20 });
	const add = async () => {
		const values = await confirm({
			title: 'Stop messages to an address', action: 'Stop messages', body: 'From now on no recovery message goes there, and what waits for it is cancelled at once.',
			fields: [{ name: 'email', label: 'E-mail address', type: 'email', required: true, value: query.email || '' },
				{ name: 'reason', label: 'Why', options: ['suppressed', 'unsubscribed', 'complaint', 'not_me', 'hard_bounce'].map((name) => [name, WHY[name][0]]), value: 'suppressed', hint: 'A stronger reason is never replaced by a weaker one.' }],
		});
		if (values && await attempt(() => send('POST', 'suppressions/', values), 'No more messages to that address.')) of.reload();
	};
	const lift = async (row) => {
		const known = query.email;
		const values = await confirm({
			title: known ? `Write to ${known} again?` : 'Let an address be mailed again', action: 'Lift it', danger: true,
			body: html`<p>${row ? LAW[row.reason] || '' : 'They objected to be mailed. Writing to them again is unlawful in most countries unless they agreed anew.'}</p><p>${LIFTED}</p>`,
			fields: [...(known ? [] : [{ name: 'email', label: 'E-mail address', type: 'email', required: true, hint: row ? 'Only a hash is kept here: type the address to show that you know whom it is about.' : null }]),
				{ name: 'agreed', label: 'I have a lawful reason: they agreed anew, or it was a mistake.', type: 'checkbox', required: true }],
		});
		if (values && await attempt(() => send('POST', 'suppressions/remove/', { email: known || values.email }), 'That address may be mailed again.')) of.reload();
	};
	const columns = [
		{ name: 'person', label: 'Person', render: (row) => (query.email ? html`<span class="wrap">${query.email}</span>` : html`<${Hash} person=${row.person} />`) },
		{ name: 'reason', label: 'Why', render: (row) => html`<${Pill} state=${row.reason} label=${(WHY[row.reason] || [row.reason])[0]} title=${(WHY[row.reason] || [])[1]} />` },
		{ name: 'scope', label: 'Stops', render: (row) => SCOPES[row.scope] || row.scope },
		{ name: 'at', label: 'Since', render: (row) => html`<${Ago} at=${row.at} />` },
		...(may('unsuppress') ? [{ name: 'lift', label: '', render: (row) => row.scope !== 'data' && html`<button type="button" class="link" onClick=${() => lift(row)}>Lift<span class="hidden"> the suppression of ${query.email || row.person}</span></button>` }] : []),
	];
	return html`<${Page} title="Suppressions" actions=${html`${may('suppress') && html`<button type="button" onClick=${add}>Add an address</button>`}${may('unsuppress') && html`<button type="button" class="outline secondary" onClick=${() => lift(null)}>Lift one</button>`}`}>
		<p class="note">People who are <${Term} name="suppressed">suppressed<//> get no messages, whatever campaign is on.</p>
		<${Search} name="email" label="Look for an e-mail address" hint="E-mail address" />
		<${Asked} of=${of}>${(data) => html`<${Table} label="Suppressions" columns=${columns} rows=${data.results} keyOf=${(row) => row.person + row.scope}
			empty=${query.email ? html`<${Empty} title="Not suppressed">${query.email} may be mailed, if they agreed.<//>` : html`<${Empty} title="Nobody is suppressed">Whoever unsubscribes, complains or has an address that does not exist appears here by itself.<//>`} />
			<${Pager} data=${data} shown=${data.results.length} label="suppressions" />`}<//>
	<//>`;
}

function Consents({ query }) {
	const shop = useShop();
	const byCustomer = query.customer_id;
	const of = useGet(shop && 'consents/', { email: query.email, customer_id: byCustomer, cursor: query.cursor, page_size: 20 });
	const record = async () => {
		const values = await confirm({
			title: 'Record what somebody said', action: 'Record', body: 'It is kept with the present instant and never changed: the newest entry counts.',
			fields: [{ name: 'email', label: 'E-mail address', type: 'email', required: true, value: query.email || '' },
				{ name: 'status', label: 'They', options: [['granted', 'agreed to be mailed'], ['withdrawn', 'withdrew their agreement']], value: 'granted' },
				{ name: 'source', label: 'Where', required: true, hint: 'As you could prove it: phone, form in the shop, letter.' },
				{ name: 'text_version', label: 'Which words they agreed to', hint: 'The version of the text, if there is one.' }],
		});
		if (!values) return;
		const { text_version: version, ...rest } = values;
		if (await attempt(() => send('POST', 'consents/', version ? values : rest), values.status === 'granted' ? 'The agreement is recorded.' : 'The withdrawal is recorded.')) of.reload();
	};
	const columns = [
		{ name: 'person', label: 'Person', render: (row) => (query.email ? html`<span class="wrap">${query.email}</span>` : html`<${Hash} person=${row.person} />`) },
		{ name: 'status', label: 'Said', render: (row) => html`<${Pill} state=${row.status === 'granted' ? 'recovered' : 'lost'} label=${row.status === 'granted' ? 'Agreed' : 'Withdrew'} title=" " />` },
		{ name: 'in_force', label: 'Counts', render: (row) => (row.in_force ? 'now' : html`<span class="soft">no more</span>`) },
		{ name: 'purpose', label: 'To what' },
		{ name: 'source', label: 'Where', render: (row) => html`<span class="wrap">${row.source || '–'}</span>` },
		{ name: 'text_version', label: 'Words', hideSmall: true, render: (row) => html`<span class="wrap">${row.text_version || '–'}</span>` },
		{ name: 'at', label: 'When', render: (row) => html`<${Ago} at=${row.at} />` },
	];
	return html`<${Page} title="Consents" actions=${may('record_consent') && html`<button type="button" onClick=${record}>Record one</button>`}>
		<p class="note">What people agreed to or withdrew, as it was said; nothing is ever overwritten. Look for an address to see its history.</p>
		<${Search} name="email" label="Look for an e-mail address" hint="E-mail address" />
		<${Asked} of=${of}>${(data) => html`<${Table} label="Consents" columns=${columns} rows=${data.results} keyOf=${(row) => `${row.person} ${row.purpose} ${row.at}`}
			empty=${query.email ? html`<${Empty} title="Nothing is known of that address">It neither agreed nor withdrew anything. Who must agree to be mailed is a setting: <a href=${link('shop/')}>consent_rule</a>.<//>`
			: html`<${Empty} title="Nobody said anything yet" command="incomplete_orders.record_consent('ann@example.com', 'granted', source => 'checkout')">Checkouts record consent by themselves; your program can do it, too:<//>`} />
			<${Pager} data=${data} shown=${data.results.length} label="entries" />`}<//>
	<//>`;
}

// ---------------------------------------------------------------------------
// Coupons: what steps of campaigns offer, and the codes that went out with messages

const USED = { open: ['Open', 'created', 'It can still be redeemed.'], used: ['Redeemed', 'recovered', 'An order was placed with it.'], expired: ['Expired', 'quiet', 'Its time is over, and nobody used it.'] };
const TABS = [{ name: '', label: 'All' }, ...Object.entries(USED).map(([name, [label]]) => ({ name, label }))];

const CODES = [
	{ name: 'code', label: 'Code', render: (row) => html`<code>${row.code}</code>` },
	{ name: 'state', label: 'State', render: (row) => html`<${Pill} state=${USED[row.state][1]} label=${USED[row.state][0]} title=${USED[row.state][2]} />` },
	{ name: 'value', label: 'Discount', render: (row) => (row.kind === 'percentage' ? `${number(row.value)} %` : money(row.value, row.currency)) },
	{ name: 'recipient', label: 'Went to', render: (row) => (row.order_id ? html`<a class="wrap" href=${link(`orders/${row.order_id}/`)}>${row.recipient}</a>` : html`<span class="soft">not kept any more</span>`) },
	{ name: 'campaign', label: 'With', hideSmall: true, render: (row) => (row.campaign ? html`<a href=${link(`campaigns/${row.campaign}/`)}>${campaignName(row.campaign)}, step ${row.step}</a>` : 'by hand') },
	{ name: 'issued_at', label: 'Given', render: (row) => html`<${Ago} at=${row.issued_at} />` },
	{ name: 'used_at', label: 'Redeemed', render: (row) => (row.used_at ? html`<a href=${link(`orders/${row.used_by}/`)}><${Ago} at=${row.used_at} /></a>` : html`<span class="soft" title=${exact(row.expires_at)}>${row.state === 'open' ? html`until <${Ago} at=${row.expires_at} />` : 'never'}</span>`) },
	{ name: 'cost', label: 'Cost', align: 'right', render: (row) => (row.cost === null ? '–' : money(row.cost, row.currency)) },
];

function Coupons({ query }) {
	const shop = useShop();
	const offers = useGet(shop && 'coupons/');
	const issued = useGet(shop && 'coupons/issued/', { state: query.state, cursor: query.cursor, page_size: 20 });
	return html`<${Page} title="Coupons">
		<${Section} title="What messages offer">
			<${Asked} of=${offers} height="4rem">${(data) => (data.results.length === 0
			? html`<${Empty} title="No message offers a discount">Give a step one in <a href=${link('campaigns/cart/')}>the sequence of abandoned carts</a>: the third is the usual place.<//>`
			: html`<ul class="offers">${data.results.map((row) => html`<li key=${row.campaign + row.step}><a href=${link(`campaigns/${row.campaign}/`)}>${campaignName(row.campaign)}, step ${row.step}</a> ${couponWords(row)}</li>`)}</ul>`)}<//>
		<//>
		<${Section} title="Codes that went out" note="Each is for one person or the cart that it came for, and can be used once.">
			<${Tabs} label="States" tabs=${TABS} current=${query.state || ''} to=${(name) => link('coupons/', { state: name || null })} />
			<${Asked} of=${issued}>${(data) => html`<${Table} label="Codes" columns=${CODES} rows=${data.results} keyOf=${(row) => row.code}
				empty=${html`<${Empty} title="No codes here">${query.state ? 'None is in this state.' : 'A code is made when a message with a discount is sent.'}<//>`} />
				<${Pager} data=${data} shown=${data.results.length} label="codes" />`}<//>
		<//>
	<//>`;
}

const PARTS = { consents: Consents, coupons: Coupons, suppressions: Suppressions };
export default ({ path, query }) => html`<${PARTS[path.split('/')[0]]} query=${query} />`;
