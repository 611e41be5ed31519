#!/usr/bin/env node
// A cart with node-postgres: captured, completed, bought.
//
//     npm install pg
//     PGHOST=localhost PGDATABASE=shop PGUSER=webshop PGPASSWORD=... node cart.js SESSION
//
// The role needs the purpose app: SELECT incomplete_orders.grant_to('webshop', 'app').
// Queries without a name are not prepared, so this works through a pooler in transaction mode.
'use strict';

const { Pool } = require('pg');

const session = process.argv[2] || 'example-node-postgres';
const cart = [
  { sku: 'A-1', name: 'Blue shirt', quantity: 2, unit_price: '19.90' },
  { sku: 'B-7', name: 'Socks', quantity: 1, unit_price: '5.00' },
];

async function main() {
  const pool = new Pool();
  try {
    // Whenever the cart changes, with all of it.  The same session is the same order.
    // JSON.stringify, because node-postgres makes a PostgreSQL array of a JavaScript array.
    const captured = await pool.query(
      'SELECT incomplete_orders.capture_cart(session_id => $1, items => $2, email => $3) AS id',
      [session, JSON.stringify(cart), 'jane@shop.example']
    );
    const order = captured.rows[0].id;
    await pool.query('SELECT incomplete_orders.save_checkout(session_id => $1, form => $2)', [
      session,
      { full_name: 'Jane Doe', city: 'Berlin', country: 'DE' },
    ]);
    const found = await pool.query(
      'SELECT reference, status, total, currency FROM incomplete_orders.orders_of(session_id => $1) WHERE id = $2',
      [session, order]
    );
    const { reference, status, total, currency } = found.rows[0]; // money is text: JavaScript has no decimals
    console.log('captured', reference.slice(0, 4), status, total, currency);

    // What is refused says why; the SQLSTATE tells programs.
    try {
      await pool.query('SELECT incomplete_orders.capture_cart(session_id => $1, items => $2)', [
        session,
        JSON.stringify([{ sku: 'A-1', quantity: 0, unit_price: '19.90' }]),
      ]);
    } catch (error) {
      console.log('refused', error.code, error.message);
    }

    // One transaction, together with whatever your own tables need; it has one connection of the pool.
    const client = await pool.connect();
    let ordered;
    try {
      await client.query('BEGIN');
      ordered = await client.query('SELECT order_number, total FROM incomplete_orders.convert_order(id => $1)', [order]);
      await client.query('COMMIT');
    } catch (error) {
      await client.query('ROLLBACK');
      throw error;
    } finally {
      client.release();
    }
    console.log('ordered', ordered.rows[0].total);

    // A repeat, after a lost connection say, is the same order.
    const again = await pool.query('SELECT order_number FROM incomplete_orders.convert_order(id => $1)', [order]);
    console.log('again', again.rows[0].order_number === ordered.rows[0].order_number ? 'the same order' : 'another order');
  } finally {
    await pool.end();
  }
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
