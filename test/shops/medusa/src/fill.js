// Fills the shop: three regions with currencies of 2, 0 and 3 decimals, a sales
// channel, products with stock, shipping, and the key that a storefront sends.
'use strict';
const { ContainerRegistrationKeys, Modules, ProductStatus } = require('@medusajs/framework/utils');
const flows = require('@medusajs/medusa/core-flows');

const regions = [
	{ name: 'Europe', currency_code: 'eur', countries: ['de', 'fr'] },
	{ name: 'Japan', currency_code: 'jpy', countries: ['jp'] },
	{ name: 'Kuwait', currency_code: 'kwd', countries: ['kw'] },
];

const products = [
	['TEA-1', 'Green tea', [12.5, 1250, 3.125]],
	['MUG-2', 'Mug "Grandma\'s"', [8.99, 900, 2.345]],
	['POT-3', 'Teapot, cast iron', [129, 12900, 40]],
	['SPN-4', 'Löffel 茶さじ 🍵', [0.49, 49, 0.125]],
	['GFT-5', 'Sample (free)', [0, 0, 0]],
];

module.exports.default = async function fill({ container }) {
	const link = container.resolve(ContainerRegistrationKeys.LINK);
	const run = async (flow, input) => (await flow(container).run({ input })).result;

	const [channel] = await run(flows.createSalesChannelsWorkflow, { salesChannelsData: [{ name: 'Web' }] });
	const [store] = await container.resolve(Modules.STORE).listStores();
	const currencies = regions.map(({ currency_code }, at) => ({ currency_code, is_default: at === 0 }));
	if (store) {
		await run(flows.updateStoresWorkflow, {
			selector: { id: store.id },
			update: { supported_currencies: currencies, default_sales_channel_id: channel.id },
		});
	} else {
		await run(flows.createStoresWorkflow, {
			stores: [{ name: 'The Shop', supported_currencies: currencies, default_sales_channel_id: channel.id }],
		});
	}
	await run(flows.createRegionsWorkflow, {
		regions: regions.map((region) => ({ ...region, payment_providers: ['pp_card_card'] })),
	});
	await run(flows.createTaxRegionsWorkflow, regions.flatMap(({ countries }) => countries)
		.map((country_code) => ({ country_code, provider_id: 'tp_system' })));

	const [location] = await run(flows.createStockLocationsWorkflow, {
		locations: [{ name: 'Warehouse', address: { city: 'Berlin', country_code: 'DE', address_1: 'Street 1' } }],
	});
	await link.create({
		[Modules.STOCK_LOCATION]: { stock_location_id: location.id },
		[Modules.FULFILLMENT]: { fulfillment_provider_id: 'manual_manual' },
	});
	const fulfillment = container.resolve(Modules.FULFILLMENT);
	const [profile] = (await fulfillment.listShippingProfiles({ type: 'default' })).concat(
		await run(flows.createShippingProfilesWorkflow, { data: [{ name: 'Parcels', type: 'parcels' }] }));
	const set = await fulfillment.createFulfillmentSets({
		name: 'World', type: 'shipping',
		service_zones: [{
			name: 'World',
			geo_zones: regions.flatMap(({ countries }) => countries).map((country_code) => ({ country_code, type: 'country' })),
		}],
	});
	await link.create({
		[Modules.STOCK_LOCATION]: { stock_location_id: location.id },
		[Modules.FULFILLMENT]: { fulfillment_set_id: set.id },
	});
	await run(flows.createShippingOptionsWorkflow, [{
		name: 'Parcel', price_type: 'flat', provider_id: 'manual_manual',
		service_zone_id: set.service_zones[0].id, shipping_profile_id: profile.id,
		type: { label: 'Parcel', description: 'In three days', code: 'parcel' },
		prices: [{ currency_code: 'eur', amount: 5 }, { currency_code: 'jpy', amount: 500 }, { currency_code: 'kwd', amount: 1.5 }],
		rules: [{ attribute: 'enabled_in_store', value: 'true', operator: 'eq' }, { attribute: 'is_return', value: 'false', operator: 'eq' }],
	}]);
	await run(flows.linkSalesChannelsToStockLocationWorkflow, { id: location.id, add: [channel.id] });

	const [key] = await run(flows.createApiKeysWorkflow, { api_keys: [{ title: 'Storefront', type: 'publishable', created_by: '' }] });
	await run(flows.linkSalesChannelsToApiKeyWorkflow, { id: key.id, add: [channel.id] });

	await run(flows.createProductsWorkflow, {
		products: products.map(([sku, title, amounts]) => ({
			title, handle: sku.toLowerCase(), status: ProductStatus.PUBLISHED, shipping_profile_id: profile.id,
			options: [{ title: 'Size', values: ['One'] }], sales_channels: [{ id: channel.id }],
			variants: [{
				title: 'One', sku, options: { Size: 'One' }, manage_inventory: true,
				prices: regions.map(({ currency_code }, at) => ({ currency_code, amount: amounts[at] })),
			}],
		})),
	});
	const items = await container.resolve(Modules.INVENTORY).listInventoryItems({}, { select: ['id'] });
	await run(flows.createInventoryLevelsWorkflow, {
		inventory_levels: items.map(({ id }) => ({ inventory_item_id: id, location_id: location.id, stocked_quantity: 100000 })),
	});
};
