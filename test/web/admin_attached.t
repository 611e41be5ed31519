#!/usr/bin/env node
// The shop's own tables: what is attached and how it goes, a sample, attaching step by step.
'use strict';

const { ok, is, sql, launch, run, fill, admin, signIn, visit, settled, look, noErrors } = require('./admin.js');

const dashed = "Maria <script>alert('name')</script>";

// A shop of a known kind, whose tables the role of staff owns.
function tables() {
  sql(`CREATE SCHEMA medusa AUTHORIZATION web_admin;
    SET ROLE web_admin;
    CREATE TABLE medusa.cart (id text PRIMARY KEY, currency_code text, email text, customer_id text, locale text, shipping_address_id text, deleted_at timestamptz,
      updated_at timestamptz DEFAULT now(), completed_at timestamptz);
    CREATE TABLE medusa.cart_address (id text PRIMARY KEY, first_name text, last_name text, phone text);
    CREATE TABLE medusa.cart_line_item (id text PRIMARY KEY, cart_id text, deleted_at timestamptz, variant_sku text, product_title text, quantity integer, unit_price numeric,
      variant_id text, thumbnail text);
    CREATE TABLE medusa.order_cart (cart_id text, order_id text, deleted_at timestamptz);
    CREATE TABLE medusa.order_summary (order_id text, version integer, totals jsonb, deleted_at timestamptz);
    INSERT INTO medusa.cart_address VALUES ('a', 'Maria', '<script>alert(''name'')</script>', '+49 30 1234');
    INSERT INTO medusa.cart SELECT 'cart_' || i, 'eur', 'maria' || i || '@example.com', 'cus_' || i, 'de', 'a' FROM generate_series(1, 3) i;
    INSERT INTO medusa.cart_line_item SELECT 'li_' || i || j, 'cart_' || i, NULL, 'LAMP-' || j, 'Lamp <img src=x onerror=alert(1)>', j, 19.9, 'v' || j FROM generate_series(1, 3) i, generate_series(1, 2) j;
    UPDATE medusa.cart SET currency_code = 'euro' WHERE id = 'cart_3';`);
}

async function list(page) {
  const table = page.getByRole('table', { name: 'Attached tables' });
  await table.waitFor();
  is(await table.locator('tbody tr').count(), 2, 'what is attached is listed');
  ok((await table.getByRole('row', { name: /^webshop/ }).textContent()).includes('Captured'), 'with its state');
  ok((await table.getByRole('row', { name: /^wishes/ }).textContent()).includes('Broken'), 'a broken one, too');
  ok((await page.locator('.notice', { hasText: 'wishes' }).textContent()).includes('column line.price does not exist'), 'what is wrong is told with what to do');
  await look(page, 'attached');
  await page.locator('h1').focus();
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'webshop', level: 1 }).waitFor();
  await settled(page);
  ok(true, 'a row is opened by keyboard');
}

async function one(page) {
  const mapping = page.getByRole('table', { name: 'Mapping' });
  is(await mapping.getByRole('row', { name: /^E-mail/ }).textContent(), 'E-mailbaskets.email', 'a field and its column');
  const samples = page.locator('.sample');
  is(await samples.count(), Number(sql("SET ROLE web_admin; SELECT count(*) FROM incomplete_orders.sample_attachment('webshop', 5)")), 'carts as they are read');
  ok((await samples.first().textContent()).includes('@mail.example'), 'with whose they are');
  await look(page, 'attached-one');
  await page.getByRole('button', { name: 'Read all again' }).click();
  await page.getByText('All open carts will be read again.').waitFor();
  is(sql("SELECT count(*) FROM incomplete_orders.due_carts d JOIN incomplete_orders.attached_tables a USING (attachment) WHERE a.name = 'webshop' AND d.path = -1"), '1', 'all are read again');
}

async function broken(page) {
  await visit(page, 'attached/wishes/?shop=default');
  const notice = page.locator('.notice', { hasText: 'It cannot be read' });
  ok((await notice.textContent()).includes('column line.price does not exist'), 'why it is broken');
  ok((await notice.locator('code').first().textContent()).startsWith('GRANT USAGE ON SCHEMA webshop TO'), 'and the command that gives a right');
  ok(await page.getByText('There is none while the tables cannot be read.').isVisible(), 'there is no sample of it');
}

async function attach(page) {
  await visit(page, 'attached/?shop=default');
  await page.getByRole('button', { name: 'Attach tables' }).click();
  const found = page.getByRole('radio', { name: /medusa in schema medusa/ });
  await found.waitFor();
  ok(await found.isChecked(), 'what fits is chosen');
  await page.getByText('What is read from where').click();
  const mapping = page.getByRole('table', { name: 'Mapping' });
  ok((await mapping.getByRole('row', { name: /^Article/ }).textContent()).includes('cart_line_item.variant_sku'), 'the mapping of the preset is shown before');
  await page.getByLabel('Name of the attachment').fill('store');
  const changes = page.getByLabel('What differs from the preset');
  await changes.fill('{"schema": "medusa", "cart": {"phone": "telephone"}}');
  ok((await mapping.getByRole('row', { name: /^Phone/ }).textContent()).includes('cart.telephone'), 'what differs shows in it');
  await page.getByRole('button', { name: 'Check, and show samples' }).click();
  const faults = page.locator('.notice[data-kind=bad]');
  await faults.waitFor();
  ok((await faults.textContent()).includes('cart.phone') && await page.getByRole('button', { name: 'Switch it on' }).count() === 0, 'with a fault it cannot be switched on');
  await changes.fill('{"schema": ');
  ok(await page.getByRole('button', { name: 'Check, and show samples' }).isDisabled(), 'nor with what is no JSON');
  await changes.fill('{"schema": "medusa"}');
  await changes.press('Tab');
  await page.getByRole('button', { name: 'Check, and show samples' }).press('Enter');
  await page.locator('.sample').first().waitFor();
  is(await page.locator('.sample').count(), 3, 'samples are shown');
  ok((await page.locator('.sample').first().textContent()).includes(dashed), 'a hostile name stays text');
  ok((await page.locator('.sample', { hasText: 'cart_3' }).textContent()).includes('Not understood'), 'what cannot be captured says why');
  is(sql("SELECT count(*) FROM incomplete_orders.attached_tables WHERE name = 'store'"), '0', 'nothing is on yet');
  await look(page, 'attached-new');
  await page.getByRole('button', { name: 'Switch it on' }).click();
  await page.getByRole('heading', { name: 'store', exact: true, level: 1 }).waitFor();
  await settled(page);
  is(sql("SELECT preset || ' ' || (mapping ->> 'schema') FROM incomplete_orders.attached_tables WHERE name = 'store'"), 'medusa medusa', 'it is on');
}

async function detach(page) {
  // another mapping for it, from what it is now
  await page.locator('summary', { hasText: 'More' }).click();
  await page.getByRole('link', { name: 'Change the mapping' }).click();
  const text = page.getByLabel('Mapping', { exact: true }).first();
  await page.waitForFunction(() => document.querySelector('textarea.code').value.includes('medusa'));
  const mapping = JSON.parse(await text.inputValue());
  delete mapping.cart.phone;
  await text.fill(JSON.stringify(mapping));
  await page.getByRole('button', { name: 'Check, and show samples' }).click();
  await page.getByRole('button', { name: 'Use this mapping' }).click();
  await page.getByRole('heading', { name: 'store', exact: true, level: 1 }).waitFor();
  is(sql("SELECT mapping -> 'cart' ? 'phone' FROM incomplete_orders.attached_tables WHERE name = 'store'"), 'f', 'the mapping is changed');
  await settled(page);
  await page.locator('summary', { hasText: 'More' }).click();
  await page.getByRole('button', { name: 'Detach' }).click();
  const dialog = page.getByRole('dialog');
  ok((await dialog.textContent()).includes('Orders of it that are still open are dismissed'), 'it is said what detaching means');
  await dialog.getByRole('textbox').fill('store');
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Attached tables', level: 1 }).waitFor();
  is(sql("SELECT count(*) FROM incomplete_orders.attached_tables WHERE name = 'store'") + sql("SELECT count(*) FROM pg_trigger WHERE tgrelid = 'medusa.cart'::regclass"), '00', 'it is detached');
}

async function main() {
  await fill();
  sql("CALL incomplete_orders.tick()");
  tables();
  const program = await admin();
  const browser = await launch();
  const page = await signIn(browser, program, 'web_admin', { path: 'attached/?shop=default' });
  page.setDefaultTimeout(15000);
  await list(page);
  await one(page);
  await broken(page);
  await look(page, 'attached-broken');
  await attach(page);
  await detach(page);
  noErrors(page);
  await page.close();

  // no tables yet, and on a phone
  const phone = await signIn(browser, program, 'web_admin', { path: 'attached/?shop=books', width: 360, theme: 'dark' });
  ok((await phone.locator('.empty code').textContent()).includes("SELECT * FROM incomplete_orders.attach('main', 'vendure', shop => 'books', dry_run => true);"), 'without any there is the exact SQL');
  await look(phone, 'attached-none');
  noErrors(phone);
}

run(main);
