// One conversation through a Go library; what each step did is printed (see ../test_clients).
//
// usage: clients LIBRARY     environment: CLIENT_PORT, _USER, _PASSWORD, _DATABASE, _NAME
package main

import (
	"context"
	"database/sql"
	"database/sql/driver"
	"errors"
	"fmt"
	"os"
	"strings"

	"github.com/go-sql-driver/mysql"
	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/redis/go-redis/v9"
)

var (
	ctx  = context.Background()
	name = os.Getenv("CLIENT_NAME")
	user = os.Getenv("CLIENT_USER")
	word = os.Getenv("CLIENT_PASSWORD")
	base = os.Getenv("CLIENT_DATABASE")
	host = "127.0.0.1:" + os.Getenv("CLIENT_PORT")
)

var text = map[string]string{
	"create": "CREATE TABLE " + name + " (id int PRIMARY KEY, name varchar(40), price int)",
	"insert": "INSERT INTO " + name + " VALUES (1, 'reed', 350), (2, 'lily', 900), (3, 'moss', 120)",
	"get":    "SELECT name FROM " + name + " WHERE id = ",
	"list":   "SELECT id, name FROM " + name + " ORDER BY id",
	"bad":    "SELECT missing FROM " + name,
	"again":  "INSERT INTO " + name + " (id) VALUES (1)",
	"update": "UPDATE " + name + " SET price = price + 1 WHERE id < 3",
	"delete": "DELETE FROM " + name,
	"large":  "SELECT a.* FROM " + name + " a",
	"add":    "INSERT INTO " + name + " (id) VALUES ",
	"count":  "SELECT count(*) FROM " + name,
	"drop":   "DROP TABLE " + name,
}

const added = "11 12 13 14 15"

func did(step string, result any) { fmt.Println(step, result) }

func must(err error) {
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

// talk is what the conversation needs of a library: statements that change, those that ask.
type talk struct {
	change   func(text string) (int64, error)
	ask      func(text string, values ...any) (int, error)
	begin    func() error
	commit   func() error
	rollback func() error
	code     func(error) any
	batch    func() error
	mark     string
}

func (t talk) step(which string) {
	n, err := t.change(text[which])
	t.say(which, n, err)
}

func (t talk) rows(which string, values ...any) {
	statement := text[which]
	if len(values) > 0 {
		statement += t.mark
	}
	n, err := t.ask(statement, values...)
	t.say(which, int64(n), err)
}

func (t talk) say(which string, n int64, err error) {
	if err != nil {
		did(which, t.code(err))
		return
	}
	did(which, n)
}

func (t talk) converse() {
	t.step("create")
	t.step("insert")
	for _, id := range []int{1, 2, 99} {
		t.rows("get", id)
	}
	t.rows("list")
	t.rows("bad")
	t.step("again")
	must(t.begin())
	t.step("update")
	must(t.commit())
	must(t.begin())
	t.step("delete")
	must(t.rollback())
	t.rows("large")
	must(t.batch())
	t.rows("count")
	t.step("drop")
}

func usePgx() {
	c, err := pgx.Connect(ctx, fmt.Sprintf("postgres://%s:%s@%s/%s?sslmode=disable", user, word, host, base))
	must(err)
	var tx pgx.Tx
	talk{
		change: func(s string) (int64, error) {
			tag, err := c.Exec(ctx, s)
			return tag.RowsAffected(), err
		},
		ask: func(s string, values ...any) (int, error) {
			rows, err := c.Query(ctx, s, values...)
			if err != nil {
				return 0, err
			}
			n := 0
			for rows.Next() {
				n++
			}
			return n, rows.Err()
		},
		begin:    func() (err error) { tx, err = c.Begin(ctx); return },
		commit:   func() error { return tx.Commit(ctx) },
		rollback: func() error { return tx.Rollback(ctx) },
		code: func(err error) any {
			var e *pgconn.PgError
			must(map[bool]error{false: err}[errors.As(err, &e)])
			return e.Code
		},
		batch: func() error {
			batch := &pgx.Batch{}
			for _, id := range strings.Fields(added) {
				batch.Queue(text["add"]+"($1)", id)
			}
			results := c.SendBatch(ctx, batch)
			for range batch.Len() {
				tag, err := results.Exec()
				must(err)
				did("batch", tag.RowsAffected())
			}
			return results.Close()
		},
		mark: "$1",
	}.converse()
	must(c.Close(ctx))
}

func count(rows *sql.Rows, err error) (n int, _ error) {
	if err != nil {
		return 0, err
	}
	for rows.Next() {
		n++
	}
	return n, rows.Close()
}

func useMysql() {
	pool, err := sql.Open("mysql", fmt.Sprintf("%s:%s@tcp(%s)/%s?multiStatements=true", user, word, host, base))
	must(err)
	c, err := pool.Conn(ctx) // one connection, as the conversation's transactions need
	must(err)
	var tx *sql.Tx
	var get *sql.Stmt
	talk{
		change: func(s string) (int64, error) {
			run := c.ExecContext
			if tx != nil {
				run = tx.ExecContext
			}
			result, err := run(ctx, s)
			if err != nil {
				return 0, err
			}
			return result.RowsAffected()
		},
		ask: func(s string, values ...any) (int, error) {
			if len(values) == 0 {
				return count(c.QueryContext(ctx, s))
			}
			if get == nil {
				get, err = c.PrepareContext(ctx, s)
				must(err)
			}
			return count(get.QueryContext(ctx, values...))
		},
		begin:    func() (err error) { tx, err = c.BeginTx(ctx, nil); return },
		commit:   func() error { defer func() { tx = nil }(); return tx.Commit() },
		rollback: func() error { defer func() { tx = nil }(); return tx.Rollback() },
		code: func(err error) any {
			var e *mysql.MySQLError
			must(map[bool]error{false: err}[errors.As(err, &e)])
			return e.Number
		},
		batch: func() error {
			several := text["add"] + "(" + strings.ReplaceAll(added, " ", "); "+text["add"]+"(") + ")"
			return c.Raw(func(own any) error {
				result, err := own.(driver.ExecerContext).ExecContext(ctx, several, nil)
				must(err)
				for _, n := range result.(mysql.Result).AllRowsAffected() {
					did("batch", n)
				}
				return nil
			})
		},
		mark: "?",
	}.converse()
	must(c.Close())
	must(pool.Close())
}

func useRedis() {
	c := redis.NewClient(&redis.Options{Addr: host, Username: user, Password: word})
	step := func(words ...any) {
		err := c.Do(ctx, words...).Err()
		if err != nil && err != redis.Nil {
			did(words[0].(string), strings.Fields(err.Error())[0])
			return
		}
		did(words[0].(string), "OK")
	}
	step("SET", name+":a", "reed")
	step("GET", name+":a")
	step("GET", name+":none")
	step("LPUSH", name+":list", 1, 2, 3)
	step("LRANGE", name+":list", 0, -1)
	step("HSET", name+":hash", "field", "lily")
	step("INCR", name+":list")
	step("SET", name+":large", strings.Repeat("moss", 100000))
	step("GET", name+":large")
	many, _ := c.Pipelined(ctx, func(p redis.Pipeliner) error {
		for n := range 20 {
			p.Get(ctx, fmt.Sprintf("%s:%d", name, n))
		}
		return nil
	})
	for range many {
		did("GET", "OK")
	}
	_, err := c.TxPipelined(ctx, func(p redis.Pipeliner) error {
		p.Set(ctx, name+":b", "moss", 0)
		p.Get(ctx, name+":b")
		return nil
	})
	must(err)
	did("SET", "OK")
	did("GET", "OK")
	step("DEL", name+":a")
	must(c.Close())
}

func main() {
	for _, letter := range strings.Split("bcdefghi", "") {
		text["large"] += ", " + name + " " + letter
	}
	map[string]func(){"pgx": usePgx, "gosqldriver": useMysql, "goredis": useRedis}[os.Args[1]]()
}
