#!/usr/bin/env node
// Health with what to do, and the banner on every page while the scheduler stands still.
'use strict';

const { ok, is, sql, await_, launch, run, fill, admin, signIn, visit, settled, look, noErrors, standStill } = require('./admin.js');

const banner = (page) => page.locator('.banner');
// what the page asks, and asks as a program
const asked = (page) => {
  const seen = [];
  page.on('request', (request) => { if (/\/(health|scheduler|queue)\//.test(request.url())) seen.push([new URL(request.url()).pathname.split('/').slice(-2)[0], request.headers()['x-background'] || '']); });
  return seen;
};

async function checks(page) {
  const rows = sql("SELECT state || ' ' || check_name FROM incomplete_orders.health()").split('\n');
  const troubles = rows.filter((row) => !row.startsWith('ok '));
  is(await page.locator('.check').count(), troubles.length, 'everything that is not well is to be done');
  is(await page.getByRole('table', { name: 'Checks that found nothing' }).locator('tbody tr').count(), rows.length - troubles.length, 'the rest is listed');
  const states = await page.locator('.check').evaluateAll((all) => all.map((one) => one.dataset.state));
  ok(states.includes('alarm') && states.includes('warn'), 'some are worse than others');
  is(states.join(), [...states].sort((a, b) => (a === 'alarm' ? 0 : 1) - (b === 'alarm' ? 0 : 1)).join(), 'the worst first');
  const dead = page.locator('.check', { hasText: 'Mails that were given up' });
  ok((await dead.textContent()).includes('What to do.'), 'with what to do');
  await dead.getByRole('link', { name: 'Those messages' }).click();
  await await_(() => new URL(page.url()).searchParams.get('status') === 'dead', 'the dead messages are one click away');
  is(new URL(page.url()).pathname, '/admin/messages/', 'in the list of messages');
  await page.goBack();
  await settled(page);
  const waiting = sql("SELECT sum(messages) FROM incomplete_orders.queue_status('*') WHERE status = 'queued' AND shop = 'default'");
  ok((await page.getByRole('region', { name: 'Mails' }).or(page.locator('section', { hasText: 'Waiting' }).last()).textContent()).includes(waiting), 'what waits is counted');
}

async function refreshes(page) {
  const seen = asked(page);
  await page.clock.runFor(31000);
  await await_(() => seen.length >= 3, 'it is asked again');
  ok(seen.some(([what]) => what === 'health') && seen.every(([, background]) => background === '1'), 'after 30 s, as a program, not as somebody who works');
  await settled(page);
  await page.evaluate(() => { Object.defineProperty(document, 'hidden', { value: true, configurable: true }); });
  seen.length = 0;
  await page.clock.runFor(125000);
  is(seen.length, 0, 'nothing is asked while nobody looks');
  await page.evaluate(() => { delete document.hidden; });
}

async function stands(page, browser, program) {
  await visit(page, 'orders/');
  is(await banner(page).count(), 0, 'while the scheduler runs there is no banner');
  await standStill();
  await page.clock.runFor(61000);
  await banner(page).waitFor();
  const text = (await banner(page).textContent()).replace(/\s+/g, ' ');
  ok(/The scheduler stands still: it last ran 2\d min ago/.test(text) && text.includes('systemctl restart incomplete-orders-tick'), 'a minute later it says since when, and what to do');
  ok(await banner(page).getByRole('alert').count() === 1, 'and is announced');
  for (const where of ['', 'orders/', 'webhooks/?shop=default', 'shop/?shop=default', 'health/']) {
    await visit(page, where);
    ok(await banner(page).isVisible(), `it stands on page "${where}"`);
  }
  ok(await page.locator('.check[data-state=alarm] h3', { hasText: 'Scheduler' }).count() === 1, 'health says the same');
  is(await page.locator('.check').first().getAttribute('data-state'), 'alarm', 'first of all');
  await look(page, 'health-stopped');
  await visit(page, 'attached/?shop=default');
  await banner(page).getByRole('link').focus();
  await page.keyboard.press('Enter');
  await page.getByRole('heading', { name: 'Health', level: 1 }).waitFor();
  ok(true, 'it leads to health by keyboard');
  sql("DELETE FROM incomplete_orders.heartbeats WHERE job = 'tick'");
  await page.clock.runFor(61000);
  await banner(page).getByText('has never run').waitFor();
  ok(true, 'it says when it has never run');
  sql("CALL incomplete_orders.tick()");
  await page.clock.runFor(61000);
  await banner(page).waitFor({ state: 'detached' });
  ok(true, 'and is gone when it runs');
}

async function analyst(browser, program) {
  await standStill();
  await browser.clearCookies();
  const page = await signIn(browser, program, 'web_analyst');
  const seen = asked(page);
  await visit(page, 'health/');
  is(await page.getByRole('heading', { level: 1 }).textContent(), 'Not allowed', 'an analyst has no health page');
  is([await banner(page).count(), seen.length, await page.getByRole('link', { name: 'Health' }).count()].join(), '0,0,0', 'no banner, no link, and nothing is asked');
  noErrors(page);
  await page.close();
  await standStill(false);
}

async function main() {
  await fill();
  sql("CALL incomplete_orders.tick()");
  // a warning that health() has before an alarm
  sql(`INSERT INTO incomplete_orders.hook_failures (shop_id, hook, failed_at, sqlstate) SELECT shop_id, 'availability', now(), '42501' FROM incomplete_orders.shops WHERE shop = 'default';
    UPDATE incomplete_orders.attached_tables SET problem_at = now() - interval '3 hours' WHERE name = 'wishes'`);
  const program = await admin();
  const browser = await launch();
  const page = await signIn(browser, program, 'web_admin', { path: 'orders/' });
  await page.clock.install();
  await page.reload();
  await settled(page);
  await visit(page, 'health/');
  await checks(page);
  await look(page, 'health');
  await refreshes(page);
  await stands(page, browser, program);
  noErrors(page);
  await page.close();
  await analyst(browser, program);
}

run(main);
