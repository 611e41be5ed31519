#!/usr/bin/env node
// Webhooks out and their deliveries; by mouse and by keyboard.
'use strict';

const { ok, is, sql, launch, run, fill, admin, signIn, settled, look, expect, noErrors } = require('./admin.js');

const hook = (name, what) => sql(`SELECT ${what} FROM incomplete_orders.webhooks w JOIN incomplete_orders.shops USING (shop_id) WHERE shop = 'default' AND webhook = '${name}'`);
const card = (page, name) => page.locator('section', { has: page.getByRole('heading', { name, exact: true, level: 2 }) });

async function add(page) {
  expect(page, /422/);
  await page.getByRole('button', { name: 'Add a webhook' }).focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Name' }).waitFor();
  ok(await dialog.getByRole('textbox', { name: 'Name' }).evaluate((node) => node === document.activeElement), 'the first field has the focus');
  await page.keyboard.type('New Hook');
  await page.keyboard.press('Tab');
  await page.keyboard.type('ftp://x');
  await page.keyboard.press('Enter');
  await dialog.locator('small.problem').first().waitFor();
  ok((await dialog.locator('.field', { hasText: 'Name' }).textContent()).includes('It must be a name of 1 to 63'), 'a fault is told at its field');
  await dialog.getByRole('textbox', { name: 'Name' }).fill('stock');
  await dialog.getByRole('button', { name: 'Add' }).click();
  await dialog.locator('.field', { hasText: 'Address' }).locator('small.problem').waitFor();
  ok(true, 'the next one at the next');
  await look(page, 'webhooks-add');
  await dialog.getByRole('textbox', { name: 'Address' }).fill('https://stock.example/in');
  for (const name of [/^Returned/, /^Recovered/, /^Converted/]) await dialog.getByRole('checkbox', { name }).uncheck();
  await dialog.getByRole('checkbox', { name: /^Abandoned/ }).uncheck();
  ok(await dialog.getByRole('button', { name: 'Add' }).isDisabled(), 'at least one event is chosen');
  await dialog.getByRole('checkbox', { name: /^Abandoned/ }).check();
  await dialog.getByRole('switch', { name: /^With contact data/ }).check();
  await dialog.getByRole('button', { name: 'Add' }).click();
  await dialog.getByText('It is shown this once').waitFor();
  const secret = await dialog.locator('.command code').textContent();
  is(secret, `whsec_${sql("SELECT encode(secret, 'base64') FROM incomplete_orders.shop_secrets WHERE name = 'stock'")}`, 'its secret is shown');
  is(hook('stock', "url || events::text || contact::text || active::text"), 'https://stock.example/in{abandoned}truetrue', 'it is as it was described');
  await dialog.getByRole('button', { name: 'I have kept it' }).click();
  await card(page, 'stock').waitFor();
  ok(!(await page.content()).includes(secret), 'and never again');
}

async function change(page) {
  const own = card(page, 'stock');
  await own.getByRole('button', { name: 'Change', exact: true }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox', { name: 'Address' }).fill('https://stock.example/other');
  await dialog.getByRole('checkbox', { name: /^Converted/ }).check();
  await dialog.getByRole('button', { name: 'Save' }).click();
  await own.getByText('https://stock.example/other').waitFor();
  is(hook('stock', 'events::text'), '{abandoned,converted}', 'it is changed');
  await own.getByRole('button', { name: 'Ping' }).click();
  await own.getByText('1 waiting').waitFor();
  is(sql("SELECT event || status FROM incomplete_orders.list_deliveries('stock')"), 'pingqueued', 'a ping is queued');
  const more = async (name) => {
    await own.locator('summary').click();
    await own.getByRole('button', { name }).click();
  };
  const before = sql("SELECT secret FROM incomplete_orders.shop_secrets WHERE name = 'stock'");
  await more('New secret');
  await dialog.getByRole('button', { name: 'Make a new secret' }).click();
  await dialog.getByText('For a day the former secret signs, too').waitFor();
  await dialog.getByRole('button', { name: 'I have kept it' }).click();
  is(sql("SELECT former FROM incomplete_orders.shop_secrets WHERE name = 'stock'"), before, 'a new secret, and the former is good for a day');
  await more('Turn off');
  await own.getByText('Off', { exact: true }).waitFor();
  is(hook('stock', 'active'), 'f', 'it is off');
  await more('Delete');
  ok((await dialog.textContent()).includes('What waits for it is deleted, too: 1 delivery.'), 'it is said what goes with it');
  await page.keyboard.press('Escape');
  ok(hook('stock', '1') === '1', 'Escape deletes nothing');
  await more('Delete');
  await dialog.getByRole('button', { name: 'Delete' }).click();
  await own.waitFor({ state: 'detached' });
  is(hook('stock', '1'), '', 'it is deleted');
}

async function deliveries(page) {
  await page.getByRole('link', { name: 'Deliveries' }).click();
  const table = page.getByRole('table', { name: 'Deliveries' });
  await table.waitFor();
  await look(page, 'webhooks-deliveries');
  sql("UPDATE incomplete_orders.webhook_deliveries SET status = 'dead', http_status = 500, problem = '<b>500</b>' WHERE id = (SELECT min(id::text)::uuid FROM incomplete_orders.webhook_deliveries WHERE webhook = 'erp')");
  await page.getByRole('navigation', { name: 'State of deliveries' }).getByRole('link', { name: 'Given up' }).click();
  await settled(page);
  is(new URL(page.url()).searchParams.get('status'), 'dead', 'the state is in the address');
  const dead = () => sql("SELECT count(*) FROM incomplete_orders.webhook_deliveries WHERE status = 'dead'");
  const rows = Number(dead());
  is(await table.locator('tbody tr').count(), rows, 'only those that were given up');
  ok((await table.textContent()).includes('<b>500</b>'), 'what it answered stays text');
  await page.locator('h1').focus();
  await page.keyboard.press('j');
  await page.keyboard.press('Tab');
  while (await page.evaluate(() => document.activeElement.textContent) !== 'Retry') await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await page.getByText('It goes again.').waitFor();
  is(Number(dead()), rows - 1, 'one goes again, by keyboard');
  await page.goBack();
  await settled(page);
  ok(!new URL(page.url()).searchParams.has('status'), 'back works');
  await page.getByLabel('Webhook').selectOption('crm');
  await settled(page);
  is(await table.locator('tbody tr').count(), Number(sql("SELECT count(*) FROM incomplete_orders.list_deliveries('crm')")), 'those of one webhook');
}

async function main() {
  await fill();
  const program = await admin();
  const browser = await launch();
  sql("UPDATE incomplete_orders.webhooks SET failing_since = now() - interval '3 hours', failures = 4, retry_at = now() + interval '20 minutes' WHERE webhook = 'erp'");
  sql("SELECT incomplete_orders.ping_webhook('crm', 'default')");
  const page = await signIn(browser, program, 'web_admin', { path: 'webhooks/?shop=default' });
  page.setDefaultTimeout(15000);
  ok((await card(page, 'erp').textContent()).includes('Since 3 hr ago, 4 attempts.'), 'one that does not answer says so');
  await look(page, 'webhooks');
  await add(page);
  await change(page);
  await deliveries(page);
  noErrors(page);
  await page.close();
  const phone = await signIn(browser, program, 'web_admin', { path: 'webhooks/?shop=books', width: 360, theme: 'dark' });
  ok((await phone.locator('.empty code').textContent()).includes("configure_webhook('crm', 'https://crm.example.com/hook', shop => 'books')"), 'without any it says what to do, in SQL, too');
  await phone.getByRole('button', { name: 'Add a webhook' }).click();
  await phone.getByRole('dialog').getByRole('textbox', { name: 'Name' }).fill('a');
  await phone.getByRole('dialog').getByRole('textbox', { name: 'Address' }).fill('https://a.example');
  await phone.getByRole('dialog').getByRole('button', { name: 'Add' }).click();
  await phone.getByRole('button', { name: 'I have kept it' }).click();
  await card(phone, 'a').waitFor();
  ok(true, 'one is added on a phone');
  noErrors(phone);
}

run(main);
