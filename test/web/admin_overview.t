#!/usr/bin/env node
// The overview: every figure is what the database says, the change against the period before
// is computed anew here, and all of it can be had by mouse, keyboard and address.
'use strict';

const fs = require('fs');
const { ok, is, sql, await_, launch, run, fill, admin, signIn, visit, settled, look, noErrors, expect } = require('./admin.js');

const KEYS = ['abandoned_value', 'recovered_value', 'recovery_rate', 'lost_value', 'total', 'converted', 'conversion_rate', 'abandonment_rate',
  'checkout_abandonment_rate', 'assisted', 'unaided', 'messages_sent'];
const money = new Set(KEYS.filter((name) => /_value$/.test(name)));
const rates = new Set(KEYS.filter((name) => /_rate$/.test(name)));

const rows = (text) => JSON.parse(sql(`SELECT coalesce(jsonb_agg(to_jsonb(r)), '[]') FROM (${text}) r`));
const report = (name, shop, since, until, currency) => rows(`SELECT * FROM incomplete_orders.${name}('${shop}', '${since}', '${until}'::date + 1)`).filter((row) => row.currency === currency);
const days = (n, from = 'now()') => sql(`SELECT (${from} AT TIME ZONE 'Europe/Berlin')::date + (${n})`);

// One digit, halves up: what is 1.95 in decimals is 1.9499... in binary.
const tenths = (by) => (Math.round(Number((Math.abs(by) * 10).toFixed(6))) / 10).toFixed(1);

// as the page writes them, by Intl itself
function shown(name, value, currency) {
  if (value === null) return '–';
  if (money.has(name)) return new Intl.NumberFormat('en-GB', { style: 'currency', currency, ...(Math.abs(value) >= 100000 && { maximumFractionDigits: 0 }) }).format(value);
  if (rates.has(name)) return new Intl.NumberFormat('en-GB', { style: 'percent', minimumFractionDigits: 1, maximumFractionDigits: 1 }).format(value);
  return new Intl.NumberFormat('en-GB').format(value);
}
function changed(name, now, before, anything) {
  if (!anything || now === null || before === null || (!rates.has(name) && Number(before) === 0)) return 'no comparison';
  const by = rates.has(name) ? (now - before) * 100 : (100 * (now - before)) / Math.abs(before);
  if (Math.round(Math.abs(by) * 10) === 0) return '= same';
  return `${by > 0 ? '▲' : '▼'} ${tenths(by).replace(/\.0$/, rates.has(name) ? '' : '.0').replace(/\B(?=(\d{3})+(?!\d))/g, ',')}${rates.has(name) ? ' points' : '%'} ${by > 0 ? 'more' : 'less'}`;
}
const figure = (page, name, part) => page.locator(`[data-figure=${name}] ${part}`).evaluate((node) => [...node.childNodes].filter((child) => !child.classList?.contains('hidden')).map((child) => child.textContent).join(''));

// All figures of the page against the database.
async function agree(page, shop, since, until, currency, what) {
  const n = (Date.parse(until) - Date.parse(since)) / 86400000 + 1;
  const shift = (date, by) => new Date(Date.parse(date) + by * 86400000).toISOString().slice(0, 10);
  const [now] = report('statistics', shop, since, until, currency);
  const [before = { total: 0 }] = report('statistics', shop, shift(since, -n), shift(until, -n), currency);
  const wrong = [];
  for (const name of KEYS) {
    const value = await figure(page, name, '.value');
    if (value !== shown(name, now[name], currency)) wrong.push(`${name}: ${value}, not ${shown(name, now[name], currency)}`);
    if (before.total === 0 && !['abandoned_value', 'recovered_value', 'recovery_rate', 'lost_value'].includes(name)) continue;
    const change = await figure(page, name, '.change');
    const expected = changed(name, now[name], before[name], before.total > 0);
    if (change !== expected) wrong.push(`${name}: changed "${change}", not "${expected}"`);
  }
  is(wrong.join('; '), '', `${what}: every figure and change is what the database says`);
  return { now, before };
}

const near = (page, name) => page.locator(`[data-report=${name}]`);
async function come(page, name) {
  await near(page, name).scrollIntoViewIfNeeded();
  await near(page, name).locator('.chart').waitFor();
  await settled(page);
}
// The file of a chart, and its table as the page shows it.
async function both(page, chart) {
  const section = page.locator(`[data-chart=${chart}]`);
  const [download] = await Promise.all([page.waitForEvent('download'), section.getByRole('button', { name: /^CSV/ }).click()]);
  const text = fs.readFileSync(await download.path(), 'utf8').replace(/^\ufeff/, '');
  await section.getByRole('button', { name: /^Table/ }).click();
  const table = await section.locator('.numbers tbody tr').evaluateAll((all) => all.map((row) => [...row.cells].map((cell) => cell.textContent)));
  await section.getByRole('button', { name: /^Chart/ }).click();
  return { name: download.suggestedFilename(), lines: text.trimEnd().split('\r\n'), table };
}

async function main() {
  await fill();
  const program = await admin();
  const browser = await launch();
  const page = await signIn(browser, program, 'web_admin', { path: '?shop=default' });
  await page.locator('.headline').waitFor();
  const today = days(0);

  await agree(page, 'default', days(-29), today, 'EUR', '30 days');
  ok(/30 days/.test(await page.locator('.headline').textContent()), 'the sentence says of which days');
  ok(/Europe\/Berlin/.test(await page.locator('.as-of').textContent()), 'the time zone of the shop is named');
  ok(/As of \d\d:\d\d/.test(await page.locator('.as-of').textContent()), 'and as of when');
  const paint = await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0]?.startTime);
  console.log(`# first contentful paint after ${Math.round(paint)} ms`);
  ok(paint < 3000, 'the first paint comes soon, even on a busy machine');

  // definitions
  await page.locator('[data-figure=recovery_rate] .term button').focus();
  ok(await page.locator('[data-figure=recovery_rate] [role=tooltip]').isVisible(), 'the definition is there on focus');
  ok(/Recovered/.test(await page.locator('[data-figure=recovery_rate] [role=tooltip]').textContent()), 'in the words of the field');

  // what is far down is not asked before one comes there
  const asked = [];
  page.on('request', (request) => { const found = /(statistics\w*|funnel)\/\?/.exec(request.url()); if (found) asked.push(found[1]); });
  await page.setViewportSize({ width: 1440, height: 500 });
  await page.evaluate(() => scrollTo(0, 0));
  await page.reload();
  await page.locator('.headline').waitFor();
  await settled(page);
  ok(!asked.includes('statistics_by_cohort_age'), 'charts far below are not asked for');
  for (const name of ['hours', 'funnel', 'products', 'values', 'times', 'reasons', 'devices', 'sources', 'campaigns', 'cohorts']) await come(page, name);
  ok(asked.includes('statistics_by_cohort_age'), 'until they come near');
  await page.setViewportSize({ width: 1440, height: 900 });

  // each chart against its report: table, file
  const since = days(-29);
  const eur = (name) => report(name, 'default', since, today, 'EUR');
  const cases = {
    days: ['statistics_by_day', ['day', 'total', 'episodes', 'recovered', 'converted', 'lost']],
    money: ['statistics_by_day', ['day', 'recovered_value', 'episode_value', 'converted_value']],
    hours: ['statistics_by_hour', ['weekday', 'hour', 'created', 'episodes', 'episode_value', 'recovered', 'recovered_value', 'assisted', 'unaided']],
    funnel: ['funnel', ['step', 'orders', 'share', 'from_previous']],
    values: ['statistics_by_value', ['value_from', 'value_before', 'episodes', 'episode_value', 'recovered', 'recovered_value', 'assisted', 'unaided'], (row) => row.episodes > 0],
    reasons: ['statistics_by_reason', ['reason', 'episodes', 'episode_value', 'recovered', 'recovered_value', 'assisted', 'unaided'], (row) => row.episodes > 0],
    devices: ['statistics_by_device', ['device', 'episodes', 'episode_value', 'recovered', 'recovered_value', 'assisted', 'unaided'], (row) => row.episodes > 0],
    sources: ['statistics_by_source', ['source', 'episodes', 'episode_value', 'recovered', 'recovered_value', 'assisted', 'unaided'], (row) => row.episodes > 0],
    products: ['statistics_by_product', ['product', 'name', 'abandoned', 'abandoned_quantity', 'abandoned_value', 'recovered', 'recovered_quantity', 'recovered_value']],
    times: ['statistics_by_recovery_time', ['time_from', 'time_before', 'recovered', 'recovered_value', 'share', 'share_before']],
  };
  const cell = (value) => (value === null ? '' : /[",\r\n]/.test(String(value)) ? '"' + String(value).replace(/"/g, '""') + '"' : String(value));
  for (const [chart, [name, columns, keep = () => true]] of Object.entries(cases)) {
    const expected = eur(name).filter(keep);
    const got = await both(page, chart);
    is(got.lines[0], columns.join(','), `${chart}: the file names its columns`);
    is(got.lines.slice(1).join('\n'), expected.map((row) => columns.map((column) => cell(row[column])).join(',')).join('\n'), `${chart}: the file has the rows of ${name}()`);
    is(got.table.length, expected.length, `${chart}: the table has as many`);
    const count = columns.findIndex((column) => ['episodes', 'orders', 'abandoned', 'recovered', 'recovered_value'].includes(column));
    is(got.table.map((line) => line[count].replace(/[^\d.]/g, '')).map(Number).join(), expected.map((row) => Number(row[columns[count]])).join(), `${chart}: and the same numbers`);
    ok(got.name.startsWith(`default-`) && got.name.includes(`${since}-${today}`), `${chart}: the file is called after the shop and its days`);
  }
  const weeks = eur('statistics_by_cohort_age').filter((row) => row.days_before === null);
  const cohorts = await both(page, 'cohorts');
  is(cohorts.lines.slice(1).map((line) => line.split(',').slice(0, 3).join()).join(' '), weeks.map((row) => [row.week, row.episodes, row.recoverable].join()).join(' '), 'cohorts: a line for each week');
  is(cohorts.lines.slice(1).map((line) => line.split(',').pop()).join(), weeks.map((row) => row.recovered_so_far).join(), 'cohorts: with all that came back');
  const sent = eur('statistics_by_campaign').filter((row) => row.sent > 0 || row.held_out > 0 || row.converted > 0);
  is(await page.locator('[data-chart=campaigns] table.trials tbody tr').count(), sent.length, 'campaigns: a row for each message');
  is(await page.locator('[data-chart=campaigns] table.trials tbody tr td:nth-child(2)').allTextContents().then((all) => all.join()), sent.map((row) => row.sent).join(), 'with how many were sent');
  ok(/not yet certain|converts better/.test(await page.locator('.trial').first().textContent()), 'two variants are compared in words');

  // a part of the products
  const part = await (await page.request.get(`${page.base}../api/v1/incomplete-orders/incomplete-orders/statistics_by_product/?shop=default&start_date=${since}&end_date=${today}&page_size=2`, { headers: { 'X-Requested-With': 'incomplete-orders' } })).json();
  is(part.results.filter((row) => row.currency === 'EUR').map((row) => row.product).join(), eur('statistics_by_product').slice(0, 2).map((row) => row.product).join(), 'page_size: only the products that are abandoned most');
  ok(new Set(part.results.map((row) => row.currency)).size > 1, 'of each currency');

  // sentences
  const top = (list, name) => list.reduce((best, row) => (!best || Number(row[name]) > Number(best[name]) ? row : best), null);
  const busiest = top(eur('statistics_by_hour'), 'episodes');
  ok((await page.locator('[data-chart=hours] .says').textContent()).includes(`${busiest.hour}–${busiest.hour + 1} h: ${busiest.episodes} of`), 'the sentence names the hour in which most leave');
  is(await page.locator('[data-chart=sources] .bars li').filter({ hasText: '<b>ad</b>' }).count(), 1, 'a hostile source stays text');

  // values by keyboard and mouse
  const byDay = eur('statistics_by_day');
  const plot = page.locator('[data-chart=days] .plot');
  await plot.focus();
  await page.keyboard.press('Home');
  const said = () => page.locator('[data-chart=days] [aria-live]').textContent();
  ok((await said()).includes(`Created ${byDay[0].total}`), 'Home: the live region says the values of the first day');
  await page.keyboard.press('ArrowRight');
  ok((await said()).includes(`Created ${byDay[1].total}`) && (await said()).includes(`Abandoned ${byDay[1].episodes}`), 'the arrow key: of the next one');
  const values = () => page.locator('[data-chart=days] .legend .key b').allTextContents().then((all) => all.map((text) => text.replace(/,/g, '')).join());
  is(await values(), ['total', 'episodes', 'recovered', 'converted', 'lost'].map((name) => byDay[1][name]).join(), 'the legend shows the same');
  await page.keyboard.press('Escape');
  is(await values(), ['total', 'episodes', 'recovered', 'converted', 'lost'].map((name) => byDay.reduce((all, row) => all + row[name], 0)).join(), 'Esc: of the whole period again');
  const box = await plot.locator('.u-over').boundingBox();
  await page.mouse.move(box.x + box.width * (10 / 29), box.y + 40);
  await await_(async () => (await values()).startsWith(`${byDay[10].total},${byDay[10].episodes},`), 'the mouse is on the eleventh day');
  is(await values(), ['total', 'episodes', 'recovered', 'converted', 'lost'].map((name) => byDay[10][name]).join(), 'the mouse shows the values of its day');
  await page.locator('[data-chart=hours] [role=gridcell]').first().focus();
  await page.keyboard.press('ArrowRight');
  await page.keyboard.press('ArrowDown');
  const hour = eur('statistics_by_hour')[25];
  ok((await page.locator('[data-chart=hours] .readout').textContent()).includes(`${hour.episodes} abandoned, Tuesday 1–2 h`), 'arrow keys walk through the week');

  // the curves' names hide them, in the address
  await page.locator('[data-chart=days] .key', { hasText: 'Lost' }).click();
  ok(page.url().includes('hide=lost'), 'a hidden curve is in the address');
  is(await page.locator('[data-chart=days] .key', { hasText: 'Lost' }).getAttribute('aria-pressed'), 'false', 'and said');
  noErrors(page, 'charts: the browser complains of nothing');

  // period by mouse, keyboard, address, and back
  await page.getByRole('radio', { name: '7 days' }).check();
  await settled(page);
  ok(page.url().includes('period=7d'), 'the period is in the address');
  await agree(page, 'default', days(-6), today, 'EUR', '7 days');
  await page.getByRole('radio', { name: '7 days' }).press('ArrowLeft');
  await settled(page);
  ok(page.url().includes('period=today'), 'arrow keys change it');
  await agree(page, 'default', today, today, 'EUR', 'today');
  await page.goBack();
  await settled(page);
  ok(page.url().includes('period=7d') && await page.getByRole('radio', { name: '7 days' }).isChecked(), 'back is the period before');
  await agree(page, 'default', days(-6), today, 'EUR', '7 days again');
  await page.locator('h1').focus();
  await page.keyboard.press('q');
  await settled(page);
  await agree(page, 'default', days(-89), today, 'EUR', '90 days, by a key');
  is(await page.locator('[data-figure=recovered_value] .change').textContent(), 'no comparison', 'with nothing before there is no comparison');
  await visit(page, '?shop=default&period=last_month');
  const first = sql(`SELECT date_trunc('month', '${today}'::date - interval '1 month')::date`);
  await agree(page, 'default', first, sql(`SELECT (date_trunc('month', '${today}'::date) - interval '1 day')::date`), 'EUR', 'last month');
  await page.getByRole('radio', { name: 'Custom' }).check();
  await page.locator('input[name=from]').fill(days(-20));
  await page.locator('input[name=to]').fill(days(-30));
  ok(await page.getByRole('button', { name: 'Show' }).isDisabled(), 'days the wrong way round are refused');
  await page.locator('input[name=to]').fill(days(-11));
  await page.keyboard.press('Enter');
  await settled(page);
  ok(page.url().includes(`from=${days(-20)}`) && page.url().includes(`to=${days(-11)}`), 'own days are in the address');
  await agree(page, 'default', days(-20), days(-11), 'EUR', 'own days');

  await visit(page, `?shop=default&period=custom&from=${days(-3)}&to=${days(2)}`);
  await page.locator('[data-chart=days] .plot').focus();
  await page.keyboard.press('End');
  ok(/Created not yet/.test(await said()), 'days to come are a gap, not zero');
  await visit(page, `?shop=default&period=custom&from=${days(-20)}&to=${days(-11)}`);

  // comparison, currency, shop
  ok((await page.getByRole('switch', { name: 'Compare' }).boundingBox()).width > 25, 'a switch looks like one');
  await page.getByRole('switch', { name: 'Compare' }).uncheck();
  await settled(page);
  is(await page.locator('.change').count(), 0, 'without comparison there is none');
  await visit(page, '?shop=default');
  await page.getByLabel('Currency').selectOption('JPY');
  await settled(page);
  ok(page.url().includes('currency=JPY'), 'the currency is in the address');
  await agree(page, 'default', since, today, 'JPY', 'yen');
  await page.getByLabel('Shop', { exact: true }).selectOption('books');
  await settled(page);
  await page.locator('.headline').waitFor();
  ok(/America\/New_York/.test(await page.locator('.as-of').textContent()), 'another shop has its own time zone');
  is(await figure(page, 'total', '.value'), sql("SELECT total FROM incomplete_orders.statistics('books') WHERE currency = 'USD'"), 'and its own orders, in its own currency');
  await visit(page, '?shop=books&period=custom&from=2024-01-01&to=2024-01-31');
  await page.locator('.headline').waitFor();
  ok(await page.getByText('Nothing happened in these days').first().isVisible(), 'days without orders say so');
  ok(await page.getByText('capture_cart').first().isVisible(), 'and what to do');
  for (let turn = 0; turn < 3; turn++) {
    await page.evaluate(() => scrollTo(0, 1e6));
    await settled(page);
  }
  is(await page.locator('.chart .empty').count(), await page.locator('.chart').count(), 'every chart says that there is nothing');
  await look(page, 'overview-empty', { themes: ['light'] });

  // all shops at once
  await visit(page, '');
  await page.locator('.headline').waitFor();
  const all = rows(`SELECT * FROM incomplete_orders.statistics('*', '${since}', '${today}'::date + 1)`).find((row) => row.currency === 'EUR');
  is(await figure(page, 'total', '.value'), shown('total', all.total), 'all shops together');

  // the orders behind a figure
  await visit(page, '?shop=default');
  const link = new URL(await page.locator('[data-figure=recovered_value] .value a').getAttribute('href'), page.url());
  is([link.searchParams.get('outcome'), link.searchParams.get('abandoned_start'), link.searchParams.get('abandoned_end'), link.searchParams.get('currency')].join(), `recovered,${since},${today},EUR`, 'recovered leads to the recovered of these days');
  await page.locator('[data-figure=recovered_value] .value a').click();
  await page.waitForURL(/orders\//);
  await settled(page);
  const [figures] = report('statistics', 'default', since, today, 'EUR');
  is(await page.locator('main table tbody tr').count(), Math.min(20, figures.recovered), 'and the list has as many');
  await page.goBack();
  await page.locator('.headline').waitFor();
  await settled(page);

  // stale data says so
  await page.route('**/statistics/**', (route) => route.abort());
  expect(page, /statistics/, /ERR_FAILED/);
  await page.getByRole('button', { name: 'Refresh' }).click();
  await page.getByText(/It could not be loaded again/).first().waitFor();
  ok(await page.locator('.headline').isVisible(), 'when the answer fails the old figures stay');
  ok(/This is of \d\d:\d\d/.test(await page.locator('main .notice').first().textContent()), 'and say since when they are');
  await page.unroute('**/statistics/**');
  await page.getByRole('button', { name: 'Try again' }).first().click();
  await settled(page);
  is(await page.getByText(/It could not be loaded again/).count(), 0, 'until it works again');

  // lift, which needs more persons than the shop has
  await come(page, 'campaigns');
  const lifted = async (values) => {
    await page.route('**/incomplete-orders/statistics/**', async (route) => {
      const response = await route.fetch();
      const { results } = await response.json();
      await route.fulfill({ response, json: { results: results.map((row) => ({ ...row, lift_reason: null, treated: 900, held_out: 210, ...values })) } });
    });
    await page.getByRole('button', { name: 'Refresh' }).click();
    await page.locator('.lift .whisker').scrollIntoViewIfNeeded();
    await settled(page);
    await page.unroute('**/incomplete-orders/statistics/**');
    return page.locator('div.lift').textContent();
  };
  ok(/Not yet certain/.test(await lifted({ lift: 0.031, lift_low: -0.012, lift_high: 0.071 })), 'an interval with 0 in it is not yet certain, in words');
  const certain = await lifted({ lift: 0.052, lift_low: 0.021, lift_high: 0.083 });
  ok(/\+5.2 points lift/.test(certain) && /between \+2.1 and \+8.3/.test(certain) && /would not have come by themselves/.test(certain), 'one above 0 says what messages bring');
  await page.getByRole('button', { name: 'Refresh' }).click();
  await settled(page);

  // another period ends what was asked for the one before
  await page.evaluate(() => scrollTo(0, 0));
  const aborted = [];
  page.on('requestfailed', (request) => aborted.push(request.url()));
  await page.route('**/statistics_by_day/**', async (route) => { await new Promise((resolve) => setTimeout(resolve, 800)); await route.continue().catch(() => {}); });
  await page.locator('h1').focus();
  await page.keyboard.press('w');
  await page.waitForTimeout(200);
  await page.keyboard.press('m');
  await await_(async () => aborted.length > 0, 'what is asked no more is given up');
  ok(aborted.some((url) => url.includes(`start_date=${days(-6)}`)), 'another period ends what was asked for the one before');
  await page.unroute('**/statistics_by_day/**');
  await settled(page);

  // pictures, and curves that follow the theme and the width
  for (const name of ['hours', 'funnel', 'products', 'values', 'times', 'reasons', 'devices', 'sources', 'campaigns', 'cohorts']) await come(page, name);
  const colour = () => page.locator('[data-chart=days] canvas').evaluate((canvas) => canvas.toDataURL().length);
  const light = await colour();
  await page.emulateMedia({ colorScheme: 'dark' });
  await settled(page);
  ok(await await_(async () => (await colour()) !== light, 'painted anew'), 'curves are painted anew in the dark');
  await page.emulateMedia({ colorScheme: 'light' });
  await look(page, 'overview');
  await page.setViewportSize({ width: 360, height: 780 });
  await await_(async () => (await page.locator('[data-chart=days] .uplot').boundingBox()).width < 340, 'the curves get narrow');
  ok((await page.locator('[data-chart=days] .uplot').boundingBox()).width < 340, 'and have the width of a phone');
  noErrors(page);
  await page.close();

  // who may only read reports
  await browser.clearCookies();
  const analyst = await signIn(browser, program, 'web_analyst');
  await analyst.locator('.headline').waitFor();
  await agree(analyst, 'default', since, today, 'EUR', 'an analyst');
  is(await analyst.locator('.value a').count(), 0, 'has no links to orders that may not be seen');
  noErrors(analyst, 'an analyst: the browser complains of nothing');
}
run(main);
