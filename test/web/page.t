#!/usr/bin/env node
// A storefront's page in a real browser, with /assets/incomplete-orders.js from the real
// program, which is another origin, under a Content-Security-Policy that allows nothing else.
'use strict';

const http = require('http');
const { ok, is, sql, await_, serve, launch, run } = require('./browser.js');

const form = `
<form action="/done"><input id="email" autocomplete="email"><input id="given" autocomplete="shipping given-name"><input id="family" autocomplete="shipping family-name">
<input id="city" data-io="city"><input id="bill" autocomplete="billing postal-code"><select id="country" autocomplete="country"><option value=""></option><option>DE</option></select>
<input id="card" autocomplete="cc-number"><input id="password" type="password" autocomplete="current-password"><input id="search" name="q">
<input id="agree" type="checkbox"><button>Pay</button></form><p style="height: 3000px">Lamps</p><a href="/next">Next</a>`;

// A shop's pages; each has the script with the attributes that its query says.
async function shop(program, host) {
  const server = http.createServer((request, response) => {
    const { searchParams } = new URL(request.url, 'http://shop');
    const attributes = [...searchParams].filter(([name]) => name.startsWith('data-')).map(([name, value]) => `${name}="${value}"`).join(' ');
    response.writeHead(200, { 'Content-Type': 'text/html',
      'Content-Security-Policy': `default-src 'none'; script-src http://${program.address}; connect-src http://${program.address}; style-src 'unsafe-inline'; form-action 'self'` });
    response.end(`<!DOCTYPE html><title>Shop</title>${form}<script src="http://${program.address}/assets/incomplete-orders.js" ${attributes}></script>`);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const origin = `http://${host}:${server.address().port}`;
  return { server, origin, url: (attributes, more = '') => `${origin}/checkout?${new URLSearchParams(attributes)}${more}` };
}

const order = (session) => JSON.parse(sql(`SELECT coalesce((SELECT to_jsonb(o) || jsonb_build_object('items', o.items::jsonb) FROM incomplete_orders.open_orders o
  JOIN incomplete_orders.shops s USING (shop_id) WHERE s.shop = 'web-page' AND o.session_id = '${session}'), 'null')`));
const orders = () => sql("SELECT count(*) FROM incomplete_orders.open_orders JOIN incomplete_orders.shops USING (shop_id) WHERE shop = 'web-page'");
const left = (session) => sql(`SELECT coalesce(string_agg(e.reason_code, ',' ORDER BY e.event_id), '') FROM incomplete_orders.order_events e WHERE e.event = 'left' AND e.order_id = '${order(session)?.id}'`);

async function main() {
  const program = await serve();
  const theShop = await shop(program, 'localhost');
  const other = await shop(program, '127.0.0.1');
  sql(`SELECT incomplete_orders.create_shop('web-page', 'Page', 'EUR');
    SELECT incomplete_orders.configure_shop('web-page', '{"allowed_origins": ["${theShop.origin}"], "page_prices": "accept"}')`);
  const key = sql("SELECT incomplete_orders.rotate_publishable_key('web-page')");
  const browser = await launch();
  const trouble = [];
  // what the program was asked, but for the script
  const asked = (path = '') => (program.log().match(/ path=\S+/g) ?? []).filter((found) => !found.includes('assets') && found.includes(path)).length;
  const open = async (attributes, more) => {
    const page = await browser.newPage();
    page.on('console', (message) => { if (message.type() === 'error') trouble.push(message.text()); });
    page.on('pageerror', (error) => trouble.push(String(error)));
    await page.goto(theShop.url({ 'data-key': key, ...attributes }, more));
    return page;
  };
  const fill = async (page) => {
    await page.locator('#given').pressSequentially('Jane');
    await page.locator('#email').pressSequentially('jane@shopper.example');
    await page.locator('#card').pressSequentially('4111111111111111');
    await page.locator('#password').pressSequentially('zqsecret');
    await page.locator('#bill').pressSequentially('99999');
    await page.locator('#search').pressSequentially('lamp');
  };
  const cookie = async () => (await browser.cookies()).find(({ name }) => name === 'io_session')?.value;

  // Without consent nothing is kept, asked or set.
  let page = await open({ 'data-consent': '#agree', 'data-stage': 'shipping', 'data-consent-version': 'v7' });
  await fill(page);
  await page.waitForTimeout(1500);
  await page.evaluate(() => scrollTo(0, 1e6));
  is(asked(), 0, 'typing without consent asks the program nothing');
  is(await cookie(), undefined, 'and sets no cookie');
  await page.goto('about:blank');
  await page.waitForTimeout(300);
  is(asked(), 0, 'nor does leaving');
  is(orders(), '0', 'nothing was kept');
  await page.close();

  page = await open({});
  await fill(page);
  await page.locator('#agree').check();
  await page.waitForTimeout(1500);
  is(asked(), 0, 'a page that says nothing of consent has none');
  await page.close();

  // With consent the fields are kept as they are typed.
  page = await open({ 'data-consent': '#agree', 'data-stage': 'shipping', 'data-consent-version': 'v7' });
  await fill(page);
  await page.locator('#agree').check();
  ok(await await_(async () => await cookie() && order(await cookie()), 'the form is kept'), 'ticking the box keeps what was typed');
  const session = await cookie();
  let kept = order(session);
  is([kept.email, kept.address.first_name, kept.address.postal_code].join(), 'jane@shopper.example,Jane,', 'by what autocomplete says of the fields, and not the bill');
  ok(!/4111|zqsecret|lamp/i.test(JSON.stringify(kept)), 'no card, no password, nothing else');
  is([kept.context.consent.status, kept.context.consent.text_version].join(), 'granted,v7', 'with the consent, and to which text');
  ok(Math.abs(Date.now() - Date.parse(kept.context.consent.at)) < 120000, 'and when');
  ok(session.length >= 16, 'the session is long');
  const before = asked();
  await page.locator('#family').pressSequentially('Doe');
  await page.locator('#city').pressSequentially('Rome');
  await page.locator('#country').selectOption('DE');
  ok(await await_(() => order(session).address.country === 'DE', 'the next fields'), 'later fields follow');
  is([order(session).address.last_name, order(session).address.city].join(), 'Doe,Rome', 'those without autocomplete by data-io');
  ok(asked() - before < 5, `not with each key that is pressed (${asked() - before})`);
  await page.locator('#agree').uncheck();
  ok(await await_(() => order(session).context.consent.status === 'withdrawn', 'consent is withdrawn'), 'consent that is taken back is told');
  await page.locator('#agree').check();
  ok(await await_(() => order(session).context.consent.status === 'granted', 'consent is granted'), 'and given again');

  // What was typed last is not lost, and leaving is told, once.
  await page.locator('#city').fill('Oslo');
  await page.evaluate(() => scrollTo(0, 1e6));
  await page.waitForTimeout(100);
  await page.goto('about:blank');
  ok(await await_(() => left(session) !== '' && order(session).context.engagement, 'leaving is told'), 'leaving is told');
  is(left(session), 'shipping', 'with the stage');
  is(order(session).address.city, 'Oslo', 'the last field is saved on the way');
  is([order(session).context.engagement.views, order(session).context.engagement.scroll].join(), '1,100', 'and how far the page was looked at');
  await await_(() => asked('track-abandonment') && asked('track-engagement'), 'the log');
  is([asked('track-abandonment'), asked('track-engagement')].join(), '1,1', 'each once');
  await page.close();

  // Who goes on within the shop has not left it.
  page = await open({ 'data-consent': 'granted', 'data-stage': 'payment' });
  await page.getByRole('link', { name: 'Next' }).click();
  ok(await await_(() => order(session).context.engagement.views === 2, 'the link is followed'), 'a link within the shop');
  await page.goto(theShop.url({ 'data-key': key, 'data-consent': 'granted', 'data-stage': 'payment' }));
  await page.getByRole('button', { name: 'Pay' }).click();
  ok(await await_(() => order(session).context.engagement.views === 3, 'the form is sent'), 'or its form is no leaving');
  is(left(session), 'shipping', 'so nothing more was said');
  await page.close();

  // The page's own calls.
  page = await open({ 'data-session': 'session-of-the-shop-1' });
  const put = await page.evaluate(() => window.incompleteOrders.cart({ items: [{ sku: 'L', name: 'Lamp', quantity: 2, unit_price: '4.50' }], step: 'contact' }));
  is(put.id, order('session-of-the-shop-1').id, 'cart() captures, in the session that the shop says');
  is((await page.evaluate(() => window.incompleteOrders.cart())).total, 9, 'and gives the cart back');
  is(await page.evaluate(() => window.incompleteOrders.restore().then(String, (answer) => answer.status)), 404, 'what fails says so');
  await page.evaluate(() => window.incompleteOrders.left('cart', 'too_dear'));
  ok(await await_(() => left('session-of-the-shop-1') === 'cart', 'left()'), 'left() says that the visitor left');
  await page.evaluate(() => { window.incompleteOrders.consent = () => ({ status: 'granted', source: 'banner' }); });
  await page.locator('#email').pressSequentially('joe@shopper.example');
  ok(await await_(() => order('session-of-the-shop-1').email === 'joe@shopper.example', 'consent()'), 'a page may decide on consent by a function');
  is(order('session-of-the-shop-1').context.consent.source, 'banner', 'which says what was agreed to');
  trouble.splice(0, trouble.length, ...trouble.filter((text) => !/status of 404/.test(text)));
  await page.close();

  // A recovery link.
  sql("SELECT incomplete_orders.configure_shop('web-page', '{\"consent_rule\": \"none\"}')");
  const id = sql(`SELECT incomplete_orders.capture_cart('session-that-was-left', '[{"sku":"R","name":"Rug","quantity":1,"unit_price":"80"}]', email => 'ann@shopper.example', shop => 'web-page', at => now() - interval '3 hours')`);
  const message = sql(`SELECT incomplete_orders.mark_abandoned('${id}'); SELECT incomplete_orders.send_recovery_email('${id}')`).split('\n').pop();
  const token = sql(`SELECT restore FROM incomplete_orders._link_tokens('${message}', now())`);
  page = await open({ 'data-session': 'session-that-is-back' }, `&restore=${token}`);
  const preview = await page.evaluate(() => window.incompleteOrders.preview());
  is([preview.items[0].sku, preview.total].join(), 'R,80', 'preview() shows the cart of the link');
  ok(!JSON.stringify(preview).includes('ann@'), 'without an address');
  is([order('session-that-was-left')?.status, order('session-that-is-back')].join(), 'abandoned,', 'and changes nothing');
  is((await page.evaluate(() => window.incompleteOrders.restore())).id, id, 'restore() brings it back');
  is([order('session-that-was-left'), order('session-that-is-back')?.status].join(), ',pending', 'into this session');
  await page.close();
  is(trouble.join('\n'), '', 'the browser complains of nothing: no policy was broken');

  // The page of somebody else.
  const kept_before = orders();
  page = await browser.newPage();
  await page.goto(other.url({ 'data-key': key, 'data-session': 'session-of-the-shop-1', 'data-consent': 'granted' }));
  is(await page.evaluate(() => window.incompleteOrders.cart({ step: 'review' }).then(String, (error) => error.name)), 'TypeError', 'another origin may not ask');
  is(await page.evaluate(() => window.incompleteOrders.cart().then(String, (error) => error.name)), 'TypeError', 'nor read');
  await page.locator('#email').pressSequentially('evil@shopper.example');
  const refused = page.waitForEvent('requestfinished', (request) => request.url().includes('track-engagement')).catch(() => null);
  await page.goto('about:blank');
  await refused;
  ok(await await_(() => (program.log().match(/status=403/g) ?? []).length >= 5, 'the refusals'), 'what a browser sends unasked is refused');
  is([orders(), order('session-of-the-shop-1').email, order('session-of-the-shop-1').furthest_step, left('session-of-the-shop-1')].join(), `${kept_before},joe@shopper.example,contact,cart`, 'nothing was changed by it');

  theShop.server.close();
  other.server.close();
  program.child.kill('SIGTERM');
  is(await new Promise((resolve) => program.child.on('exit', resolve)), 0, 'the program ends well');
  ok(!/shopper\.example|session-|pk_/.test(program.log()), 'no address, session or key in the log');
}

run(main);
