"""A real file system over an NBD server: nbdfuse -> loop device -> mount. Needs root, /dev/fuse and loop devices."""

import os

from .base import Child, Failed, Skip, mounts_under, need_root, need_tool, run, wait_for


def need_mounts():
    need_root()
    for tool in ("nbdfuse", "losetup", "mount", "umount", "fusermount3"):
        need_tool(tool)
    if not os.path.exists("/dev/fuse"):
        raise Skip("no /dev/fuse")
    if run(["losetup", "-f"], check=False).returncode != 0:
        raise Skip("no loop devices")


class FuseFile:
    """The NBD server at `uri` as a plain file, by nbdfuse."""

    def __init__(self, uri, directory, read_only=False):
        self.directory = directory
        os.makedirs(directory, exist_ok=True)
        words = ["nbdfuse"] + (["-r"] if read_only else []) + [directory + "/nbd", uri]
        open(directory + "/nbd", "a", encoding="utf-8").close()  # nbdfuse serves over a file of that name
        self.child = Child(words, directory + ".log")
        self.path = directory + "/nbd"
        try:
            wait_for(f"nbdfuse serves {uri}", self.mounted, 60)
        except BaseException as error:  # an interrupt too
            self.close()
            if isinstance(error, Exception):
                raise Failed(f"{error}\n{self.child.tail()}") from error
            raise

    def mounted(self):
        if not self.child.alive():
            raise RuntimeError(f"nbdfuse ended: {self.child.tail()}")
        return self.path in mounts_under(self.directory)

    def close(self):
        run(["fusermount3", "-u", self.path], check=False)
        if self.path in mounts_under(self.directory):
            run(["umount", "-l", self.path], check=False)
        self.child.stop()


MAKE = {"ext4": ["mkfs.ext4", "-q", "-E", "lazy_itable_init=0,lazy_journal_init=0"],
        "xfs": ["mkfs.xfs", "-q"]}


class Mounted:
    """A file system on an NBD server: made where `make` says so. close() takes all down, dead server or not."""

    def __init__(self, uri, directory, make=False, kind="ext4"):
        self.point = directory + ".mnt"
        self.loop = None
        self.fuse = FuseFile(uri, directory)
        try:
            self.loop = run(["losetup", "--find", "--show", self.fuse.path]).stdout.strip()
            if make:
                run(MAKE[kind] + [self.loop])
            os.makedirs(self.point, exist_ok=True)
            run(["mount", "-t", kind, self.loop, self.point])
        except BaseException:  # an interrupt too
            self.close()
            raise

    def close(self):
        if self.point in mounts_under(self.point):
            done = run(["umount", self.point], check=False)
            if done.returncode != 0:
                run(["umount", "-l", self.point], check=False)
        if self.loop:
            run(["losetup", "-d", self.loop], check=False)
            self.loop = None
        self.fuse.close()


class Overlay:
    """A writable view over a read-only NBD server: nbdkit's cow filter; what is written goes to a scratch file."""

    def __init__(self, uri, directory):
        need_tool("nbdkit")
        self.socket = directory + ".cow.sock"
        self.uri = f"nbd+unix:///?socket={self.socket}"
        self.child = Child(["nbdkit", "-f", "-U", self.socket, "--filter=cow", "nbd", f"uri={uri}"],
                           directory + ".cow.log")
        try:
            wait_for("nbdkit serves the overlay", lambda: os.path.exists(self.socket), 30)
        except BaseException:
            self.close()
            raise

    def close(self):
        self.child.stop()
