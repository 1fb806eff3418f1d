"""The images that the nodes start with: there is no registry to pull from."""
import os
import subprocess
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
TOP = os.path.dirname(os.path.dirname(HERE))
sys.path.insert(0, os.path.join(TOP, "deploy", "image"))
from oci import Tree, write_image  # noqa: E402

BUSYBOX = "/bin/busybox"  # of busybox-static


def compile_pause(directory):
    path = os.path.join(directory, "pause")
    subprocess.run(["gcc", "-O2", "-Wall", "-Werror", "-static", "-s", "-o", path, os.path.join(HERE, "pause.c")],
                   check=True, timeout=60)
    return path


def busybox():
    tree = Tree()
    tree.program(BUSYBOX, "bin/busybox")
    listed = subprocess.run([BUSYBOX, "--list"], capture_output=True, text=True, check=True, timeout=10)
    for applet in listed.stdout.split():
        if applet != "busybox":
            tree.link(f"bin/{applet}", "busybox")
    tree.directory("tmp", 0o1777)
    return tree


def single(program):
    tree = Tree()
    tree.program(program, os.path.basename(program))
    return tree


def make(directory, programs, pause):
    """The paths of the images that a cluster needs by itself."""
    trees = {"pause": (single(pause), {"Entrypoint": ["/pause"]}),
             "busybox": (busybox(), {"Cmd": ["sh"], "Env": ["PATH=/bin"]}),
             "coredns": (single(os.path.join(programs, "coredns")), {"Entrypoint": ["/coredns"]})}
    paths = []
    for name, (tree, config) in trees.items():
        paths.append(os.path.join(directory, f"{name}.tar"))
        write_image(paths[-1], f"localhost/{name}:1", tree, config, level=1)
    return paths


def make_kelpie(directory, folder):
    path = os.path.join(directory, "kelpie.tar")
    subprocess.run([os.path.join(TOP, "deploy", "image", "build"), folder, path, "localhost/kelpie:test"],
                   check=True, stdout=subprocess.DEVNULL, timeout=120)
    return path
