// One conversation through a Node library; what each step did is printed (see ../test_clients).
// usage: node clients.js LIBRARY     environment: CLIENT_PORT, _USER, _PASSWORD, _DATABASE, _NAME,
// NODE_PATH (where the libraries are)
"use strict";

const env = process.env;
const name = env.CLIENT_NAME;
const where = {
  host: "127.0.0.1", port: Number(env.CLIENT_PORT), user: env.CLIENT_USER,
  password: env.CLIENT_PASSWORD, database: env.CLIENT_DATABASE,
};
const sql = {
  create: `CREATE TABLE ${name} (id int PRIMARY KEY, name varchar(40), price int)`,
  insert: `INSERT INTO ${name} VALUES (1, 'reed', 350), (2, 'lily', 900), (3, 'moss', 120)`,
  get: `SELECT name FROM ${name} WHERE id = `,
  list: `SELECT id, name FROM ${name} ORDER BY id`,
  bad: `SELECT missing FROM ${name}`,
  again: `INSERT INTO ${name} (id) VALUES (1)`,
  update: `UPDATE ${name} SET price = price + 1 WHERE id < 3`,
  delete: `DELETE FROM ${name}`,
  large: `SELECT a.* FROM ${[..."abcdefghi"].map((letter) => `${name} ${letter}`).join(", ")}`,
  batch: [11, 12, 13, 14, 15].map((id) => `INSERT INTO ${name} (id) VALUES (${id})`).join("; "),
  count: `SELECT count(*) FROM ${name}`,
  drop: `DROP TABLE ${name}`,
};

const did = (step, result) => console.log(step, result);

// ask(sql) and get(id) give the number of rows (of several statements: a list), code(error) an error's
// code.
async function converse(ask, get, begin, commit, rollback, code) {
  const step = async (which) => {
    try {
      did(which, await ask(sql[which]));
    } catch (error) {
      did(which, code(error));
    }
  };
  await step("create");
  await step("insert");
  for (const id of [1, 2, 99]) did("get", await get(id));
  for (const which of ["list", "bad", "again"]) await step(which);
  await begin();
  await step("update");
  await commit();
  await begin();
  await step("delete");
  await rollback();
  await step("large");
  for (const n of await ask(sql.batch)) did("batch", n);
  await step("count");
  await step("drop");
}

async function pg() {
  const { Client } = require("pg");
  const client = new Client(where);
  await client.connect();
  const size = (result) => (Array.isArray(result) ? result.map(size) : result.rowCount ?? 0);
  const ask = async (text) => size(await client.query(text));
  await converse(ask,
    async (id) => (await client.query({ name: "get", text: sql.get + "$1", values: [id] })).rowCount,
    () => client.query("BEGIN"), () => client.query("COMMIT"), () => client.query("ROLLBACK"),
    (error) => error.code);
  await client.end();
}

async function mysql2() {
  const connection = await require("mysql2/promise").createConnection({ ...where, multipleStatements: true });
  const several = (rows) => Array.isArray(rows) && rows[0]?.constructor.name === "ResultSetHeader";
  const size = ([rows]) => (several(rows) ? rows.map((one) => one.affectedRows)
    : Array.isArray(rows) ? rows.length : rows.affectedRows);
  await converse(async (text) => size(await connection.query(text)),
    async (id) => size(await connection.execute(sql.get + "?", [id])),
    () => connection.beginTransaction(), () => connection.commit(), () => connection.rollback(),
    (error) => error.errno);
  await connection.end();
}

async function ioredis() {
  const { Redis } = require("ioredis");
  const client = new Redis({ ...where, username: where.user, db: 0 });
  const step = async (command, ...args) => {
    try {
      await client.call(command, ...args);
      did(command, "OK");
    } catch (error) {
      did(command, error.message.split(" ")[0]);
    }
  };
  await step("SET", `${name}:a`, "reed");
  await step("GET", `${name}:a`);
  await step("GET", `${name}:none`);
  await step("LPUSH", `${name}:list`, "1", "2", "3");
  await step("LRANGE", `${name}:list`, "0", "-1");
  await step("HSET", `${name}:hash`, "field", "lily");
  await step("INCR", `${name}:list`);
  await step("SET", `${name}:large`, "moss".repeat(100000));
  await step("GET", `${name}:large`);
  const pipe = client.pipeline();
  for (let n = 0; n < 20; n++) pipe.get(`${name}:${n}`);
  for (const _ of await pipe.exec()) did("GET", "OK");
  await client.multi().set(`${name}:b`, "moss").get(`${name}:b`).exec();
  did("SET", "OK");
  did("GET", "OK");
  await step("DEL", `${name}:a`);
  await client.quit();
}

({ pg, mysql2, ioredis })[process.argv[2]]().catch((error) => {
  console.error(error);
  process.exit(1);
});
