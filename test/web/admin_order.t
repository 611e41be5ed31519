#!/usr/bin/env node
// One order in the admin: what it shows, what can be done with it, and editing it while
// somebody else does.
'use strict';

const { ok, is, sql, await_, launch, run, fill, admin, signIn, visit, settled, look, noErrors, expect } = require('./admin.js');

const one = (where) => sql(`SELECT o.id FROM incomplete_orders.open_orders o JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'default' AND ${where} ORDER BY o.id DESC LIMIT 1`);
const field = (id, column) => sql(`SELECT ${column} FROM incomplete_orders.incomplete_orders WHERE id = '${id}'`);
// An order of our own, so that what is done here disturbs nothing else.
let made = 0;
const items = JSON.stringify([{ sku: 'MUG', name: '<b>Mug</b>', quantity: 3, unit_price: '9.50', variant: 'blue', image_url: 'https://images.shop.example/mug.png', url: 'https://shop.example/mug' },
  { sku: 'LAMP', name: 'Lamp', quantity: 1, unit_price: '129', image_url: 'javascript:alert(1)', url: 'javascript:alert(2)' }]);
function make({ abandoned = true, shipping = 4.9, email = `order${++made}@mail.example` } = {}) {
  const id = sql(`SELECT incomplete_orders.capture_cart('order-session-${++made}', '${items}', email => '${email}', phone => '+49 30 1', name => '<i>Ann</i> Editor', currency => 'EUR', shipping => ${shipping},
    address => '{"first_name": "Ann", "last_name": "Editor", "address_line_1": "Street 1", "postal_code": "10115", "city": "Berlin", "country": "DE", "delivery_instructions": "<script>alert(3)</script>"}',
    context => '{"device": "phone", "source": "<u>ad</u>", "ip": "203.0.113.7", "referrer": "https://search.example/?q=mug", "consent": {"status": "granted"}}', shop => 'default', at => now() - interval '3 hours')`);
  if (abandoned) sql(`SELECT incomplete_orders.mark_abandoned('${id}')`);
  return id;
}
const at = (id) => `orders/${id}/?shop=default`;

async function main() {
  await fill();
  const program = await admin();
  const browser = await launch();
  let id = make();
  const page = await signIn(browser, program, 'web_admin', { path: at(id) });
  const main = page.locator('main#main');
  const toast = (text) => page.locator('.toast', { hasText: text }).last().waitFor();
  const heading = () => page.locator('h1').innerText();
  // the first field gets the focus a moment after it is there; what is typed before would go there
  const edit = async () => { await page.keyboard.press('e'); await page.locator('.order-edit input:focus').first().waitFor(); };
  const dialog = page.locator('dialog[open]');
  const open = async (where) => { await visit(page, at(where)); await main.getByRole('heading', { name: 'Timeline' }).waitFor(); await settled(page); };
  const more = async (label) => { await main.locator('details.menu summary').click(); await main.getByRole('button', { name: label }).click(); await dialog.waitFor(); };
  const confirm = async (button) => { await dialog.getByRole('button', { name: button }).click(); await dialog.waitFor({ state: 'detached' }); await settled(page); };

  // ---- what it shows ----
  const text = async () => (await main.innerText()).replace(/\s+/g, ' ');
  // what comes when an answer has come
  const says = (...wanted) => await_(async () => { const now = await text(); return wanted.every((one) => (one instanceof RegExp ? one.test(now) : now.includes(one))); }, `the page says ${wanted}`);
  let shown = await text();
  ok((await heading()).startsWith('<i>Ann</i> Editor'), 'the customer’s name comes first, as text');
  ok(shown.includes('Abandoned') && shown.includes('INC-') && shown.includes('€162.40'), 'with the state, the reference and the total');
  ok(shown.includes('<b>Mug</b>') && shown.includes('3 × €9.50') && shown.includes('€28.50') && shown.includes('Shipping €4.90'), 'lines, their prices and the totals');
  is(await main.locator('img.thumb').count(), 1, 'only a picture from http is asked for');
  is(await main.locator('a[href^="javascript"]').count(), 0, 'and no link leads to a script');
  is(await main.getByRole('link', { name: '<b>Mug</b>' }).getAttribute('rel'), 'noopener noreferrer', 'links to the shop tell it nothing');
  ok(/Ann Editor\s*Street 1\s*10115 Berlin\s*Germany/.test(shown), 'the address as it is written');
  ok(shown.includes('<script>alert(3)</script>') && shown.includes('<u>ad</u>'), 'what customers typed stays text');
  is(await main.locator(`a[href="mailto:${encodeURIComponent(field(id, 'email'))}"]`).count() + await main.locator('a[href="tel:+49301"]').count(), 2, 'links to write and to call');
  ok(shown.includes('Agreed to be written to'), 'the consent');
  await look(page, 'order');

  // ---- notes, by keyboard ----
  await page.keyboard.press('n');
  await page.keyboard.type('Called: <img src=x onerror=alert(4)>');
  await page.keyboard.press('Control+Enter');
  await toast('The note is kept.');
  ok(await await_(async () => (await main.locator('[data-event=note]').innerText()).includes('<img src=x onerror=alert(4)>'), 'the note'), 'a note by n and Ctrl+Enter, which stays text');
  is(sql(`SELECT actor FROM incomplete_orders.order_notes WHERE order_id = '${id}'`), 'web_admin', 'by whom');

  // ---- editing, by keyboard ----
  await page.keyboard.press('Escape');
  await page.evaluate(() => document.activeElement.blur());
  await edit();
  const phone = main.getByLabel('Phone', { exact: true });
  await phone.waitFor();
  ok(await page.evaluate(() => document.activeElement.tagName === 'INPUT'), 'e edits, with the focus in a field');
  ok(await main.getByRole('button', { name: 'Save' }).isDisabled(), 'nothing to save yet');
  await phone.fill('+49 30 22');
  await main.getByLabel('City').fill('Potsdam');
  await page.keyboard.press('Control+Enter');
  await toast('Saved.');
  is(field(id, "phone || ' ' || (address ->> 'city') || ' ' || version"), '+49 30 22 Potsdam 2', 'Ctrl+Enter saves');
  ok(await says('Phone: +49 30 1 → +49 30 22', 'City: Berlin → Potsdam'), 'the timeline says what was and what is');

  // what is wrong stands at the field
  await edit();
  const email = main.getByLabel('E-mail', { exact: true });
  const quantity = main.getByLabel('Quantity').first();
  await quantity.fill('0');
  await main.getByRole('button', { name: 'Save' }).click();
  ok(await quantity.evaluate((input) => input === document.activeElement && input.getAttribute('aria-invalid') === 'true'), 'a quantity that is none: the focus is there');
  ok(await says('A whole number from 1 on.'), 'with why');
  await quantity.fill('2');
  await email.fill('ann@@nowhere');
  await main.getByRole('button', { name: 'Save' }).click();
  expect(page, /422|400/);
  ok(await await_(() => email.evaluate((input) => input.getAttribute('aria-invalid') === 'true' && input === document.activeElement), 'the address is refused'), 'what the database refuses stands at its field, too');
  ok(await says('An address has one @'), 'in words');
  is(await quantity.inputValue(), '2', 'nothing typed is lost');
  await look(page, 'order-edit', { themes: ['light'] });
  await email.fill('ann@shop.test');
  await main.getByRole('button', { name: 'Remove Lamp' }).click();
  ok(await says('Lamp is removed.'), 'a line is removed');
  await main.getByRole('button', { name: 'Add a line' }).click();
  const fresh = main.getByLabel('Article number');
  await fresh.fill('NEW');
  await main.getByLabel('Name', { exact: true }).first().fill('New thing');
  await main.getByLabel('Price (EUR)').last().fill('1.25');
  ok(await says('total €25.15'), 'the total that comes of it');
  await page.keyboard.press('Escape');
  await dialog.waitFor();
  ok((await dialog.innerText()).includes('Drop what you typed?'), 'Esc asks');
  await page.keyboard.press('Escape');
  is(await fresh.inputValue(), 'NEW', 'and what was typed is still there');
  await main.getByRole('button', { name: 'Save' }).click();
  await toast('Saved.');
  is(field(id, "email || ' ' || total || ' ' || (SELECT string_agg(i ->> 'sku' || (i ->> 'quantity'), ',' ORDER BY i ->> 'sku') FROM jsonb_array_elements(items) i)"), 'ann@shop.test 25.15 MUG2,NEW1', 'lines and charges are saved');
  is(sql(`SELECT items -> 0 ->> 'image_url' FROM incomplete_orders.incomplete_orders WHERE id = '${id}'`), 'https://images.shop.example/mug.png', 'what was not edited of a line stays');

  // ---- two editors ----
  id = make();
  await open(id);
  await edit();
  await phone.fill('+49 30 MINE');
  await main.getByLabel('City').fill('Mainz');
  await main.getByLabel('Quantity').last().fill('5');
  sql(`SET ROLE web_admin; SELECT incomplete_orders.edit_order('${id}', '{"phone": "+49 30 THEIRS", "name": "Theirs <b>", "items": [{"sku": "MUG", "name": "<b>Mug</b>", "quantity": 7, "unit_price": "9.50", "variant": "blue"}, {"sku": "LAMP", "name": "Lamp", "quantity": 1, "unit_price": "129"}]}', 1)`);
  expect(page, /409/);
  await main.getByRole('button', { name: 'Save' }).click();
  const conflict = main.locator('.conflict');
  await conflict.waitFor();
  const said = (await conflict.innerText()).replace(/\s+/g, ' ');
  ok(said.includes('web_admin saved it') && said.includes('version 2'), 'a conflict: who, and which version');
  ok(/Phone \+49 30 1 \+49 30 THEIRS \+49 30 MINE/.test(said), 'before, theirs and mine');
  ok(said.includes('Theirs <b>') && said.includes('7 × €9.50') && said.includes('you did not change it'), 'what only they changed is taken');
  ok(!said.includes('Mainz'), 'what only I changed is no conflict');
  is(await phone.inputValue(), '+49 30 MINE', 'nothing typed is lost');
  await look(page, 'order-conflict');
  await conflict.getByRole('radio').first().focus();
  await page.keyboard.press('Space');
  await conflict.getByRole('button', { name: 'Apply mine to version 2 and save' }).click();
  await toast('Saved.');
  await conflict.waitFor({ state: 'detached' });
  is(field(id, "phone || '|' || name || '|' || (address ->> 'city') || '|' || version || '|' || (SELECT string_agg(i ->> 'sku' || (i ->> 'quantity'), ',' ORDER BY i ->> 'sku') FROM jsonb_array_elements(items) i)"),
    '+49 30 THEIRS|Theirs <b>|Mainz|3|LAMP5,MUG7', 'theirs where I took it, and mine on top, line by line');
  await settled(page);
  await edit();
  await phone.fill('never');
  sql(`SELECT incomplete_orders.edit_order('${id}', '{"phone": "+49 30 44"}', 3)`);
  await main.getByRole('button', { name: 'Save' }).click();
  await conflict.getByRole('button', { name: 'Take theirs, drop mine' }).click();
  await conflict.waitFor({ state: 'detached' });
  ok(await says('+49 30 44') && field(id, 'phone') === '+49 30 44', 'or theirs as it is');
  await settled(page);
  await edit();
  await phone.fill('late');
  sql(`SELECT incomplete_orders.dismiss_order('${id}')`);
  await main.getByRole('button', { name: 'Save' }).click();
  ok(await says(/cannot be edited|is dismissed now/), 'an order that was closed meanwhile says so');
  expect(page, /4\d\d/);
  await page.keyboard.press('Escape');
  await dialog.getByRole('button', { name: 'Drop it' }).click();

  // ---- a message by hand ----
  id = make();
  await open(id);
  await main.getByRole('button', { name: 'Send recovery mail' }).click();
  await dialog.waitFor();
  const frame = page.frameLocator('iframe.mail');
  ok(await await_(async () => (await frame.locator('body').innerText()).includes('<b>Mug</b>'), 'the preview'), 'what would be sent is shown, with the order’s goods as text');
  await dialog.getByLabel('Which one').selectOption('final_reminder');
  await dialog.getByLabel('Subject').fill('Hello <b>Ann</b>');
  await dialog.locator('figcaption strong', { hasText: 'Hello <b>Ann</b>' }).waitFor();
  await settled(page);
  await look(page, 'order-send', { themes: ['light'] });
  await dialog.getByRole('button', { name: /^Send to/ }).click();
  await toast('The message is queued.');
  is(sql(`SELECT message_type || '|' || subject || '|' || status FROM incomplete_orders.messages WHERE order_id = '${id}'`), 'final_reminder|Hello <b>Ann</b>|queued', 'it is queued, with that type and subject');
  ok(await await_(async () => (await main.locator('[data-event=message_queued]').innerText()).includes('Hello <b>Ann</b>'), 'the timeline'), 'and in the timeline');
  ok(await says('A message waits to be sent'), 'what happens next says so');
  sql(`SELECT incomplete_orders.suppress((SELECT email FROM incomplete_orders.open_orders WHERE id = '${id}'), 'unsubscribed', 'default')`);
  await main.getByRole('button', { name: 'Send recovery mail' }).click();
  // the mail moves the button when it comes
  await dialog.locator('figcaption').waitFor();
  await settled(page);
  expect(page, /422|409/);
  await dialog.getByRole('button', { name: /^Send to/ }).click();
  await dialog.getByText('The person has unsubscribed').waitFor();
  ok(true, 'what may not be sent says why, in words');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  await page.reload();
  await settled(page);
  ok(await says('May not be mailed: unsubscribed'), 'the customer’s card says that they may not be mailed');

  // ---- converting ----
  await main.getByRole('button', { name: 'Convert', exact: true }).waitFor();
  await more('Convert a part …');
  const counts = dialog.getByRole('textbox', { name: /How many/ });
  await counts.first().fill('4');
  ok(await dialog.getByRole('button', { name: /^Convert/ }).isDisabled(), 'no more than is open can be converted');
  await counts.first().fill('2');
  await dialog.getByRole('button', { name: 'Convert lines of €19.00' }).click();
  await toast('part 1');
  await settled(page);
  is(field(id, "kind || ' ' || status || ' ' || (items -> 0 ->> 'filled')"), 'partial pending 2', 'a part is converted, the rest stays');
  ok(await says('2 of 3 ordered', 'Paid'), 'how many are ordered is shown, and the order that came of it');
  await main.getByRole('button', { name: 'Refund …' }).click();
  await dialog.getByLabel('Amount in EUR').fill('5');
  await confirm('Record the refund');
  await toast('was paid back in all');
  is(sql(`SELECT refunded FROM incomplete_orders.orders WHERE incomplete_order_id = '${id}'`), '5', 'a refund is recorded');

  // the answer gets lost: trying again does nothing twice
  await settled(page);
  let lost = 0;
  await page.route('**/convert_to_order/**', async (route) => {
    if (lost++ > 0) return route.fallback();
    await route.fetch();
    return route.abort('connectionreset');
  });
  expect(page, /failed|ERR_/i);
  await main.getByRole('button', { name: 'Convert', exact: true }).click();
  await dialog.getByLabel('It is paid').uncheck();
  await dialog.getByRole('button', { name: /^Convert €/ }).click();
  await dialog.getByText('trying again does not do it twice').waitFor();
  await confirm('Try again');
  await toast('Converted to order');
  is(sql(`SELECT count(*) || ' ' || bool_and(paid) FROM incomplete_orders.orders WHERE incomplete_order_id = '${id}'`), '2 false', 'an answer that got lost: tried again, converted once');
  is(field(id, 'status'), 'converted', 'all of it is converted');
  await page.unroute('**/convert_to_order/**');
  await settled(page);
  is(await main.getByRole('button', { name: 'Edit' }).count(), 0, 'a closed order offers no edit');
  await main.getByRole('button', { name: 'Record the payment' }).click();
  await confirm('It is paid');
  await toast('The payment is recorded.');
  is(sql(`SELECT count(*) FROM incomplete_orders.orders WHERE incomplete_order_id = '${id}' AND NOT paid`), '0', 'a payment is recorded');
  await settled(page);
  await look(page, 'order-converted', { themes: ['dark'] });

  // ---- the rest of what can be done ----
  id = make({ abandoned: false });
  await open(id);
  await more('A payment is on its way …');
  await dialog.getByLabel('Reference of the payment').fill('pay_7');
  await confirm('Wait for it');
  is(field(id, "status || ' ' || payment_reference"), 'payment_pending pay_7', 'a payment is waited for');
  await more('The payment failed …');
  await confirm('It failed');
  is(field(id, 'status'), 'payment_failed', 'it failed');
  await more('Mark as abandoned …');
  await dialog.getByLabel('Reason').fill('<b>called</b>');
  await confirm('Mark as abandoned');
  is(field(id, "status || ' ' || abandonment_reason"), 'abandoned <b>called</b>', 'it is abandoned, with a reason');
  await more('Redeem a coupon …');
  await dialog.getByLabel('Code').fill('NOSUCH');
  await confirm('Redeem');
  expect(page, /4\d\d/);
  ok(await await_(async () => (await page.locator('.toast[data-kind=bad]').count()) > 0, 'the refusal'), 'a coupon that is none is refused, aloud');
  await page.locator('.toast[data-kind=bad] button').last().click();
  await main.locator('details.menu summary').focus();
  await page.keyboard.press('Enter');
  await main.getByRole('button', { name: 'Dismiss …' }).focus();
  await page.keyboard.press('Enter');
  await dialog.waitFor();
  ok((await dialog.innerText()).includes('It cannot be opened again'), 'dismissing says what it means');
  await page.keyboard.press('Escape');
  await dialog.waitFor({ state: 'detached' });
  is(field(id, 'status'), 'abandoned', 'Esc does nothing');
  await more('Dismiss …');
  await dialog.getByLabel('Reason').focus();
  await page.keyboard.type('spam');
  await page.keyboard.press('Enter');
  await toast('Dismissed.');
  is(field(id, "status || ' ' || close_reason"), 'dismissed spam', 'dismissed by keyboard');
  await settled(page);
  await more('It was ordered elsewhere …');
  await dialog.getByLabel('Number or id of that order').fill('WEB-77');
  await confirm('Record it');
  is(field(id, 'status'), 'converted', 'an order of the shop’s own is recorded');
  id = make();
  await open(id);
  await more('Delete …');
  await dialog.getByLabel('Reason').fill('a & b');
  await confirm('Delete');
  is(field(id, "status || ' ' || close_reason"), 'deleted a & b', 'deleted, with the reason as it was typed');
  await settled(page);
  noErrors(page);

  // ---- other orders of the person, why nothing was sent, what does not exist ----
  const twin = 'twin@mail.example';
  const first = make({ email: twin });
  const second = make({ email: twin });
  await open(first);
  await main.getByRole('heading', { name: 'Other orders of the same person' }).waitFor();
  await main.locator('ul.others a').first().click();
  ok(await await_(() => page.url().includes(second), 'the other order'), 'other orders of the same person, linked');
  await settled(page);
  const held = sql("SELECT k.order_id FROM incomplete_orders.message_skips k JOIN incomplete_orders.open_orders o ON o.id = k.order_id WHERE k.reason = 'holdout' LIMIT 1");
  await open(held);
  ok(await says('They are in the holdout group'), 'why nothing was sent, in words');
  await visit(page, at('00000000-0000-7000-8000-000000000000'));
  expect(page, /404/);
  await main.getByText('There is no such order, or it is not yours to see.').waitFor();
  ok(true, 'an order that there is not');
  noErrors(page);

  // ---- on a phone, in the dark, by keyboard ----
  id = make();
  await page.close();
  const small = await signIn(browser, program, 'web_admin', { width: 360, theme: 'dark', path: at(id) });
  await small.getByRole('button', { name: 'Edit' }).click();
  await small.getByLabel('Postal code').fill('99999');
  await small.getByRole('button', { name: 'Save' }).click();
  await small.locator('.toast', { hasText: 'Saved.' }).waitFor();
  is(field(id, "address ->> 'postal_code'"), '99999', 'editing at 360 pixels');
  // a picture from a host that is not the shop's is a grey box, the error is the browser's
  noErrors(small);
}

run(main);
