"""What the checks share: the files of the tree, and C text without comments and literals."""
import os
import re
import subprocess

TOP = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
MODULES = ("base", "protocols", "config", "proto", "k8s", "transport", "storage", "query", "agent",
           "collector", "cli")
TOKEN = re.compile(r"/\*.*?\*/|//[^\n]*|\"(?:\\.|[^\"\\\n])*\"|'(?:\\.|[^'\\\n])*'", re.S)


def tracked():
    """Paths of every file that git tracks or would track, sorted."""
    out = subprocess.run(["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
                         cwd=TOP, check=True, capture_output=True).stdout
    names = sorted(set(out.decode().split("\0")) - {""})
    return [n for n in names if os.path.isfile(os.path.join(TOP, n))]


def c_files(folders=MODULES + ("tests",), suffixes=(".c", ".h")):
    """C files of our own hand: no generated headers of the kernel."""
    return [n for n in tracked()
            if n.endswith(suffixes) and n.split("/")[0] in folders and "/vmlinux" not in n]


def read(name):
    with open(os.path.join(TOP, name), encoding="utf-8", errors="replace") as f:
        return f.read()


def blank(text, keep_strings=False):
    """The text with comments (and literals) replaced by spaces, line numbers unchanged."""
    def cover(match):
        token = match.group(0)
        if keep_strings and token[0] in "\"'":
            return token
        return re.sub(r"[^\n]", " ", token)
    return TOKEN.sub(cover, text)


def report(problems, name):
    """Prints the problems; the exit status of the check."""
    for problem in problems:
        print(problem)
    if problems:
        print(f"{name}: {len(problems)} problem{'s' if len(problems) > 1 else ''}")
    return 1 if problems else 0
