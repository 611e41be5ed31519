#!/usr/bin/env node
// Campaigns: what they send and what came of it; their sequence, edited by mouse and by
// keyboard; who gets what; on and off; coupons.
'use strict';

const { ok, is, sql, await_, fill, admin, launch, run, signIn, visit, settled, look, noErrors, expect } = require('./admin.js');

const steps = (campaign = 'cart', shop = 'default') => sql(`SELECT string_agg(concat_ws(' ', step, extract(epoch FROM delay)::int / 3600 || 'h', template, coupon, CASE WHEN variants > 0 THEN variants || 'v' END), ', ' ORDER BY step)
  FROM incomplete_orders.list_campaigns('${shop}') WHERE campaign = '${campaign}'`);
const card = (page, n) => page.locator('.step > article').nth(n);
const names = async (page) => (await page.locator('.step h3').allTextContents()).join(', ');
const bar = (page) => page.getByRole('region', { name: 'Unsaved changes' });
const dialog = (page) => page.getByRole('dialog');
const said = (page) => page.locator('.toasts').innerText();

async function list(page) {
  const cards = page.locator('section.campaign');
  is(await cards.count(), 3, 'one campaign for each kind of order');
  const first = await cards.first().innerText();
  ok(/1 hour\s+Your cart at \{\{shop_name\}\} is still here/.test(first) && /2 variants/.test(first) && /10 % off/.test(first), 'its steps are told in words');
  const [sent, opened] = sql(`SELECT sum(sent) || ' ' || sum(opened) FROM incomplete_orders.statistics_by_campaign('default', (now() AT TIME ZONE 'Europe/Berlin')::date - 29, (now() AT TIME ZONE 'Europe/Berlin')::date + 1) WHERE campaign = 'cart'`).split(' ');
  ok(new RegExp(`Sent\\s+${sent}\\s`).test(first) && new RegExp(`Opened\\s+${opened}\\s`).test(first), 'what was sent and opened is that of statistics_by_campaign()');
}

// The switch asks first, and says how many people it is about.
async function onAndOff(page) {
  const toggle = page.getByRole('switch', { name: 'Abandoned carts is on' });
  const mailed = sql("SELECT count(*) FROM incomplete_orders.preview_recovery('default', now() + interval '24 hours') WHERE campaign = 'cart' AND action <> 'skipped'");
  await toggle.click();
  await settled(page);
  ok((await dialog(page).innerText()).includes(`${mailed} people who would get a mail within the next 24 hours get none`), 'turning it off says whom it is about');
  await page.keyboard.press('Escape');
  ok(await toggle.isChecked(), 'Escape leaves it on');
  await toggle.focus();
  await page.keyboard.press('Space');
  await dialog(page).getByRole('button', { name: 'Turn off' }).click();
  await settled(page);
  is(sql("SELECT enabled FROM incomplete_orders.campaigns c JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'default' AND campaign = 'cart'"), 'f', 'it is off');
  await await_(async () => !(await toggle.isChecked()), 'the switch shows it');
  await toggle.click();
  await settled(page);
  const text = await dialog(page).innerText();
  const would = (reach) => {
    const n = sql(`SELECT count(*) FROM incomplete_orders.preview_recovery('default', now() + interval '24 hours', '{cart}', '${reach}') WHERE campaign = 'cart' AND action <> 'skipped'`);
    return n === '0' ? 'Nobody would get a mail' : n === '1' ? '1 person would get a mail' : `${n} people would get a mail`;
  };
  ok(text.includes(would('1 day')), 'turning it on says how many people get a mail');
  await dialog(page).getByLabel('Who is mailed').selectOption('0');
  await settled(page);
  ok(would('0') !== would('1 day') && (await dialog(page).innerText()).includes(would('0')), 'and follows what is chosen');
  await look(page, 'campaign-switch');
  await dialog(page).getByLabel('Who is mailed').selectOption('1 day');
  await dialog(page).getByRole('button', { name: 'Turn on' }).click();
  await settled(page);
  is(sql("SELECT enabled FROM incomplete_orders.campaigns c JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'default' AND campaign = 'cart'"), 't', 'it is on again');
}

async function byMouse(page) {
  await visit(page, 'campaigns/cart/?shop=default');
  is(await names(page), 'Step 1, Step 2, Step 3', 'the sequence is there');
  ok(/\d+ sent/.test(await card(page, 0).innerText()), 'with what came of each step');
  ok(/not yet certain|certain\)/.test(await card(page, 0).innerText()), 'variants are compared, with what is certain');
  // a step between the first and the second
  await page.getByRole('button', { name: 'Add a step between place 1 and 2' }).click();
  is(await names(page), 'Step 1, New step, Step 2, Step 3', 'a step is added');
  ok(await card(page, 1).evaluate((node) => node === document.activeElement), 'and has the focus');
  await card(page, 1).getByLabel('After the abandonment', { exact: true }).fill('30');
  await card(page, 1).getByLabel('After the abandonment: unit').selectOption('hours');
  ok(/step 2 needs|Later than the step before it/i.test(await card(page, 2).innerText()), 'a step that would come too early says so');
  await bar(page).getByRole('button', { name: /^Save/ }).click();
  is(await dialog(page).count(), 0, 'and nothing is saved');
  await card(page, 1).getByLabel('After the abandonment', { exact: true }).fill('6');
  await card(page, 1).getByLabel('Text', { exact: true }).selectOption('cart_final');
  await card(page, 1).getByText('Discount', { exact: true }).click();
  is(await card(page, 1).getByLabel('Text', { exact: true }).inputValue(), 'cart_offer', 'a step with a discount has a text that names it');
  await card(page, 1).getByLabel('Per cent off').fill('5');
  await look(page, 'campaign-edit');
  // what is not saved is kept, and warned about
  await page.getByRole('link', { name: 'Coupons', exact: true }).click();
  await dialog(page).getByRole('button', { name: 'Stay' }).click();
  ok(/campaigns\/cart\//.test(page.url()), 'whoever leaves is asked');
  await page.getByRole('link', { name: 'Coupons', exact: true }).click();
  await dialog(page).getByRole('button', { name: 'Leave' }).click();
  await page.getByRole('heading', { name: 'Coupons' }).waitFor();
  await visit(page, 'campaigns/cart/?shop=default');
  ok(await page.getByText('Your unsaved changes are here again').isVisible() && await names(page) === 'Step 1, New step, Step 2, Step 3', 'and finds everything again');
  await bar(page).getByRole('button', { name: /^Save/ }).click();
  await dialog(page).waitFor();
  const [waiting, queued] = sql(`SELECT (SELECT count(*) FROM incomplete_orders.open_orders o JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'default' AND o.kind = 'cart' AND next_message_at IS NOT NULL) || ' ' ||
    (SELECT count(*) FROM incomplete_orders.messages m JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'default' AND campaign = 'cart' AND status IN ('queued', 'sending'))`).split(' ');
  const text = await dialog(page).innerText();
  ok(text.includes(`${waiting} orders wait for a message`) && (text.includes(`${queued} message`) || queued === '0'), 'saving says what becomes of messages that wait', text);
  ok(/numbered 1, 2, 3, 4/.test(text), 'and how the steps are numbered');
  await look(page, 'campaign-save', { themes: ['light'] });
  await dialog(page).getByRole('button', { name: 'Save' }).click();
  await await_(async () => (await bar(page).count()) === 0, 'it is saved');
  is(steps(), '1 1h cart_abandoned 2v, 2 6h cart_offer 5 %, 3 24h cart_reminder, 4 72h cart_offer 10 %', 'the sequence is as it was edited');
}

async function byKeyboard(page) {
  await settled(page);
  await card(page, 3).focus();
  await page.keyboard.press('Alt+ArrowUp');
  is(await names(page), 'Step 1, Step 2, Step 4, Step 3', 'a step is moved by keyboard');
  ok(await card(page, 2).evaluate((node) => node === document.activeElement), 'and keeps the focus');
  is(await card(page, 2).getByLabel('After the abandonment', { exact: true }).inputValue() + await card(page, 3).getByLabel('After the abandonment', { exact: true }).inputValue(), '13', 'the instants stay where they are');
  ok(/Moved to place 3 of 4/.test(await said(page)), 'which is announced');
  await page.getByRole('button', { name: 'Remove Step 2' }).focus();
  await page.keyboard.press('Enter');
  is(await names(page), 'Step 1, Step 4, Step 3', 'one is removed');
  ok(await card(page, 1).evaluate((node) => node === document.activeElement), 'and the next one has the focus');
  await page.getByRole('button', { name: 'Step 4: later' }).focus();
  await page.keyboard.press('Enter');
  is(await names(page), 'Step 1, Step 3, Step 4', 'and moved back by its button');
  await card(page, 1).getByRole('button', { name: 'Try two texts against each other' }).focus();
  await page.keyboard.press('Enter');
  is(await card(page, 1).getByLabel('Name').count(), 2, 'two variants');
  await card(page, 1).getByLabel('Name').nth(1).fill('A b');
  ok(/small letters/.test(await card(page, 1).innerText()), 'a name that cannot be is said at its field');
  await card(page, 1).getByLabel('Name').nth(1).fill('b');
  await card(page, 1).getByLabel('Weight').nth(1).fill('3');
  ok(/75 % of the people/.test(await card(page, 1).innerText()), 'weights are told as shares');
  await bar(page).getByRole('button', { name: /^Save/ }).focus();
  await page.keyboard.press('Enter');
  await dialog(page).waitFor();
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await await_(async () => (await bar(page).count()) === 0, 'it is saved');
  is(steps(), '1 1h cart_abandoned 2v, 3 24h cart_reminder 2v, 4 72h cart_offer 10 %', 'saved without a mouse');
  is(sql("SELECT string_agg(variant || weight, ' ') FROM incomplete_orders.list_variants('default') WHERE step = 3"), 'a1 b3', 'with its variants');
}

// What the database refuses is shown at its step.
async function refused(page) {
  await settled(page);
  sql("SELECT incomplete_orders.save_template('cart_short', 'en', '{\"subject\": \"x\", \"preheader\": \"\", \"headline\": \"x\", \"body\": \"x\", \"button\": \"x\", \"footer\": \"\"}')");
  await visit(page, 'campaigns/');
  await visit(page, 'campaigns/cart/?shop=default');
  await card(page, 2).getByLabel('Text', { exact: true }).selectOption('cart_short');
  ok(/does not name the discount/.test(await card(page, 2).innerText()), 'a discount that nobody would learn of is warned of');
  sql("SELECT incomplete_orders.delete_template('cart_short', 'en')");
  expect(page, /422/);
  await bar(page).getByRole('button', { name: /^Save/ }).click();
  await card(page, 2).locator('.problem', { hasText: 'there is no template' }).first().waitFor();
  ok(true, 'what the database refuses stands at its step');
  await bar(page).getByRole('button', { name: 'Discard' }).click();
  is(await bar(page).count(), 0, 'and is thrown away');
}

async function planned(page) {
  await page.getByLabel('Time', { exact: true }).selectOption('168');
  await settled(page);
  const rows = page.getByRole('table', { name: 'Who gets what' }).locator('tbody tr');
  const [all, skipped] = sql("SELECT count(*) || ' ' || count(*) FILTER (WHERE action = 'skipped') FROM incomplete_orders.preview_recovery('default', now() + interval '7 days') WHERE campaign = 'cart'").split(' ').map(Number);
  is(await rows.count(), all, 'everybody whose step is due is there');
  is(await rows.filter({ hasText: 'Nothing: ' }).count(), skipped, 'and who gets nothing, with the reason');
  ok(await rows.filter({ hasText: 'holdout group' }).count() > 0, 'as somebody who is held out');
}

async function coupons(page) {
  await visit(page, 'coupons/?shop=default');
  const rows = page.getByRole('table', { name: 'Codes' }).locator('tbody tr');
  is(await rows.count(), Math.min(20, Number(sql("SELECT count(*) FROM incomplete_orders.list_issued_coupons('default', page_size => 100)"))), 'the codes that went out');
  ok((await page.locator('.offers').innerText()).includes('10 % off from €20.00, valid for 7 days'), 'and what is offered');
  sql("UPDATE incomplete_orders.issued_coupons SET used_at = now(), used_by = root_id, cost = 3.5 WHERE code = (SELECT code FROM incomplete_orders.list_issued_coupons('default') LIMIT 1)");
  await page.getByRole('link', { name: 'Redeemed', exact: true }).click();
  await settled(page);
  is(await rows.count(), 1, 'by state');
  ok(/€3\.50/.test(await rows.first().innerText()), 'with what it cost');
  await page.getByRole('link', { name: 'Expired', exact: true }).click();
  await settled(page);
  ok(await page.getByText('No codes here').isVisible(), 'none is said to be none');
  await visit(page, 'coupons/?shop=default');
  await look(page, 'coupons');
}

run(async () => {
  await fill();
  const program = await admin();
  const browser = await launch();
  const page = await signIn(browser, program, 'web_admin', { path: 'campaigns/?shop=default' });
  await list(page);
  await look(page, 'campaigns');
  await onAndOff(page);
  await byMouse(page);
  await byKeyboard(page);
  await refused(page);
  await planned(page);
  await look(page, 'campaign');
  await coupons(page);
  noErrors(page);

  // a shop that can send nothing yet, and is all off
  await visit(page, 'campaigns/?shop=books');
  ok(await page.getByText('All campaigns are off').isVisible() && await page.getByText('One thing is missing').isVisible(), 'a shop at its beginning is told what to do');
  await look(page, 'campaigns-new');
  sql("SELECT incomplete_orders.save_campaign('partial', '[]', 'books')");
  await visit(page, 'campaigns/partial/?shop=books');
  await page.getByRole('button', { name: 'Add a step', exact: true }).click();
  is(await names(page), 'New step', 'an empty sequence gets its first step');
  await bar(page).getByRole('button', { name: /^Save/ }).click();
  await dialog(page).getByRole('button', { name: 'Save' }).click();
  await await_(async () => (await bar(page).count()) === 0, 'it is saved');
  is(steps('partial', 'books'), '1 1h partial_reminder', 'which is saved');
  await visit(page, 'campaigns/nothing/?shop=books');
  ok(await page.getByText('There is no such campaign').isVisible(), 'a campaign that is none');
  noErrors(page);
  await page.context().clearCookies();

  // who may only read figures sees none of it
  const analyst = await signIn(browser, program, 'web_analyst');
  is(await analyst.locator('nav.main').getByRole('link', { name: /Campaigns|Texts|Coupons|Suppressions|Consents/ }).count(), 0, 'an analyst has no such pages');
  await visit(analyst, 'campaigns/cart/');
  ok(await analyst.getByText('may not see this page').isVisible(), 'nor by their address');
  noErrors(analyst);
});
