#!/usr/bin/env node
// calls.txt through node-postgres, as a JavaScript program would call: values bound as JavaScript's own types.
'use strict';

const fs = require('fs');
const path = require('path');
const { Client } = require('pg');

const CLIENT = 'node';
const MAKE = {
  text: (v) => v,
  other: (v) => v,
  int: Number,
  bool: (v) => v === 'true',
  numeric: (v) => v, // money is text in JavaScript: it has no exact decimals
  uuid: (v) => v,
  uuids: (v) => v.split(','),
  time: (v) => new Date(v),
  json: JSON.parse, // node-postgres makes JSON of an object; not of an array, see calls.txt
  null: () => null,
};

// Lines of calls.txt as a list of calls; what the words mean stands at its head.
function readCalls(file) {
  const calls = [];
  for (const line of fs.readFileSync(file, 'utf8').split('\n')) {
    if (!line.trim() || line.startsWith('#')) continue;
    if (/^\s/.test(line)) {
      calls[calls.length - 1].sql += ' ' + line.trim();
      continue;
    }
    const [, word, rest] = line.match(/^(\S+) ?(.*)$/);
    const call = calls[calls.length - 1];
    if (word === 'call') calls.push({ name: rest, bind: [], expect: [], save: [], error: null });
    else if (word === 'sql' || word === 'error') call[word] = rest;
    else call[word].push(rest.match(/^(\S+) ?(.*)$/).slice(1));
  }
  return calls;
}

function asText(value) {
  if (value instanceof Date) return value.toISOString();
  return value === null ? 'null' : String(value);
}

// Returns what is wrong, or nothing.
async function run(client, call, saved) {
  const fill = (text) => text.replace(/<(\w+)>/g, (all, name) => saved[name]);
  let result;
  try {
    result = await client.query(call.sql, call.bind.map(([kind, value]) => MAKE[kind](fill(value))));
  } catch (error) {
    return error.code === call.error ? null : `${error.code}: ${error.message}`;
  }
  if (call.error) return `no error, expected ${call.error}`;
  const row = result.rows[0];
  if (!row) return call.expect.length || call.save.length ? 'no row' : null;
  for (const [column, name] of call.save) saved[name] = asText(row[column]);
  for (const [column, value] of call.expect) {
    if (asText(row[column]) !== fill(value)) return `${column} is ${asText(row[column])}, expected ${fill(value)}`;
  }
  return null;
}

async function main() {
  const calls = readCalls(path.join(__dirname, 'calls.txt'));
  const saved = { client: CLIENT };
  const client = new Client({ host: '127.0.0.1' });
  await client.connect();
  console.log(`1..${calls.length}`);
  for (const [n, call] of calls.entries()) {
    const wrong = await run(client, call, saved);
    console.log(`${wrong ? 'not ok' : 'ok'} ${n + 1} - ${call.name}`);
    if (wrong) {
      process.exitCode = 1;
      console.error('# ' + wrong.replace(/\n/g, '\n# '));
    }
  }
  await client.end();
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
