// A Medusa as a shop would run it, with nothing of ours in it: all modules in
// memory (no Redis), no admin pages, and a payment provider that declines on
// request. The database comes from PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD.
'use strict';
const { defineConfig } = require('@medusajs/framework/utils');

const { PGHOST, PGPORT, PGDATABASE, PGUSER, PGPASSWORD, SHOP_SECRET } = process.env;
const nowhere = 'http://127.0.0.1';

module.exports = defineConfig({
	projectConfig: {
		databaseUrl: `postgres://${PGUSER}:${encodeURIComponent(PGPASSWORD)}@${PGHOST}:${PGPORT}/${PGDATABASE}`,
		databaseDriverOptions: { connection: { ssl: false } },
		http: {
			storeCors: nowhere, adminCors: nowhere, authCors: nowhere,
			jwtSecret: SHOP_SECRET, cookieSecret: SHOP_SECRET,
		},
	},
	admin: { disable: true },
	modules: [
		{
			resolve: '@medusajs/medusa/payment',
			options: { providers: [{ resolve: './src/pay', id: 'card' }] },
		},
	],
});
