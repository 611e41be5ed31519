#!/usr/bin/env php
<?php
// A cart with PHP's PDO: captured, completed, bought.
//
//     apt-get install php-cli php-pgsql
//     PGHOST=localhost PGDATABASE=shop PGUSER=webshop PGPASSWORD=... php cart.php SESSION
//
// The role needs the purpose app: SELECT incomplete_orders.grant_to('webshop', 'app').
declare(strict_types=1);

$session = $argv[1] ?? 'example-pdo';
$cart = [
    ['sku' => 'A-1', 'name' => 'Blue shirt', 'quantity' => 2, 'unit_price' => '19.90'],
    ['sku' => 'B-7', 'name' => 'Socks', 'quantity' => 1, 'unit_price' => '5.00'],
];

// An empty name leaves the rest to libpq's variables.
// PGSQL_ATTR_DISABLE_PREPARES: no prepared statements, which a pooler in transaction
// mode may lose; parameters are still bound, never pasted into the text.
$pdo = new PDO('pgsql:', getenv('PGUSER') ?: null, getenv('PGPASSWORD') ?: null, [
    PDO::ATTR_ERRMODE => PDO::ERRMODE_EXCEPTION,
    PDO::PGSQL_ATTR_DISABLE_PREPARES => true,
]);

function call(PDO $pdo, string $sql, array $values): array
{
    $statement = $pdo->prepare($sql);
    $statement->execute($values);
    return $statement->fetch(PDO::FETCH_ASSOC);
}

// Whenever the cart changes, with all of it. The same session is the same order.
// json_encode keeps the prices exact as long as they are texts, not floats.
$order = call($pdo, 'SELECT incomplete_orders.capture_cart(session_id => ?, items => ?, email => ?) AS id',
    [$session, json_encode($cart), 'jane@shop.example'])['id'];
call($pdo, 'SELECT incomplete_orders.save_checkout(session_id => ?, form => ?)',
    [$session, json_encode(['full_name' => 'Jane Doe', 'city' => 'Berlin', 'country' => 'DE'])]);
$row = call($pdo, 'SELECT reference, status, total, currency FROM incomplete_orders.orders_of(session_id => ?) WHERE id = ?',
    [$session, $order]);
echo 'captured ', substr($row['reference'], 0, 4), " $row[status] $row[total] $row[currency]\n";

// What is refused says why; the SQLSTATE tells programs.
try {
    call($pdo, 'SELECT incomplete_orders.capture_cart(session_id => ?, items => ?)',
        [$session, json_encode([['sku' => 'A-1', 'quantity' => 0, 'unit_price' => '19.90']])]);
} catch (PDOException $error) {
    preg_match('/ERROR:\s*(.*)/', $error->errorInfo[2], $message);
    echo "refused {$error->errorInfo[0]} $message[1]\n";
}

// One transaction, together with whatever your own tables need.
$pdo->beginTransaction();
$ordered = call($pdo, 'SELECT order_number, total FROM incomplete_orders.convert_order(id => ?)', [$order]);
$pdo->commit();
echo "ordered $ordered[total]\n";

// A repeat, after a lost connection say, is the same order.
$again = call($pdo, 'SELECT order_number, total FROM incomplete_orders.convert_order(id => ?)', [$order]);
echo 'again ', $again === $ordered ? 'the same order' : 'another order', "\n";
