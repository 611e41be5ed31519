#!/usr/bin/env node
// The shopper pages in a real browser, with the real extension and program: what a
// person sees and presses. Screenshots go to the folder that SCREENSHOTS names.
'use strict';

const http = require('http');
const path = require('path');
const { ok, is, sql, await_, serve, launch, run } = require('./browser.js');

// A shop's own pages: /cart redirects once more, as shops do.
async function shop() {
  const seen = [];
  const server = http.createServer((request, response) => {
    seen.push({ url: request.url, method: request.method, headers: request.headers });
    if (request.url.startsWith('/cart')) {
      response.writeHead(302, { Location: `http://localhost:${server.address().port}/checkout` });
      response.end();
    } else {
      response.writeHead(200, { 'Content-Type': 'text/html' });
      response.end('<!DOCTYPE html><title>Shop</title><h1>The shop</h1>');
    }
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  return { server, seen, origin: `http://127.0.0.1:${server.address().port}` };
}

// An abandoned cart with a message; the tokens of its links.
function abandon(session, name, settings) {
  sql(`SELECT incomplete_orders.create_shop('${name}', '${settings.title ?? 'Example Shop'}', 'EUR', 'Europe/Berlin');
    SELECT incomplete_orders.configure_shop('${name}', '${JSON.stringify({ consent_rule: 'none', ...settings.shop })}')`);
  const id = sql(`SELECT incomplete_orders.capture_cart('${session}', '${JSON.stringify(settings.items)}', email => 'jane.doe@shopper.example', name => 'Jane Doe',
    context => '{"locale": "${settings.locale ?? 'en'}"}', shop => '${name}', at => now() - interval '3 hours')`);
  const message = sql(`SELECT incomplete_orders.mark_abandoned('${id}'); SELECT incomplete_orders.send_recovery_email('${id}')`).split('\n').pop();
  const tokens = JSON.parse(sql(`SELECT row_to_json(t) FROM incomplete_orders._link_tokens('${message}', now()) t`));
  return { id, message, ...tokens };
}

// Relative luminance and contrast by WCAG, of what the browser computed.
function contrast(a, b) {
  const [one, other] = [a, b].map((colour) => {
    const [r, g, bl] = colour.match(/[\d.]+/g).slice(0, 3).map((x) => {
      const c = x / 255;
      return c <= 0.04045 ? c / 12.92 : ((c + 0.055) / 1.055) ** 2.4;
    });
    return 0.2126 * r + 0.7152 * g + 0.0722 * bl + 0.05;
  });
  return Math.max(one, other) / Math.min(one, other);
}

async function readable(page, name) {
  const colours = await page.evaluate(() => {
    const body = getComputedStyle(document.body);
    const pairs = [['text', body.color, body.backgroundColor]];
    for (const element of document.querySelectorAll('.soft')) pairs.push(['small text', getComputedStyle(element).color, body.backgroundColor]);
    const button = document.querySelector('button');
    if (button) {
      const style = getComputedStyle(button);
      pairs.push(['button', style.color, style.backgroundColor], ['edge of the button', style.borderTopColor, body.backgroundColor]);
    }
    return pairs;
  });
  for (const [what, front, back] of colours) {
    if (contrast(front, back) >= (what.startsWith('edge') ? 3 : 4.5)) continue;
    return ok(false, `${name}: ${what} can be read (${front} on ${back})`);
  }
  return ok(true, `${name}: everything can be read`);
}

async function fits(page, name) {
  const [wide, window_] = await page.evaluate(() => [document.documentElement.scrollWidth, window.innerWidth]);
  ok(wide <= window_, `${name}: nothing sticks out`);
}

async function shoot(page, name) {
  if (process.env.SCREENSHOTS) await page.screenshot({ path: path.join(process.env.SCREENSHOTS, `${name}.png`), fullPage: true });
}

const items = [
  { sku: 'A-1', name: 'Blue shirt, organic cotton', variant: 'M', quantity: 2, unit_price: '19.90', url: 'https://shop.example/a-1', image_url: 'https://shop.example/a-1.png' },
  { sku: 'B-2', name: 'Socks', quantity: 1, unit_price: '5' },
  { sku: 'C-3', name: '<img src=x onerror=document.title=1> ' + 'Donaudampfschifffahrtsgesellschaftskapitänsmütze'.repeat(2), quantity: 1000, unit_price: '1234.5' },
];

async function main() {
  const program = await serve();
  const theShop = await shop();
  const base = `http://${program.address}`;
  const browser = await launch();
  const trouble = [];
  const outside = [];
  // Nothing leaves this machine: pictures of the fixture are made here.
  await browser.route(/^https:/, (route) => {
    outside.push(route.request());
    return route.fulfill({ contentType: 'image/svg+xml', body: '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 64 64"><rect width="64" height="64" fill="#56b4e9"/></svg>' });
  });
  const page = await browser.newPage();
  page.on('console', (message) => { if (message.type() === 'error' && !/status of 4/.test(message.text())) trouble.push(message.text()); });
  page.on('pageerror', (error) => trouble.push(String(error)));

  const cart = abandon('web-1', 'web-1', {
    items, shop: { colour: '#0b6e4f', restore_url: `${theShop.origin}/cart?restore={token}&order={id}`, logo_url: 'https://shop.example/logo.svg' },
  });
  const german = abandon('web-2', 'web-2', { items, locale: 'de-DE', title: 'Käse & Söhne', shop: { colour: '#ffe000' } });

  // What a person sees, on a desk and in a hand, by day and by night.
  for (const [size, width, height] of [['desk', 1200, 900], ['hand', 360, 740], ['small', 320, 568]]) {
    for (const colorScheme of ['light', 'dark']) {
      await page.setViewportSize({ width, height });
      await page.emulateMedia({ colorScheme });
      for (const [name, url] of [['cart', `/r/${cart.restore}`], ['cart-de', `/r/${german.restore}`], ['unsubscribe-de', `/u/${german.unsubscribe}`],
        ['not-me', `/n/${cart.not_me}`], ['bad', '/r/abc']]) {
        await page.goto(base + url);
        await readable(page, `${name}, ${size}, ${colorScheme}`);
        await fits(page, `${name}, ${size}, ${colorScheme}`);
        await shoot(page, `${name}-${size}-${colorScheme}`);
      }
    }
  }
  await page.setViewportSize({ width: 1200, height: 900 });
  await page.emulateMedia({ colorScheme: 'light' });
  await page.goto(`${base}/r/${cart.restore}`);
  is(await page.title(), 'Your cart is still here – Example Shop', 'the title, which no product has changed');
  is(await page.locator('li').count(), 3, 'three lines');
  ok(await page.locator('li img').first().evaluate((img) => img.naturalWidth > 0), 'a picture of a product is shown');
  ok(outside.length > 0 && outside.every((request) => !request.headers().referer), 'who serves pictures learns no token');
  is(await page.evaluate(() => document.querySelectorAll('script, [onerror]').length), 0, 'no script in it');

  // By keyboard alone.
  let focused = '';
  for (let i = 0; i < 10 && focused !== 'BUTTON'; i++) {
    await page.keyboard.press('Tab');
    focused = await page.evaluate(() => document.activeElement.tagName);
  }
  is(focused, 'BUTTON', 'the keyboard reaches the button');
  const outline = await page.evaluate(() => getComputedStyle(document.activeElement).outlineWidth);
  ok(parseFloat(outline) >= 2, 'and one sees that it has');
  await shoot(page, 'focus');
  const abandoned = sql(`SELECT status FROM incomplete_orders.open_orders WHERE id = '${cart.id}'`);
  is(abandoned, 'abandoned', 'looking has restored nothing');
  await Promise.all([page.waitForURL('**/checkout'), page.keyboard.press('Enter')]);
  is(await page.locator('h1').textContent(), 'The shop', 'the button leads to the shop, through another redirect of its own');
  const visit = theShop.seen.find((request) => request.url.startsWith('/cart'));
  is(visit?.url, `/cart?restore=${cart.restore}&order=${cart.id}`, 'with token and order');
  is(visit?.method, 'GET', 'by GET');
  ok(!visit?.headers.referer, 'without a referrer');
  is(sql(`SELECT status FROM incomplete_orders.open_orders WHERE id = '${cart.id}'`), 'pending', 'the cart is restored');

  // A shop without a page of its own.
  await page.goto(`${base}/r/${german.restore}`);
  await Promise.all([page.waitForNavigation(), page.getByRole('button', { name: 'Warenkorb wiederherstellen' }).click()]);
  is(await page.locator('h1').textContent(), 'Ihr Warenkorb ist wieder da', 'without restore_url the cart is shown');
  is(await page.locator('html').getAttribute('lang'), 'de', 'in German');
  is(sql(`SELECT status FROM incomplete_orders.open_orders WHERE id = '${german.id}'`), 'pending', 'that one is restored, too');
  await shoot(page, 'restored-de');

  // A link of the mail without a page in the shop leads to the restore page.
  await page.goto(`${base}/c/${german.click}/2`);
  is(page.url(), `${base}/r/${german.restore}`, 'a line without a page');

  // No more messages.
  const suppressed = (name) => sql(`SELECT coalesce(string_agg(scope || ' ' || reason, ','), '') FROM incomplete_orders.suppressions JOIN incomplete_orders.shops USING (shop_id) WHERE shop = '${name}'`);
  await page.goto(`${base}/u/${german.unsubscribe}`);
  is(suppressed('web-2'), '', 'looking at the unsubscribe page does nothing');
  await Promise.all([page.waitForNavigation(), page.getByRole('button').click()]);
  is(await page.locator('h1').textContent(), 'Erledigt: keine Erinnerungen mehr', 'unsubscribed');
  is(suppressed('web-2'), 'recovery unsubscribed', 'and it is so');
  await shoot(page, 'unsubscribed-de');
  await page.goto(`${base}/n/${cart.not_me}`);
  await Promise.all([page.waitForNavigation(), page.getByRole('button').click()]);
  is(suppressed('web-1'), 'all not_me', 'not me');

  // Pages that a browser shows for links that lead nowhere.
  is((await page.goto(`${base}/u/${cart.restore}`)).status(), 404, 'the token of another link');
  is((await page.goto(`${base}/r/${cart.unsubscribe}`)).status(), 404, 'and the other way round');
  is((await browser.cookies()).length, 0, 'no cookie was set');
  is(trouble.join('\n'), '', 'the browser complains of nothing: no policy was broken');

  ok(await await_(() => Number(sql(`SELECT count(*) FROM incomplete_orders.messages WHERE id IN ('${cart.message}', '${german.message}')
    AND EXISTS (SELECT FROM incomplete_orders.order_events e WHERE e.message_id = messages.id AND e.event = 'message_clicked')`)) === 2, 'clicks'),
  'the visits are recorded');

  theShop.server.close();
  program.child.kill('SIGTERM');
  is(await new Promise((resolve) => program.child.on('exit', resolve)), 0, 'the program ends well');
  ok(!/jane|shopper\.example/.test(program.log()), 'no address in the log');
}

run(main);
