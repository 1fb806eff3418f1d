"""The servers that `make bench` puts under load, each with its client and its budgets.

A service has `server_pids()` and `load(rate, seconds, *more)`: rate None is as fast as it goes; the
result has answered, per_second, p99_us and server_us, the server's CPU per answer in microseconds.
"""
import glob
import json
import os
import shutil
import subprocess
import time

import dbservers
from lib import TOOLS, Load, start_server, wait_until

PATH = os.environ.get("PATH", "") + ":/usr/sbin"
RATE_MAX = 1000000  # exchanges a second that no load reaches: their numbers must last for all loads
PGBENCH_CONNECTIONS = 8

NGINX_CONF = """
daemon off; worker_processes 1; pid {dir}/nginx.pid; user root;
events {{ worker_connections 1024; }}
http {{
 access_log off; keepalive_requests 100000000; keepalive_timeout 600s;
 client_body_temp_path {dir}/body; proxy_temp_path {dir}/proxy; fastcgi_temp_path {dir}/fcgi;
 uwsgi_temp_path {dir}/uwsgi; scgi_temp_path {dir}/scgi;
 server {{ listen 127.0.0.1:{port}; location / {{ default_type text/plain;
  return 200 "{body}"; }} }}
}}
"""


def cpu_ns(pids):
    """Time on a CPU of all threads of these processes, from the scheduler's own count."""
    total = 0
    for pid in pids:
        try:
            for thread in os.listdir(f"/proc/{pid}/task"):
                with open(f"/proc/{pid}/task/{thread}/schedstat") as f:
                    total += int(f.read().split()[0])
        except OSError:
            continue
    return total


def children(pid):
    with open(f"/proc/{pid}/task/{pid}/children") as f:
        return [int(p) for p in f.read().split()]


class Nginx:
    name, rate = "nginx", 10000
    budgets = {"cpu": 1.05, "agent": 6, "full_rate": 0.80, "full_cpu": 1.15}

    def __init__(self, area):
        self.area, self.port = area, area.port()
        conf = area.file("nginx.conf")
        with open(conf, "w") as f:
            f.write(NGINX_CONF.format(dir=area.path, port=self.port, body="x" * 612))
        self.process = start_server(area, [shutil.which("nginx", path=PATH), "-p", area.path, "-c",
                                           conf, "-e", area.file("nginx-error.log")], self.port)

    def server_pids(self):
        return children(self.process.pid)

    def load(self, rate, seconds, connections=32):
        servers = self.server_pids()
        load = Load(self.area, f"127.0.0.1:{self.port}", seconds * RATE_MAX, "--foreign", "--mix",
                    "tiny", "--connections", str(connections), "--duration",
                    str(int(seconds * 1000)), *(["--rate", str(rate)] if rate else []), log=False)
        before = cpu_ns(servers)
        _, numbers = load.finish(seconds=120)
        numbers["server_us"] = (cpu_ns(servers) - before) / 1e3 / numbers["answered"]
        return numbers


class Redis:
    name, rate = "Redis", 10000
    budgets = {"cpu": 1.04, "agent": 5, "full_rate": 0.80, "full_cpu": 1.20}

    def __init__(self, area):
        self.server = dbservers.redis(area)

    def server_pids(self):
        return [self.server.pid]

    def load(self, rate, seconds, connections=32):
        before = cpu_ns(self.server_pids())
        done = subprocess.run([os.path.join(TOOLS, "bench_redis"), str(self.server.port),
                               str(rate or 0), str(int(seconds * 1000)), str(connections)],
                              capture_output=True, text=True, timeout=120)
        if done.returncode:
            raise RuntimeError(done.stderr)
        numbers = json.loads(done.stdout)
        numbers["server_us"] = (cpu_ns(self.server_pids()) - before) / 1e3 / numbers["answered"]
        return numbers


class Postgres:
    """`pgbench -S`. A backend ends with its connection: CPU is read shortly before that, and divided
    by the transactions that had ended by then."""

    name, rate = "PostgreSQL -S", 3000
    budgets = {"cpu": 1.03, "agent": 3, "full_rate": 0.95, "full_cpu": 1.05}

    def __init__(self, area):
        self.area = area
        self.server = dbservers.postgres(area, "fsync=off")
        self.pgbench("-i", "-q", "-s", "5").communicate(timeout=60)

    def pgbench(self, *args):
        argv = ["pgbench", "-h", "127.0.0.1", "-p", str(self.server.port), "-U", self.server.user,
                *args, self.server.database]
        return subprocess.Popen(argv, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True,
                                cwd=self.area.path, env=dict(os.environ, **self.server.client_env))

    def server_pids(self):
        return [self.server.pid, *children(self.server.pid)]

    def load(self, rate, seconds, connections=PGBENCH_CONNECTIONS):
        prefix = os.path.join(self.area.path, "pgbench")
        before = set(self.server_pids())
        client = self.pgbench("-n", "-S", "-c", str(connections), "-j", "1", "-T",
                              str(max(2, round(seconds))), "--log", "--log-prefix", prefix,
                              *(["-R", str(rate)] if rate else []))
        wait_until(lambda: len(set(self.server_pids()) - before) >= connections, 5, 0.02)
        backends = set(self.server_pids()) - before
        time.sleep(max(2, round(seconds)) - 0.3)
        cpu, until = cpu_ns(backends), time.time()
        out, _ = client.communicate(timeout=60)
        ended, micros = [], []
        for path in glob.glob(prefix + ".*"):
            with open(path) as f:
                for words in map(str.split, f):
                    ended.append(int(words[4]) + int(words[5]) / 1e6)
                    micros.append(int(words[2]))
            os.unlink(path)
        counted = sum(at <= until for at in ended)
        if client.returncode or not counted:
            raise RuntimeError(f"pgbench: {out}")
        micros.sort()
        return {"answered": len(ended), "per_second": len(ended) / (max(ended) - min(ended)),
                "p50_us": micros[len(micros) // 2], "p99_us": micros[len(micros) * 99 // 100],
                "server_us": cpu / 1e3 / counted}


SERVICES = (Nginx, Redis, Postgres)
