#!/usr/bin/env node
// The README's pictures, of the running demo:
//
//     make demo && npm ci --prefix test/web && node test/web/pictures.js
//
// PNGs of 256 colours, which need no program beside node and the browser.
'use strict';

const fs = require('fs');
const path = require('path');
const zlib = require('zlib');
const { launch, run } = require('./browser.js');

const root = path.join(__dirname, '../..');
const demo = (name) => fs.readFileSync(path.join(root, '.demo', name), 'utf8').trim();
const pages = { overview: ['', 1080], orders: ['orders/', 860] };

const table = Array.from({ length: 256 }, (_, n) => { for (let k = 0; k < 8; k++) n = n & 1 ? 0xedb88320 ^ (n >>> 1) : n >>> 1; return n >>> 0; });
const crc = (data) => (~data.reduce((sum, byte) => table[(sum ^ byte) & 255] ^ (sum >>> 8), ~0)) >>> 0;
function chunk(type, data) {
  const body = Buffer.concat([Buffer.from(type), data]);
  const out = Buffer.alloc(body.length + 8);
  out.writeUInt32BE(data.length);
  body.copy(out, 4);
  out.writeUInt32BE(crc(body), body.length + 4);
  return out;
}

// The colours that are used most stay; the others become the nearest of them.
function png({ width, height, pixels }) {
  const counts = new Map();
  for (let i = 0; i < pixels.length; i += 4) {
    const colour = (pixels[i] << 16) | (pixels[i + 1] << 8) | pixels[i + 2];
    counts.set(colour, (counts.get(colour) ?? 0) + 1);
  }
  const palette = [];
  const near = (a, b, most) => Math.abs((a >> 16) - (b >> 16)) + Math.abs(((a >> 8) & 255) - ((b >> 8) & 255)) + Math.abs((a & 255) - (b & 255)) < most;
  // first those apart from each other, then whatever is frequent
  for (const most of [24, 6]) {
    for (const [colour] of [...counts].sort(([, a], [, b]) => b - a)) {
      if (palette.length < (most === 24 ? 128 : 256) && !palette.some((one) => near(one, colour, most))) palette.push(colour);
    }
  }
  const distance = (a, b) => ((a >> 16) - (b >> 16)) ** 2 + (((a >> 8) & 255) - ((b >> 8) & 255)) ** 2 + ((a & 255) - (b & 255)) ** 2;
  const index = new Map();
  for (const colour of counts.keys()) index.set(colour, palette.reduce((best, one, i) => (distance(one, colour) < distance(palette[best], colour) ? i : best), 0));
  const rows = Buffer.alloc((width + 1) * height);
  for (let y = 0, at = 0; y < height; y++) {
    for (let x = 0; x < width; x++, at += 4) rows[y * (width + 1) + 1 + x] = index.get((pixels[at] << 16) | (pixels[at + 1] << 8) | pixels[at + 2]);
  }
  const head = Buffer.alloc(13);
  head.writeUInt32BE(width);
  head.writeUInt32BE(height, 4);
  head.set([8, 3, 0, 0, 0], 8);
  return Buffer.concat([Buffer.from('89504e470d0a1a0a', 'hex'), chunk('IHDR', head), chunk('PLTE', Buffer.from(palette.flatMap((colour) => [colour >> 16, (colour >> 8) & 255, colour & 255]))),
    chunk('IDAT', zlib.deflateSync(rows, { level: 9, memLevel: 9 })), chunk('IEND', Buffer.alloc(0))]);
}

// A browser that shows a picture knows its pixels.
const decode = (page, data) => page.evaluate(async (base64) => {
  const bitmap = await createImageBitmap(new Blob([Uint8Array.from(atob(base64), (letter) => letter.charCodeAt(0))]));
  const canvas = new OffscreenCanvas(bitmap.width, bitmap.height).getContext('2d');
  canvas.drawImage(bitmap, 0, 0);
  const { width, height, data: pixels } = canvas.getImageData(0, 0, bitmap.width, bitmap.height);
  let text = '';
  for (let i = 0; i < pixels.length; i += 30000) text += String.fromCharCode(...pixels.subarray(i, i + 30000));
  return { width, height, pixels: btoa(text) };
}, data.toString('base64'));

run(async () => {
  const browser = await launch();
  const page = await browser.newPage();
  await page.emulateMedia({ colorScheme: 'light', reducedMotion: 'reduce' });
  await page.goto(demo('admin.url'));
  await page.getByLabel('Role').fill('demo_staff');
  await page.getByLabel('Password').fill(demo('staff.password'));
  await page.getByRole('button', { name: 'Sign in' }).click();
  await page.locator('nav.main').waitFor();
  fs.mkdirSync(path.join(root, 'docs'), { recursive: true });
  for (const [name, [where, height]] of Object.entries(pages)) {
    await page.setViewportSize({ width: 1280, height });
    await page.goto(demo('admin.url') + where);
    await page.waitForLoadState('networkidle');
    await page.waitForFunction(() => !document.querySelector('main [aria-busy=true]:not(:empty)') && document.querySelector('main table, main canvas'));
    await page.waitForTimeout(500);
    const { pixels, ...size } = await decode(page, await page.screenshot());
    const file = path.join(root, 'docs', name + '.png');
    fs.writeFileSync(file, png({ ...size, pixels: Buffer.from(pixels, 'base64') }));
    console.log(`# ${path.relative(root, file)}: ${fs.statSync(file).size} bytes`);
  }
});
