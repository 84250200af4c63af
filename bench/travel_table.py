"""The figures of time travel as tables for people, each goal beside its figure; the JSON holds the same."""

from table import mebibytes, show

FIRST_BYTE_GOAL = 0.050
READ_GOAL = 0.7
REWIND_GOAL = 0.5
TPS_GOAL = 0.7


def verdict(reached):
    return "reached" if reached else "NOT REACHED"


def at_least(ratio, goal):
    """Ratio, goal, whether it is reached: three cells."""
    return [f"{ratio:.2f}", f">= {goal}", verdict(ratio >= goal)]


def fine(seconds):
    return f"{1000 * seconds:.1f} ms"


def rate(bytes_per_second):
    return f"{bytes_per_second / 1e6:.0f} MB/s"


def print_head(figures):
    around = figures["surroundings"]
    print(f"everstep time travel{' (short: it works, the figures mean little)' if figures['short'] else ''}: "
          f"{around['time']}, {around['cpus']} CPUs, load {around['load']}, kernel {around['kernel']}, "
          f"build {around['build']}", flush=True)


def print_first_byte(histories):
    show("First byte: 4 KiB of a random step by `everstep export` and NBD, volume of 1 TiB; median, worst",
         ["steps", "stored", "read", "from the command", "worst", "from the answer", "worst"],
         [[f"{one['steps']:.0e} of {one['step_bytes']} B", mebibytes(one["stored"]), way,
           *(fine(one[f"{way}_{since}_{kind}"]) for since in ("command", "answer") for kind in ("median", "worst"))]
          for one in histories for way in ("new", "again")])
    for kind in ("median", "worst"):
        slowest = max(one[f"{way}_command_{kind}"] for one in histories for way in ("new", "again"))
        print(f"  first byte within {1000 * FIRST_BYTE_GOAL:.0f} ms of the command, {kind}: "
              f"{verdict(slowest <= FIRST_BYTE_GOAL)}")
    show("Listings of the same: `everstep log`, from the command to its end, nothing of the history in the page cache",
         ["steps", "listed", "samples", "steps listed", "median", "worst"],
         [[f"{one['steps']:.0e}", row["filter"], row["samples"], f"{row['steps']:.0f}", fine(row["median_seconds"]),
           fine(row["worst_seconds"])] for one in histories for row in one["listings"]])


def print_reads(reads, past):
    show(f"Export read: fio through an export, and through `nbdkit file` on the replica, cold both, by turns; "
         f"{mebibytes(past['volume_bytes'])}, {mebibytes(past['written_bytes'])} of it written on by 4 KiB",
         ["read", "step", "rounds", "everstep", "nbdkit file", "ratio", "goal", ""],
         [[one["shape"], one["point"], one["rounds"], rate(one["bytes_per_second"]),
           rate(one["plain_bytes_per_second"]), *at_least(one["ratio"], READ_GOAL)] for one in reads])


def print_rewinds(rewinds):
    show("Rewind of the replica over those writes, by what differs; fio copies the same extents, by turns",
         ["way", "rounds", "differing", "extents", "time", "everstep", "fio", "ratio", "goal", ""],
         [[one["way"], one["rounds"], mebibytes(one["bytes"]), one["extents"], fine(one["seconds"]),
           rate(one["bytes_per_second"]), rate(one["copy_bytes_per_second"]), *at_least(one["ratio"], REWIND_GOAL)]
          for one in rewinds])


def print_database(database):
    mount, promoted = database["mount"], database["promoted"]
    show("Mount: from `everstep mount` of a random step of a database's volume until a file of it has been read",
         ["mounts", "steps", "median", "worst", "of that the command"],
         [[mount["samples"], mount["steps"], fine(mount["median_seconds"]), fine(mount["worst_seconds"]),
           fine(mount["reply_seconds"])]])
    show("pgbench on the volume that the standby serves after a takeover, and on `nbdkit file` with a copy, by turns",
         ["clients", "rounds", "everstep", "nbdkit file", "ratio", "goal", ""],
         [[promoted["clients"], f"{promoted['rounds']} of {promoted['seconds']} s", f"{promoted['tps']:.0f} TPS",
           f"{promoted['plain_tps']:.0f} TPS", *at_least(promoted["ratio"], TPS_GOAL)]])
