"""The figures as tables for people; the JSON holds the same."""

MIB = 1 << 20


def show(title, head, rows):
    cells = [head, *([str(cell) for cell in row] for row in rows)]
    widths = [max(len(row[column]) for row in cells) for column in range(len(head))]
    print(f"\n{title}")
    for row in cells:
        first, rest = row[0].ljust(widths[0]), [cell.rjust(width) for cell, width in zip(row[1:], widths[1:])]
        print("  " + "  ".join([first, *rest]), flush=True)


def milliseconds(seconds):
    return f"{1000 * seconds:.0f} ms"


def mebibytes(count):
    return f"{count / MIB:.1f} MiB"


def rate(per_second, bytes_per_second):
    return f"{per_second:.0f}/s {bytes_per_second / 1e6:.0f} MB/s"


def print_table(figures):
    around = figures["surroundings"]
    print(f"everstep bench{' (short: it works, the figures mean little)' if figures['short'] else ''}: "
          f"{around['time']}, {around['cpus']} CPUs, load {around['load']}, kernel {around['kernel']}, "
          f"build {around['build']}, ack {figures['ack']}")
    show("Writes: through capture with replication on, against `nbdkit file` without any; medians of the rounds",
         ["workload", "rounds", "everstep", "nbdkit file", "ratio", "drained in", "with drain", "ratio"],
         [[one["workload"], one["rounds"], rate(one["writes_per_second"], one["bytes_per_second"]),
           rate(one["plain_writes_per_second"], one["plain_bytes_per_second"]), f"{one['ratio']:.2f}",
           f"{one['drain_seconds']:.2f} s", f"{one['sustained_per_second']:.0f}/s", f"{one['sustained_ratio']:.2f}"]
          for one in figures["writes"]])
    show("Lag of the standby during those rounds",
         ["workload", "samples", "durable p50", "p99", "steps p50", "p99", "not applied p50", "p99"],
         [[one["workload"], one["samples"], milliseconds(one["seconds_p50"]), milliseconds(one["seconds_p99"]),
           one["steps_p50"], one["steps_p99"], one["unapplied_steps_p50"], one["unapplied_steps_p99"]]
          for one in figures["lag"]])
    export = figures["export"]
    show("Export: from the command to the first 4 KiB of an old step",
         ["points", "median", "worst", "history", "steps"],
         [[str(export["points"]), milliseconds(export["median_seconds"]), milliseconds(export["worst_seconds"]),
           mebibytes(export["history_bytes"]), export["history_steps"]]])
    show("Rewind of the replica, by what it changes, and back to head",
         ["written", "changed", "rewind", "rate", "resume"],
         [[mebibytes(one["written_bytes"]), mebibytes(one["changed_bytes"]), milliseconds(one["seconds"]),
           f"{one['mib_per_second']:.0f} MiB/s", milliseconds(one["resume_seconds"])] for one in figures["rewind"]])
    show("Memory after the load", ["node", "resident", "peak"],
         [[name, mebibytes(one["resident_bytes"]), mebibytes(one["peak_bytes"])]
          for name, one in figures["memory"].items()])
