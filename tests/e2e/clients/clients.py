"""One conversation through a Python library; what each step did is printed (see ../test_clients).

usage: clients.py LIBRARY     environment: CLIENT_PORT, _USER, _PASSWORD, _DATABASE, _NAME
"""
import asyncio
import os
import sys

PORT = int(os.environ["CLIENT_PORT"])
USER, PASSWORD = os.environ["CLIENT_USER"], os.environ["CLIENT_PASSWORD"]
DATABASE, NAME = os.environ["CLIENT_DATABASE"], os.environ["CLIENT_NAME"]

CREATE = f"CREATE TABLE {NAME} (id int PRIMARY KEY, name varchar(40), price int)"
INSERT = f"INSERT INTO {NAME} VALUES (1, 'reed', 350), (2, 'lily', 900), (3, 'moss', 120)"
GET = f"SELECT name FROM {NAME} WHERE id = "
LIST = f"SELECT id, name FROM {NAME} ORDER BY id"
BAD = f"SELECT missing FROM {NAME}"
AGAIN = f"INSERT INTO {NAME} (id) VALUES (1)"
UPDATE = f"UPDATE {NAME} SET price = price + 1 WHERE id < 3"
DELETE = f"DELETE FROM {NAME}"
LARGE = f"SELECT a.* FROM {', '.join(f'{NAME} {letter}' for letter in 'abcdefghi')}"
ADD = f"INSERT INTO {NAME} (id) VALUES "
ADDED = range(11, 16)
COUNT = f"SELECT count(*) FROM {NAME}"
DROP = f"DROP TABLE {NAME}"


def did(step, result):
    print(step, result, flush=True)


def converse(cursor, get, begin, commit, rollback, error, code, batch):
    """The conversation through a DB-API cursor; get(id) asks with a parameter, code(e) is an error's,
    batch() adds rows in the library's way to send several statements at once."""
    def step(name, sql):
        try:
            cursor.execute(sql)
            did(name, len(cursor.fetchall()) if cursor.description else max(cursor.rowcount, 0))
        except error as e:
            did(name, code(e))

    step("create", CREATE)
    step("insert", INSERT)
    for number in (1, 2, 99):
        did("get", len(get(number)))
    for name, sql in (("list", LIST), ("bad", BAD), ("again", AGAIN)):
        step(name, sql)
    begin()
    step("update", UPDATE)
    commit()
    begin()
    step("delete", DELETE)
    rollback()
    step("large", LARGE)
    batch()
    step("count", COUNT)
    step("drop", DROP)


def psycopg2():
    import psycopg2 as library
    from psycopg2.extras import execute_batch
    connection = library.connect(host="127.0.0.1", port=PORT, user=USER, password=PASSWORD, dbname=DATABASE,
                                 sslmode="disable")
    connection.autocommit = True
    cursor = connection.cursor()

    def get(number):
        cursor.execute(GET + "%s", (number,))
        return cursor.fetchall()

    def begin():
        connection.autocommit = False

    def end(how):
        how()
        connection.autocommit = True

    def batch():  # one message of several statements, of which it keeps the last result
        execute_batch(cursor, ADD + "(%s)", [(n,) for n in ADDED])
        for _ in ADDED:
            did("batch", cursor.rowcount)

    converse(cursor, get, begin, lambda: end(connection.commit), lambda: end(connection.rollback),
             library.Error, lambda e: e.pgcode, batch)
    connection.close()


def psycopg():
    import psycopg as library
    connection = library.connect(host="127.0.0.1", port=PORT, user=USER, password=PASSWORD, dbname=DATABASE,
                                 sslmode="disable", autocommit=True)
    cursor = connection.cursor()

    def get(number):
        return cursor.execute(GET + "%s", (number,), prepare=True).fetchall()

    def batch():
        with connection.pipeline():
            sent = [connection.execute(ADD + "(%s)", (n,), prepare=False) for n in ADDED]
        for one in sent:
            did("batch", one.rowcount)

    converse(cursor, get, lambda: connection.set_autocommit(False),
             lambda: (connection.commit(), connection.set_autocommit(True)),
             lambda: (connection.rollback(), connection.set_autocommit(True)),
             library.Error, lambda e: e.sqlstate, batch)
    connection.close()


async def asyncpg_steps():
    import asyncpg as library
    c = await library.connect(host="127.0.0.1", port=PORT, user=USER, password=PASSWORD, database=DATABASE,
                              ssl=False)

    async def step(name, sql, *values, rows=False):
        try:
            if rows:
                did(name, len(await c.fetch(sql, *values)))
                return
            tag = (await c.execute(sql, *values)).split()[-1]
            did(name, tag if tag.isdigit() else 0)
        except library.PostgresError as e:
            did(name, e.sqlstate)

    await step("create", CREATE)
    await step("insert", INSERT)
    prepared = await c.prepare(GET + "$1")
    for number in (1, 2, 99):
        did("get", len(await prepared.fetch(number)))
    await step("list", LIST, rows=True)
    await step("bad", BAD)
    await step("again", AGAIN)
    for name, sql in (("update", UPDATE), ("delete", DELETE)):
        transaction = c.transaction()
        await transaction.start()
        await step(name, sql)
        await (transaction.commit() if name == "update" else transaction.rollback())
    await step("large", LARGE, rows=True)
    async with c.transaction():
        pages = await c.cursor(LIST)
        while page := await pages.fetch(2):
            did("pages", len(page))
    await c.executemany(ADD + "($1)", [(n,) for n in ADDED])
    for _ in ADDED:
        did("batch", 1)
    await step("count", COUNT, rows=True)
    await step("drop", DROP)
    await c.close()


def asyncpg():
    asyncio.run(asyncpg_steps())


def pymysql():
    import pymysql as library
    connection = library.connect(host="127.0.0.1", port=PORT, user=USER, password=PASSWORD, database=DATABASE,
                                 autocommit=True, ssl_disabled=True)
    cursor = connection.cursor()

    def get(number):
        cursor.execute(GET + "%s", (number,))
        return cursor.fetchall()

    def batch():  # it makes one statement of them
        did("batch", cursor.executemany(ADD + "(%s)", [(n,) for n in ADDED]))

    converse(cursor, get, connection.begin, connection.commit, connection.rollback, library.Error,
             lambda e: e.args[0], batch)
    connection.close()


def mysqlconnector():
    import mysql.connector as library
    connection = library.connect(host="127.0.0.1", port=PORT, user=USER, password=PASSWORD,
                                 database=DATABASE, use_pure=True, ssl_disabled=True, autocommit=True)
    prepared = connection.cursor(prepared=True)
    asked = GET + "%s"  # it prepares anew for another string of the same text

    def get(number):
        prepared.execute(asked, (number,))
        return prepared.fetchall()

    def batch():
        adding = connection.cursor(prepared=True)
        adding.executemany(ADD + "(%s)", [(n,) for n in ADDED])
        for _ in range(adding.rowcount):
            did("batch", 1)

    converse(connection.cursor(), get, connection.start_transaction, connection.commit,
             connection.rollback, library.Error, lambda e: e.errno, batch)
    prepared.close()
    connection.close()


def redis():
    import redis as library
    connection = library.Redis(host="127.0.0.1", port=PORT, username=USER, password=PASSWORD)

    def step(name, call, *args):
        try:
            call(*args)
            did(name, "OK")
        except library.ResponseError as e:
            did(name, str(e).split()[0])

    step("SET", connection.set, f"{NAME}:a", "reed")
    step("GET", connection.get, f"{NAME}:a")
    step("GET", connection.get, f"{NAME}:none")
    step("LPUSH", connection.lpush, f"{NAME}:list", "1", "2", "3")
    step("LRANGE", connection.lrange, f"{NAME}:list", 0, -1)
    step("HSET", connection.hset, f"{NAME}:hash", "field", "lily")
    try:
        connection.incr(f"{NAME}:list")
    except library.ResponseError:
        did("INCRBY", "WRONGTYPE")  # what it sends for incr(); it cuts the error's prefix off
    step("SET", connection.set, f"{NAME}:large", "moss" * 100000)
    step("GET", connection.get, f"{NAME}:large")
    pipe = connection.pipeline(transaction=False)
    for n in range(20):
        pipe.get(f"{NAME}:{n}")
    for _ in pipe.execute():
        did("GET", "OK")
    pipe = connection.pipeline(transaction=True)
    pipe.set(f"{NAME}:b", "moss").get(f"{NAME}:b")
    pipe.execute()
    did("SET", "OK")
    did("GET", "OK")
    step("DEL", connection.delete, f"{NAME}:a")
    connection.close()


if __name__ == "__main__":
    {f.__name__: f for f in (psycopg2, psycopg, asyncpg, pymysql, mysqlconnector, redis)}[sys.argv[1]]()
