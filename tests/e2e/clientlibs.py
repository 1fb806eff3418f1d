"""The client libraries that tests use, per language (scripts/test-clients makes them ready).

    subprocess.run([interpreter("python"), "my_script.py"])      # psycopg, PyMySQL, redis, ...
    talk("node", "pg", server, name="t1")                        # the conversation of tests/e2e/clients

A language that is not there raises dbservers.Missing with the reason.
"""
import os
import shutil
import subprocess

import dbservers
from lib import TOP

CACHE = os.path.join(TOP, ".cache", "clients")
SOURCES = os.path.join(TOP, "tests", "e2e", "clients")
MAKE_SECONDS, TALK_SECONDS = 240, 60
# what runs the conversations of a language, {program}: below CACHE or from the system
COMMANDS = {
    "python": [f"{CACHE}/python/bin/python3", f"{SOURCES}/clients.py"],
    "node": ["node", f"{SOURCES}/clients.js"],
    "go": [f"{CACHE}/go/clients"],
    "java": ["java", "-XX:TieredStopAtLevel=1", "-cp", f"{CACHE}/java:{CACHE}/java/*", "Clients"],
}
LIBRARIES = {"NODE_PATH": f"{CACHE}/node/node_modules"}


def ready(language):
    """Makes the libraries of a language ready, quickly when they are; raises Missing."""
    done = subprocess.run([os.path.join(TOP, "scripts", "test-clients"), language], text=True,
                          capture_output=True, timeout=MAKE_SECONDS, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise dbservers.Missing((done.stdout + done.stderr).strip() or f"{language}: no libraries")


def interpreter(language):
    """The path of what runs a program of that language that uses the libraries (with `environment()`)."""
    ready(language)
    return shutil.which(COMMANDS[language][0], path=dbservers.SYSTEM_PATH)


def environment(server=None, name=""):
    """Of programs that use the libraries, the server's address and its user included."""
    env = dict(os.environ, PATH=dbservers.SYSTEM_PATH, **LIBRARIES)
    if server:
        env.update(CLIENT_PORT=str(server.port), CLIENT_USER=server.user, CLIENT_PASSWORD=server.password,
                   CLIENT_DATABASE=server.database, CLIENT_NAME=name)
    return env


def talk(language, library, server, name):
    """One conversation: the list of (step, result) that the client says it saw, results as text."""
    ready(language)
    done = subprocess.run([*COMMANDS[language], library], text=True, capture_output=True,
                          timeout=TALK_SECONDS, stdin=subprocess.DEVNULL,
                          env=environment(server, name))
    if done.returncode:
        raise RuntimeError(f"{library}: status {done.returncode}\n{done.stdout}{done.stderr}")
    return [tuple(line.split()) for line in done.stdout.splitlines()]
