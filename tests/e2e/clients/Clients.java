import java.sql.Connection;
import java.sql.DriverManager;
import java.sql.PreparedStatement;
import java.sql.ResultSet;
import java.sql.SQLException;
import java.sql.Statement;

/** One conversation through a JDBC driver; what each step did is printed (see ../test_clients).
 *  usage: Clients LIBRARY     environment: CLIENT_PORT, _USER, _PASSWORD, _DATABASE, _NAME */
public class Clients {
    static final String NAME = System.getenv("CLIENT_NAME");

    static String url(String library) {
        String end = "://127.0.0.1:" + System.getenv("CLIENT_PORT") + "/" + System.getenv("CLIENT_DATABASE");
        switch (library) {
        case "pgjdbc":
            return "jdbc:postgresql" + end + "?sslmode=disable&prepareThreshold=1";
        case "connectorj":
            return "jdbc:mysql" + end + "?sslMode=DISABLED&useServerPrepStmts=true&useCursorFetch=true";
        default:
            return "jdbc:mariadb" + end + "?sslMode=disable&useServerPrepStmts=true&useBulkStmts=true";
        }
    }

    static void did(String step, Object result) {
        System.out.println(step + " " + result);
    }

    static int rows(ResultSet result) throws SQLException {
        int n = 0;
        while (result.next()) {
            n++;
        }
        result.close();
        return n;
    }

    static void step(Connection c, String name, String sql) throws SQLException {
        try (Statement s = c.createStatement()) {
            did(name, s.execute(sql) ? rows(s.getResultSet()) : s.getUpdateCount());
        } catch (SQLException e) {
            did(name, e.getErrorCode() == 0 ? e.getSQLState() : e.getErrorCode());
        }
    }

    /** A result that is fetched in parts, where the driver does that. */
    static void pages(Connection c) throws SQLException {
        c.setAutoCommit(false);
        try (PreparedStatement s = c.prepareStatement("SELECT id, name FROM " + NAME + " ORDER BY id")) {
            s.setFetchSize(2);
            did("pages", rows(s.executeQuery()));
        }
        c.commit();
        c.setAutoCommit(true);
    }

    static void batch(Connection c) throws SQLException {
        try (PreparedStatement s = c.prepareStatement("INSERT INTO " + NAME + " (id) VALUES (?)")) {
            for (int id = 11; id <= 15; id++) {
                s.setInt(1, id);
                s.addBatch();
            }
            for (int n : s.executeBatch()) {
                did("batch", n == Statement.SUCCESS_NO_INFO ? "unknown" : n);
            }
        }
    }

    static void converse(Connection c) throws SQLException {
        step(c, "create", "CREATE TABLE " + NAME + " (id int PRIMARY KEY, name varchar(40), price int)");
        step(c, "insert", "INSERT INTO " + NAME + " VALUES (1, 'reed', 350), (2, 'lily', 900), (3, 'moss', 120)");
        try (PreparedStatement get = c.prepareStatement("SELECT name FROM " + NAME + " WHERE id = ?")) {
            for (int id : new int[] {1, 2, 99}) {
                get.setInt(1, id);
                did("get", rows(get.executeQuery()));
            }
        }
        step(c, "list", "SELECT id, name FROM " + NAME + " ORDER BY id");
        step(c, "bad", "SELECT missing FROM " + NAME);
        step(c, "again", "INSERT INTO " + NAME + " (id) VALUES (1)");
        c.setAutoCommit(false);
        step(c, "update", "UPDATE " + NAME + " SET price = price + 1 WHERE id < 3");
        c.commit();
        step(c, "delete", "DELETE FROM " + NAME);
        c.rollback();
        c.setAutoCommit(true);
        step(c, "large", "SELECT a.* FROM " + NAME + " " + String.join(", " + NAME + " ", "abcdefghi".split("")));
        pages(c);
        batch(c);
        step(c, "count", "SELECT count(*) FROM " + NAME);
        step(c, "drop", "DROP TABLE " + NAME);
    }

    public static void main(String[] args) throws SQLException {
        try (Connection c = DriverManager.getConnection(url(args[0]), System.getenv("CLIENT_USER"),
                 System.getenv("CLIENT_PASSWORD"))) {
            converse(c);
        }
    }
}
