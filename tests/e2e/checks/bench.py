"""The benchmarks work: small forms of them print every figure."""

import json
import os

from everstep_lab.base import require, run
from everstep_lab.registry import check

BENCH = os.path.join(os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))),
                     "bench")


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
            wrong = [key for key, value in one.items() if isinstance(value, (int, float)) and value <= 0]
            require(not wrong, f"{kind}: no value for {wrong}: {one}")
    require([name for name in os.listdir(context.directory) if name.startswith("everstep-bench")] == [],
            "bench/journal leaves its directory behind")
