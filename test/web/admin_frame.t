#!/usr/bin/env node
// What concerns every page of the admin: signing in and out, the way from page to page by
// mouse and by keyboard, what roles see, and that each page is readable, silent and small.
'use strict';

const fs = require('fs');
const http = require('http');
const path = require('path');
const { ok, is, sql, await_, launch, run, endings, fill, admin, open, typeLogin, signIn, visit, settled, look, axe, expect, noErrors, standStill, shoot } = require('./admin.js');

const folder = path.join(__dirname, '../../src/sidecar/admin');
const heading = (page) => page.locator('main h1').textContent();
const focused = (page) => page.evaluate(() => document.activeElement && `${document.activeElement.tagName.toLowerCase()} ${document.activeElement.textContent.trim().slice(0, 30)}`);
const signedOut = (page) => page.getByLabel('Password').waitFor();

// In front of the program as a web server is; target null: the program is away.
async function proxy(target) {
  const front = { target, seen: [] };
  const server = http.createServer((request, response) => {
    front.seen.push(request.url);
    if (!front.target) { request.socket.destroy(); return; }
    const [host, port] = front.target.split(':');
    const onward = http.request({ host, port, method: request.method, path: request.url, headers: request.headers }, (answer) => {
      response.writeHead(answer.statusCode, answer.rawHeaders);
      answer.pipe(response);
    });
    onward.on('error', () => request.socket.destroy());
    request.pipe(onward);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  endings.push(() => { server.closeAllConnections(); server.close(); });
  front.address = `127.0.0.1:${server.address().port}`;
  return front;
}

async function login(browser, program) {
  const page = await open(browser, program, { path: 'orders/?status=abandoned', width: 360 });
  await page.getByLabel('Role').waitFor();
  await look(page, 'login');
  noErrors(page, 'nobody is signed in, which is no error');
  is(await page.evaluate(() => document.activeElement.name), 'role', 'one can type at once');
  for (const [role, password, says] of [['web_admin', 'wrong', /That is not right/], ['web_super', undefined, /[Ss]uperuser/]]) {
    await typeLogin(page, role, password);
    await page.locator('.notice[data-kind=bad]').filter({ hasText: says }).waitFor();
    ok(true, `${role}${password ? ' with a wrong password' : ''} is refused, and told why`);
    is(await page.getByLabel('Password').inputValue(), '', '... the password is gone from the page');
    expect(page, /40[13]/);
  }
  await look(page, 'login-refused', { widths: [360] });
  await page.getByLabel('Role').fill('web_admin');
  await page.getByLabel('Password').fill('web-web_admin');
  await page.keyboard.press('Enter');
  await page.locator('nav.main').waitFor({ state: 'attached' });
  await settled(page);
  ok(page.url().endsWith('/admin/orders/?status=abandoned'), 'one is where one wanted to be');
  is(await heading(page), 'Orders', '... which is shown');
  const [cookie] = await browser.cookies();
  is([cookie.name, cookie.httpOnly, cookie.sameSite].join(), 'incomplete_orders_session,true,Strict', 'the cookie is for the server only');
  is(await page.evaluate(() => document.cookie + JSON.stringify(localStorage) + JSON.stringify(sessionStorage)).then((all) => /web-web_admin|session/.test(all)), false, 'scripts keep neither cookie nor password');

  // another tab is signed in as well, and out
  const other = await signIn(browser, program, 'web_admin', { path: 'health/' });
  is(await heading(other), 'Health', 'another tab is signed in, too');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await signedOut(page);
  ok(/signed out/.test(await page.locator('main.login').textContent()), 'signing out says so');
  is((await browser.cookies()).length, 0, '... and takes the cookie back');
  noErrors(page, 'nothing went wrong');
  await other.locator('nav.main').getByRole('link', { name: 'Messages' }).click();
  await signedOut(other);
  ok(/session has ended/.test(await other.locator('main.login').textContent()), 'the other tab learns of it at the next step');
  expect(other, /401/);
  await typeLogin(other, 'web_admin');
  await other.locator('nav.main').waitFor();
  await settled(other);
  ok(other.url().endsWith('/admin/messages/'), '... and goes on where it was');
  is(await heading(other), 'Messages', '... on that page');
  noErrors(other, 'nothing else went wrong');
  await page.close();
  await other.close();
}

async function idle(browser) {
  const program = await admin('--session-idle=3s');
  const page = await signIn(browser, program, 'web_admin', { path: 'orders/' });
  await page.waitForTimeout(3500);
  await page.locator('nav.main').getByRole('link', { name: 'Health' }).click();
  await signedOut(page);
  expect(page, /401/);
  await typeLogin(page, 'web_admin');
  await page.locator('nav.main').waitFor();
  await settled(page);
  ok(page.url().endsWith('/admin/health/'), 'after a pause one signs in again, and is where one was going');
  noErrors(page, 'nothing else went wrong');
  await page.close();
  program.child.kill('SIGTERM');
}

async function hands(page) {
  // by mouse
  await page.locator('nav.main').getByRole('link', { name: 'Orders' }).click();
  await settled(page);
  is(await heading(page), 'Orders', 'a link of the navigation leads to its page');
  is(await page.title(), 'Orders · Incomplete orders', 'the window says which');
  is(await focused(page), 'h1 Orders', 'the heading has the focus');
  is(await page.locator('nav.main [aria-current=page]').textContent(), 'Orders', 'the navigation says where one is');
  await page.locator('nav.main').getByRole('link', { name: 'Health' }).click();
  await settled(page);
  await page.goBack();
  await settled(page);
  is(await heading(page), 'Orders', 'back leads back');
  await page.goForward();
  await settled(page);
  is(await heading(page), 'Health', 'forward leads on');
  const [tab] = await Promise.all([page.context().waitForEvent('page'), page.locator('nav.main').getByRole('link', { name: 'Orders' }).click({ modifiers: ['Control'] })]);
  await tab.close();
  is(await heading(page), 'Health', 'a link can be opened in another tab');

  // by keyboard
  await page.evaluate(() => { document.activeElement.blur(); });
  await page.reload();
  await page.locator('nav.main').waitFor();
  await settled(page);
  await page.keyboard.press('Tab');
  is(await focused(page), 'a To the page', 'the first Tab reaches the way past the navigation');
  ok(await page.evaluate(() => { const box = document.activeElement.getBoundingClientRect(); return box.top >= 0 && box.left >= 0 && box.width > 20; }), '... which one sees then');
  await page.keyboard.press('Enter');
  is(await page.evaluate(() => document.activeElement.id), 'main', '... and which leads to the page');
  await page.keyboard.press('g');
  is(await focused(page), 'a Overview', 'g goes to the navigation');
  const outline = await page.evaluate(() => { const style = getComputedStyle(document.activeElement); return style.outlineStyle !== 'none' && parseFloat(style.outlineWidth) > 0 || style.boxShadow !== 'none'; });
  ok(outline, 'one sees where the focus is');
  await page.keyboard.press('Tab');
  await page.keyboard.press('Enter');
  await settled(page);
  is(await heading(page), 'Orders', 'Enter follows a link');
  await page.keyboard.press('?');
  await page.locator('dialog[open]').waitFor();
  ok(/Search/.test(await page.locator('dialog[open]').textContent()), '? lists the keys');
  await look(page, 'keys', { widths: [360, 1440], themes: ['light'] });
  await page.keyboard.press('Escape');
  is(await page.locator('dialog').count(), 0, 'Escape closes it');
  await page.keyboard.press('/');
  is(await page.evaluate(() => document.activeElement.id), 'search', '/ goes to the search');
  await page.keyboard.type('reader3@mail.example');
  await page.keyboard.press('Enter');
  await settled(page);
  ok(/search=reader3/.test(page.url()), 'what is searched for stands in the address');
  ok(/Reader 3/.test(await page.locator('main').textContent()), '... and is found');
  await page.goBack();
  await settled(page);
  ok(!/search=/.test(page.url()) && !(await page.locator('#search').inputValue()), 'back takes the search back');
  await visit(page, 'health/');
  await page.keyboard.press('/');
  await settled(page);
  is(await page.evaluate(() => location.pathname + document.activeElement.id), '/admin/orders/search', '/ leads to the search of orders from a page without one');

  // shops
  await page.getByLabel('Shop', { exact: true }).selectOption('books');
  await settled(page);
  ok(/[?&]shop=books/.test(page.url()), 'the shop stands in the address');
  await page.locator('nav.main').getByRole('link', { name: 'Orders' }).click();
  await settled(page);
  ok(/[?&]shop=books/.test(page.url()) && /Reader/.test(await page.locator('main').textContent()) && !/INC-.*Jane/.test(await page.locator('main').textContent()), '... and goes along to the next page, which is of that shop');
  await page.getByLabel('Shop', { exact: true }).selectOption('');
  await settled(page);
  ok(!/shop=/.test(page.url()), 'all shops again');

  // nowhere
  await visit(page, 'nowhere/at/all/');
  is(await heading(page), 'There is no such page', 'an address that leads nowhere says so');
  await look(page, 'nowhere', { themes: ['light'] });
  await page.getByRole('link', { name: 'To the overview' }).click();
  await settled(page);
  is(await heading(page), 'Overview', '... and leads home');
  await visit(page, 'orders/01900000-0000-7000-8000-000000000000/');
  ok(await page.locator('main .notice, main .empty').count() > 0, 'an order that is not there says so');
  expect(page, /404/);
  noErrors(page, 'all that without a complaint of the browser');

  // a menu on a phone
  await page.setViewportSize({ width: 360, height: 780 });
  await visit(page, '');
  ok(!await page.locator('nav.main').isVisible(), 'on a phone the navigation is folded');
  await page.getByRole('button', { name: 'Menu' }).click();
  await page.locator('nav.main').waitFor();
  await shoot(page, 'menu-360');
  await page.locator('nav.main').getByRole('link', { name: 'Orders' }).click();
  await settled(page);
  ok(await heading(page) === 'Orders' && !await page.locator('nav.main').isVisible(), 'one tap away, and folded again');
  await page.setViewportSize({ width: 1440, height: 900 });
}

// Pages by path; what must be read on them.
function pages() {
  const order = sql("SELECT id FROM incomplete_orders.list_orders('default', '{abandoned}', search => 'customer29@mail2.example') LIMIT 1") ||
    sql("SELECT id FROM incomplete_orders.list_orders('default', '{abandoned}') LIMIT 1");
  return [['overview', '', 'Overview'], ['orders', 'orders/', 'Orders'], ['order', `orders/${order}/`], ['messages', 'messages/', 'Messages'], ['campaigns', 'campaigns/', 'Campaigns'],
    ['campaign', 'campaigns/cart/?shop=default'], ['templates', 'templates/?shop=default'], ['template', 'templates/cart_friendly/?shop=default'], ['coupons', 'coupons/'], ['suppressions', 'suppressions/'],
    ['consents', 'consents/'], ['shop', 'shop/?shop=default'], ['attached', 'attached/?shop=default'], ['attached-one', 'attached/webshop/?shop=default'], ['webhooks', 'webhooks/?shop=default'], ['health', 'health/', 'Health']];
}

async function every(page) {
  for (const [name, where, title] of pages()) {
    await visit(page, where);
    ok(await page.locator('main h1').count() === 1 && (title === undefined || await heading(page) === title) && (await page.title()).endsWith(' · Incomplete orders'), `${name}: one heading, and the window's title`);
    ok(!/undefined|NaN|\[object|Infinity|Invalid Date/.test(await page.locator('main').innerText()), `${name}: nothing was forgotten`);
    ok(!/This page (could not be loaded|failed)|This did not work/.test(await page.locator('main').innerText()), `${name}: nothing failed`);
    await look(page, name);
    is(await page.evaluate(() => document.querySelectorAll('main script, main img[src="x"], main [onerror], main a[href^="javascript:" i]').length), 0, `${name}: what customers typed is text`);
    noErrors(page, `${name}: the browser complains of nothing`);
  }
}

async function banner(page) {
  const says = () => page.locator('main .notice').filter({ hasText: 'The scheduler stands still' });
  is(await says().count(), 0, 'a scheduler that runs needs no banner');
  await standStill();
  await page.goto(page.base);
  await settled(page);
  const without = [];
  for (const [name, where] of pages()) {
    await visit(page, where);
    if (!await says().first().isVisible().catch(() => false)) without.push(name);
  }
  is(without.join(), '', 'one that stands still is told on every page');
  await look(page, 'banner', { themes: ['light', 'dark'] });
  await standStill(false);
  await page.reload();
  await page.locator('nav.main').waitFor();
  await settled(page);
  is(await says().count(), 0, '... until it runs again');
  noErrors(page, 'nor is there anything else to complain of');
}

async function roles(browser, program) {
  let page = await signIn(browser, program, 'web_analyst');
  is((await page.locator('nav.main a').allTextContents()).join(), 'Overview', 'an analyst sees the overview');
  is(await page.locator('main').getByRole('button', { name: /^(delete|convert|mark abandoned|send|edit|save|dismiss)\b/i }).count(), 0, '... and no button for what it may not do');
  noErrors(page, '... and asks for nothing that it may not see');
  await look(page, 'analyst', { themes: ['light'] });
  await visit(page, 'orders/');
  is(await heading(page), 'Not allowed', '... nor a page that it may not see');
  is(await page.evaluate(async () => (await fetch('../api/v1/incomplete-orders/incomplete-orders/', { headers: { 'X-Requested-With': 'incomplete-orders' } })).status), 403, '... which the database refuses anyway');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await signedOut(page);
  await page.close();

  page = await signIn(browser, program, 'web_books', { path: 'orders/' });
  is(await page.getByLabel('Shop', { exact: true }).count(), 0, 'who has one shop chooses none');
  const text = await page.locator('main').innerText();
  ok(/Reader/.test(text) && !/Jane Doe/.test(text), '... and sees the orders of that one');
  noErrors(page, '... without a complaint');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await signedOut(page);
  await page.close();
}

async function away(browser) {
  await browser.clearCookies();
  const program = await admin('--prefix=/shop');
  const front = await proxy(program.address);
  const page = await signIn(browser, front, 'web_admin', { prefix: '/shop', path: 'orders/' });
  is(await heading(page), 'Orders', 'behind a proxy, below a prefix, pages are shown');
  await page.locator('nav.main').getByRole('link', { name: 'Health' }).click();
  await settled(page);
  ok(page.url() === `http://${front.address}/shop/admin/health/`, '... links stay below it');
  is(front.seen.filter((url) => !url.startsWith('/shop/')).join(), '', '... and so does every request');
  is((await browser.cookies()).find(({ name }) => name === 'incomplete_orders_session')?.path, '/shop', '... and the cookie');
  noErrors(page, '... without a complaint');

  front.target = null;
  await page.locator('nav.main').getByRole('link', { name: 'Orders' }).click();
  await page.locator('main .notice[data-kind=bad]').first().waitFor();
  ok(/cannot be reached|could not be loaded/.test(await page.locator('main').innerText()), 'a program that is away is told, in words');
  await shoot(page, 'away');
  front.target = program.address;
  await page.locator('main').getByRole('button', { name: 'Try again' }).first().click();
  await page.locator('main table tbody tr').first().waitFor();
  ok(await heading(page) === 'Orders', '... and when it is back, trying again shows the page');
  expect(page, /./);

  // started anew it knows nobody, and another version may be there
  program.child.kill('SIGTERM');
  front.target = (await admin('--prefix=/shop')).address;
  await visit(page, 'messages/');
  await signedOut(page);
  await typeLogin(page, 'web_admin');
  await page.locator('nav.main').waitFor();
  await settled(page);
  ok(await heading(page) === 'Messages' && page.url().endsWith('/shop/admin/messages/'), 'after a restart one signs in, and goes on');
  await page.close();
}

async function light(browser, program) {
  const fetchRaw = (where, encoding = 'gzip, deflate, br, zstd') => new Promise((resolve, reject) => {
    http.get(`http://${program.address}${where}`, { headers: { 'Accept-Encoding': encoding } }, (response) => {
      const parts = [];
      response.on('data', (part) => parts.push(part));
      response.on('end', () => resolve({ status: response.statusCode, headers: response.headers, body: Buffer.concat(parts) }));
    }).on('error', reject);
  });
  const index = await fetchRaw('/admin/', 'identity');
  const base = /"([^"]*\/admin\/assets\/[0-9a-f]+)\//.exec(index.body)[1];
  const names = fs.readdirSync(folder).filter((name) => /\.(js|svg)$/.test(name)).concat('vendor/preact.js', 'vendor/uplot.js',
    [...index.body.toString().matchAll(/\/assets\/[0-9a-f]+\/([^"]+\.css)"/g)].map(([, name]) => name));
  let size = (await fetchRaw('/admin/')).body.length;
  const missing = [];
  const sizes = [];
  for (const name of names) {
    const answer = await fetchRaw(`${base}/${name}`);
    if (answer.status !== 200 || !/^(br|gzip)$/.test(answer.headers['content-encoding']) || !/immutable/.test(answer.headers['cache-control'])) missing.push(`${name} ${answer.status}`);
    size += answer.body.length;
    sizes.push([answer.body.length, name]);
  }
  const nowhere = names.filter((name) => /^\w+\.js$/.test(name)).flatMap((name) => [...fs.readFileSync(path.join(folder, name), 'utf8').matchAll(/(?:from|import\(?)\s*'\.\/([^']+)'/g)]
    .filter(([, other]) => !names.includes(other)).map(([, other]) => `${name} imports ${other}`));
  is(nowhere.join(), '', 'every module that is imported is there');
  is(missing.join(), '', `${names.length} files are served compressed, and for ever`);
  ok(size < 120000, `all of them together, compressed: ${size} bytes`);
  console.log('# ' + sizes.sort(([a], [b]) => b - a).slice(0, 8).map(([bytes, name]) => `${name} ${bytes}`).join(', '));
  const policy = index.headers['content-security-policy'];
  ok(/default-src 'none'/.test(policy) && !/unsafe|\*/.test(policy) && /frame-ancestors 'none'/.test(policy), 'the policy of the document allows only its own');

  const page = await signIn(browser, program);
  const paints = [];
  for (let turn = 0; turn < 4; turn++) {
    await page.reload();
    await page.locator('nav.main').waitFor();
    await settled(page);
    paints.push(await page.evaluate(() => performance.getEntriesByName('first-contentful-paint')[0].startTime));
  }
  ok(Math.min(...paints) < 1000, `first paint within a second: ${paints.map(Math.round).join(', ')} ms`);
  const times = [];
  for (let turn = 0; turn < 5; turn++) {
    times.push(await page.evaluate(async () => {
      const began = performance.now();
      await (await fetch('../api/v1/incomplete-orders/incomplete-orders/?page_size=20', { headers: { 'X-Requested-With': 'incomplete-orders' } })).text();
      return performance.now() - began;
    }));
  }
  ok(Math.min(...times) < 100, `a page of orders: ${times.map(Math.round).join(', ')} ms`);

  // what looks, sees
  await page.evaluate(() => { document.querySelector('main').append(document.createElement('img')); document.querySelector('main').append(Object.assign(document.createElement('button'))); });
  ok((await axe(page)).length >= 2, 'a picture and a button without words would be found');
  await page.evaluate(() => { console.error('told'); fetch('https://elsewhere.example/').catch(() => {}); });
  await await_(() => page.trouble.length >= 2, 'complaints');
  ok(/told/.test(page.trouble.join()) && /elsewhere/.test(page.trouble.join()), '... and what a browser complains of');
  await page.close();
}

// FRAME_PARTS=login,every runs some.
run(async () => {
  const wanted = process.env.FRAME_PARTS?.split(',');
  const part = async (act, ...given) => { if (!wanted || wanted.includes(act.name)) await act(...given); };
  await fill();
  const program = await admin();
  const browser = await launch();
  await part(login, browser, program);
  await part(idle, browser);
  await part(roles, browser, program);
  const page = await signIn(browser, program, 'web_admin');
  await part(hands, page);
  await part(every, page);
  await part(banner, page);
  await page.close();
  await part(light, browser, program);
  await part(away, browser);
});
