"""Errors, conditions with deadlines, child processes and cleaning up."""

import glob
import os
import re
import shutil
import signal
import subprocess
import time

# A machine that does other work at the same time needs longer for the same checks.
SLOWER = float(os.environ.get("EVERSTEP_DEADLINE_FACTOR", "1"))


class Failed(Exception):
    """A check found something wrong; the text says what, on which object, found and wanted."""


class Skip(Exception):
    """A tool or a right is missing; the text says which."""


def require(condition, why):
    if not condition:
        raise Failed(why)


def wait_for(what, condition, seconds=30.0, every=0.03):
    """Calls condition() until it returns something true; returns that. Failed with the last value at the deadline.

    A condition may raise Failed for "not yet"; any other exception passes.
    """
    deadline = time.monotonic() + seconds
    last = None
    while True:
        try:
            last = condition()
            if last:
                return last
        except Failed as error:
            last = error
        if time.monotonic() >= deadline:
            raise Failed(f"{what}: not within {seconds:g} s; last seen: {last}")
        time.sleep(every)


def need_tool(name):
    path = shutil.which(name, path="/usr/bin:/usr/sbin:/bin:/sbin")
    if path is None:
        raise Skip(f"{name} is not installed")
    return path


def need_root():
    if os.geteuid() != 0:
        raise Skip("needs root")


def run(argv, seconds=60, check=True, **options):
    """A finished command with text output; Failed with its output when it fails or hangs."""
    argv = [str(word) for word in argv]
    try:
        done = subprocess.run(argv, capture_output=True, text=True, timeout=seconds, **options)
    except subprocess.TimeoutExpired as error:
        raise Failed(f"{' '.join(argv)}: still running after {seconds} s") from error
    if check and done.returncode != 0:
        raise Failed(f"{' '.join(argv)}: exit {done.returncode}\n{done.stdout}{done.stderr}")
    return done


class Child:
    """A long-running process of ours: started, signalled and reaped by its own pid; output goes to a log file."""

    started = []  # all of them, for stop_children()

    def __init__(self, argv, log, env=None):
        self.argv = [str(word) for word in argv]
        self.log = log
        with open(log, "ab") as output:
            self.process = subprocess.Popen(
                self.argv, stdin=subprocess.DEVNULL, stdout=output, stderr=output, env=env)
        Child.started.append(self)

    @property
    def pid(self):
        return self.process.pid

    def alive(self):
        return self.process.poll() is None

    def signal(self, number):
        self.process.send_signal(number)

    def wait(self, seconds=30):
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired as error:
            raise Failed(f"{self.argv[0]} (pid {self.pid}) still runs after {seconds} s") from error

    def stop(self, seconds=10):
        """Ends it whatever state it is in (SIGSTOPped too)."""
        if self.alive():
            self.process.terminate()
            self.process.send_signal(signal.SIGCONT)
            try:
                return self.process.wait(seconds)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.process.wait(seconds)

    def tail(self, lines=25):
        try:
            with open(self.log, errors="replace") as file:
                return "".join(file.readlines()[-lines:])
        except OSError as error:
            return f"({error})\n"


def stop_children():
    """Ends every process of ours that still runs, newest first."""
    for child in reversed(Child.started):
        if child.alive():
            child.stop()


def mounts_under(directory):
    found = []
    with open("/proc/mounts", encoding="utf-8") as table:
        for line in table:
            point = line.split()[1].replace("\\040", " ")
            if point == directory or point.startswith(directory + "/"):
                found.append(point)
    return sorted(found, key=len, reverse=True)


def loops_under(directory):
    if shutil.which("losetup", path="/usr/sbin:/sbin:/usr/bin") is None:
        return []
    table = run(["losetup", "--list", "--noheadings", "--raw", "--output", "NAME,BACK-FILE"], check=False).stdout
    pairs = [line.split(None, 1) for line in table.splitlines()]
    return [pair[0] for pair in pairs if len(pair) == 2 and pair[1].startswith(directory + "/")]


def stop_postmasters(directory):
    for file in glob.glob(f"{directory}/**/postmaster.pid", recursive=True):
        try:
            with open(file, encoding="utf-8") as lines:
                pid = int(lines.readline())
            with open(f"/proc/{pid}/cmdline", "rb") as words:
                ours = directory.encode() in words.read()
            if ours:
                os.kill(pid, signal.SIGQUIT)
                wait_for(f"postmaster {pid} ends", lambda p=pid: not os.path.exists(f"/proc/{p}"), 10)
        except (OSError, ValueError, Failed):
            continue


PLACES = "/run/everstep/mounts"


def place_of(directory):
    """Where everstep keeps its way to a directory that it mounts on: a file of nbdfuse, below a loop device."""
    name = re.sub(r"[^A-Za-z0-9_./]", lambda found: f"%{ord(found[0]):02x}", directory[1:])
    return os.path.join(PLACES, name.replace("/", "-"))


def clean_directory(directory):
    """Undoes everything that a killed check may have left in its directory: servers, mounts, loops, files."""
    if not os.path.isdir(directory):
        return
    for place in glob.glob(glob.escape(place_of(directory)) + "*"):
        for point in mounts_under(directory):
            run(["umount", "-l", point], check=False)
        for loop in loops_under(place):  # it is not found any more when its file is gone
            run(["losetup", "-d", loop], check=False)
        clean_directory(place)
    if not mounts_under(directory):  # a dead mount makes a walk of the tree fail slowly
        stop_postmasters(directory)
    for _ in range(3):
        for point in mounts_under(directory):
            run(["umount", "-l", point], check=False)
        for loop in loops_under(directory):
            run(["losetup", "-d", loop], check=False)
    shutil.rmtree(directory, ignore_errors=True)
