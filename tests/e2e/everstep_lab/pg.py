"""A real PostgreSQL in a directory, as user postgres."""

import glob
import os
import pwd
import shutil

from .base import Child, Failed, Skip, need_root, run


def binaries():
    found = sorted(glob.glob("/usr/lib/postgresql/*/bin"), reverse=True)
    if not found:
        raise Skip("PostgreSQL is not installed")
    return found[0]


def need_postgres():
    need_root()
    binaries()
    try:
        pwd.getpwnam("postgres")
    except KeyError as error:
        raise Skip("no user postgres") from error


class Postgres:
    """`data` on the volume, the socket and the log beside it on the host's own disk. `wal`: its WAL's own place."""

    def __init__(self, data, socket_directory, wal=None):
        self.data, self.sockets, self.wal = data, socket_directory, wal
        os.makedirs(socket_directory, exist_ok=True)
        shutil.chown(socket_directory, "postgres")
        self.log = os.path.join(socket_directory, "postgres.log")

    def as_postgres(self, program, *words, seconds=60, check=True):
        return run(["runuser", "-u", "postgres", "--", os.path.join(binaries(), program), *words],
                   seconds, check, cwd="/")

    def make(self):
        apart = []
        for directory in filter(None, (self.data, self.wal)):
            os.makedirs(directory, exist_ok=True)
            shutil.chown(directory, "postgres")
        if self.wal:
            apart = ["-X", self.wal]
        self.as_postgres("initdb", "-D", self.data, *apart, "-A", "trust", "--no-sync", "--locale=C", "-E", "UTF8")
        with open(os.path.join(self.data, "postgresql.conf"), "a", encoding="utf-8") as file:
            file.write("shared_buffers = 32MB\nwal_level = minimal\nmax_wal_senders = 0\n"
                       "max_wal_size = 96MB\n")
        for directory in filter(None, (self.data, self.wal)):
            run(["sync", "-f", directory])  # a crash may not find a cluster that never was on disk

    def forget_other_host(self):
        """Takes away the lock file of the server that wrote this image: here it runs on the same machine."""
        try:
            os.unlink(os.path.join(self.data, "postmaster.pid"))
        except FileNotFoundError:
            pass

    def start(self, seconds=60):
        options = f"-k {self.sockets} -c listen_addresses='' -c logging_collector=off"
        try:
            self.as_postgres("pg_ctl", "-w", "-t", seconds, "-D", self.data, "-l", self.log, "-o", options, "start",
                             seconds=seconds + 10)
        except Failed as error:
            raise Failed(f"{error}\n{self.log_tail()}") from error

    def log_tail(self):
        try:
            with open(self.log, errors="replace") as file:
                return "".join(file.readlines()[-15:])
        except OSError:
            return ""

    def stop(self, mode="fast"):
        self.as_postgres("pg_ctl", "-w", "-t", "20", "-D", self.data, "-m", mode, "stop", check=False)

    def sql(self, text):
        """One statement; its rows as text, fields separated by |."""
        return self.as_postgres("psql", "-h", self.sockets, "-d", "postgres", "-X", "-q", "-A", "-t", "-v",
                                "ON_ERROR_STOP=1", "-c", text).stdout.strip()

    def bench_make(self, scale):
        self.as_postgres("pgbench", "-h", self.sockets, "-i", "-q", "-s", scale, "postgres")

    def bench_start(self, seconds, clients=2):
        """pgbench in the background: a Child."""
        words = ["runuser", "-u", "postgres", "--", os.path.join(binaries(), "pgbench"), "-h", self.sockets,
                 "-n", "-c", str(clients), "-j", "1", "-T", str(seconds), "postgres"]
        return Child(words, os.path.join(self.sockets, "pgbench.log"))

    def bench_sums(self):
        """Balances of accounts, tellers, branches and the history's total: equal in every consistent database."""
        return self.sql("select (select sum(abalance) from pgbench_accounts), (select sum(tbalance) from "
                        "pgbench_tellers), (select sum(bbalance) from pgbench_branches), "
                        "(select coalesce(sum(delta), 0) from pgbench_history)").split("|")
