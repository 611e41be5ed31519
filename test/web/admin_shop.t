#!/usr/bin/env node
// The settings of a shop, its members, and what it knows of a person; by mouse and by keyboard.
'use strict';

const { ok, is, sql, await_, launch, run, fill, admin, signIn, visit, settled, look, expect, noErrors } = require('./admin.js');

const setting = (name, shop = 'default') => sql(`SELECT s.value FROM incomplete_orders.shops, jsonb_each_text(to_jsonb(shops)) s (name, value) WHERE shop = '${shop}' AND s.name = '${name}'`);

async function settings(page) {
  const row = (name) => page.locator(`[data-setting="${name}"]`);
  const input = (name) => row(name).locator('input, select, textarea').first();
  const save = page.getByRole('button', { name: 'Save' });
  const saved = async () => {
    await save.click();
    await page.locator('.save').waitFor({ state: 'hidden' });
    await settled(page);
  };
  is(await page.locator('[data-setting]').count(), Number(sql("SELECT count(*) FROM incomplete_orders.list_settings('default')")), 'every setting is there');
  is(await page.locator('[data-setting] label code').allTextContents().then((all) => all.sort().join()), sql("SELECT string_agg(setting, ',' ORDER BY setting COLLATE \"C\") FROM incomplete_orders.list_settings('default')"), 'with the name that it has in SQL');
  ok(await save.isHidden(), 'nothing is to be saved');
  ok((await row('cut_off').textContent()).includes('Default: 1 h'), 'a default is shown');
  is(await input('cut_off').inputValue() + await row('cut_off').locator('select').inputValue(), '1hours', 'a length of time has a unit');
  is(await input('image_hosts').inputValue(), 'https://images.shop.example', 'a list is a line each');
  is(await row('exclusions').getByLabel(/^Products/).inputValue(), 'GIFT-CARD', 'an object has its parts');

  // several at once; only what changed is sent
  page.setDefaultTimeout(5000);
  const sent = page.waitForRequest((request) => request.method() === 'PATCH', { timeout: 60000 });
  await input('cut_off').fill('90');
  await row('cut_off').locator('select').selectOption('minutes');
  await input('holdout').fill('12.5');
  await input('quiet_from').fill('22:15');
  await input('allowed_origins').fill('https://shop.example\n\n  https://www.shop.example ');
  await input('page_prices').selectOption('accept');
  await row('exclusions').getByLabel(/^Products/).fill('');
  await row('exclusions').getByRole('switch').check();
  await input('colour').fill('#123abc');
  is(await page.locator('.setting.changed').count(), 7, 'what changed is marked');
  ok((await page.locator('.save').textContent()).includes('7 settings changed'), 'and counted');
  await saved();
  is(JSON.stringify((await sent).postDataJSON()), JSON.stringify({ cut_off: '01:30:00', holdout: 0.125, quiet_from: '22:15:00', allowed_origins: ['https://shop.example', 'https://www.shop.example'],
    page_prices: 'accept', exclusions: { domains: ['shop.example'], bots: true }, colour: '#123abc' }), 'only that is sent');
  is(setting('cut_off') + setting('holdout') + setting('colour'), '01:30:000.125#123abc', 'and saved');
  is(await page.locator('.setting.changed').count(), 0, 'nothing is marked any more');

  // back to a default, and taken back
  await row('cut_off').getByRole('button', { name: 'Use the default' }).click();
  await input('name').fill('Another');
  await row('name').getByRole('button', { name: 'Undo' }).click();
  is(await input('name').inputValue(), 'Lamp House', 'a change is taken back');
  const second = page.waitForRequest((request) => request.method() === 'PATCH', { timeout: 60000 });
  await saved();
  is((await second).postData(), '{"cut_off":null}', 'null brings a default back');
  is(setting('cut_off'), '01:00:00', 'and it is');

  // what the database refuses stands at its field, and nothing is lost
  expect(page, /422/);
  await input('expiry').fill('30');
  await row('expiry').locator('select').selectOption('minutes');
  await input('postal_address').fill('Lamp House\nNew street 1');
  await save.click();
  await row('cut_off').locator('.problem').waitFor();
  ok((await row('cut_off').locator('small.problem').textContent()).includes('shorter than the setting "expiry"'), 'a fault is told at its field');
  ok(await input('cut_off').evaluate((node) => node === document.activeElement), 'which has the focus');
  is(setting('expiry'), '12 days', 'nothing is saved');
  ok((await page.locator('.save').textContent()).includes('Nothing was saved: see Cut-off'), 'and it is said');
  await row('expiry').getByRole('button', { name: 'Undo' }).click();
  await saved();
  is(setting('postal_address'), 'Lamp House\nNew street 1', 'the rest goes through');
  await input('words').fill('{"de": ');
  ok((await row('words').textContent()).includes('This is not JSON yet'), 'JSON is looked at while it is typed');
  await page.getByRole('button', { name: 'Discard' }).click();
  ok(await save.isHidden(), 'all is discarded');
  await input('words').fill('{"de": {"total": "Gesamt"}}');
  await saved();
  is(setting('words'), '{"de": {"total": "Gesamt"}}', 'an object whose keys are free is JSON');

  // somebody leaves with something unsaved
  await input('reply_to').fill('new@shop.example');
  await page.getByRole('link', { name: 'Health' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Stay' }).click();
  is(await input('reply_to').inputValue(), 'new@shop.example', 'who stays has what was typed');
  await page.getByRole('combobox', { name: 'Shop' }).selectOption('books');
  await page.getByRole('dialog').getByRole('button', { name: 'Stay' }).click();
  is(await page.getByRole('combobox', { name: 'Shop' }).inputValue() + await input('reply_to').inputValue(), 'defaultnew@shop.example', 'nor is it lost to another shop');
  await page.getByRole('link', { name: 'Members' }).click();
  await page.getByRole('link', { name: 'Settings', exact: true }).click();
  is(await input('reply_to').inputValue(), 'new@shop.example', 'or to a look at another tab');
  await page.getByRole('link', { name: 'Health' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Leave' }).click();
  await page.getByRole('heading', { name: 'Health', level: 1 }).waitFor();
  is(setting('reply_to'), 'help@shop.example', 'who leaves has saved nothing');
}

async function byKeyboard(page) {
  await visit(page, 'shop/?shop=default');
  await page.locator('[data-setting="cap_per_person"] input').focus();
  await page.keyboard.press('ControlOrMeta+a');
  await page.keyboard.type('9');
  await page.keyboard.press('Enter');
  await page.locator('.save').waitFor({ state: 'hidden' });
  is(setting('cap_per_person'), '9', 'Enter saves');
  const jump = page.getByRole('button', { name: 'Pages of the shop' });
  await jump.focus();
  await page.keyboard.press('Enter');
  is(await page.evaluate(() => document.activeElement.textContent), 'Make a key', 'the list of groups leads to the first control of one');
}

async function key(page) {
  const row = page.locator('[data-setting="publishable_key"]');
  await row.getByRole('button', { name: 'Make a key' }).click();
  await page.getByRole('dialog').getByRole('button', { name: 'Make a new key' }).click();
  await row.getByRole('button', { name: 'New key' }).waitFor();
  const first = setting('publishable_key');
  ok((await row.locator('code').allTextContents()).includes(first), 'the key is shown');
  await row.getByRole('button', { name: 'New key' }).click();
  const dialog = page.getByRole('dialog');
  ok((await dialog.textContent()).includes('The present one goes on working'), 'it is said how long the old key lives');
  await dialog.getByRole('button', { name: 'Cancel' }).click();
  is(setting('publishable_key'), first, 'cancelled, it is as it was');
  await row.getByRole('button', { name: 'New key' }).click();
  await dialog.getByLabel(/present key/).selectOption('1 day');
  await dialog.getByRole('button', { name: 'Make a new key' }).click();
  await row.getByText('The key before it is good until').waitFor();
  is(setting('former_key') === first && setting('publishable_key') !== first, true, 'a new key is made, the former is good for a day');
}

async function members(page) {
  await page.getByRole('link', { name: 'Members' }).click();
  const table = page.getByRole('table', { name: 'Members' });
  await table.waitFor();
  is((await table.locator('tbody tr').count()), Number(sql("SELECT count(*) FROM incomplete_orders.list_members('default')")), 'every member is there');
  ok((await table.getByRole('row', { name: /web_analyst/ }).textContent()).includes('Figures, without anything personal'), 'with what the purpose means');
  await page.getByLabel('Role', { exact: true }).fill("o'hara");
  await page.getByLabel('Purpose').selectOption('analyst');
  const command = await page.locator('.command code').textContent();
  is(command, 'CREATE ROLE "o\'hara" LOGIN PASSWORD \'...\';\nSELECT incomplete_orders.grant_to(\'o\'\'hara\', \'analyst\', \'default\');', 'the command that gives a role its purpose, quoted as it must be');
  sql(`BEGIN; ${command} ROLLBACK`);
  ok(await page.getByRole('button', { name: 'New shop' }).count() === 0, 'who is not admin of all shops makes none');
}

async function persons(page) {
  const email = sql("SELECT email FROM incomplete_orders.open_orders o JOIN incomplete_orders.shops USING (shop_id) WHERE shop = 'default' AND email IS NOT NULL ORDER BY o.created_at DESC LIMIT 1");
  await page.getByRole('link', { name: 'Privacy' }).click();
  await page.getByLabel('E-mail').fill(email);
  await page.getByRole('button', { name: 'Look' }).click();
  await page.getByRole('heading', { name: email }).waitFor();
  await look(page, 'shop-privacy');
  const [file] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download as JSON' }).click()]);
  ok(JSON.stringify(JSON.parse(require('fs').readFileSync(await file.path(), 'utf8'))).includes(email), 'what is kept is a file');
  const gone = () => sql(`SELECT count(*) FROM incomplete_orders.open_orders WHERE email = '${email}'`);
  await page.getByRole('button', { name: 'Forget this person' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByRole('textbox').fill('somebody@else.example');
  await dialog.getByRole('button', { name: 'Forget' }).click();
  ok(await dialog.isVisible() && gone() !== '0', 'another address forgets nobody');
  await dialog.getByRole('textbox').fill(email);
  await page.keyboard.press('Enter');
  await page.getByText('The person is forgotten').waitFor();
  is(gone(), '0', 'the person is forgotten');
  const [all] = await Promise.all([page.waitForEvent('download'), page.getByRole('button', { name: 'Download the shop' }).or(page.getByText('Download the shop')).click()]);
  const lines = require('fs').readFileSync(await all.path(), 'utf8').trim().split('\n');
  is(lines.length, Number(sql("SELECT count(*) FROM incomplete_orders.export_shop('default')")), 'the shop is a file with a line for each row');
}

async function shops(browser, program) {
  sql("SELECT incomplete_orders.grant_to('web_books', 'admin')");
  await browser.clearCookies();
  const page = await signIn(browser, program, 'web_books', { path: 'shop/?shop=books' });
  is(await page.getByRole('heading', { level: 1 }).textContent(), 'Book Nook <b>& Sons</b>', 'a shop\'s name stays text');
  await page.getByRole('button', { name: 'New shop' }).click();
  const dialog = page.getByRole('dialog');
  await dialog.getByLabel('Name').fill('Third <i>shop</i>');
  await dialog.getByLabel('Key').fill('books');
  await dialog.getByLabel('Time zone').fill('Europe/Berlin');
  expect(page, /409/);
  await dialog.getByRole('button', { name: 'Make the shop' }).click();
  await dialog.getByText('exists already').waitFor();
  await dialog.getByLabel('Key').fill('third');
  await dialog.getByRole('button', { name: 'Make the shop' }).click();
  await page.getByRole('heading', { name: 'Third <i>shop</i>', level: 1 }).waitFor();
  is(new URL(page.url()).searchParams.get('shop'), 'third', 'the new shop is open');
  noErrors(page);
  await page.close();
  sql("SELECT incomplete_orders.revoke_from('web_books', 'admin')");
  sql("SELECT incomplete_orders.grant_to('web_books', 'admin', 'books')");
}

async function main() {
  await fill();
  const program = await admin();
  const browser = await launch();
  for (const options of [{ width: 1440, theme: 'light' }, { width: 360, theme: 'dark' }]) {
    const page = await signIn(browser, program, 'web_admin', { ...options, path: 'shop/' });
    await await_(() => new URL(page.url()).searchParams.get('shop') === 'default', 'one shop is chosen');
    await settled(page);
    if (options.width > 1000) {
      await settings(page);
      await byKeyboard(page);
      await look(page, 'shop');
      await key(page);
      await members(page);
      await look(page, 'shop-members');
      await persons(page);
    } else {
      await page.locator('[data-setting="min_gap"] input').fill('2');
      await page.getByRole('button', { name: 'Save' }).click();
      await page.locator('.save').waitFor({ state: 'hidden' });
      is(setting('min_gap'), '02:00:00', 'it can be changed on a phone, too');
    }
    noErrors(page);
    await page.close();
  }
  await shops(browser, program);
}

run(main);
