"""What the differential tests of databases, caches and name servers share: one run is recorded at the same
time by `kelpie run` and by dumpcap, the capture is replayed, and tshark reads it a third time."""
import collections
import json
import shutil
import subprocess

from diff_sources import Capture, Replay, live
from lib import SKIPPED, Kelpie, need_root, wait_until

END = "the-last-reed"
OPEN = "SELECT count(*) FROM connections WHERE local_port = {} AND state = 'open'"


def need_programs():
    need_root()
    for program in ("tshark", "dumpcap"):
        if not shutil.which(program):
            print(f"skip (needs {program}; scripts/deps test installs it)")
            raise SystemExit(SKIPPED)


class Recorded:
    """rows of both readings, and the file. converse(server) is the traffic; mark_end(server) says END on a
    connection of its own and returns its client's port: when that stands in the capture, so does all that
    came before it. Whether the end of that connection itself is captured is left open.

    rows_sql(port, but): but is the client's port whose rows are left out."""

    def __init__(self, area, server, rows_sql, converse, mark_end):
        kelpie = Kelpie(area, agent_args=area.apart())
        capture = Capture(area, server.kind, [server.port])
        converse(server)
        wait_until(lambda: not kelpie.value(OPEN.format(server.port)), 10, 0.3)
        self.last = int(mark_end(server))
        if not wait_until(lambda: capture.has(END), 20, 0.2):
            raise RuntimeError("dumpcap does not write what it captures")
        packets, lost = capture.stop()
        area.check("capture_is_whole", packets > 0 and lost == 0, f"{packets} packets, {lost} lost")
        self.area, self.file, self.port = area, capture.file, server.port
        sql = rows_sql(server.port, self.last)
        self.live = live(kelpie, sql)
        self.replay = Replay(area, self.file).sql(sql)
        kelpie.stop()

    def compare_live(self):
        wrong = [f"live   {a}\nreplay {b}" for a, b in zip(self.live, self.replay) if a != b]
        self.area.check("live_replay", len(self.live) == len(self.replay) and not wrong,
                        f"{len(self.live)} {len(self.replay)}\n" + "\n".join(wrong[:3]))

    def messages(self, protocol, *transports):
        """{client's port: [(from the client, tshark's words of a message)]} in order, without the last."""
        found = collections.defaultdict(list)
        text = self.tshark(protocol, transports or ("tcp",), "-T", "json", "--no-duplicate-keys")
        for layers in (packet["_source"]["layers"] for packet in json.loads(text)):
            transport = "tcp" if "tcp" in layers else "udp"
            ends = listed(layers[transport])[-1]
            source, target = (int(ends[f"{transport}.{end}port"]) for end in ("src", "dst"))
            from_client = target == self.port
            found[source if from_client else target] += [(from_client, m) for m in listed(layers[protocol])
                                                         if isinstance(m, dict)]
        found.pop(self.last, None)
        return found

    def pdml(self, protocol):
        """What tshark says of the packets that have this layer, its fields in their order."""
        return self.tshark(protocol, ("tcp",), "-T", "pdml")

    def tshark(self, protocol, transports, *options):
        decode_as = [word for t in transports for word in ("-d", f"{t}.port=={self.port},{protocol}")]
        done = subprocess.run(["tshark", "-n", "-r", self.file, *decode_as, "-Y", protocol, *options, "-J",
                               f"{protocol} tcp udp"], capture_output=True, text=True, timeout=110)
        return done.stdout

    def compare_lists(self, name, theirs, ours):
        """Two dictionaries of lists by connection."""
        wrong = []
        for client in sorted({*theirs, *ours}):
            a, b = theirs.get(client, []), ours.get(client, [])
            if a != b:
                at = next((n for n, (x, y) in enumerate(zip(a, b)) if x != y), min(len(a), len(b)))
                wrong.append(f"{client}: {len(a)} and {len(b)}, the first that differs is {at}:\n{a[at:at + 2]}\n"
                             f"{b[at:at + 2]}")
        self.area.check(name, any(theirs.values()) and not wrong, "\n".join(wrong[:10]))
        self.area.note(f"{sum(map(len, ours.values()))} on {len(ours)} connections")


def listed(value):
    return value if isinstance(value, list) else [value]
