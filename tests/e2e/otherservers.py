"""Real servers of protocols other than SQL, Redis and DNS, in the manner of dbservers: each takes an
Area and a port and returns its Process; `ask` functions are real clients of them."""
import os
import smtplib
import socket
import ssl
import subprocess

import clientlibs
import dbservers
from dbservers import as_user, new_directory, program
from lib import start_server

SECONDS = 20


def client(*argv, text=None, ok=(0,)):
    """A client that must end well."""
    done = subprocess.run([program(argv[0]), *argv[1:]], input=text or "", text=True, capture_output=True,
                          timeout=SECONDS)
    if done.returncode not in ok:
        raise RuntimeError(f"{argv}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return done.stdout


def dialogue(port, *turns):
    """Says each turn and waits for what it ends with: [(said, end of the answer)]."""
    with socket.create_connection(("127.0.0.1", port), SECONDS) as s:
        got = b""
        for said, end in turns:
            s.sendall(said)
            got = b""
            while end and end not in got:
                part = s.recv(65536)
                if not part:
                    raise RuntimeError(f"{said!r}: the connection ended after {got!r}")
                got += part
        return got


def nginx(area, port):
    directory = new_directory(area, "nginx")
    with open(f"{directory}/conf", "w") as f:
        f.write(f"daemon off; worker_processes 1; pid {directory}/pid; user root;\n"
                "events { worker_connections 64; }\nhttp { access_log off;\n")
        for kind in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi"):
            f.write(f"{kind}_temp_path {directory}/{kind};\n")
        f.write(f'server {{ listen 127.0.0.1:{port}; location / {{ return 200 "still water"; }} }} }}\n')
    return start_server(area, [*as_user(), program("nginx"), "-p", directory, "-c", f"{directory}/conf",
                               "-e", f"{directory}/errors"], port)


def ask_nginx(port):
    client("curl", "-sf", *[f"http://127.0.0.1:{port}/{n}" for n in range(5)])


def memcached(area, port):
    return start_server(area, [*as_user(), program("memcached"), "-u", "root", "-l", "127.0.0.1", "-p",
                               str(port), "-U", "0"], port)


def ask_memcached(port):
    dialogue(port, (b"set reed 0 0 4\r\nlily\r\n", b"STORED\r\n"), (b"get reed\r\n", b"END\r\n"),
             (b"mg reed v\r\n", b"lily\r\n"), (b"incr moss 1\r\n", b"NOT_FOUND\r\n"), (b"quit\r\n", b""))
    binary = b"\x80\x00\x00\x04\x00\x00\x00\x00\x00\x00\x00\x04" + bytes(12) + b"reed"
    dialogue(port, (binary, b"lily"))


def mosquitto(area, port):
    directory = new_directory(area, "mosquitto")
    with open(f"{directory}/conf", "w") as f:
        f.write(f"listener {port} 127.0.0.1\nallow_anonymous true\nuser root\n")
    return start_server(area, [*as_user(), program("mosquitto"), "-c", f"{directory}/conf"], port)


def ask_mosquitto(port):
    where = ["-h", "127.0.0.1", "-p", str(port), "-t", "pond/reed"]
    client("mosquitto_pub", *where, "-q", "1", "-r", "-m", "hello")
    client("mosquitto_sub", *where, "-C", "1", "-V", "5")


def slapd(area, port):
    directory = new_directory(area, "slapd")
    os.mkdir(f"{directory}/db")
    with open(f"{directory}/conf", "w") as f:
        f.write("include /etc/ldap/schema/core.schema\nmodulepath /usr/lib/ldap\nmoduleload back_mdb\n"
                f"pidfile {directory}/pid\ndatabase mdb\nsuffix \"dc=pond\"\nrootdn \"cn=shop,dc=pond\"\n"
                f"rootpw {dbservers.PASSWORD}\ndirectory {directory}/db\n")
    return start_server(area, [*as_user(), program("slapd"), "-d", "0", "-f", f"{directory}/conf", "-h",
                               f"ldap://127.0.0.1:{port}"], port)


def ask_slapd(port):
    where = ["-x", "-H", f"ldap://127.0.0.1:{port}", "-D", "cn=shop,dc=pond", "-w", dbservers.PASSWORD]
    client("ldapadd", *where, text="dn: dc=pond\nobjectClass: dcObject\nobjectClass: organization\n"
           "dc: pond\no: pond\n")
    client("ldapsearch", *where, "-b", "dc=pond", "-LLL")
    client("ldapsearch", *where, "-b", "dc=none", ok=(32,))


def nats(area, port):
    return start_server(area, [*as_user(), program("nats-server"), "-a", "127.0.0.1", "-p", str(port)],
                        port)


def ask_nats(port):
    dialogue(port, (b"", b"\r\n"), (b'CONNECT {"verbose":true}\r\n', b"+OK\r\n"), (b"PING\r\n", b"PONG\r\n"),
             (b"SUB reed 1\r\n", b"+OK\r\n"), (b"PUB reed 5\r\nhello\r\n", b"hello\r\n"),
             (b"BOGUS\r\n", b"-ERR"))


def smtp(area, port):
    """aiosmtpd, which is no package of its own that everyone has: from the tests' libraries."""
    interpreter = clientlibs.interpreter("python")
    return start_server(area, [*as_user(), interpreter, "-m", "aiosmtpd", "-n", "-l", f"127.0.0.1:{port}",
                               "-c", "aiosmtpd.handlers.Sink"], port)


def ask_smtp(port):
    with smtplib.SMTP("127.0.0.1", port, timeout=SECONDS) as s:
        s.sendmail("shop@pond.test", ["reed@pond.test"], "Subject: hello\r\n\r\nstill water\r\n")
        s.noop()


def tls(area, port):
    directory = new_directory(area, "tls")
    dbservers.prepare([program("openssl"), "req", "-x509", "-newkey", "ec", "-pkeyopt",
                       "ec_paramgen_curve:prime256v1", "-nodes", "-days", "9", "-subj", "/CN=pond.test",
                       "-keyout", f"{directory}/key", "-out", f"{directory}/cert"])
    return start_server(area, [*as_user(), program("openssl"), "s_server", "-accept", f"127.0.0.1:{port}",
                               "-key", f"{directory}/key", "-cert", f"{directory}/cert", "-www",
                               "-quiet"], port)


def ask_tls(port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with socket.create_connection(("127.0.0.1", port), SECONDS) as plain, context.wrap_socket(plain) as s:
        s.sendall(b"GET / HTTP/1.0\r\n\r\n")
        while s.recv(65536):
            pass

