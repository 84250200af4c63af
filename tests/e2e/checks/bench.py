"""The benchmarks work: small forms of them print every figure."""

import json
import os

from everstep_lab.base import need_tool, require, run
from everstep_lab.mounts import need_mounts
from everstep_lab.pg import need_postgres
from everstep_lab.registry import check

BENCH = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))),
                     "bench")


def has_values(kind, figures):
    wrong = [key for key, value in figures.items() if isinstance(value, (int, float)) and value <= 0]
    require(not wrong, f"{kind}: no value for {wrong}: {figures}")


@check("bench.history_store", 240)
def history_store(context):
    """bench/journal --short: append, apply and histories, each with all of its figures."""
    figures_path = os.path.join(context.directory, "figures.json")
    done = run([os.path.join(BENCH, "journal"), "--short", "--directory", context.directory, "--json", figures_path],
               seconds=200)
    for word in ("written per byte", "open without catalogue", "rebuild", "first read within", "memory under"):
        require(word in done.stdout, f"bench/journal does not print '{word}': {done.stdout}")
    with open(figures_path, encoding="utf-8") as file:
        figures = json.load(file)
    require([one["bytes"] for one in figures["append"]] == [4096, 65536, 1048576], f"appends: {figures['append']}")
    require([one["pattern"] for one in figures["apply"]] == ["first", "again"], f"applies: {figures['apply']}")
    for kind in ("append", "apply", "history"):
        for one in figures[kind]:
            has_values(kind, one)
    require([name for name in os.listdir(context.directory) if name.startswith("everstep-bench")] == [],
            "bench/journal leaves its directory behind")


@check("bench.time_travel", 300)
def time_travel(context):
    """bench/travel --short: first byte, reads, rewinds, mounts and pgbench, each with all of its figures."""
    need_mounts()
    need_postgres()
    figures_path = os.path.join(context.directory, "figures.json")
    os.chmod(context.directory, 0o711)  # PostgreSQL runs as another user
    done = run([os.path.join(BENCH, "travel"), "--short", "--directory", context.directory, "--json", figures_path],
               seconds=280)
    for word in ("First byte", "Export read", "Rewind", "Mount", "pgbench", "first byte within"):
        require(word in done.stdout, f"bench/travel does not print '{word}': {done.stdout}")
    with open(figures_path, encoding="utf-8") as file:
        figures = json.load(file)
    require([(one["shape"][:5], one["point"]) for one in figures["read"]]
            == [(shape, point) for shape in ("1 MiB", "4 KiB", "4 KiB") for point in ("head", "middle")],
            f"reads: {figures['read']}")
    require([one["way"] for one in figures["rewind"]] == ["back", "forward"], f"rewinds: {figures['rewind']}")
    for kind in (figures["first_byte"], figures["read"], figures["rewind"], figures["database"].values()):
        for one in kind:
            has_values("time travel", one)
    require([name for name in os.listdir(context.directory) if name.startswith("everstep-bench")] == [],
            "bench/travel leaves its directory behind")


@check("bench.link", 240)
def link(context):
    """bench/link --short: backlog, mirror, lag, first copy and resync, each with all of its figures."""
    for tool in ("fio", "nbdkit", "nbdcopy", "nbdinfo", "qemu-storage-daemon", "openssl"):
        need_tool(tool)
    figures_path = os.path.join(context.directory, "figures.json")
    done = run([os.path.join(BENCH, "link"), "--short", "--directory", context.directory, "--json", figures_path],
               seconds=220)
    for word in ("A filled spool", "mirrors", "Lag at half", "First copy", "Resync", "of the TLS program", "lag p99",
                 "of nbdcopy", "of the marked regions"):
        require(word in done.stdout, f"bench/link does not print '{word}': {done.stdout}")
    with open(figures_path, encoding="utf-8") as file:
        figures = json.load(file)
    require([one["what"] for one in figures["mirror"]] == ["everstep", "background", "write-blocking"],
            f"mirror: {figures['mirror']}")
    for one in (*figures["backlog"]["rows"], *figures["mirror"], figures["copy"], figures["resync"]):
        has_values("link", {key: value for key, value in one.items() if "cpu" not in key})
    require(figures["lag"]["samples"] > 0, f"lag: {figures['lag']}")
    require([name for name in os.listdir(context.directory) if name.startswith("everstep-bench")] == [],
            "bench/link leaves its directory behind")
