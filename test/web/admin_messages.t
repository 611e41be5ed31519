#!/usr/bin/env node
// The list of messages in the admin: filters and pages in the address, the queue, and what
// was given up.
'use strict';

const { ok, is, sql, await_, launch, run, fill, admin, signIn, visit, settled, look, noErrors } = require('./admin.js');

const count = (where) => Number(sql(`SELECT count(*) FROM incomplete_orders.messages m JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'default' AND ${where}`));

async function main() {
  await fill();
  const program = await admin();
  const browser = await launch();
  const page = await signIn(browser, program, 'web_admin', { path: 'messages/?shop=default' });
  const main = page.locator('main#main');
  const rows = main.locator('tbody tr');
  const query = () => Object.fromEntries(new URL(page.url()).searchParams);
  const dialog = page.locator('dialog[open]');
  const toast = (text) => page.locator('.toast', { hasText: text }).last().waitFor();
  const texts = (column) => rows.locator(`td[data-label="${column}"]`).allInnerTexts();

  // ---- the queue, the list, pages ----
  const queue = (await main.locator('ul.queue').innerText()).replace(/\s+/g, ' ');
  ok(queue.includes(`${count("status = 'queued'")} waiting`) && queue.includes(`${count("status = 'dead'")} given up`), 'how the queue stands');
  is(await rows.count(), 25, 'a page of messages');
  is(await rows.first().locator('a').innerText(), sql("SELECT recipient FROM incomplete_orders.messages m JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'default' ORDER BY m.id DESC LIMIT 1"), 'the newest first');
  await look(page, 'messages');
  const top = () => rows.first().locator('td').nth(1).innerText().then(async (text) => text + await rows.first().locator('a').getAttribute('href'));
  const first = await top();
  await main.getByRole('button', { name: 'Next' }).click();
  ok(await await_(async () => Boolean(query().cursor) && (await top()) !== first, 'the next page'), 'the next page has its place in the address');
  await settled(page);
  await page.goBack();
  ok(await await_(async () => !query().cursor && (await top()) === first, 'the first page'), 'and back is the first one');
  await settled(page);

  // ---- filters, in the address ----
  await main.getByRole('link', { name: 'Given up', exact: true }).click();
  ok(await await_(async () => query().status === 'dead' && (await texts('State')).length > 0 && (await texts('State')).every((text) => /Given up|Undeliverable/.test(text)), 'dead'), 'a tab for what was given up');
  await main.getByRole('link', { name: 'All', exact: true }).click();
  await settled(page);
  await main.getByLabel('Type').selectOption('discount_offer');
  ok(await await_(async () => query().email_type === 'discount_offer' && (await texts('Message')).every((text) => text.startsWith('Discount offer')), 'type'), 'by type');
  await main.getByRole('button', { name: 'Clear' }).click();
  await settled(page);
  await main.getByLabel('Campaign').selectOption('payment');
  ok(await await_(async () => query().campaign === 'payment' && (await texts('Message')).length === count("campaign = 'payment'") && (await texts('Message')).every((text) => text.includes('Payments, step')), 'campaign'), 'by campaign');
  await main.getByRole('button', { name: 'Clear' }).click();
  await settled(page);
  await main.getByLabel('Variant').selectOption('friendly');
  ok(await await_(async () => query().variant === 'friendly' && (await texts('Message')).length > 5 && (await texts('Message')).every((text) => text.includes('variant friendly')), 'variant'), 'by variant');
  await main.getByRole('button', { name: 'Clear' }).click();
  await settled(page);
  // ids carry when a message was queued, and all of these were made just now
  const day = (before) => sql(`SELECT (now() AT TIME ZONE 'Europe/Berlin' - interval '${before} days')::date`);
  await main.getByLabel('Until').fill(day(1));
  ok(await await_(async () => query().end_date === day(1) && (await main.innerText()).includes('No message is like that.'), 'until yesterday'), 'until a day');
  await main.getByLabel('Queued from').fill(day(1));
  await main.getByLabel('Until').fill(day(0));
  ok(await await_(async () => query().start_date === day(1) && query().end_date === day(0) && (await rows.count()) === 25, 'since yesterday'), 'from a day to a day, the last one included');
  await main.getByRole('button', { name: 'Clear' }).click();
  await settled(page);
  const someone = sql("SELECT m.recipient FROM incomplete_orders.messages m JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'default' GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 1");
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('/');
  await page.keyboard.type(someone.toUpperCase());
  await page.keyboard.press('Enter');
  ok(await await_(async () => query().search === someone.toUpperCase() && (await rows.count()) === count(`recipient = '${someone}'`), 'recipient'), '/ searches by recipient, in any case');
  await page.reload();
  await settled(page);
  is(await main.getByLabel('Search by recipient').inputValue(), someone.toUpperCase(), 'an address that was copied shows the same');
  await visit(page, 'messages/?shop=default&search=nobody@nowhere.example');
  ok((await main.innerText()).includes('No message is like that.'), 'nothing found says so');

  // ---- by keyboard to the order ----
  await visit(page, 'messages/?shop=default&status=sent');
  await page.evaluate(() => document.activeElement.blur());
  await page.keyboard.press('j');
  await page.keyboard.press('j');
  const wanted = await rows.nth(1).locator('a').getAttribute('href');
  await page.keyboard.press('Enter');
  ok(await await_(() => new URL(page.url()).pathname === new URL(wanted, page.url()).pathname, 'the order'), 'j and Enter lead to the order');
  await settled(page);
  noErrors(page);

  // ---- what was given up ----
  sql(`UPDATE incomplete_orders.messages SET recipient = '"><img src=x>@mail.example', response = '<script>alert(9)</script>' WHERE id = (SELECT id FROM incomplete_orders.messages WHERE status = 'dead' AND shop_id = (SELECT shop_id FROM incomplete_orders.shops WHERE shop = 'default') ORDER BY id DESC LIMIT 1)`);
  await visit(page, 'messages/?shop=default&status=dead');
  const shown = await rows.first().innerText();
  ok(shown.includes('"><img src=x>@mail.example') && shown.includes('<script>alert(9)</script>'), 'addresses and what servers said stay text');
  const dead = count("status = 'dead'");
  await rows.nth(1).getByRole('button', { name: 'Send again' }).click();
  await dialog.getByText('tried for five more days').waitFor();
  await dialog.getByRole('button', { name: 'Send again' }).click();
  await toast('It is queued again.');
  is(count("status = 'dead'"), dead - 1, 'one is sent again');
  await settled(page);
  await rows.first().getByRole('button', { name: 'Discard' }).click();
  await dialog.waitFor();
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  is(count("status = 'dead'"), dead - 1, 'Esc discards nothing');
  await rows.first().getByRole('button', { name: 'Discard' }).click();
  await dialog.getByRole('button', { name: 'Discard' }).click();
  await toast('Discarded.');
  is(count("status = 'dead'"), dead - 2, 'one is discarded');
  await settled(page);
  await page.evaluate(() => document.activeElement.blur());
  for (const key of ['j', 'x', 'j', 'x']) await page.keyboard.press(key);
  await main.getByText('2 messages chosen').waitFor();
  await look(page, 'messages-dead', { themes: ['light'] });
  const chosen = main.getByRole('region', { name: 'Chosen messages' });
  await chosen.getByRole('button', { name: 'Send again' }).click();
  await dialog.getByRole('button', { name: 'Send 2 messages again' }).click();
  await toast('2 messages queued again.');
  is(count("status = 'dead'"), dead - 4, 'several at once, chosen by keyboard');
  ok(await await_(async () => (await chosen.count()) === 0, 'the bar'), 'and nothing is chosen then');
  noErrors(page);
  await page.close();

  // ---- an empty shop, on a phone ----
  await browser.clearCookies();
  const small = await signIn(browser, program, 'web_books', { width: 360, theme: 'dark', path: 'messages/' });
  ok(await await_(async () => (await small.locator('main#main').innerText()).includes('There are no messages yet.'), 'empty'), 'a shop without messages says what to do');
  noErrors(small);
}

run(main);
