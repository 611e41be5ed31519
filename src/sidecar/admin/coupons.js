// Discounts: what steps of campaigns offer, and the codes that went out with messages.
import { html } from './vendor/preact.js';
import { useGet } from './api.js';
import { link, useRoute } from './route.js';
import { exact, money, number } from './format.js';
import { useShop } from './one_shop.js';
import { Ago, Asked, Empty, Page, Pager, Pill, Section, Table, Tabs } from './ui.js';
import { campaignName, couponWords } from './campaign_parts.js';

const STATES = { open: ['Open', 'created', 'It can still be redeemed.'], used: ['Redeemed', 'recovered', 'An order was placed with it.'], expired: ['Expired', 'quiet', 'Its time is over, and nobody used it.'] };
const TABS = [{ name: '', label: 'All' }, ...Object.entries(STATES).map(([name, [label]]) => ({ name, label }))];

const columns = [
	{ name: 'code', label: 'Code', render: (row) => html`<code>${row.code}</code>` },
	{ name: 'state', label: 'State', render: (row) => html`<${Pill} state=${STATES[row.state][1]} label=${STATES[row.state][0]} title=${STATES[row.state][2]} />` },
	{ name: 'value', label: 'Discount', render: (row) => (row.kind === 'percentage' ? `${number(row.value)} %` : money(row.value, row.currency)) },
	{ name: 'recipient', label: 'Went to', render: (row) => (row.order_id ? html`<a class="wrap" href=${link(`orders/${row.order_id}/`)}>${row.recipient}</a>` : html`<span class="soft">not kept any more</span>`) },
	{ name: 'campaign', label: 'With', hideSmall: true, render: (row) => (row.campaign ? html`<a href=${link(`campaigns/${row.campaign}/`)}>${campaignName(row.campaign)}, step ${row.step}</a>` : 'by hand') },
	{ name: 'issued_at', label: 'Given', render: (row) => html`<${Ago} at=${row.issued_at} />` },
	{ name: 'used_at', label: 'Redeemed', render: (row) => (row.used_at ? html`<a href=${link(`orders/${row.used_by}/`)}><${Ago} at=${row.used_at} /></a>` : html`<span class="soft" title=${exact(row.expires_at)}>${row.state === 'open' ? html`until <${Ago} at=${row.expires_at} />` : 'never'}</span>`) },
	{ name: 'cost', label: 'Cost', align: 'right', render: (row) => (row.cost === null ? '–' : money(row.cost, row.currency)) },
];

export default function Coupons() {
	const shop = useShop();
	const { query } = useRoute();
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
			<${Asked} of=${issued}>${(data) => html`<${Table} label="Codes" columns=${columns} rows=${data.results} keyOf=${(row) => row.code}
				empty=${html`<${Empty} title="No codes here">${query.state ? 'None is in this state.' : 'A code is made when a message with a discount is sent.'}<//>`} />
				<${Pager} data=${data} shown=${data.results.length} label="codes" />`}<//>
		<//>
	<//>`;
}
