#!/usr/bin/env node
// The list of orders: tabs, filters, search, sort, pages; what is chosen and done to many,
// by mouse and by keyboard.
'use strict';

const { ok, is, sql, await_, fill, admin, launch, run, signIn, visit, settled, look, shoot, noErrors, expect, typeLogin } = require('./admin.js');

const rows = (page) => page.locator('.orders tbody tr');
const references = (page) => page.locator('.orders tbody td[data-label=Reference]').allTextContents();
const query = (page) => Object.fromEntries(new URL(page.url()).searchParams);
const bulk = (page) => page.getByRole('region', { name: 'Chosen orders' });
const choose = (page, n) => rows(page).nth(n).getByRole('checkbox').click();
const tab = (page, name) => page.getByRole('navigation', { name: 'States' }).getByRole('link', { name });
const named = (where) => sql(`SELECT reference FROM incomplete_orders.incomplete_orders WHERE shop = 'default' AND ${where} LIMIT 1`);
const count = (where) => Number(sql(`SELECT count(*) FROM incomplete_orders.incomplete_orders WHERE shop = 'default' AND ${where}`));
const RESCUE = "status IN ('abandoned', 'payment_failed') AND can_convert AND (email IS NOT NULL OR phone IS NOT NULL)";
const start = 'orders/?shop=default';

async function tabs(page) {
  is(await page.title(), 'Orders · Incomplete orders', 'the window says what it shows');
  is((await tab(page, /^To rescue/).innerText()).replace(/\s+/g, ' '), `To rescue ${count(RESCUE)}`, 'the first tab is who can be rescued, and how many');
  is((await references(page)).join(), sql(`SELECT string_agg(reference, ',' ORDER BY total DESC, id DESC) FROM (SELECT * FROM incomplete_orders.incomplete_orders WHERE shop = 'default' AND ${RESCUE} ORDER BY total DESC, id DESC LIMIT 20) o`), 'the highest total first');
  is((await tab(page, /^All/).innerText()).replace(/\s+/g, ' '), `All ${count('true')}`, 'all of them');
  for (const [label, status] of [['Abandoned', 'abandoned'], ['Converted', 'converted'], ['Expired', 'expired'], ['Dismissed', 'dismissed'], ['Deleted', 'deleted']])
    is((await tab(page, label).innerText()).replace(/\s+/g, ' '), `${label} ${count(`status = '${status}'`)}`, `${label}, counted`);
  await tab(page, 'Converted').click();
  await settled(page);
  is(new Set(await page.locator('.orders tbody .pill').allTextContents()).size, 1, 'a tab shows one state');
  is(query(page).tab, 'converted', 'which is in the address');
  await page.goBack();
  await settled(page);
  ok(/^To rescue/.test(await page.locator('nav.tabs [aria-current]').innerText()), 'and back goes back');
  const recovered = Number(sql("SELECT count(*) FROM incomplete_orders.order_outcomes WHERE shop_id = (SELECT shop_id FROM incomplete_orders.shops WHERE shop = 'default') AND outcome = 'recovered'"));
  await tab(page, 'Recovered').click();
  await settled(page);
  ok(recovered > 0 && await rows(page).count() > 0 && await rows(page).count() <= recovered, 'recovered orders have a tab');
}

async function narrow(page) {
  await visit(page, start);
  await page.getByRole('button', { name: /^Filters/ }).click();
  await page.getByLabel('Came as far as').selectOption('payment');
  await settled(page);
  is(query(page).furthest_step, 'payment', 'a filter is in the address');
  const all = await tab(page, /^All/).innerText();
  is(all.replace(/\s+/g, ' '), `All ${count("furthest_step = 'payment'")}`, 'the counts follow it');
  await page.getByLabel('Total from').fill('100');
  await page.getByLabel('Total from').press('Enter');
  await settled(page);
  is(await rows(page).count(), Math.min(20, count(`${RESCUE} AND furthest_step = 'payment' AND total >= 100`)), 'and another one');
  is((await page.getByRole('list', { name: 'Filters in force' }).getByRole('button').allTextContents()).map((one) => one.replace(/ ×/, '')).join('; '), 'Came as far as: payment; Total from: 100; Clear all', 'both are said');
  await page.getByRole('button', { name: 'Total from: 100, remove' }).click();
  await settled(page);
  is(query(page).total_min, undefined, 'and taken back');
  await page.getByRole('button', { name: /^Came as far as/ }).click();
  await page.getByLabel('Created', { exact: true }).selectOption('7d');
  await settled(page);
  is(await tab(page, /^All/).innerText().then((text) => text.replace(/\s+/g, ' ')),
    `All ${count("created_at >= ((now() AT TIME ZONE 'Europe/Berlin')::date - 6)::timestamp AT TIME ZONE 'Europe/Berlin'")}`, 'the last 7 days are those of the shop');
  await page.getByLabel('Created', { exact: true }).selectOption('custom');
  await page.getByLabel('Created from').fill('2000-01-01');
  await settled(page);
  await page.getByLabel('Created to').fill('2000-01-31');
  await page.getByLabel('Created to').blur();
  await settled(page);
  is([query(page).created, query(page).start_date, query(page).end_date].join(), ',2000-01-01,2000-01-31', 'days of one’s own');
  ok(await page.getByText('No order matches').or(page.getByText('Nobody to rescue')).isVisible(), 'nothing is said to be nothing');
  await page.getByRole('button', { name: 'Clear the filters' }).or(page.getByRole('button', { name: /^Created: .*remove/ })).first().click();
  await settled(page);
  ok(await rows(page).count() > 0, 'and all of it is taken back');
}

async function search(page) {
  await visit(page, start);
  const [reference, email, phone, session, customer, number] = JSON.parse(sql(`SELECT json_build_array(max(reference), max(email), max(phone), max(session_id), max(customer_id), max(order_number)) FROM (
    SELECT * FROM incomplete_orders.incomplete_orders WHERE shop = 'default' AND order_number IS NOT NULL AND email IS NOT NULL AND phone IS NOT NULL ORDER BY customer_id NULLS LAST LIMIT 1) o`));
  for (const [word, what] of [[reference, 'reference'], [email, 'e-mail'], [email.replace(/@.*/, '@*'), 'beginning of an e-mail'], [phone, 'phone'], [session, 'session'], [customer, 'customer'], [number, 'order number']]) {
    if (!word) { ok(true, `nobody has a ${what}`); continue; }
    await page.keyboard.press('Escape');
    await page.keyboard.press('/');
    await page.keyboard.press('Control+A');
    await page.keyboard.type(word);
    await page.keyboard.press('Enter');
    await settled(page);
    ok((await references(page)).includes(reference), `/ and a ${what} find the order, whatever its state is`);
  }
  await page.keyboard.press('Control+A');
  await page.keyboard.type('nobody@nowhere.example');
  await page.keyboard.press('Enter');
  await page.getByText('No order matches').waitFor();
  ok(true, 'nobody is found');
}

async function sortAndPage(page) {
  await visit(page, start + '&tab=all');
  is(await page.locator('th[aria-sort=descending]').innerText().then((text) => text.trim()), 'Created', 'all come newest first');
  const first = await references(page);
  await page.getByRole('button', { name: 'Next' }).click();
  await settled(page);
  const second = await references(page);
  ok(query(page).cursor && !second.some((one) => first.includes(one)), 'the next page has others');
  await page.getByRole('button', { name: 'Next' }).click();
  await settled(page);
  await page.getByRole('button', { name: 'Previous' }).click();
  await settled(page);
  is((await references(page)).join(), second.join(), 'the one before is the one before');
  await page.reload();
  await settled(page);
  is((await references(page)).join(), second.join(), 'its address shows the same');
  await page.getByRole('button', { name: /^(Previous|First page)$/ }).click();
  await settled(page);
  is((await references(page)).join(), first.join(), 'and the first');
  await page.getByRole('button', { name: 'Total' }).click();
  await settled(page);
  is((await references(page)).join(), sql("SELECT string_agg(reference, ',' ORDER BY total DESC, id DESC) FROM (SELECT * FROM incomplete_orders.incomplete_orders WHERE shop = 'default' ORDER BY total DESC, id DESC LIMIT 20) o"), 'a heading sorts');
  await page.getByRole('group', { name: 'Rows on a page' }).getByRole('button', { name: '50' }).click();
  await settled(page);
  is(await rows(page).count(), 50, 'fifty on a page');
}

async function tooMany(page) {
  const capped = async (route) => {
    const answer = await route.fetch();
    const said = await answer.json();
    await route.fulfill({ response: answer, json: { results: said.results.map((one) => (one.name === 'rescue' ? { ...one, count: 10000, count_capped: true } : one)) } });
  };
  const refuse = (route) => (/ordering=-?total/.test(route.request().url()) ? route.fulfill({ status: 422, contentType: 'application/problem+json',
    json: { title: 'Unprocessable', status: 422, code: '22023', detail: 'too many orders to sort them by total_amount' } }) : route.continue());
  await page.route('**/api/v1/incomplete-orders/incomplete-orders/counts/**', capped);
  await page.route('**/api/v1/incomplete-orders/incomplete-orders/?**', refuse);
  await visit(page, start + '&tab=rescue&contactable=true');
  await page.getByText('There are more than 10,000, so the newest come first instead.').waitFor();
  await settled(page);
  is(await page.locator('th[aria-sort=descending]').innerText().then((text) => text.trim()), 'Created', 'too many to sort: the newest come first, and it says why');
  is((await tab(page, /^To rescue/).innerText()).replace(/\s+/g, ' '), 'To rescue 10,000+', 'a count that ends says so');
  noErrors(page, 'without asking for what is refused');
  expect(page, /422/);
  await page.getByLabel('Sort').selectOption('total_amount');
  await page.getByText('Too many orders to sort them like this').waitFor();
  await shoot(page, 'orders-too-many');
  await page.getByRole('button', { name: 'Newest first' }).click();
  await settled(page);
  ok(await rows(page).count() > 0, 'asked for, it is explained, with a way out');
  await page.unroute('**/api/v1/incomplete-orders/incomplete-orders/?**', refuse);
  await page.unroute('**/api/v1/incomplete-orders/incomplete-orders/counts/**', capped);
}

async function chooseMany(page) {
  await visit(page, start + '&tab=all');
  await choose(page, 0);
  await choose(page, 2);
  ok(/2 orders chosen/.test(await bulk(page).innerText()), 'two are chosen');
  await page.getByRole('button', { name: 'Next' }).click();
  await settled(page);
  ok(/2 orders chosen 2 not on this page/.test((await bulk(page).innerText()).replace(/\s+/g, ' ')), 'on another page they still are');
  await tab(page, 'Abandoned').click();
  await settled(page);
  await page.getByRole('checkbox', { name: 'Choose all rows of this page' }).click();
  ok(/22 orders chosen|21 orders chosen|20 orders chosen/.test(await bulk(page).innerText()), 'a whole page');
  await rows(page).first().locator('a').first().click();
  await page.waitForURL(/orders\/[0-9a-f-]{36}/);
  await page.goBack();
  await settled(page);
  ok(/2\d orders chosen/.test(await bulk(page).innerText()), 'an order was looked at, and they are still chosen');
  await bulk(page).getByRole('button', { name: 'Clear' }).click();
  is(await bulk(page).count(), 0, 'none is chosen');
  await choose(page, 0);
  await bulk(page).getByRole('button', { name: /that match/ }).click();
  await await_(async () => new RegExp(`^${count("status = 'abandoned'")} orders chosen`).test(await bulk(page).innerText()), 'all that match are chosen');
  ok(true, 'all that match');
  await shoot(page, 'orders-chosen');
  const [file] = await Promise.all([page.waitForEvent('download'), (async () => {
    await bulk(page).locator('summary').click();
    await page.getByRole('button', { name: 'Export as CSV' }).click();
  })()]);
  const text = require('fs').readFileSync(await file.path(), 'utf8');
  is(text.split('\r\n').length - 2, count("status = 'abandoned'"), 'their CSV has a line for each');
  await bulk(page).getByRole('button', { name: 'Clear' }).click();
  const [whole] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Export CSV' }).click()]);
  is(require('fs').readFileSync(await whole.path(), 'utf8').split('\r\n').length - 2, count("status = 'abandoned'"), 'and that of the list');
}

async function act(page) {
  // three that can be dismissed, of which one is dismissed by somebody else meanwhile, and one that never can
  const made = sql(`SELECT string_agg(id::text, ',') FROM (SELECT incomplete_orders.capture_cart('bulk-' || i, '[{"sku": "B", "quantity": 1, "unit_price": 5}]', email => 'bulk' || i || '@shop2.example', name => 'Bulk ' || i, shop => 'default') AS id FROM generate_series(1, 4) i) o`).split(',');
  sql(`SELECT incomplete_orders.convert_order('${made[3]}')`);
  await visit(page, start + '&search=bulk*&tab=all');
  is(await rows(page).count(), 4, 'four orders');
  await page.getByRole('checkbox', { name: 'Choose all rows of this page' }).click();
  await bulk(page).locator('summary').click();
  await page.getByRole('button', { name: 'Dismiss' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByText('3 will be dismissed, 1 cannot be').waitFor();
  ok(await dialog.getByRole('heading', { name: 'Dismiss 4 orders' }).isVisible(), 'the question says how many');
  await shoot(page, 'orders-question');
  is(count("status = 'dismissed' AND email LIKE 'bulk%'"), 0, 'asking does nothing');
  await dialog.getByLabel('Reason').fill('spam');
  await dialog.getByRole('button', { name: 'Dismiss 3' }).click();
  await dialog.getByText('3 of 4 orders dismissed').waitFor();
  is(count("status = 'dismissed' AND email LIKE 'bulk%' AND close_reason = 'spam'"), 3, 'three are dismissed, with the reason');
  ok(/Bulk 4/.test(await dialog.locator('.results').innerText()), 'the fourth is named, with what was against it');
  await shoot(page, 'orders-result');
  await dialog.getByRole('button', { name: 'Try 1 again' }).click();
  await dialog.getByText('0 of 1 order dismissed').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).click();
  ok(/1 order chosen/.test(await bulk(page).innerText()), 'only what failed stays chosen');
  await bulk(page).getByRole('button', { name: 'Clear' }).click();
}

// More than one request takes: each of them once, and all of them told.
async function batches(page) {
  sql(`SELECT count(incomplete_orders.capture_cart('batch-' || i, '[{"sku": "B", "quantity": 1, "unit_price": 5}]', email => 'batch' || i || '@shop2.example', shop => 'default')) FROM generate_series(1, 250) i`);
  await visit(page, start + '&search=batch*&tab=all');
  await choose(page, 0);
  await bulk(page).getByRole('button', { name: 'Choose all 250 that match' }).click();
  await await_(async () => /^250 orders chosen/.test(await bulk(page).innerText()), 'all are chosen');
  const asked = [];
  page.on('request', (request) => { if (/bulk\/dismiss/.test(request.url()) && request.headers()['idempotency-key']) asked.push([request.headers()['idempotency-key'], request.postDataJSON().ids.length].join()); });
  await bulk(page).locator('summary').click();
  await page.getByRole('button', { name: 'Dismiss' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: 'Dismiss 250' }).click();
  await dialog.getByText('250 of 250 orders dismissed').waitFor();
  is(asked.map((one) => one.split(',')[1]).join(), '200,50', 'in two requests');
  is(new Set(asked).size, 2, 'each with a key of its own');
  is(count("status = 'dismissed' AND email LIKE 'batch%'"), 250, 'all are dismissed');
  await dialog.getByRole('button', { name: 'Close' }).click();
  is(await bulk(page).count(), 0, 'and none is chosen');
}

async function mail(page) {
  sql(`SELECT incomplete_orders.capture_cart('mail-' || i, '[{"sku": "B", "quantity": 1, "unit_price": 5}]', email => 'mail' || i || '@shop2.example', shop => 'default',
    context => '{"consent": {"status": "granted"}}', at => now() - interval '5 hours') FROM generate_series(1, 2) i`);
  sql("SELECT incomplete_orders.mark_abandoned(id) FROM incomplete_orders.incomplete_orders WHERE email LIKE 'mail%@shop2.example'");
  sql("SELECT incomplete_orders.record_consent('mail' || i || '@shop2.example', 'granted', shop => 'default') FROM generate_series(1, 2) i");
  await visit(page, start + '&search=mail1@shop2.example&tab=all');
  await choose(page, 0);
  // an answer that gets lost is asked for again under the same key
  let keys = [];
  const lose = async (route) => {
    const key = route.request().headers()['idempotency-key'];
    if (!key) return route.continue();
    keys.push(key);
    if (keys.length > 1) return route.continue();
    await route.fetch();
    return route.abort('connectionreset');
  };
  expect(page, /CONNECTION_RESET/);
  await page.route('**/bulk/send_recovery_email/**', lose);
  await bulk(page).getByRole('button', { name: 'Send mail' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Message').selectOption('final_reminder');
  await dialog.getByRole('button', { name: 'Send mail 1' }).click();
  await dialog.getByText('cannot be reached').waitFor();
  await dialog.getByRole('button', { name: 'Go on' }).click();
  await dialog.getByText('1 of 1 order queued').waitFor();
  is(sql("SELECT count(*) || ' ' || max(message_type) FROM incomplete_orders.messages WHERE recipient = 'mail1@shop2.example' AND status = 'queued'"), '1 final_reminder', 'one message of that type, though it was asked for twice');
  is(keys.length === 2 && keys[0] === keys[1], true, 'under one key');
  await dialog.getByRole('button', { name: 'Close' }).click();
  is(await bulk(page).count(), 0, 'and nothing is chosen any more');
  await page.unroute('**/bulk/send_recovery_email/**', lose);
}

async function keyboard(page) {
  await visit(page, start + '&tab=abandoned');
  await page.keyboard.press('Escape');
  await page.locator('body').click({ position: { x: 2, y: 2 } });
  await page.keyboard.press('f');
  ok(await page.getByRole('group', { name: 'Filters' }).isVisible(), 'f opens the filters');
  await page.keyboard.press('f');
  await page.keyboard.press('j');
  await page.keyboard.press('x');
  await page.keyboard.press('j');
  await page.keyboard.press('x');
  ok(/2 orders chosen/.test(await bulk(page).innerText()), 'j and x choose');
  await page.keyboard.press('x');
  ok(/1 order chosen/.test(await bulk(page).innerText()), 'and take it back');
  await bulk(page).getByRole('button', { name: 'Convert' }).focus();
  await page.keyboard.press('Enter');
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('button', { name: /^Convert/ }).waitFor();
  is(await page.evaluate(() => document.querySelector('dialog').contains(document.activeElement)), true, 'the focus is in the question');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  ok(/1 order chosen/.test(await bulk(page).innerText()), 'Escape changes nothing');
  await bulk(page).getByRole('button', { name: 'Convert' }).press('Enter');
  await dialog.getByRole('button', { name: 'Convert 1' }).press('Enter');
  await dialog.getByText('1 of 1 order converted').waitFor();
  await dialog.getByRole('button', { name: 'Close' }).press('Enter');
  await settled(page);
  is(await bulk(page).count(), 0, 'converted without a mouse');
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL(/orders\/[0-9a-f-]{36}/);
  ok(true, 'Enter opens the row');
}

run(async () => {
  await fill();
  const program = await admin();
  const browser = await launch();
  const page = await signIn(browser, program, 'web_admin', { path: start });
  page.base = `http://${program.address}/admin/`;
  await tabs(page);
  await narrow(page);
  await search(page);
  await sortAndPage(page);
  await tooMany(page);
  await chooseMany(page);
  await act(page);
  await batches(page);
  await mail(page);
  await keyboard(page);
  await page.setViewportSize({ width: 360, height: 780 });
  await keyboard(page);
  await page.setViewportSize({ width: 1440, height: 900 });
  noErrors(page);

  await visit(page, start);
  await look(page, 'orders');
  await visit(page, start + '&tab=all&kind=cart&total_min=20');
  ok(await page.getByText('<img src=x onerror=alert(1)>').first().isVisible(), 'hostile names are text');
  is(await page.locator('main img').count(), 0, 'and nothing else');
  await look(page, 'orders-filters');
  await choose(page, 0);
  await page.setViewportSize({ width: 360, height: 780 });
  await look(page, 'orders-bulk', { themes: ['light'] });
  await bulk(page).locator('summary').click();
  await page.getByRole('button', { name: 'Delete' }).click();
  await page.getByRole('dialog').getByRole('button', { name: /^(Delete|Cancel)/ }).first().waitFor();
  await look(page, 'orders-delete');
  await page.keyboard.press('Escape');
  noErrors(page);
  await page.close();

  // who may only read figures has no list of orders; what else a role may not do is not offered
  const less = async (route) => {
    const answer = await route.fetch();
    const said = await answer.json();
    await route.fulfill({ response: answer, json: { ...said, may: { ...said.may, convert_orders: false, delete_orders: false } } });
  };
  await browser.route('**/session/**', less);
  const clerk = await signIn(browser, program, 'web_admin', { path: start });
  await choose(clerk, 0);
  await bulk(clerk).locator('summary').click();
  is((await bulk(clerk).locator('.actions').innerText()).replace(/\s+/g, ' '), 'Send mail Mark abandoned More Dismiss Export as CSV Clear', 'what one may do');
  await browser.unroute('**/session/**', less);
  // the session ends: the same role comes back to what it had chosen
  await browser.clearCookies();
  expect(clerk, /401/);
  await clerk.keyboard.press('Escape');
  await tab(clerk, /^All/).click();
  await clerk.locator('main.login').waitFor();
  await typeLogin(clerk, 'web_admin');
  await clerk.locator('main.login').waitFor({ state: 'detached' });
  await settled(clerk);
  ok(/1 order chosen/.test(await bulk(clerk).innerText()), 'a session that ended takes nothing of what was chosen');
  await clerk.getByRole('button', { name: 'Sign out' }).click();
  await clerk.locator('main.login').waitFor();
  await clerk.close();
  const analyst = await signIn(browser, program, 'web_analyst', { path: start });
  ok(await analyst.getByRole('heading', { name: 'Not allowed' }).isVisible(), 'an analyst sees no orders');
  is(await analyst.getByRole('navigation', { name: 'Pages' }).getByRole('link', { name: 'Orders' }).count(), 0, 'and no way to them');
  noErrors(analyst);
});
