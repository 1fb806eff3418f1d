"""Servers that only the large run of test_guesses starts (scripts/deps servers): in the manner of
otherservers. Those in Java come from Maven, into .cache/servers."""
import os
import subprocess

import clientlibs
import dbservers
from dbservers import as_user, new_directory, program
from lib import TOP, start_server, wait_until
from otherservers import client, dialogue

CACHE = os.path.join(TOP, ".cache", "servers")
JARS_SECONDS, SLOW_SECONDS = 240, 60
# name: group:artifact:version of what it needs
JARS = {
    "kafka": ("org.apache.kafka:kafka_2.13:4.4.0", "org.slf4j:slf4j-simple:1.7.36"),
    "zookeeper": ("org.apache.zookeeper:zookeeper:3.9.5", "io.dropwizard.metrics:metrics-core:4.1.12.1",
                  "org.xerial.snappy:snappy-java:1.1.10.5"),
    "cassandra": ("org.apache.cassandra:cassandra-all:5.0.9",),
}
# what Cassandra needs of the JDK's inside
EXPORTS = {
    "--add-exports": (
        "java.base/jdk.internal.misc java.base/jdk.internal.ref java.base/sun.nio.ch java.rmi/sun.rmi.registry "
        "java.management.rmi/com.sun.jmx.remote.internal.rmi java.rmi/sun.rmi.server java.sql/java.sql "
        "java.base/java.lang.module java.base/jdk.internal.loader java.base/jdk.internal.reflect "
        "java.base/jdk.internal.math java.base/jdk.internal.module java.base/jdk.internal.util.jar "
        "jdk.management/com.sun.management.internal jdk.attach/sun.tools.attach"),
    "--add-opens": (
        "java.base/java.io java.base/java.lang java.base/java.lang.reflect java.base/java.net java.base/java.nio "
        "java.base/java.util java.base/java.util.concurrent java.base/java.util.concurrent.atomic "
        "java.base/sun.nio.ch java.base/jdk.internal.ref java.base/jdk.internal.misc "
        "java.base/jdk.internal.reflect java.base/jdk.internal.math java.base/jdk.internal.module "
        "java.base/jdk.internal.loader java.base/jdk.internal.util.jar java.management/sun.management "
        "java.rmi/sun.rmi.transport.tcp jdk.management/com.sun.management.internal "
        "jdk.compiler/com.sun.tools.javac.file"),
}


def fetch():
    """What the servers and their clients need from elsewhere, while there is a network."""
    for name in JARS:
        try:
            jars(name)
        except dbservers.Missing:
            pass  # said when it is wanted


def write(directory, name, text):
    path = f"{directory}/{name}"
    with open(path, "w") as f:
        f.write(text)
    return path


def jars(name):
    """The folder of a server's libraries, fetched when they are not there."""
    program("java"), program("mvn")
    folder = os.path.join(CACHE, name)
    if os.path.exists(f"{folder}/done"):
        return folder
    os.makedirs(folder, exist_ok=True)
    wanted = "".join("<dependency><groupId>{}</groupId><artifactId>{}</artifactId><version>{}</version>"
                     "</dependency>".format(*jar.split(":")) for jar in JARS[name])
    pom = write(folder, "pom.xml", "<project xmlns='http://maven.apache.org/POM/4.0.0'><modelVersion>4.0.0"
                "</modelVersion><groupId>kelpie</groupId><artifactId>server</artifactId><version>1</version>"
                f"<dependencies>{wanted}</dependencies></project>")
    done = subprocess.run([program("mvn"), "-q", "-B", "-f", pom, "dependency:copy-dependencies",
                           "-DincludeScope=runtime", f"-DoutputDirectory={folder}"], capture_output=True,
                          text=True, timeout=JARS_SECONDS, stdin=subprocess.DEVNULL)
    if done.returncode:
        raise dbservers.Missing(f"{name}: {(done.stdout + done.stderr).strip().splitlines()[0]}")
    write(folder, "done", "")
    return folder


def java(name, directory, heap, *more):
    return [program("java"), f"-Xmx{heap}m", "-XX:+UseSerialGC", "-XX:TieredStopAtLevel=1", *more, "-cp",
            f"{directory}:{jars(name)}/*"]


def ask_web(port):
    client("curl", "-s", *[f"http://127.0.0.1:{port}/{n}" for n in range(3)])


def apache(area, port):
    directory = new_directory(area, "apache")
    modules = "".join(f"LoadModule {m}_module /usr/lib/apache2/modules/mod_{m}.so\n"
                      for m in ("mpm_event", "authz_core", "dir"))
    conf = write(directory, "conf", f"ServerName localhost\nListen 127.0.0.1:{port}\nPidFile {directory}/pid\n"
                 f"ErrorLog {directory}/errors\n{modules}Mutex default:{directory}\nDocumentRoot {directory}\n"
                 f"DefaultRuntimeDir {directory}\n")
    return start_server(area, [*as_user(), program("apache2"), "-f", conf, "-DFOREGROUND"], port)


def haproxy(area, port):
    conf = write(new_directory(area, "haproxy"), "conf", "global\n  maxconn 64\ndefaults\n  mode http\n  timeout connect 5s\n"
                 f"  timeout client 9s\n  timeout server 9s\nfrontend f\n  bind 127.0.0.1:{port}\n"
                 "  http-request return status 200 content-type text/plain string \"still water\\n\"\n")
    return start_server(area, [*as_user(), program("haproxy"), "-f", conf, "-db"], port)


def lighttpd(area, port):
    directory = new_directory(area, "lighttpd")
    conf = write(directory, "conf", f'server.port = {port}\nserver.bind = "127.0.0.1"\n'
                 f'server.document-root = "{directory}"\n')
    return start_server(area, [*as_user(), program("lighttpd"), "-D", "-f", conf], port)


def nghttpd(area, port):
    directory = new_directory(area, "nghttpd")
    write(directory, "reed", "still water\n")
    return start_server(area, [*as_user(), program("nghttpd"), "--no-tls", "-a", "127.0.0.1", "-d", directory,
                               str(port)], port)


def ask_nghttpd(port):
    client("nghttp", "-n", *[f"http://127.0.0.1:{port}/{name}" for name in ("reed", "none")])


def etcd(area, port):
    url = f"http://127.0.0.1:{port}"
    return start_server(area, [*as_user(), program("etcd"), "--data-dir", new_directory(area, "etcd"),
                               "--listen-client-urls", url, "--advertise-client-urls", url,
                               "--listen-peer-urls", f"http://127.0.0.1:{area.port()}"], port)


def ask_etcd(port):
    for words in (("put", "reed", "lily"), ("get", "reed")):
        dbservers.prepare([program("etcdctl"), f"--endpoints=127.0.0.1:{port}", *words],
                          env=dict(os.environ, ETCDCTL_API="3"))


def beanstalkd(area, port):
    return start_server(area, [*as_user(), program("beanstalkd"), "-l", "127.0.0.1", "-p", str(port)], port)


def ask_beanstalkd(port):
    dialogue(port, (b"put 1 0 9 4\r\nlily\r\n", b"INSERTED"), (b"reserve\r\n", b"lily\r\n"),
             (b"stats\r\n", b"version"), (b"bogus\r\n", b"UNKNOWN_COMMAND"))


def named(area, port):
    directory = new_directory(area, "named")
    write(directory, "zone", "$TTL 60\n@ SOA ns hostmaster 1 60 60 60 60\n@ NS ns\nns A 127.0.0.1\n"
          "www A 127.0.0.53\nwww AAAA ::53\n")
    conf = write(directory, "conf", f'options {{ directory "{directory}"; listen-on port {port} {{ 127.0.0.1; }}; '
                 f'listen-on-v6 {{ none; }}; recursion no; pid-file "{directory}/pid"; session-keyfile '
                 f'"{directory}/key"; managed-keys-directory "{directory}"; dnssec-validation no; }};\n'
                 f'controls {{}};\nzone "{dbservers.ZONE}" {{ type primary; file "{directory}/zone"; }};\n')
    process = start_server(area, [*as_user(), program("named"), "-g", "-c", conf], port)
    return dbservers.Server("named", process, port, directory, tools=dbservers.dig)


def rabbitmq(area, port):
    """Its port mapper is started here, so that it ends with the area: RabbitMQ would leave one behind."""
    directory, mapper = new_directory(area, "rabbitmq"), area.port()
    binary = program("rabbitmq-server", "/usr/lib/rabbitmq/bin/rabbitmq-server")
    epmd = program("epmd", "/usr/lib/erlang/erts-*/bin/epmd")
    start_server(area, [*as_user(), epmd, "-address", "127.0.0.1", "-port", str(mapper)], mapper)
    write(directory, "rabbitmq.conf", f"listeners.tcp.local = 127.0.0.1:{port}\nlog.console = true\n"
          "log.console.level = warning\n")
    write(directory, "plugins", "[].\n")
    env = {"HOME": directory, "RABBITMQ_NODENAME": f"pond{port}@localhost", "RABBITMQ_BASE": directory,
           "RABBITMQ_MNESIA_BASE": f"{directory}/mnesia", "RABBITMQ_LOG_BASE": directory, "RABBITMQ_LOGS": "-",
           "RABBITMQ_CONFIG_FILE": f"{directory}/rabbitmq", "RABBITMQ_PID_FILE": f"{directory}/pid",
           "RABBITMQ_ENABLED_PLUGINS_FILE": f"{directory}/plugins", "RABBITMQ_DIST_PORT": str(area.port()),
           "ERL_EPMD_PORT": str(mapper), "ERL_EPMD_ADDRESS": "127.0.0.1",
           "RABBITMQ_SERVER_ADDITIONAL_ERL_ARGS": "-kernel inet_dist_use_interface {127,0,0,1} +S 2:2"}
    wrapped = "/usr/lib/rabbitmq/bin/rabbitmq-server"  # without the change of user
    return start_server(area, [*as_user(), wrapped if os.path.exists(wrapped) else binary], port, env=env,
                        seconds=SLOW_SECONDS)


def ask_rabbitmq(port):
    script = ("import pika\nc = pika.BlockingConnection(pika.ConnectionParameters('127.0.0.1', %d))\n"
              "h = c.channel()\nh.queue_declare('reed')\nh.basic_publish('', 'reed', b'still water')\n"
              "assert h.basic_get('reed', True)[2] == b'still water'\nc.close()\n" % port)
    client(clientlibs.interpreter("python"), "-c", script)


def kafka(area, port):
    directory, control = new_directory(area, "kafka"), area.port()
    conf = write(directory, "conf", f"process.roles=broker,controller\nnode.id=1\nlog.dirs={directory}/data\n"
                 f"controller.quorum.voters=1@127.0.0.1:{control}\nlisteners=PLAINTEXT://127.0.0.1:{port},"
                 f"CONTROLLER://127.0.0.1:{control}\nadvertised.listeners=PLAINTEXT://127.0.0.1:{port}\n"
                 "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT\n"
                 "controller.listener.names=CONTROLLER\noffsets.topic.replication.factor=1\n"
                 "offsets.topic.num.partitions=1\ngroup.initial.rebalance.delay.ms=0\n")
    write(directory, "simplelogger.properties", "org.slf4j.simpleLogger.defaultLogLevel=warn\n")
    run = java("kafka", directory, 384)
    dbservers.prepare([*run, "kafka.tools.StorageTool", "format", "-t", "AAAAAAAAQACAAAAAAAAAAQ", "-c", conf])
    return start_server(area, [*as_user(), *run, "kafka.Kafka", conf], port, seconds=SLOW_SECONDS)


def ask_kafka(port):
    where = ["-b", f"127.0.0.1:{port}", "-t", "reed"]
    client("kcat", *where, "-P", text="still water\n" * 100)
    client("kcat", *where, "-C", "-e", "-q")


def zookeeper(area, port):
    directory = new_directory(area, "zookeeper")
    conf = write(directory, "conf", f"tickTime=2000\ndataDir={directory}\nclientPort={port}\nclientPortAddress="
                 "127.0.0.1\nadmin.enableServer=false\n4lw.commands.whitelist=*\n")
    return start_server(area, [*as_user(), *java("zookeeper", directory, 128),
                               "org.apache.zookeeper.server.ZooKeeperServerMain", conf], port, seconds=SLOW_SECONDS)


def ask_zookeeper(port):
    wait_until(lambda: b"Mode" in dialogue(port, (b"srvr", b"\n")), 5, 0.3)
    login = bytes(12) + b"\x00\x00\x27\x10" + bytes(8) + b"\x00\x00\x00\x10" + bytes(17)
    get = b"\x00\x00\x00\x01\x00\x00\x00\x04\x00\x00\x00\x01/\x00"
    dialogue(port, (len(login).to_bytes(4, "big") + login, b"\x27\x10"), (len(get).to_bytes(4, "big") + get, b"\x01"))


def cassandra(area, port):
    directory, storage = new_directory(area, "cassandra"), area.port()
    folders = {"commitlog_directory": "c", "saved_caches_directory": "s", "hints_directory": "h",
               "cdc_raw_directory": "r"}
    write(directory, "cassandra.yaml", "cluster_name: pond\nnum_tokens: 1\ncommitlog_sync: periodic\n"
          "partitioner: org.apache.cassandra.dht.Murmur3Partitioner\ncommitlog_sync_period: 10000ms\n"
          f"data_file_directories: [ {directory}/d ]\nlisten_address: 127.0.0.1\nrpc_address: 127.0.0.1\n"
          f"storage_port: {storage}\nnative_transport_port: {port}\nstart_native_transport: true\n"
          "endpoint_snitch: SimpleSnitch\nauthenticator: AllowAllAuthenticator\nseed_provider:\n  - class_name: "
          f'org.apache.cassandra.locator.SimpleSeedProvider\n    parameters: [ {{ seeds: "127.0.0.1:{storage}" }} ]\n' +
          "".join(f"{key}: {directory}/{name}\n" for key, name in folders.items()))
    write(directory, "logback.xml", "<configuration><root level='WARN'/></configuration>")
    inside = [word for flag, names in EXPORTS.items() for name in names.split() for word in (flag, f"{name}=ALL-UNNAMED")]
    agent = next(name for name in os.listdir(jars("cassandra")) if name.startswith("jamm"))
    run = java("cassandra", directory, 512, *inside, f"-javaagent:{jars('cassandra')}/{agent}",
               f"-Dcassandra.config=file://{directory}/cassandra.yaml", f"-Dcassandra.storagedir={directory}",
               f"-Dcassandra.logdir={directory}", "-Dcassandra-foreground=yes", "-Dcassandra.skip_wait_for_gossip_to_settle=0",
               "-Djdk.attach.allowAttachSelf=true", "-Dcassandra.superuser_setup_delay_ms=0",
               f"-Dcassandra.jmx.local.port={area.port()}")
    return start_server(area, [*as_user(), *run, "org.apache.cassandra.service.CassandraDaemon"], port,
                        seconds=2 * SLOW_SECONDS)


def ask_cassandra(port):
    def frame(opcode, body):
        return b"\x04\x00\x00\x00" + bytes([opcode]) + len(body).to_bytes(4, "big") + body

    def query(text):
        return frame(7, len(text).to_bytes(4, "big") + text + b"\x00\x01\x00")

    dialogue(port, (frame(5, b""), b"CQL_VERSION"), (frame(1, b"\x00\x01\x00\x0bCQL_VERSION\x00\x053.0.0"), b"\x02\x00\x00\x00\x00"),
             (query(b"SELECT release_version FROM system.local"), b"release_version"), (query(b"SELECT bogus"), b"mismatched"))

