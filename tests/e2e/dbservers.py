"""Real databases, caches and name servers for tests, each in the test's Area and on a private port.

    pg = postgres(area)              # PostgreSQL 15; pgbouncer(area, pg) in front of it
    my = mariadb(area)               # MariaDB 10.11
    my = mysql(area)                 # MySQL 9
    rd = redis(area)                 # Redis 7
    dns = dnsmasq(area)              # or unbound(area), named(area), knotd(area)

Each returns a Server: on 127.0.0.1:port (below 32768) and, but for DNS, on the UNIX socket
`socket`; `user` with `password` may do everything in `database`. Servers that need it run as a user of
the system, all write only below area.path, are stopped by pid when the Area closes and end by
themselves when the test is killed. No service of the host is touched. A program that is not installed
raises Missing, whose text says which; `offer(area, CASE, START, ...)` turns that into a skipped case.

Start them from the main thread: they end with the thread that started them.
"""
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess

from lib import TOP, listening, start_server, wait_until

USER, PASSWORD, DATABASE = "shop", "pond-17", "shop"
SYSTEM_PATH = os.environ.get("PATH", "") + ":/usr/sbin:/usr/local/sbin:/usr/local/go/bin"
CLIENT_SECONDS = 60
MYSQL_MAKE_SECONDS = 600

# What both name servers answer; {name: [(type, data)]}. LARGE does not fit 512 bytes of UDP.
ZONE = "pond.test"
RECORDS = {
    f"www.{ZONE}": [("A", "127.0.0.53"), ("AAAA", "::53")],
    f"shop.{ZONE}": [("CNAME", f"www.{ZONE}")],
    f"text.{ZONE}": [("TXT", "still water")],
    f"large.{ZONE}": [("TXT", f"{n:03}" + "reed" * 40) for n in range(12)],
}


class Missing(Exception):
    """A program that the case needs is not installed."""


def program(name, *more):
    """The path of a program; more are patterns of paths that are not on the search path."""
    found = shutil.which(name, path=SYSTEM_PATH)
    for pattern in more:
        found = found or next(iter(sorted(glob.glob(pattern), reverse=True)), None)
    if not found:
        raise Missing(f"{name} is not installed")
    return found


def offer(area, case, start, *args, **kw):
    """start(area, ...), or None after saying that the case is skipped and why."""
    try:
        return start(area, *args, **kw)
    except Missing as why:
        print(f"skip {area.name}__{case} ({why})", flush=True)
        return None


class Server:
    """One running server; process is its Process, directory what it may write to."""

    def __init__(self, kind, process, port, directory, unix=None, tools=None):
        self.kind, self.process, self.port = kind, process, port
        self.directory, self.socket = directory, unix
        self.user, self.password, self.database = USER, PASSWORD, DATABASE
        self.tools = tools  # (arguments of the client, its environment) by whether the socket is used

    @property
    def pid(self):
        return self.process.pid

    def client(self, *args, unix=False):
        """argv of the kind's own client (psql, mariadb, redis-cli, dig) for this server."""
        return [*self.tools(self, unix), *args]

    @property
    def client_env(self):
        return {"PGPASSWORD": PASSWORD, "MYSQL_PWD": PASSWORD, "REDISCLI_AUTH": PASSWORD,
                "PSQLRC": "/dev/null", "HOME": self.directory}

    def run(self, *args, unix=False, text=None, seconds=CLIENT_SECONDS):
        """Runs the client to its end: CompletedProcess with text."""
        return subprocess.run(self.client(*args, unix=unix), input=text or "", text=True,
                              capture_output=True, timeout=seconds,
                              env=dict(os.environ, **self.client_env))

    def stop(self):
        return self.process.stop()


def new_directory(area, name, user=None):
    """A directory of the area that belongs to the system's user of that name."""
    path = area.file(name)
    while os.path.exists(path):
        path += "+"
    os.mkdir(path, 0o750 if user else 0o755)
    if user:
        entry = pwd.getpwnam(user)
        os.chown(path, entry.pw_uid, entry.pw_gid)
    return path


def as_user(user=None, ends_with=signal.SIGTERM):
    """A command that runs another as that user and lets it end when this test dies."""
    words = ["setpriv", "--pdeathsig", ends_with.name.removeprefix("SIG")]
    if user:
        words += ["--reuid", user, "--regid", str(pwd.getpwnam(user).pw_gid), "--init-groups"]
    return words


def prepare(argv, **kw):
    """Runs a command that must succeed."""
    done = subprocess.run(argv, capture_output=True, text=True, stdin=subprocess.DEVNULL,
                          timeout=CLIENT_SECONDS, **kw)
    if done.returncode:
        raise RuntimeError(f"{' '.join(argv)}: status {done.returncode}\n{done.stdout}{done.stderr}")


def need_user(name):
    try:
        pwd.getpwnam(name)
    except KeyError:
        raise Missing(f"the system has no user {name}") from None


def postgres(area, *options, port=None):
    """options: settings of the server, "work_mem=4MB"."""
    initdb = program("initdb", "/usr/lib/postgresql/*/bin/initdb")
    need_user("postgres")
    directory = new_directory(area, "postgres", "postgres")
    data, port = f"{directory}/data", port or area.port()
    with open(f"{directory}/password", "w") as f:
        f.write(PASSWORD)
    os.chmod(f"{directory}/password", 0o644)
    prepare([*as_user("postgres"), initdb, "-D", data, "-U", USER, "-A", "scram-sha-256", "--pwfile",
             f"{directory}/password", "-E", "UTF8", "--no-locale", "--no-sync", "--no-instructions"],
            cwd=directory)
    settings = ["fsync=off", "shared_buffers=16MB", "max_connections=60", "dynamic_shared_memory_type="
                "mmap", "jit=off", f"cluster_name={area.name}", *options]
    # Its smart shutdown (SIGTERM) would wait for clients.
    process = start_server(area, [*as_user("postgres", signal.SIGINT),
                                  os.path.join(os.path.dirname(initdb), "postgres"), "-D", data,
                                  "-p", str(port), "-h", "127.0.0.1", "-k", directory,
                                  *(word for s in settings for word in ("-c", s))],
                           port, stop_signal=signal.SIGINT, cwd=directory)
    server = Server("postgres", process, port, directory, f"{directory}/.s.PGSQL.{port}", psql)
    server.database = "postgres"
    wait_accepts(server, "-c", "SELECT 1")
    done = server.run("-c", f"CREATE DATABASE {DATABASE}")
    if done.returncode:
        raise RuntimeError(f"CREATE DATABASE: {done.stderr}")
    server.database = DATABASE
    return server


def wait_accepts(server, *args):
    """A server that listens may not answer yet."""
    done = None

    def accepts():
        nonlocal done
        done = server.run(*args)
        return done.returncode == 0

    if not wait_until(accepts, 20, 0.1):
        raise RuntimeError(f"{server.kind} accepts nothing: {done.stderr}\n{server.process.log()}")


def psql(server, unix):
    host = server.directory if unix else "127.0.0.1"
    return [program("psql", "/usr/lib/postgresql/*/bin/psql"), "-X", "-q", "-v", "VERBOSITY=verbose", "-h",
            host, "-p", str(server.port), "-U", USER, "-d", server.database]


def pgbouncer(area, server, pool_mode="transaction", port=None):
    """In front of a postgres(), with the same user, password and database."""
    binary = program("pgbouncer")
    need_user("postgres")
    directory, port = new_directory(area, "pgbouncer", "postgres"), port or area.port()
    with open(f"{directory}/users", "w") as f:
        f.write(f'"{USER}" "{PASSWORD}"\n')
    with open(f"{directory}/ini", "w") as f:
        f.write(f"[databases]\n{DATABASE} = host=127.0.0.1 port={server.port}\n[pgbouncer]\n"
                f"listen_addr = 127.0.0.1\nlisten_port = {port}\nunix_socket_dir = {directory}\n"
                f"auth_type = scram-sha-256\nauth_file = {directory}/users\n"
                f"pool_mode = {pool_mode}\ndefault_pool_size = 8\n"
                "ignore_startup_parameters = extra_float_digits\n")
    process = start_server(area, [*as_user("postgres"), binary, f"{directory}/ini"], port,
                           cwd=directory)
    return Server("pgbouncer", process, port, directory, f"{directory}/.s.PGSQL.{port}", psql)


def write_users(path):
    """What mariadbd and mysqld execute as they start."""
    with open(path, "w") as f:
        f.write(f"CREATE DATABASE {DATABASE};\n")
        for host in ("localhost", "127.0.0.1"):
            f.write(f"CREATE USER '{USER}'@'{host}' IDENTIFIED BY '{PASSWORD}';\n"
                    f"GRANT ALL ON *.* TO '{USER}'@'{host}' WITH GRANT OPTION;\n")


def mariadb(area, *options, port=None):
    """options: of mariadbd, "--max-allowed-packet=64M"."""
    binary, install = program("mariadbd"), program("mariadb-install-db")
    directory, port = new_directory(area, "mariadb"), port or area.port()
    data, unix = f"{directory}/data", f"{directory}/socket"
    small = ["--innodb-log-file-size=4M", "--innodb-buffer-pool-size=32M",
             "--innodb-flush-log-at-trx-commit=0", "--skip-innodb-doublewrite"]
    prepare([install, "--no-defaults", "--user=root", f"--datadir={data}", "--skip-test-db",
             "--auth-root-authentication-method=normal", *small], cwd=directory)
    write_users(f"{directory}/init.sql")
    process = start_server(area, [*as_user(), binary, "--no-defaults", "--user=root",
                                  f"--datadir={data}", f"--port={port}", f"--socket={unix}",
                                  "--bind-address=127.0.0.1", "--skip-name-resolve",
                                  f"--init-file={directory}/init.sql", f"--tmpdir={directory}",
                                  f"--pid-file={directory}/pid", "--performance-schema=OFF",
                                  "--local-infile=ON", *small, *options], port, cwd=directory)
    server = Server("mariadb", process, port, directory, unix, mariadb_client)
    wait_accepts(server, "-e", "SELECT 1")
    return server


def mysql(area, *options, port=None):
    """Oracle's, in the root directory of scripts/test-mysql; its client, whose first login is over TLS,
    makes the server remember the password, so that others may log in without."""
    done = subprocess.run([os.path.join(TOP, "scripts", "test-mysql")], text=True, capture_output=True,
                          stdin=subprocess.DEVNULL, timeout=MYSQL_MAKE_SECONDS)
    if done.returncode:
        raise Missing((done.stdout + done.stderr).strip())
    root, directory, port = done.stdout.strip(), new_directory(area, "mysql"), port or area.port()
    subprocess.run(["cp", "-a", f"{root}/new", f"{directory}/data"], check=True)
    write_users(f"{directory}/init.sql")
    process = start_server(area, [*as_user(), "unshare", "--mount", "--propagation", "private", "sh", "-c",
                                  'mount --bind "$1" "$2/mnt" && cd / && shift && root=$1 && shift && '
                                  'exec chroot "$root" "$@"', "sh", directory, root,
                                  "mysqld", "--no-defaults", "--user=root", "--datadir=/mnt/data",
                                  f"--port={port}", "--socket=/mnt/socket", "--bind-address=127.0.0.1",
                                  "--init-file=/mnt/init.sql", "--pid-file=/mnt/pid", "--mysqlx=OFF",
                                  "--performance-schema=OFF", "--innodb-buffer-pool-size=32M",
                                  "--innodb-redo-log-capacity=8M", "--innodb-flush-log-at-trx-commit=0",
                                  "--skip-log-bin", "--local-infile=ON",
                                  "--protocol-compression-algorithms=zlib,zstd,uncompressed", *options],
                           port)
    server = Server("mysql", process, port, directory, None, lambda server, unix: [
        "chroot", root, "mysql", "--no-defaults", "--host=127.0.0.1", f"--port={port}", "--protocol=tcp",
        f"--user={USER}", f"--database={DATABASE}"])
    wait_accepts(server, "-e", "SELECT 1")
    return server


def mariadb_client(server, unix):
    where = [f"--socket={server.socket}", "--protocol=socket"] if unix else \
        ["--host=127.0.0.1", f"--port={server.port}", "--protocol=tcp"]
    return [program("mariadb"), "--no-defaults", *where, f"--user={USER}", f"--database={DATABASE}",
            "--default-character-set=utf8mb4"]


def redis(area, *options, port=None, kind="redis"):
    """options: lines of its configuration. The user `default` needs no password here. kind: `valkey`
    for that one, with the client of the other."""
    binary = program(f"{kind}-server")
    directory, port = new_directory(area, kind), port or area.port()
    unix = f"{directory}/socket"
    with open(f"{directory}/conf", "w") as f:
        f.write("\n".join([f"port {port}", "bind 127.0.0.1", f"unixsocket {unix}", "save \"\"",
                           "appendonly no", f"dir {directory}", "daemonize no",
                           f"user {USER} on >{PASSWORD} ~* &* +@all", *options]) + "\n")
    process = start_server(area, [*as_user(), binary, f"{directory}/conf"], port, cwd=directory)
    server = Server(kind, process, port, directory, unix, redis_cli)
    wait_accepts(server, "PING")
    return server


def redis_cli(server, unix):
    where = ["-s", server.socket] if unix else ["-h", "127.0.0.1", "-p", str(server.port)]
    return [program("redis-cli"), "--no-auth-warning", "--user", USER, *where]


def dig(server, _):
    return [program("dig"), "@127.0.0.1", "-p", str(server.port), "+tries=1", "+timeout=5"]


def udp_port(area):
    """A port that is free for both transports."""
    while True:
        port = area.port()
        with socket.socket(socket.AF_INET6, socket.SOCK_DGRAM) as s:
            try:
                s.bind(("::", port))
                return port
            except OSError:
                continue


def dnsmasq(area, *options, port=None):
    """Answers RECORDS, over UDP and TCP; other names are refused."""
    binary = program("dnsmasq")
    directory, port = new_directory(area, "dnsmasq"), port or udp_port(area)
    lines = [f"port={port}", "listen-address=127.0.0.1", "bind-interfaces", "no-resolv", "no-hosts",
             "user=root", "keep-in-foreground", "pid-file=", f"local=/{ZONE}/", "local-ttl=60",
             "host-record=www.pond.test,127.0.0.53,::53", *options]
    for name, records in RECORDS.items():
        lines += [f"{kind.lower()}={name},{data}".replace("txt=", "txt-record=")
                  for kind, data in records if kind in ("TXT", "CNAME")]
    with open(f"{directory}/conf", "w") as f:
        f.write("\n".join(lines) + "\n")
    process = start_server(area, [*as_user(), binary, "-C", f"{directory}/conf"], port, cwd=directory)
    return Server("dnsmasq", process, port, directory, tools=dig)


def unbound(area, *options, forward=None, port=None):
    """Answers RECORDS itself, or asks `forward` (another name server here) for everything."""
    binary = program("unbound")
    directory, port = new_directory(area, "unbound"), port or udp_port(area)
    lines = ["server:", "interface: 127.0.0.1", f"port: {port}", "do-daemonize: no", "num-threads: 1",
             'username: ""', 'chroot: ""', f"directory: {directory}", 'pidfile: ""', "use-syslog: no",
             'logfile: ""', "do-not-query-localhost: no", "module-config: iterator", *options]
    if forward is None:
        lines.append(f"local-zone: {ZONE}. static")
        lines += [f"local-data: '{name}. 60 IN {kind} " +
                  (f'"{data}"' if kind == "TXT" else data + "." * (kind == "CNAME")) + "'"
                  for name, records in RECORDS.items() for kind, data in records]
    else:
        lines.append("local-zone: test. nodefault")  # which it would answer itself: not there
        lines += ["forward-zone:", "name: .", f"forward-addr: 127.0.0.1@{forward.port}"]
    lines += ["remote-control:", "control-enable: no"]
    with open(f"{directory}/conf", "w") as f:
        f.write("\n".join(lines) + "\n")
    process = start_server(area, [*as_user(), binary, "-d", "-c", f"{directory}/conf"], port,
                           cwd=directory)
    return Server("unbound", process, port, directory, tools=dig)


def zone_file(directory):
    """RECORDS as the zone of a server that is the authority; its path."""
    lines = ["$TTL 60", f"@ IN SOA ns.{ZONE}. root.{ZONE}. 1 60 60 60 60", f"@ IN NS ns.{ZONE}.",
             f"ns.{ZONE}. IN A 127.0.0.1"]
    for name, records in RECORDS.items():
        for kind, data in records:
            text = f'"{data}"' if kind == "TXT" else data + "." * (kind == "CNAME")
            lines.append(f"{name}. IN {kind} {text}")
    with open(f"{directory}/zone", "w") as f:
        f.write("\n".join(lines) + "\n")
    return f"{directory}/zone"


def named(area, port=None):
    """BIND 9 as the authority for RECORDS; other names are refused."""
    binary = program("named")
    directory, port = new_directory(area, "named"), port or udp_port(area)
    with open(f"{directory}/conf", "w") as f:
        f.write(f'options {{ directory "{directory}"; listen-on port {port} {{ 127.0.0.1; }}; listen-on-v6 '
                f'{{ none; }}; recursion no; pid-file "{directory}/pid"; session-keyfile "{directory}/key"; '
                f'managed-keys-directory "{directory}"; dnssec-validation no; }};\ncontrols {{}};\n'
                f'zone "{ZONE}" {{ type primary; file "{zone_file(directory)}"; }};\n')
    process = start_server(area, [*as_user(), binary, "-g", "-n", "2", "-c", f"{directory}/conf"], port,
                           cwd=directory)
    return Server("named", process, port, directory, tools=dig)


def knotd(area, port=None):
    """Knot DNS as the authority for RECORDS; other names are refused."""
    binary = program("knotd")
    directory, port = new_directory(area, "knotd"), port or udp_port(area)
    with open(f"{directory}/conf", "w") as f:
        f.write(f"server:\n  listen: 127.0.0.1@{port}\n  rundir: {directory}\n  udp-workers: 2\n  tcp-workers: 2\n"
                "log:\n- target: stderr\n  any: info\n"
                f"database:\n  storage: {directory}\n"
                f"zone:\n- domain: {ZONE}\n  storage: {directory}\n  file: {zone_file(directory)}\n")
    process = start_server(area, [*as_user(), binary, "-c", f"{directory}/conf"], port, cwd=directory)
    return Server("knotd", process, port, directory, tools=dig)
