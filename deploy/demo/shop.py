"""What the demo's orders service keeps: carts and payments in PostgreSQL, stock in MariaDB, sessions
in Redis. A store that the demo runs without is left out of every answer.

SHOP_STORES names those that are there: "postgres=PORT mariadb=PORT redis=PORT".
"""
import os
import random
import threading
import time

PRODUCTS, CARTS = 400, 400
LINES = 6  # at most, of a cart
USER, PASSWORD, DATABASE = (os.environ.get(f"SHOP_{x}", "") for x in ("USER", "PASSWORD", "DATABASE"))
PORTS = {name: int(port) for name, port in
         (word.split("=") for word in os.environ.get("SHOP_STORES", "").split())}


class Failed(Exception):
    """A statement that the store refused, in its words."""


def postgres():
    import psycopg2
    connection = psycopg2.connect(host="127.0.0.1", port=PORTS["postgres"], user=USER, password=PASSWORD,
                                  dbname=DATABASE, sslmode="disable", application_name="orders")
    connection.autocommit = True
    return connection


def mariadb():
    import pymysql
    return pymysql.connect(host="127.0.0.1", port=PORTS["mariadb"], user=USER, password=PASSWORD,
                           database=DATABASE, autocommit=True)


def redis():
    import redis as library
    return library.Redis(host="127.0.0.1", port=PORTS["redis"], username=USER, password=PASSWORD)


class Stores(threading.local):
    """The connections of one thread of the service; each is opened when it is first wanted."""

    def __init__(self):
        self.opened = {}

    def get(self, open_store):
        name = open_store.__name__
        if name not in self.opened and name in PORTS:
            self.opened[name] = open_store()
        return self.opened.get(name)

    def ask(self, open_store, statement, *values):
        """Rows of a statement; none without the store."""
        connection = self.get(open_store)
        if not connection:
            return []
        with connection.cursor() as cursor:
            cursor.execute(statement, values or None)
            return cursor.fetchall() if cursor.description else []


stores = Stores()


def prepare():
    """Fills the empty stores."""
    def fill(store, table, columns, rows):
        for at in range(0, len(rows), 100):
            part = rows[at:at + 100]
            marks = ", ".join(["(" + ", ".join(["%s"] * len(part[0])) + ")"] * len(part))
            stores.ask(store, f"INSERT INTO {table} ({columns}) VALUES {marks}",
                       *(value for row in part for value in row))

    chance = random.Random(1)
    for statement in (
            "CREATE TABLE products (id int PRIMARY KEY, name text, price int)",
            "CREATE TABLE cart_lines (cart_id int, product_id int, amount int)",
            "CREATE INDEX ON cart_lines (cart_id)",
            "CREATE TABLE payments (cart_id int PRIMARY KEY, card text, paid_at timestamptz)"):
        stores.ask(postgres, statement)
    fill(postgres, "products", "id, name, price",
         [(n, f"reed {n}", chance.randrange(90, 900)) for n in range(1, PRODUCTS + 1)])
    fill(postgres, "cart_lines", "cart_id, product_id, amount",
         [(cart, chance.randrange(1, PRODUCTS + 1), chance.randrange(1, 4))
          for cart in range(1, CARTS + 1) for _ in range(chance.randrange(2, LINES + 1))])
    stores.ask(mariadb, "CREATE TABLE stock (product_id int PRIMARY KEY, quantity int)")
    fill(mariadb, "stock", "product_id, quantity",
         [(n, chance.randrange(0, 50)) for n in range(1, PRODUCTS + 1)])


def visitor(session):
    """Who that is: kept for a minute."""
    connection = stores.get(redis)
    if not connection:
        return None
    name = connection.get(f"session:{session}")
    if name is None:
        name = f"visitor {session}".encode()
        connection.set(f"session:{session}", name, ex=60)
    connection.incr("visits")
    return name.decode()


def cart(number):
    """The lines of a cart. One statement for all its products would do: this is the N+1 pattern."""
    lines = []
    for product, amount in stores.ask(
            postgres, "SELECT product_id, amount FROM cart_lines WHERE cart_id = %s", number):
        for name, price in stores.ask(
                postgres, "SELECT name, price FROM products WHERE id = %s", product):
            lines.append({"product": product, "name": name, "price": price, "amount": amount})
    wanted = [line["product"] for line in lines] or [1]
    stock = dict(stores.ask(mariadb, "SELECT product_id, quantity FROM stock WHERE product_id IN ("
                            + ", ".join(["%s"] * len(wanted)) + ")", *wanted))
    for line in lines:
        line["left"] = stock.get(line["product"])
    return lines


def report():
    """The slow statement."""
    if "postgres" not in PORTS:
        time.sleep(random.uniform(0.3, 0.8))
    return stores.ask(postgres, "SELECT p.name, sum(c.amount) FROM cart_lines c JOIN products p "
                      "ON p.id = c.product_id, pg_sleep(0.3 + random() * 0.5) "
                      "GROUP BY p.name ORDER BY 2 DESC LIMIT 10")


def order(product):
    stores.ask(mariadb, "UPDATE stock SET quantity = greatest(quantity - 1, 0) WHERE product_id = %s",
               product)


def pay(number, card):
    """The failing statement: one time in four the cart is paid for already."""
    again = random.random() < 0.25
    if "postgres" not in PORTS:
        if again:
            raise Failed("paid for already")
        return
    import psycopg2
    if again:
        stores.ask(postgres, "INSERT INTO payments VALUES (%s, %s, now()) ON CONFLICT DO NOTHING",
                   number, card)
    else:
        stores.ask(postgres, "DELETE FROM payments WHERE cart_id = %s", number)
    try:
        stores.ask(postgres, "INSERT INTO payments VALUES (%s, %s, now())", number, card)
    except psycopg2.IntegrityError as problem:
        raise Failed(str(problem).splitlines()[0]) from None
