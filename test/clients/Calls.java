// calls.txt through JDBC, as a Java program would call: values bound as Java's own types.

import java.math.BigDecimal;
import java.nio.file.Files;
import java.nio.file.Path;
import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Types;
import java.time.OffsetDateTime;
import java.util.ArrayList;
import java.util.Arrays;
import java.util.HashMap;
import java.util.List;
import java.util.Map;
import java.util.UUID;
import java.util.regex.Matcher;
import java.util.regex.Pattern;
import org.postgresql.util.PGobject;

class Calls {
    static final Pattern PLACEHOLDER = Pattern.compile("\\$(\\d+)");
    static final Pattern NAME = Pattern.compile("<(\\w+)>");

    static class Call {
        String name, sql, error;
        List<String[]> bind = new ArrayList<>(), expect = new ArrayList<>(), save = new ArrayList<>();
    }

    /** Lines of calls.txt as a list of calls; what the words mean stands at its head. */
    static List<Call> readCalls(Path file) throws Exception {
        List<Call> calls = new ArrayList<>();
        Call call = null;
        for (String line : Files.readAllLines(file)) {
            if (line.isBlank() || line.startsWith("#")) continue;
            if (Character.isWhitespace(line.charAt(0))) {
                call.sql += " " + line.strip();
                continue;
            }
            String[] word = line.split(" ", 2);
            String rest = word.length > 1 ? word[1] : "";
            switch (word[0]) {
                case "call":
                    calls.add(call = new Call());
                    call.name = rest;
                    break;
                case "sql": call.sql = rest; break;
                case "error": call.error = rest; break;
                case "bind": call.bind.add((rest + " ").split(" ", 2)); break;
                case "expect": call.expect.add(rest.split(" ", 2)); break;
                case "save": call.save.add(rest.split(" ", 2)); break;
                default: throw new IllegalArgumentException("calls.txt: " + line);
            }
        }
        return calls;
    }

    static String fill(String text, Map<String, String> saved) {
        return NAME.matcher(text).replaceAll(m -> Matcher.quoteReplacement(saved.get(m.group(1))));
    }

    static void bind(PreparedStatement statement, int n, String kind, String value) throws SQLException {
        switch (kind) {
            case "text": statement.setString(n, value); break;
            // An enum or line_items: the server finds the type out.
            case "other": statement.setObject(n, value, Types.OTHER); break;
            case "int": statement.setInt(n, Integer.parseInt(value)); break;
            case "bool": statement.setBoolean(n, Boolean.parseBoolean(value)); break;
            case "numeric": statement.setBigDecimal(n, new BigDecimal(value)); break;
            case "uuid": statement.setObject(n, UUID.fromString(value)); break;
            case "uuids":
                statement.setArray(n, statement.getConnection().createArrayOf("uuid",
                    Arrays.stream(value.split(",")).map(UUID::fromString).toArray()));
                break;
            case "time": statement.setObject(n, OffsetDateTime.parse(value)); break;
            case "json":
                PGobject json = new PGobject();
                json.setType("jsonb");
                json.setValue(value);
                statement.setObject(n, json);
                break;
            case "null": statement.setNull(n, Types.NULL); break;
            default: throw new IllegalArgumentException("calls.txt: bind " + kind);
        }
    }

    static String asText(ResultSet row, String column) throws SQLException {
        Object value = row.getObject(column);
        if (value instanceof BigDecimal) return ((BigDecimal) value).toPlainString();
        return value == null ? "null" : value.toString();
    }

    /** Returns what is wrong, or null. */
    static String run(Connection connection, Call call, Map<String, String> saved) throws SQLException {
        try (PreparedStatement statement = connection.prepareStatement(PLACEHOLDER.matcher(call.sql).replaceAll("?"))) {
            Matcher place = PLACEHOLDER.matcher(call.sql);
            for (int n = 1; place.find(); n++) {
                String[] value = call.bind.get(Integer.parseInt(place.group(1)) - 1);
                // The reader left one space behind the value, so that an empty one is there too.
                bind(statement, n, value[0], fill(value[1].replaceAll(" $", ""), saved));
            }
            boolean rows = statement.execute();
            if (call.error != null) return "no error, expected " + call.error;
            ResultSet row = statement.getResultSet();
            if (!rows || !row.next()) return call.expect.isEmpty() && call.save.isEmpty() ? null : "no row";
            for (String[] save : call.save) saved.put(save[1], asText(row, save[0]));
            for (String[] expect : call.expect) {
                String found = asText(row, expect[0]), wanted = fill(expect[1], saved);
                if (!found.equals(wanted)) return expect[0] + " is " + found + ", expected " + wanted;
            }
            return null;
        } catch (SQLException error) {
            return error.getSQLState().equals(call.error) ? null : error.getSQLState() + ": " + error.getMessage();
        }
    }

    public static void main(String[] arguments) throws Exception {
        List<Call> calls = readCalls(Path.of(arguments[0]));
        Map<String, String> saved = new HashMap<>(Map.of("client", "jdbc"));
        Map<String, String> env = System.getenv();
        String url = "jdbc:postgresql://127.0.0.1:" + env.get("PGPORT") + "/" + env.get("PGDATABASE");
        boolean failed = false;
        try (Connection connection = DriverManager.getConnection(url, env.get("PGUSER"), env.get("PGPASSWORD"))) {
            System.out.println("1.." + calls.size());
            for (int n = 0; n < calls.size(); n++) {
                String wrong = run(connection, calls.get(n), saved);
                System.out.println((wrong == null ? "ok " : "not ok ") + (n + 1) + " - " + calls.get(n).name);
                if (wrong != null) {
                    failed = true;
                    System.err.println("# " + wrong.replace("\n", "\n# "));
                }
            }
        }
        System.exit(failed ? 1 : 0);
    }
}
