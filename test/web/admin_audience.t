#!/usr/bin/env node
// Who may not be mailed, and who agreed to be: lists, search, adding, lifting, recording.
'use strict';

const { ok, is, sql, await_, fill, admin, launch, run, signIn, visit, settled, look, noErrors } = require('./admin.js');

const rows = (page, name) => page.getByRole('table', { name }).locator('tbody tr');
const dialog = (page) => page.getByRole('dialog');
const reason = (email) => sql(`SELECT string_agg(reason, ' ') FROM incomplete_orders.list_suppressions('default', '${email}')`);
const consent = (email) => sql(`SELECT string_agg(concat_ws(' ', status, source, in_force), ', ' ORDER BY at) FROM incomplete_orders.list_consents('default', '${email}')`);

async function suppressions(page) {
  const all = Number(sql("SELECT count(*) FROM incomplete_orders.list_suppressions('default', page_size => 100)"));
  is(await rows(page, 'Suppressions').count(), Math.min(20, all), 'who may not be mailed, the newest first');
  const first = await rows(page, 'Suppressions').first().locator('code').innerText();
  await page.getByRole('button', { name: 'Next', exact: true }).click();
  await settled(page);
  ok(await rows(page, 'Suppressions').first().locator('code').innerText() !== first, 'page by page');
  await page.getByRole('button', { name: 'Previous', exact: true }).click();
  await settled(page);
  is(await rows(page, 'Suppressions').first().locator('code').innerText(), first, 'and back');
  // by mouse
  await page.getByRole('button', { name: 'Add an address' }).click();
  await dialog(page).getByLabel('E-mail address').fill('Stop.Me@mail1.example');
  await dialog(page).getByLabel('Why').selectOption('complaint');
  await dialog(page).getByRole('button', { name: 'Stop messages' }).click();
  await await_(async () => reason('stop.me@mail1.example') === 'complaint', 'an address is added');
  // by keyboard
  await settled(page);
  await page.locator('main').focus();
  await page.keyboard.press('/');
  await page.keyboard.type('stop.me@mail1.example');
  await page.keyboard.press('Enter');
  await settled(page);
  is(await rows(page, 'Suppressions').count(), 1, 'and found');
  ok(/Complaint/.test(await rows(page, 'Suppressions').first().innerText()), 'with why');
  await look(page, 'suppressions-one');
  await rows(page, 'Suppressions').first().getByRole('button', { name: /^Lift/ }).focus();
  await page.keyboard.press('Enter');
  await dialog(page).waitFor();
  ok(/unlawful/.test(await dialog(page).innerText()), 'lifting says what that means');
  await look(page, 'suppression-lift', { themes: ['light'] });
  await dialog(page).getByRole('button', { name: 'Lift it' }).focus();
  await page.keyboard.press('Enter');
  is(reason('stop.me@mail1.example'), 'complaint', 'nothing is lifted without a lawful reason');
  await dialog(page).getByLabel('I have a lawful reason', { exact: false }).focus();
  await page.keyboard.press('Space');
  await page.keyboard.press('Enter');
  await await_(async () => reason('stop.me@mail1.example') === '', 'then it is');
  await page.getByText('Not suppressed').waitFor();
  ok(true, 'which is shown');
  await visit(page, 'suppressions/?shop=books');
  ok(await page.getByText('Nobody is suppressed').isVisible(), 'nobody is said to be nobody');
  await visit(page, 'suppressions/?shop=default');
  await look(page, 'suppressions');
}

async function consents(page) {
  await visit(page, 'consents/?shop=default');
  ok(await rows(page, 'Consents').count() > 5, 'what people said');
  await page.getByRole('button', { name: 'Record one' }).click();
  await dialog(page).getByLabel('E-mail address').fill('ann@mail1.example');
  await dialog(page).getByLabel('Where').fill('<img src=x onerror=alert(1)> phone');
  await dialog(page).getByRole('button', { name: 'Record' }).click();
  await await_(async () => consent('ann@mail1.example') === 'granted <img src=x onerror=alert(1)> phone t', 'an agreement is recorded');
  await settled(page);
  await visit(page, 'consents/?shop=default&email=ann@mail1.example');
  await page.getByRole('button', { name: 'Record one' }).focus();
  await page.keyboard.press('Enter');
  await dialog(page).waitFor();
  is(await dialog(page).getByLabel('E-mail address').inputValue(), 'ann@mail1.example', 'whom one looked for is named');
  await dialog(page).getByRole('combobox').selectOption('withdrawn');
  await dialog(page).getByLabel('Where').fill('letter');
  await page.keyboard.press('Enter');
  await await_(async () => consent('ann@mail1.example').split(', ').length === 2, 'and a withdrawal');
  await settled(page);
  is(await rows(page, 'Consents').count(), 2, 'both stay: a history');
  ok(/Withdrew[\s\S]*now/.test(await rows(page, 'Consents').first().innerText()) && /no more/.test(await rows(page, 'Consents').nth(1).innerText()), 'the newest counts');
  ok(await page.getByText('<img src=x onerror=alert(1)> phone').isVisible() && await page.locator('main img').count() === 0, 'hostile words stay words');
  await look(page, 'consents-one');
  await visit(page, 'consents/?shop=default&email=unknown@mail1.example');
  ok(await page.getByText('Nothing is known of that address').isVisible(), 'nothing is said to be nothing');
  await visit(page, 'consents/?shop=default');
  await look(page, 'consents');
}

run(async () => {
  await fill();
  const program = await admin();
  const browser = await launch();
  const page = await signIn(browser, program, 'web_admin', { path: 'suppressions/?shop=default' });
  await suppressions(page);
  await consents(page);
  noErrors(page);
});
