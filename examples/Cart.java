// A cart with JDBC: captured, completed, bought.
//
//     PGHOST=localhost PGPORT=5432 PGDATABASE=shop PGUSER=webshop PGPASSWORD=...
//     java -cp postgresql.jar Cart.java SESSION            (Debian: libpostgresql-jdbc-java)
//
// The role needs the purpose app: SELECT incomplete_orders.grant_to('webshop', 'app').

import java.math.BigDecimal;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Types;
import java.util.Map;
import java.util.UUID;
import org.postgresql.util.PSQLException;

class Cart {
    static final String ITEMS =
        "[{\"sku\":\"A-1\",\"name\":\"Blue shirt\",\"quantity\":2,\"unit_price\":\"19.90\"},"
            + "{\"sku\":\"B-7\",\"name\":\"Socks\",\"quantity\":1,\"unit_price\":\"5.00\"}]";

    /** Types.OTHER: JSON and enums go as text whose type the server finds out. */
    static UUID capture(Connection connection, String session, String items, String email) throws SQLException {
        try (PreparedStatement call = connection.prepareStatement(
                "SELECT incomplete_orders.capture_cart(session_id => ?, items => ?, email => ?)")) {
            call.setString(1, session);
            call.setObject(2, items, Types.OTHER);
            call.setString(3, email);
            ResultSet row = call.executeQuery();
            row.next();
            return row.getObject(1, UUID.class);
        }
    }

    /** The order's number and its total; called again, the same. */
    static Map.Entry<String, BigDecimal> convert(Connection connection, UUID order) throws SQLException {
        try (PreparedStatement call = connection.prepareStatement(
                "SELECT order_number, total FROM incomplete_orders.convert_order(id => ?)")) {
            call.setObject(1, order);
            ResultSet row = call.executeQuery();
            row.next();
            return Map.entry(row.getString(1), row.getBigDecimal(2));
        }
    }

    public static void main(String[] arguments) throws SQLException {
        String session = arguments.length > 0 ? arguments[0] : "example-jdbc";
        Map<String, String> env = System.getenv();
        // prepareThreshold=0: no prepared statements, which a pooler in transaction mode
        // may lose. Without a pooler leave it out: repeated calls are prepared.
        String url = "jdbc:postgresql://" + env.getOrDefault("PGHOST", "localhost") + ":" + env.getOrDefault("PGPORT", "5432")
            + "/" + env.get("PGDATABASE") + "?prepareThreshold=0";
        try (Connection connection = DriverManager.getConnection(url, env.get("PGUSER"), env.get("PGPASSWORD"))) {
            // Whenever the cart changes, with all of it. The same session is the same order.
            UUID order = capture(connection, session, ITEMS, "jane@shop.example");
            try (PreparedStatement call = connection.prepareStatement(
                    "SELECT incomplete_orders.save_checkout(session_id => ?, form => ?)")) {
                call.setString(1, session);
                call.setObject(2, "{\"full_name\":\"Jane Doe\",\"city\":\"Berlin\",\"country\":\"DE\"}", Types.OTHER);
                call.executeQuery();
            }
            try (PreparedStatement call = connection.prepareStatement("SELECT reference, status, total, currency "
                    + "FROM incomplete_orders.orders_of(session_id => ?) WHERE id = ?")) {
                call.setString(1, session);
                call.setObject(2, order);
                ResultSet row = call.executeQuery();
                row.next();
                System.out.println("captured " + row.getString(1).substring(0, 4) + " " + row.getString(2) + " "
                    + row.getBigDecimal(3).toPlainString() + " " + row.getString(4));
            }

            // What is refused says why; the SQLSTATE tells programs.
            try {
                capture(connection, session, "[{\"sku\":\"A-1\",\"quantity\":0,\"unit_price\":\"19.90\"}]", null);
            } catch (PSQLException error) {
                System.out.println("refused " + error.getSQLState() + " " + error.getServerErrorMessage().getMessage());
            }

            // One transaction, together with whatever your own tables need.
            connection.setAutoCommit(false);
            Map.Entry<String, BigDecimal> ordered = convert(connection, order);
            connection.commit();
            connection.setAutoCommit(true);
            System.out.println("ordered " + ordered.getValue().toPlainString());

            // A repeat, after a lost connection say, is the same order.
            System.out.println("again " + (convert(connection, order).equals(ordered) ? "the same order" : "another order"));
        }
    }
}
