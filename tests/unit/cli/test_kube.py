"""kubectl kelpie: what kubectl is called with, whose rows are asked for, what its failures become; and the
whole way through a real kubectl to an API server that is none."""
import os
import shutil
import sys

import clilib
import fixture
import kubelib
from clilib import SINCE, expect, expect_in, run

PLUGIN = os.path.join(clilib.BIN, "kubectl-kelpie")
ROW = ('{"type":"schema","columns":[{"name":"service","type":"TEXT","unit":""}]}\n'
       '{"type":"row","values":["orders"]}\n{"type":"coverage","coverage":{"complete":true}}\n')
PROXY = kubelib.SERVICE


def plugin(fake, *args, **env):
    return run(*args, program=PLUGIN, PATH=fake.path, **env)


def test_kube_words(fake):
    fake.says(create__raw={"out": ROW})
    done = plugin(fake, "sql", "SELECT 1", "--context", "prod", "--as=me", "--insecure-skip-tls-verify",
                  "--kubeconfig", "a b", "-s", "https://10.0.0.1:6443")
    expect(done.code, 0, done.err)
    flags = ["--context=prod", "--as=me", "--insecure-skip-tls-verify", "--kubeconfig=a b",
             "--server=https://10.0.0.1:6443"]
    calls = fake.calls()
    for call in calls:
        expect(call[:len(flags)], flags)
    calls = [c[len(flags):] for c in calls]
    expect(calls[0][:3], ["config", "view", "--minify"])
    expect(calls[1][:4], ["get", "services", "-l",
                          "app.kubernetes.io/name=kelpie,app.kubernetes.io/component=collector"])
    expect(calls[1][-1], "--all-namespaces")
    expect(calls[2], ["create", "--raw", PROXY + "/api/v1/query", "-f", "-"])
    expect_in("context prod, kelpie/kelpie-collector", done.err)


def test_kube_namespace(fake):
    """(flags, namespace in the statement; None: no condition)"""
    for flags, want in (([], "shop"), (["-A"], None), (["-n", "other"], "other")):
        fake.says()
        done = plugin(fake, "top", "--once", "--explain", *flags)
        expect(done.code, 0, done.err)
        expect("client_namespace = '%s'" % want in done.out if want else "namespace" not in done.out, True,
               done.out)
    fake.says(config_view={"out": "prod\n"})
    expect_in("server_namespace = 'default'", plugin(fake, "errors", "--explain").out)
    expect(len(fake.calls()), 1)
    fake.says(get__raw={"out": ROW})
    done = plugin(fake, "tap", "--limit", "1", "deploy/web")
    expect_in("namespace=shop", fake.calls()[-1][-1])
    expect_in("about=deploy%2Fweb", fake.calls()[-1][-1])
    expect_in("namespace shop (-A: all)", done.err)


def test_kube_kelpie_namespace(fake):
    fake.says(create__raw={"out": ROW})
    expect(plugin(fake, "sql", "SELECT 1", "--kelpie-namespace", "mine").code, 0)
    expect(fake.calls()[1][-2:], ["--namespace", "mine"])
    fake.says(get_services={"out": "a kelpie-collector\nb kelpie-collector\n"})
    done = plugin(fake, "status")
    expect(done.code, 2, done.err)
    expect_in("in a, b and perhaps others; choose with --kelpie-namespace", done.err)
    # the labels may stand on anybody's service: of several the one in the usual place is meant
    fake.says(create__raw={"out": ROW}, get_services={"out": "a kelpie-collector\nkelpie kelpie-collector\n"})
    done = plugin(fake, "sql", "SELECT 1")
    expect(done.code, 0, done.err)
    expect_in("kelpie/kelpie-collector", done.err)
    fake.says(get_services={"out": "a x\nkelpie x\nkelpie y\n"})
    expect(plugin(fake, "status").code, 2)
    fake.says(get_services={"out": ""})
    done = plugin(fake, "status")
    expect(done.code, 5, done.err)
    expect_in("no Kelpie in any namespace of this cluster", done.err)
    # who may not list services everywhere looks where Kelpie usually is
    fake.says(get_services={"err": "Error from server (Forbidden): services is forbidden: User \"u\" cannot list\n"})
    done = plugin(fake, "status")
    expect(done.code, 4, done.err)
    expect([c[-1] for c in fake.calls()[1:]], ["--all-namespaces", "kelpie"])


# (which call fails, what kubectl says, exit code, what people read)
TROUBLES = (
    ("get_services", "error: context \"x\" does not exist\n", 5, "kubectl config get-contexts"),
    ("config_view", "error: no context exists with the name: \"x\"\n", 5, "no context exists"),
    ("get_services", "E1127 memcache.go:265] couldn't get current server API group list\nThe connection to the "
     "server localhost:8080 was refused - did you specify the right host or port?\n", 5, "kubectl knows no cluster"),
    ("get_services", "Unable to connect to the server: dial tcp: lookup k: no such host\n", 5,
     "cannot reach the cluster"),
    ("get_services", "error: You must be logged in to the server (Unauthorized)\n", 4, "log in again"),
    ("create__raw", "Error from server (Forbidden): services \"https:kelpie-collector:https\" is forbidden: User "
     "\"eve\" cannot create resource \"services/proxy\" in API group \"\" in the namespace \"kelpie\"\n", 4,
     "ClusterRole kelpie-viewer"),
    ("create__raw", "Error from server (ServiceUnavailable): no endpoints available for service \"x\"\n", 5,
     "kubectl get pods -n kelpie"),
    ("create__raw", "Error from server (NotFound): services \"kelpie-collector\" not found\n", 5,
     "kubectl get services -n kelpie"),
    ("create__raw", "Error from server (InternalError): an error on the server (\"error trying to reach service: "
     "dial tcp 10.1.1.1:8443: connect: connection refused\") has prevented the request\n", 5, "is not ready"),
    ("create__raw", "Error from server (Timeout): the server was unable to return a response in time\n", 5, ""),
    ("create__raw", "surprise\n", 5, "kubectl failed: surprise"),
    ("create__raw", "Error from server (BadRequest): kelpie: no such column: nope; see kelpie schema (at byte 7)\n",
     1, "no such column: nope; see kelpie schema\n  SELECT nope\n         ^\n"),
    ("create__raw", "Error from server (Forbidden): kelpie: payloads are not shown here\n", 4,
     "kelpie: payloads are not shown here\n"),
)


def test_kube_troubles(fake):
    for call, said, code, want in TROUBLES:
        fake.says(**{call: {"err": said}})
        done = plugin(fake, "sql", "SELECT nope")
        expect(done.code, code, said + done.err)
        expect_in(want, done.err)
        expect(done.out, "")
    done = run("status", program=PLUGIN, PATH="/nonexistent")
    expect(done.code, 5, done.err)
    expect_in("there is none in $PATH", done.err)


def test_kube_escapes(fake):
    fake.says(create__raw={"err": "\x1b[2Jevil\n"})
    expect("\x1b" in plugin(fake, "sql", "SELECT 1").err, False)


def test_kube_plugin_texts(fake):
    fake.says()
    for args in (["help"], ["help", "top"], ["--help"]):
        done = plugin(fake, *args)
        expect_in("kubectl kelpie top", done.out)
        expect([line for line in done.out.splitlines() if line.startswith("  kelpie ")], [])
    expect_in("`kubectl kelpie help`", plugin(fake, "nonsense").err)
    expect("kubectl" in run("help", "top").out.split("Flags:")[0], False)
    expect(run("top", "--server", "unix:/x", "--context", "prod").code, 2)


def test_kube_not_for_clusters(fake):
    fake.says()
    done = plugin(fake, "record", "-w", "/nonexistent/x")
    expect((done.code, fake.calls()), (2, []), done.err)
    expect_in("raw events are those of one machine", done.err)


def test_kube_as_kelpie(fake):
    """Without kubectl's name: a cluster when flags say so, or when there is nothing else to be asked."""
    fake.says(create__raw={"out": ROW})
    done = run("sql", "SELECT 1", "--context", "prod", PATH=fake.path)
    expect(done.code, 0, done.err)
    fake.says()
    expect("namespace" in run("top", "--explain", "--context", "prod", PATH=fake.path).out, False)
    fake.says(create__raw={"out": ROW})
    if not os.path.exists("/run/kelpie/kelpie.sock"):
        done = run("sql", "SELECT 1", PATH=fake.path, KUBECONFIG="/some/where")
        expect(done.code, 0, done.err)
        expect(len(fake.calls()), 3)
    fake.says()
    done = run("sql", "SELECT 1", PATH=fake.path, KUBECONFIG="", HOME="/nonexistent")
    expect(len(fake.calls()), 0, done.err)


def complete(*words):
    done = run(*words, program=os.path.join(clilib.BIN, "kubectl_complete-kelpie"))
    lines = done.out.splitlines()
    expect((done.code, done.err), (0, ""), words)
    return [line.split("\t")[0] for line in lines[:-1]], lines[-1]


def test_kube_completion(fake):
    """(what is typed, candidates or one of many, what the shell does: 2 no space, 4 no files)"""
    del fake
    for words, want, directive in (
            (["er"], ["errors"], ":4"), (["nonsense", ""], [], ":4"),
            (["top", "--by", "p"], ["pod", "pair"], ":4"), (["top", "--nam"], ["--namespace"], ":4"),
            (["top", "-o", "js"], ["json", "jsonl"], ":4"), (["sql", "-f", ""], [], ":0"),
            (["top", "--once", "po"], ["pod/"], ":6"), (["completion", "z"], ["zsh"], ":4"),
            (["tap", "--limit", ""], [], ":4"), (["version", ""], [], ":4"), (["replay", ""], [], ":0")):
        expect(complete(*words), (want, directive), words)
    expect("doctor" in complete("")[0] and "doctor" in complete()[0], True)
    expect("simulate" in " ".join(complete("run", "--")[0]), False)
    expect(run("__complete", "er").out, "errors\tfailed requests and connections\n:4\n")


def test_kube_map(fake):
    fake.says()
    done = plugin(fake, "map", "--explain", "-A", "svc/orders")
    expect_in("client_name AS client, server_name AS service", done.out)
    expect_in("server_name = 'orders'", done.out)


def test_kube_large(fake):
    """More than a pipe holds, both ways."""
    rows = "".join('{"type":"row","values":["%s"]}\n' % ("x" * 1000) for _ in range(2000))
    fake.says(create__raw={"out": ROW.split("\n")[0] + "\n" + rows + '{"type":"coverage","coverage":{}}'})
    done = plugin(fake, "sql", "-o", "jsonl", "SELECT '" + "y" * 60000 + "'")
    expect(done.code, 0, done.err)
    expect(len(done.out.splitlines()), 2000)


class Real:
    """A real kubectl, and the API server that it is pointed to."""

    def __init__(self, folder):
        self.collector = fixture.start(folder)
        self.api = kubelib.ApiServer(self.collector.address[5:])
        self.config = kubelib.kubeconfig(folder, self.api.url)
        self.home = folder

    def run(self, *args):
        self.api.seen.clear()
        return run(*args, program=PLUGIN, KUBECONFIG=self.config, HOME=self.home)


def test_real_answers(real):
    done = real.run("top", "--once", "-A", *SINCE)
    expect(done.code, 0, done.err)
    expect_in("orders", done.out)
    expect_in("context prod, kelpie/kelpie-collector", done.err)
    expect([c for c, path, _ in real.api.seen if path == PROXY + "/api/v1/query"], ["POST", "POST"])
    done = real.run("status")
    expect(done.code, 0, done.err)
    expect_in("n1: agent", done.out)
    done = real.run("tap", "-A", "--limit", "2")
    expect(done.code, 0, done.err)
    expect(len(done.out.splitlines()), 3, done.out)


def test_real_errors(real):
    done = real.run("sql", "SELECT nope FROM http")
    expect(done.code, 1, done.err)
    expect_in("no such column: nope; see kelpie schema\n  SELECT nope FROM http\n         ^\n", done.err)
    done = real.run("sql", "SELECT 1", "--kelpie-namespace", "empty")
    expect(done.code, 5, done.err)
    expect_in("no Kelpie in namespace empty", done.err)
    done = real.run("sql", "SELECT 1", "--context", "staging")
    expect(done.code, 5, done.err)
    expect_in("staging", done.err)
    expect_in("kubectl config get-contexts", done.err)
    query = PROXY + "/api/v1/query"
    for code, reason, message, want in (
            (403, "Forbidden", "services \"x\" is forbidden: User \"eve\" cannot create resource", 4),
            (503, "ServiceUnavailable", "no endpoints available for service \"x\"", 5),
            (401, "Unauthorized", "Unauthorized", 4)):
        real.api.failing = {query: (code, kubelib.status(code, reason, message))}
        done = real.run("sql", "SELECT 1")
        expect(done.code, want, done.err)
    real.api.failing = {}
    done = real.run("sql", "SELECT 1", "--server", "https://127.0.0.1:1")
    expect(done.code, 5, done.err)


def test_real_completion(real):
    env = clilib.environment(HOME=real.home, PATH=clilib.BIN + os.pathsep + os.environ["PATH"])
    done = clilib.subprocess.run(["kubectl", "__complete", "kelpie", "top", "--by", "p"], env=env, timeout=30,
                                 capture_output=True, text=True, stdin=clilib.subprocess.DEVNULL)
    expect(done.stdout.split(), ["pod", "pair", ":4"], done.stderr)
    done = real.run("map", "-A", *SINCE)
    expect(done.code, 0, done.err)
    expect_in("CLIENT", done.out)
    expect_in("nginx", done.out)


def test_real_why(real):
    done = real.run("why", "-A", "svc/orders", *SINCE)
    expect(done.code, 0, done.err)
    for title in ("Who calls it, and whom it calls\n", "\nWhat failed\n", "\nWhat was slow\n",
                  "\nConnections that failed\n"):
        expect_in(title, done.out)
    expect_in("503", done.out)
    # one look for the service, four answers (rates need one more)
    expect(len([p for _, p, _ in real.api.seen if "/services?" in p]), 1)
    expect(real.run("why").code, 2)
    expect_in("--about 'nod/x' has an unknown type", real.run("why", "nod/x").err)


def test_real_discovery(real):
    env = clilib.environment(KUBECONFIG=real.config, HOME=real.home,
                             PATH=clilib.BIN + os.pathsep + os.environ["PATH"])
    done = clilib.subprocess.run(["kubectl", "kelpie", "sql", "-o", "csv", "SELECT count(*) AS n FROM pgsql"],
                                 env=env, capture_output=True, text=True, timeout=30, stdin=clilib.subprocess.DEVNULL)
    expect((done.returncode, done.stdout), (0, "n\n12\n"), done.stderr)


def main():
    cases = clilib.Cases()
    with clilib.Folder() as folder:
        fake = kubelib.FakeKubectl(folder)
        failed = cases.run([c for c in globals().items() if c[0].startswith("test_kube")], fake)
        if not shutil.which("kubectl"):
            print("ok test_real_* # skip: there is no kubectl")
            return failed
        return cases.run([c for c in globals().items() if c[0].startswith("test_real")], Real(folder)) or failed


if __name__ == "__main__":
    sys.exit(main())
