"""A small terminal: runs kelpie on a pseudo-terminal and keeps what its screen shows. It knows the control
sequences that kelpie uses and nothing else: any other one is an error."""
import codecs
import fcntl
import os
import pty
import re
import select
import signal
import struct
import termios
import time
import unicodedata

import clilib

SEQUENCE = re.compile(r"\x1b\[([?]?)([0-9;]*)([A-Za-z])|\x1b\](\d+);([^\x07]*)\x07")
INCOMPLETE = re.compile(r"\x1b(\[[?0-9;]*|\][^\x07]*)?$")


def wide(c):
    return 0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1


class Terminal:
    """What is on the screen; modes is the set of private modes that are on (1049: alternate screen)."""

    def __init__(self, width, height):
        self.modes, self.copied, self.sgr, self.main = {7, 25}, None, False, ""
        self.clips = False  # a page that was made for another size is cut by the terminal
        self.resize(width, height)
        self.rest = ""

    def resize(self, width, height):
        self.width, self.height = width, height
        self.cells = [[" "] * width for _ in range(height)]
        self.x = self.y = 0

    def feed(self, text):
        text = self.rest + text
        self.rest = ""
        while text:
            if INCOMPLETE.match(text):
                self.rest = text
                return
            m = SEQUENCE.match(text)
            if m:
                self.control(m)
                text = text[m.end():]
            else:
                self.put(text[0])
                text = text[1:]

    def control(self, m):
        private, args, final, osc, value = m.groups()
        if osc:
            assert osc == "52", f"OSC {osc}"
            self.copied = value.split(";", 1)[1]
        elif private:
            change = self.modes.add if final == "h" else self.modes.discard
            assert final in "hl" and args in ("1049", "25", "7", "2004"), m.group(0)
            change(int(args))
        elif final == "H":
            row, col = [int(a or 1) for a in (args or "1;1").split(";")]
            self.y, self.x = row - 1, col - 1
        elif final == "K":
            self.clear(self.y, self.x)
        elif final == "J":
            self.clear(self.y, self.x)
            for row in range(self.y + 1, self.height):
                self.clear(row, 0)
        else:
            assert final == "m", repr(m.group(0))
            self.sgr = True

    def clear(self, row, x):
        x = min(x, self.width - 1)  # behind the last column the cursor stands on it
        self.cells[row][x:] = [" "] * (self.width - x)

    def put(self, c):
        if 1049 not in self.modes:
            self.main += c
            return
        if c == "\r":
            self.x = 0
        elif c == "\n":
            assert self.y + 1 < self.height, "the screen would scroll"
            self.y += 1
        else:
            assert c.isprintable(), f"U+{ord(c):04x} reaches the terminal"
            n = wide(c)
            if self.clips and self.x + n > self.width:
                return
            assert self.x + n <= self.width, f"a line is wider than {self.width}: {self.lines()[self.y]}"
            if n:
                self.cells[self.y][self.x:self.x + n] = [c] + [""] * (n - 1)
            elif self.x:
                self.cells[self.y][self.x - 1] += c
            self.x += n

    def lines(self):
        return ["".join(row).rstrip() for row in self.cells]

    def text(self):
        return "\n".join(self.lines())


class Session:
    """kelpie on a terminal: with Session("top", ..., width=80) as s: s.wait("SERVICE"); s.keys("q")."""

    def __init__(self, *args, width=80, height=24, **env):
        self.term = Terminal(width, height)
        self.decoder = codecs.getincrementaldecoder("utf-8")("strict")
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            try:
                time.sleep(0.05)  # until the size is set
                os.execve(clilib.KELPIE, [clilib.KELPIE, *args], clilib.environment(**env))
            finally:
                os._exit(127)
        self.set_size(width, height)
        self.before = termios.tcgetattr(self.fd)
        self.code = None

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.code is None:
            os.kill(self.pid, signal.SIGKILL)
            os.waitpid(self.pid, 0)
        os.close(self.fd)

    def set_size(self, width, height):
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", height, width, 0, 0))

    def resize(self, width, height):
        self.pump()
        self.term.resize(width, height)
        self.term.clips = True
        self.set_size(width, height)

    def pump(self, seconds=0.0):
        """Reads what has come; False at the end."""
        while select.select([self.fd], [], [], seconds)[0]:
            try:
                data = os.read(self.fd, 65536)
            except OSError:
                data = b""
            if not data:
                return False
            self.term.feed(self.decoder.decode(data))
            seconds = 0
        return True

    def until(self, what, name, seconds=20):
        end = time.monotonic() + seconds
        while not what():
            if not self.pump(0.05) and not what():
                raise AssertionError(f"ended before {name}:\n{self.term.text()}\n{self.term.main}")
            if time.monotonic() > end:
                raise AssertionError(f"no {name} on the screen:\n{self.term.text()}\n{self.term.main}")
        return self

    def wait(self, *parts):
        return self.until(lambda: all(p in self.term.text() for p in parts), repr(parts))

    def wait_gone(self, part):
        return self.until(lambda: part not in self.term.text(), f"end of {part!r}")

    def wait_main(self, part):
        """On the main screen, where there is no view in place."""
        return self.until(lambda: part in self.term.main, f"{part!r} outside the view")

    def keys(self, text):
        os.write(self.fd, text.encode() if isinstance(text, str) else text)
        return self

    def signal(self, signo):
        os.kill(self.pid, signo)
        return self

    def attributes(self):
        return termios.tcgetattr(self.fd)

    def end(self):
        """Waits for the end; the exit code, negative for a signal."""
        end = time.monotonic() + 20
        while self.pump(0.05) and time.monotonic() < end:
            done, status = os.waitpid(self.pid, os.WNOHANG)
            if done:
                self.code = os.waitstatus_to_exitcode(status)
                self.pump(0.05)
                return self.code
        _, status = os.waitpid(self.pid, 0)
        self.code = os.waitstatus_to_exitcode(status)
        return self.code
