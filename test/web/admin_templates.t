#!/usr/bin/env node
// Texts: fields with the mail that they make beside them, what is wrong with them, saving
// and going back, languages, and a test that a real mail server gets.
'use strict';

const { spawn } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { ok, is, sql, await_, fill, admin, launch, run, signIn, visit, settled, look, shoot, noErrors, expect, endings } = require('./admin.js');

const mail = (page) => page.frameLocator('iframe');
const field = (page, label) => page.getByLabel(label, { exact: true });
const bar = (page) => page.getByRole('region', { name: 'Unsaved changes' });
const dialog = (page) => page.getByRole('dialog');
const saved = (column, template = 'cart_reminder', locale = 'en') => sql(`SELECT ${column} FROM incomplete_orders.list_templates('default') WHERE template = '${template}' AND locale = '${locale}'`);
const shows = (page, text) => await_(async () => (await mail(page).locator('body').innerText().catch(() => '')).includes(text), `the mail says ${text}`);

// A mail server that keeps what it gets.
async function sink() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'sink-'));
  const child = spawn(path.join(__dirname, '../../tools/mail-sink'), [folder], { stdio: 'ignore' });
  endings.push(() => fs.rmSync(folder, { recursive: true, force: true }));
  endings.push(() => child.kill());
  await await_(() => fs.existsSync(path.join(folder, 'port')), 'the mail server listens');
  return { port: fs.readFileSync(path.join(folder, 'port'), 'utf8').trim(), folder };
}

async function list(page) {
  const rows = page.getByRole('table', { name: 'Texts' }).locator('tbody tr');
  is(await rows.count(), Number(sql("SELECT count(DISTINCT template) FROM incomplete_orders.list_templates('default')")), 'every text is listed once');
  const row = rows.filter({ hasText: 'Cart abandoned' });
  ok(/de, yours/.test(await row.innerText()) && /Abandoned carts, step 1/.test(await row.innerText()), 'with its languages, whose they are, and who sends it');
  await page.locator('body').press('j');
  await page.keyboard.press('j');
  await page.keyboard.press('Enter');
  await page.waitForURL(/templates\/\w+\//);
  ok(true, 'j and Enter open one');
}

async function write(page) {
  await visit(page, 'templates/cart_reminder/?shop=default&locale=en');
  await shows(page, 'Your cart is waiting');
  ok(true, 'the mail is shown as it would be made');
  ok(await mail(page).locator('body').innerText().then((text) => /Lindenweg 3/.test(text) && /Stop these reminders/.test(text)), 'with the way to unsubscribe and the postal address');
  await field(page, 'Headline').fill('Hello {{customer_name}} <script>document.title = "bad"</script><b>x</b>');
  await shows(page, 'Hello Jane Doe <script>');
  ok(true, 'it follows what is typed, and tags stay text');
  is(await mail(page).locator('script').count(), 0, 'there is no script in the mail');
  is(await page.title(), 'Cart reminder · Incomplete orders', 'and no other ran');
  await field(page, 'Subject').fill('Still there, {{customer_name}}?');
  await await_(async () => /Still there, Jane Doe\?/.test(await page.locator('.mail-head').innerText()), 'the subject follows');
  // what is wrong, with line and column, at its field
  await field(page, 'Text').fill('One\nHello {{customer}}');
  await page.getByRole('button', { name: 'Line 2, column 7' }).waitFor();
  is(await field(page, 'Text').getAttribute('aria-invalid'), 'true', 'a variable that is none is said at its field');
  await page.getByRole('button', { name: 'Line 2, column 7' }).click();
  is(await field(page, 'Text').evaluate((box) => box.value.slice(box.selectionStart, box.selectionEnd)), '{{customer}}', 'and found there');
  await look(page, 'text-problem', { themes: ['light'] });
  await bar(page).getByRole('button', { name: 'Save' }).click();
  ok(await field(page, 'Text').evaluate((box) => box === document.activeElement) && saved('own') === 'f', 'it is not saved');
  await field(page, 'Text').fill('');
  await page.getByText('What a text can name').click();
  await field(page, 'Text').focus();
  await page.locator('.variables').getByRole('button', { name: 'total_amount', exact: true }).click();
  is(await field(page, 'Text').inputValue(), '{{total_amount}}', 'a variable is put where the cursor is');
  await shows(page, '1,274.30');
  // plain text, widths, images, an order
  await page.getByRole('link', { name: 'Plain text' }).click();
  await await_(async () => /1,274\.30/.test(await page.locator('.mail-text').innerText()), 'the plain part');
  await page.getByRole('link', { name: 'HTML' }).click();
  await page.getByRole('button', { name: 'Phone', exact: true }).click();
  is(Math.round((await page.locator('.mail-frame').boundingBox()).width), 375, 'as wide as a phone');
  const [id, name] = sql(`SELECT o.id || '|' || (i->>'name') FROM incomplete_orders.incomplete_orders o, incomplete_orders.list_items('default', o.id) l, to_jsonb(l) i
    WHERE o.shop = 'default' AND o.status = 'abandoned' AND l.image_url IS NOT NULL AND l.order_id IS NOT NULL ORDER BY o.created_at DESC, o.id DESC LIMIT 1`).split('|');
  await page.getByLabel('With the data of').selectOption(id);
  await await_(async () => (await mail(page).locator('td.picture img[src]').count()) > 0, 'the data of an order, with its pictures');
  ok(await mail(page).locator('body').innerText().then((text) => text.includes(name)), 'and its articles');
  await page.getByText('Images', { exact: true }).click();
  await await_(async () => (await mail(page).locator('img[src]').count()) === 0, 'without pictures');
  await page.getByLabel('With the data of').selectOption('');
  await page.getByText('Images', { exact: true }).click();
  await page.getByRole('button', { name: 'Desktop', exact: true }).click();
  await settled(page);
  // kept over a reload, saved, and taken back
  await page.evaluate(() => { window.onbeforeunload = null; });
  page.removeAllListeners('dialog');
  page.on('dialog', (one) => one.accept());
  await page.reload();
  await settled(page);
  is(await field(page, 'Text').inputValue(), '{{total_amount}}', 'what is not saved survives a reload');
  await field(page, 'Headline').fill('Your cart');
  await bar(page).getByRole('button', { name: 'Save' }).focus();
  await page.keyboard.press('Enter');
  await await_(async () => (await bar(page).count()) === 0, 'it is saved');
  is(saved("own || headline || body"), 'trueYour cart{{total_amount}}', 'as it was written');
  await page.getByRole('button', { name: 'Back to the text that comes with the program' }).click();
  ok(/Messages that wait/.test(await dialog(page).innerText()), 'going back says what becomes of messages');
  await dialog(page).getByRole('button', { name: 'Delete my text' }).click();
  await await_(async () => saved('own') === 'f', 'it is the built-in one again');
  await await_(async () => (await field(page, 'Headline').inputValue()) === 'Your cart is waiting', 'which is shown');
}

async function languages(page) {
  await visit(page, 'templates/cart_friendly/?shop=default');
  await page.getByRole('button', { name: 'Add a language' }).click();
  await dialog(page).getByLabel('Language').fill('fr-ca');
  await page.keyboard.press('Enter');
  await await_(async () => saved('subject', 'cart_friendly', 'fr-CA') !== '', 'another language is there');
  is(saved('subject', 'cart_friendly', 'fr-CA'), 'Still thinking it over, {{customer_name}}?', 'as a copy');
  await visit(page, 'templates/?shop=default');
  await page.getByRole('button', { name: 'New text' }).click();
  await dialog(page).getByLabel('Name').fill('cart_summer');
  await dialog(page).getByLabel('A copy of').selectOption('cart_offer');
  await dialog(page).getByRole('button', { name: 'Create' }).click();
  await page.waitForURL(/templates\/cart_summer\//);
  await settled(page);
  is(sql("SELECT count(*) FROM incomplete_orders.list_templates('default') WHERE template = 'cart_summer'"), '2', 'a text of one’s own, in both languages');
}

async function test(page, server) {
  await visit(page, 'templates/payment_reminder/?shop=default&locale=de');
  await field(page, 'Subject').fill('Test für {{customer_name}}: 10 € & <b>mehr</b>');
  await settled(page);
  await field(page, 'Address').fill('maria@shop-team.example');
  await page.keyboard.press('Enter');
  await page.getByText('Sent. maria@shop-team.example').waitFor();
  const file = path.join(server.folder, '000001.eml');
  await await_(() => fs.existsSync(file), 'the mail server has it');
  const { execFileSync } = require('child_process');
  const got = JSON.parse(execFileSync('/usr/bin/python3', ['-c', `import email, email.policy, json, sys
m = email.message_from_binary_file(open(sys.argv[1], 'rb'), policy=email.policy.default)
print(json.dumps({'to': m['To'], 'subject': m['Subject'], 'text': m.get_body(('plain',)).get_content(), 'html': m.get_body(('html',)).get_content()}))`, file], { encoding: 'utf8' }));
  is(`${got.to} ${got.subject}`, 'Jane Doe <maria@shop-team.example> Test für Jane Doe: 10 € & <b>mehr</b>', 'what is not saved yet is in the mail that a mail server got');
  ok(/Ihre Bestellung wartet/.test(got.html) && got.text.length > 200, 'in both parts');
  is(saved('own', 'payment_reminder', 'de'), 'f', 'and nothing was saved');
  await look(page, 'text-test', { themes: ['light'] });
  await bar(page).getByRole('button', { name: 'Discard' }).click();
  await await_(async () => (await bar(page).count()) === 0, 'it is thrown away');
  is(await field(page, 'Subject').inputValue(), saved('subject', 'payment_reminder', 'de'), 'what was not saved is thrown away');
}

run(async () => {
  await fill();
  const server = await sink();
  const program = await admin(`--smtp-url=smtp://127.0.0.1:${server.port}`, '--starttls=never');
  const browser = await launch();
  const page = await signIn(browser, program, 'web_admin', { path: 'templates/?shop=default' });
  await list(page);
  await visit(page, 'templates/?shop=default');
  await look(page, 'texts');
  await write(page);
  await visit(page, 'templates/cart_abandoned/?shop=default&locale=en');
  await shows(page, 'You left something behind');
  await look(page, 'text');
  await languages(page);
  await test(page, server);
  await visit(page, 'templates/nothing/?shop=default');
  ok(await page.getByText('There is no such text').isVisible(), 'a text that is none');
  noErrors(page);
});
