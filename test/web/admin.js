// What the tests of the admin pages share, beside browser.js: a filled database for each
// file, signing in, looking at a page, and what the browser complained of.
//
//     const database = await fill();   a copy of the shop that fill.sql makes, of this file alone; PGDATABASE names it then
//     const program = await admin();   incomplete-orders serve on it, that asks staff for their passwords
//     const page = await signIn(await launch(), program, 'web_admin', { width: 360, theme: 'dark' });
//     await look(page, 'orders');      both widths and themes: pictures, no horizontal scrolling, axe
//     noErrors(page);                  of the console, of scripts, of policies; no request that failed or that went elsewhere
'use strict';

const { execFile } = require('child_process');
const crypto = require('crypto');
const fs = require('fs');
const path = require('path');
const common = require('./browser.js');

const { ok, is, sql, await_, serve, endings } = common;
const axeSource = fs.readFileSync(require.resolve('axe-core/axe.min.js'), 'utf8');
const pictures = process.env.SCREENSHOTS;
const roles = { web_admin: 'web-web_admin', web_analyst: 'web-web_analyst', web_books: 'web-web_books', web_nobody: 'web-web_nobody', web_super: 'web-web_super' };
// The one foreign host that pictures of goods may come from; answered by us.
const images = 'https://images.shop.example';
const picture = '<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64"><rect width="64" height="64" fill="#e69f00"/></svg>';

const psql = (database, ...options) => new Promise((resolve, reject) => {
  execFile('psql', ['-qXAt', '-v', 'ON_ERROR_STOP=1', '-d', database, ...options], { encoding: 'utf8', maxBuffer: 1e8 },
    (error, out, trouble) => (error ? reject(new Error(trouble || error)) : resolve(out.trim())));
});

// ---------------------------------------------------------------------------
// The shop

// The template that fill.sql makes, of the extension and of fill.sql as they are now; for
// half an hour, because its last customers were there just now.
async function template() {
  const file = path.join(__dirname, 'fill.sql');
  const version = await psql('postgres', '-c', `SELECT md5(string_agg(md5(pg_read_binary_file(f)), '' ORDER BY f)) FROM (
    SELECT setting || '/extension/' || n FROM pg_config c, pg_ls_dir(c.setting || '/extension') n WHERE c.name = 'SHAREDIR' AND n LIKE 'incomplete\\_orders--%.sql'
    UNION ALL SELECT setting || '/incomplete_orders.so' FROM pg_config WHERE name = 'PKGLIBDIR') t (f)`);
  const name = 'web_filled_' + crypto.createHash('md5').update(version + fs.readFileSync(file)).digest('hex').slice(0, 12);
  const all = (await psql('postgres', '-c', "SELECT datname || ' ' || coalesce(extract(epoch FROM now() - shobj_description(oid, 'pg_database')::timestamptz), 1e9) FROM pg_database WHERE datname LIKE 'web\\_filled\\_%'")).split('\n').filter(Boolean);
  for (const line of all) {
    const [other, age] = line.split(' ');
    if (other === name && age < 1800) return name;
    await psql('postgres', '-c', `DROP DATABASE IF EXISTS ${other}`);
  }
  const part = name + '_part';
  await psql('postgres', '-c', `CREATE DATABASE ${part}`);
  await psql(part, '-f', file);
  await psql('postgres', '-c', `ALTER DATABASE ${part} RENAME TO ${name}`, '-c', `DO $$ BEGIN EXECUTE format('COMMENT ON DATABASE ${name} IS %L', now()); END $$`);
  return name;
}

// How the scheduler is: it ran just now, and does again and again, until standStill().
let beating = true;
const beat = (database, age = '0') => psql(database, '-c', `UPDATE incomplete_orders.heartbeats SET at = clock_timestamp() - interval '${age}' WHERE job = 'tick'`);
async function standStill(still = true) {
  beating = !still;
  await beat(process.env.PGDATABASE, still ? '20 minutes' : '0');
}

async function fill() {
  const from = await template();
  const name = `web_${path.basename(process.argv[1]).replace(/\W/g, '_')}_${process.pid}`;
  await psql('postgres', '-c', `CREATE DATABASE ${name} TEMPLATE ${from}`);
  endings.unshift(() => psql('postgres', '-c', `DROP DATABASE IF EXISTS ${name} WITH (FORCE)`)); // last of all
  process.env.PGDATABASE = name;
  await beat(name);
  const timer = setInterval(() => { if (beating) beat(name).catch(() => {}); }, 20000);
  endings.push(() => clearInterval(timer));
  return name;
}

// The program on the filled database; staff log in where the server asks for passwords.
const admin = (...options) => serve(`--staff-dbname=host=127.0.0.1 dbname=${process.env.PGDATABASE}`, ...options);

// ---------------------------------------------------------------------------
// Pages

// What a page must not do, noted while it runs.
function watch(page, origin) {
  page.trouble = [];
  page.expected = [];
  const note = (text) => { if (!page.expected.some((pattern) => pattern.test(text))) page.trouble.push(text); };
  page.on('console', (message) => {
    if (message.type() === 'error' || /Content Security Policy/i.test(message.text())) note(`console: ${message.text()} (${message.location().url})`);
  });
  page.on('pageerror', (error) => note(`page: ${error.stack || error}`));
  page.on('dialog', (dialog) => { note(`dialog: ${dialog.message()}`); dialog.dismiss().catch(() => {}); });
  page.asked = new Set();
  page.on('requestfinished', (request) => page.asked.delete(request));
  page.on('requestfailed', (request) => page.asked.delete(request));
  page.on('requestfailed', (request) => { if (!/ERR_ABORTED/.test(request.failure()?.errorText ?? '')) note(`failed: ${request.method()} ${request.url()} ${request.failure()?.errorText}`); });
  page.on('request', (request) => {
    page.asked.add(request);
    const url = request.url();
    if (!url.startsWith(origin + '/') && !url.startsWith(images + '/') && !/^(data|blob|about):/.test(url)) note(`elsewhere: ${url}`);
  });
  page.on('response', (response) => { if (response.status() >= 400) note(`answer: ${response.status()} ${response.request().method()} ${response.url()}`); });
}

// What of the complaints, until noErrors(), is meant: patterns. The browser's own words on an answer of
// 4xx go with the answer.
function expect(page, ...patterns) {
  page.expected.push(...patterns);
  page.trouble = page.trouble.filter((text) => !patterns.some((pattern) => pattern.test(text)));
}

function noErrors(page, name = 'the browser complains of nothing') {
  is(page.trouble.join('\n'), '', name);
  page.trouble.length = 0;
  page.expected.length = 0;
}

// A tab that nobody has signed in in; prefix as in serve --prefix.
async function open(browser, program, { width = 1440, height = 900, theme = 'light', prefix = '', path: where = '' } = {}) {
  const page = await browser.newPage();
  const origin = `http://${program.address}`;
  await page.route(images + '/**', (route) => route.fulfill({ contentType: 'image/svg+xml', body: picture }));
  watch(page, origin);
  page.base = `${origin}${prefix}/admin/`;
  await page.setViewportSize({ width, height });
  await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
  await page.goto(page.base + where);
  return page;
}

async function typeLogin(page, role, password = roles[role]) {
  await page.getByLabel('Role').fill(role);
  await page.getByLabel('Password').fill(password);
  await page.getByRole('button', { name: 'Sign in' }).click();
}

// Signed in, at a page (path below admin/); one that is signed in already opens it.
async function signIn(browser, program, role = 'web_admin', options = {}) {
  const page = await open(browser, program, options);
  await page.locator('input[name=password], nav.main').first().waitFor({ state: 'attached' });
  if (await page.locator('main.login').count()) {
    await typeLogin(page, role, options.password);
    await page.locator('nav.main').waitFor({ state: 'attached' });
  }
  await settled(page);
  return page;
}

// To another page of the admin as its own links do, without loading it anew.
async function visit(page, where = '') {
  await page.evaluate((to) => {
    history.pushState(null, '', to);
    dispatchEvent(new PopStateEvent('popstate'));
  }, page.base + where);
  await settled(page);
}

// What can be seen has been asked, answered and shown: several times in a row, since an answer
// may lead to the next question.
const busy = `[...document.querySelectorAll('main [aria-busy=true]')].filter((node) => {
  const { top, bottom } = node.getBoundingClientRect();
  return top < innerHeight && bottom > 0 && node.checkVisibility();
}).length`;
// What a frame asked that is gone, nobody hears of any more.
const awaited = (request) => { try { return !request.frame().isDetached(); } catch { return false; } };
async function settled(page) {
  let quiet = 0;
  await await_(async () => {
    await page.evaluate(() => new Promise((resolve) => requestAnimationFrame(() => setTimeout(resolve, 20))));
    quiet = ![...page.asked].some(awaited) && await page.evaluate(busy) === 0 ? quiet + 1 : 0;
    return quiet > 2;
  }, `the page is loaded (${[...(page.asked ?? [])].map((request) => request.url())})`);
}

// What a page shows only when it is scrolled to, to its end and back.
async function scrolled(page) {
  for (let turn = 0; turn < 30; turn++) {
    const end = await page.evaluate(() => {
      scrollBy({ top: innerHeight * 0.8, behavior: 'instant' });
      return scrollY + innerHeight >= document.documentElement.scrollHeight - 2;
    });
    await settled(page);
    if (end) break;
  }
  await page.evaluate(() => scrollTo({ top: 0, behavior: 'instant' }));
}

// Serious findings of axe on the page, in words.
async function axe(page) {
  // not as a script of the page: its policy forbids that, and rightly
  await page.evaluate(`window.axe || (() => { ${axeSource} })()`);
  const found = await page.evaluate(() => window.axe.run(document, { resultTypes: ['violations'], runOnly: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'best-practice'] }));
  return found.violations.filter(({ impact }) => impact === 'serious' || impact === 'critical')
    .flatMap(({ id, help, nodes }) => nodes.slice(0, 5).map((node) => `${id}: ${help}: ${node.target.join(' ')} ${node.html.slice(0, 160)} ${(node.any[0] ?? node.all[0] ?? {}).message ?? ''}`));
}

// What sticks out to the right of the window, though nothing scrolls it.
const wide = (page) => page.evaluate(() => {
  const width = document.documentElement.clientWidth;
  if (document.documentElement.scrollWidth <= width + 1) return '';
  const out = [...document.querySelectorAll('body *')].filter((node) => node.getBoundingClientRect().right > width + 1 && node.checkVisibility());
  return `${document.documentElement.scrollWidth} of ${width}: ` + out.slice(0, 3).map((node) => `<${node.tagName.toLowerCase()} class="${node.className}"> ${node.textContent.slice(0, 40)}`).join('; ');
});

async function shoot(page, name) {
  if (!pictures) return;
  fs.mkdirSync(pictures, { recursive: true });
  await page.screenshot({ path: path.join(pictures, name + '.png'), fullPage: true });
}

// The page as it is now, at both widths, dark and light.
async function look(page, name, { widths = [360, 1440], themes = ['light', 'dark'] } = {}) {
  const before = page.viewportSize();
  for (const width of widths) {
    await page.setViewportSize({ width, height: width < 500 ? 780 : 900 });
    await scrolled(page);
    for (const theme of themes) {
      await page.emulateMedia({ colorScheme: theme, reducedMotion: 'reduce' });
      await settled(page);
      await shoot(page, `${name}-${width}-${theme}`);
      is((await axe(page)).join('\n'), '', `${name}, ${width} px, ${theme}: nothing serious for axe`);
      if (theme === themes[0]) is(await wide(page), '', `${name}, ${width} px: nothing sticks out`);
    }
  }
  await page.setViewportSize(before);
  await page.emulateMedia({ colorScheme: themes[0], reducedMotion: 'reduce' });
  await settled(page);
}

module.exports = { ...common, fill, admin, open, typeLogin, signIn, visit, settled, look, shoot, axe, wide, expect, noErrors, standStill, psql, roles, images };
