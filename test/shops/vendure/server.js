// A Vendure as a shop would run it, with nothing of ours in it.
//
//   node server.js fill     create the schema, fill it, exit
//   node server.js serve    serve it; prints "ready" once it does
//
// The database comes from PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, the
// port of the HTTP API from PORT. `synchronize` is on in both: TypeORM compares
// the schema with its own idea of it at every start and alters what differs, so
// a start on watched tables shows that it leaves them, and our triggers, alone.
'use strict';
const fs = require('fs');
const os = require('os');
const path = require('path');
const {
	bootstrap, Channel, CurrencyCode, DefaultLogger, dummyPaymentHandler, JobQueueService, LanguageCode,
	LogLevel, ChannelService, ProductVariant, ProductVariantService, RequestContextService,
	ShippingMethod, PaymentMethod, Product, StockLocation, TransactionalConnection, User, ZoneService,
} = require('@vendure/core');
const { populate } = require('@vendure/core/cli');

const config = {
	logger: new DefaultLogger({ level: LogLevel.Info, timestamp: true }),
	apiOptions: {
		hostname: '127.0.0.1',
		port: Number(process.env.PORT),
		adminApiPath: 'admin-api',
		shopApiPath: 'shop-api',
	},
	authOptions: {
		tokenMethod: ['bearer'],
		requireVerification: false,
		superadminCredentials: { identifier: 'owner', password: process.env.SHOP_SECRET },
		cookieOptions: { secret: process.env.SHOP_SECRET },
	},
	dbConnectionOptions: {
		type: 'postgres',
		synchronize: true,
		logging: false,
		host: process.env.PGHOST,
		port: Number(process.env.PGPORT),
		database: process.env.PGDATABASE,
		username: process.env.PGUSER,
		password: process.env.PGPASSWORD,
	},
	paymentOptions: { paymentMethodHandlers: [dummyPaymentHandler] },
};

const initialData = {
	defaultLanguage: LanguageCode.en,
	defaultZone: 'Europe',
	countries: [
		{ code: 'DE', name: 'Germany', zone: 'Europe' },
		{ code: 'JP', name: 'Japan', zone: 'Asia' },
	],
	taxRates: [{ name: 'Standard Tax', percentage: 20 }],
	shippingMethods: [{ name: 'Standard Shipping', price: 500 }],
	paymentMethods: [{
		name: 'Card',
		handler: { code: dummyPaymentHandler.code, arguments: [{ name: 'automaticSettle', value: 'true' }] },
	}],
	collections: [],
};

// Names with what breaks careless quoting, and in two languages: a name joined
// without its language would double the line.
const products = [
	['TEA-1', 'Green tea', 'Grüner Tee', 12.5],
	['MUG-2', 'Mug "Grandma\'s"', 'Becher „Oma“', 8.99],
	['POT-3', 'Teapot, cast iron', 'Teekanne, Gusseisen', 129],
	['SPN-4', 'Löffel 茶さじ 🍵', 'Löffel 茶さじ', 0.49],
	['GFT-5', 'Sample (free)', 'Probe', 0],
];

function csv() {
	const quoted = (text) => '"' + String(text).replace(/"/g, '""') + '"';
	const head = 'name:en,name:de,slug:en,slug:de,description:en,description:de,assets,facets:en,facets:de,' +
		'optionGroups:en,optionGroups:de,optionValues:en,optionValues:de,sku,price,taxCategory,stockOnHand,trackInventory,' +
		'variantAssets,variantFacets:en,variantFacets:de';
	const rows = products.map(([sku, en, de, price]) => [quoted(en), quoted(de), sku.toLowerCase(), sku.toLowerCase(), '', '',
		'', '', '', '', '', '', '', sku, price, 'standard', 100000, 'false', '', '', ''].join(','));
	return [head, ...rows].join('\n') + '\n';
}

// A second channel in yen, whose prices include the tax.
async function openJapan(app) {
	const connection = app.get(TransactionalConnection);
	const user = await connection.rawConnection.getRepository(User)
		.findOneOrFail({ where: { identifier: config.authOptions.superadminCredentials.identifier } });
	const admin = await app.get(RequestContextService).create({ apiType: 'admin', user });
	const channels = app.get(ChannelService);
	const zones = await app.get(ZoneService).findAll(admin, {});
	const asia = zones.items.find((zone) => zone.name === 'Asia');
	const channel = await channels.create(admin, {
		code: 'japan', token: 'japan', defaultLanguageCode: LanguageCode.en,
		availableLanguageCodes: [LanguageCode.en, LanguageCode.de],
		currencyCode: CurrencyCode.JPY, defaultCurrencyCode: CurrencyCode.JPY, availableCurrencyCodes: [CurrencyCode.JPY],
		pricesIncludeTax: true, defaultTaxZoneId: asia.id, defaultShippingZoneId: asia.id,
	});
	if (!(channel instanceof Channel)) throw new Error(JSON.stringify(channel));
	for (const entity of [Product, ShippingMethod, PaymentMethod, StockLocation]) {
		for (const row of await connection.getRepository(admin, entity).find()) {
			await channels.assignToChannels(admin, entity, row.id, [channel.id]);
		}
	}
	const ids = (await connection.getRepository(admin, ProductVariant).find()).map((variant) => variant.id);
	await app.get(ProductVariantService).assignProductVariantsToChannel(admin, {
		channelId: channel.id, productVariantIds: ids, priceFactor: 150,
	});
}

async function main() {
	if (process.argv[2] === 'fill') {
		const file = path.join(fs.mkdtempSync(path.join(os.tmpdir(), 'vendure-')), 'products.csv');
		fs.writeFileSync(file, csv());
		const app = await populate(() => bootstrap(config).then(async (made) => {
			await made.get(JobQueueService).start();
			return made;
		}), initialData, file);
		await openJapan(app);
		await app.close();
		process.exit(0);
	}
	const app = await bootstrap(config);
	await app.get(JobQueueService).start();
	process.once('SIGTERM', () => app.close().then(() => process.exit(0)));
	console.log('ready');
}

main().catch((error) => {
	console.error(error);
	process.exit(1);
});
