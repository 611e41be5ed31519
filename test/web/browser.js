// What the browser tests share: counting tests, asking the database, the program, and a
// browser. Nothing stays behind, whatever happens.
'use strict';

const { spawn, execFileSync } = require('child_process');
const fs = require('fs');
const os = require('os');
const path = require('path');
const { chromium } = require('playwright-core');

let tests = 0;
let failures = 0;
const endings = [];

function ok(condition, name) {
  tests++;
  if (!condition) failures++;
  console.log(`${condition ? 'ok' : 'not ok'} ${tests} - ${name}`);
}
function is(got, expected, name) {
  ok(got === expected, name);
  if (got !== expected) console.error(`# got ${JSON.stringify(got)}, not ${JSON.stringify(expected)}`);
}

const sql = (text) => execFileSync('psql', ['-qXAt', '-v', 'ON_ERROR_STOP=1', '-c', text], { encoding: 'utf8' }).trim();

// Polls, for as long as a machine that does nothing else right may need.
async function await_(condition, name) {
  const end = Date.now() + 60000;
  while (Date.now() < end) {
    if (await condition()) return true;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  console.error(`# nothing came of it: ${name}`);
  return false;
}

// The program on a free port; its address.
async function serve(...options) {
  const child = spawn('incomplete-orders', ['serve', '--listen=127.0.0.1:0', '--verbose', ...options], { stdio: ['ignore', 'ignore', 'pipe'] });
  endings.push(() => child.kill('SIGKILL'));
  let log = '';
  child.stderr.on('data', (data) => { log += data; });
  await await_(() => /event=start .*listen=\S+/.test(log) || child.exitCode !== null, 'the program starts');
  return { child, address: /listen=(\S+)/.exec(log)[1], log: () => log };
}

// A browser with a folder of its own.
async function launch() {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'browser-'));
  endings.push(() => fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 }));
  const browser = await chromium.launchPersistentContext(folder, {
    executablePath: process.env.CHROMIUM || '/usr/bin/chromium',
    headless: true,
    locale: 'en-GB',
    args: ['--no-sandbox', '--disable-gpu', '--disable-background-networking', '--disable-component-update', '--disable-sync', '--no-first-run'],
  });
  endings.push(() => browser.close());
  return browser;
}

function run(main) {
  main().catch((error) => {
    console.error(error);
    failures++;
  }).finally(async () => {
    for (const ending of endings.reverse()) await ending();
    console.log(`1..${tests}`);
    process.exit(failures > 0 ? 1 : 0);
  });
}

module.exports = { ok, is, sql, await_, serve, launch, run, endings };
