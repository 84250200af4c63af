"""The figures of the link as tables for people, each goal beside its figure; the JSON holds the same."""

from table import mebibytes, show

BACKLOG_GOAL = 0.7
LAG_GOAL = 0.010
COPY_GOAL = 0.8
READ_GOAL = 1.2


def verdict(reached):
    return "REACHED" if reached else "NOT REACHED"


def rate(bytes_per_second):
    return f"{bytes_per_second / 1e6:.0f} MB/s"


def fine(seconds):
    return f"{1000 * seconds:.1f} ms"


def cpu(seconds_per_gb):
    return f"{seconds_per_gb:.2f} s"


def print_head(figures):
    around = figures["surroundings"]
    print(f"everstep link{' (short: it works, the figures mean little)' if figures['short'] else ''}: "
          f"{around['time']}, {around['cpus']} CPUs, load {around['load']}, kernel {around['kernel']}, "
          f"build {around['build']}", flush=True)


def print_backlog(backlog):
    plain = backlog["plain"]
    show(f"A filled spool ({mebibytes(backlog['bytes'])}, frames of {backlog['frame_bytes'] / 1024:.0f} KiB) to the "
         "standby; a TLS program brings as many bytes into a file that is synced the same way, by turns",
         ["until", "rounds", "everstep", "TLS program", "ratio", "CPU/GB sender", "receiver"],
         [*([one["what"], one["rounds"], rate(one["bytes_per_second"]), rate(plain["bytes_per_second"]),
             f"{one['ratio']:.2f}", cpu(one["sender_cpu_per_gb"]), cpu(one["receiver_cpu_per_gb"])]
            for one in backlog["rows"]),
          ["TLS program", "", "", rate(plain["bytes_per_second"]), "", cpu(plain["sender_cpu_per_gb"]),
           cpu(plain["receiver_cpu_per_gb"])]])
    ratio = backlog["rows"][0]["ratio"]
    print(f"  filled spool to durable, apply off, {ratio:.2f} of the TLS program (goal >= {BACKLOG_GOAL}): "
          f"{verdict(ratio >= BACKLOG_GOAL)}", flush=True)


def print_mirror(rows):
    show("Writes of 128 KiB, 8 in flight, through a pair (ack local), and through a qemu-storage-daemon that mirrors "
         "over TLS, by turns; drained: until the other side has everything",
         ["through", "rounds", "written", "drained", "everstep drained / this"],
         [[one["what"], one["rounds"], rate(one["bytes_per_second"]), rate(one["drained_bytes_per_second"]),
           f"{one['ratio']:.2f}"] for one in rows])


def print_lag(lag):
    show("Lag at half of the load that the standby can follow: the age of what it has not durable yet",
         ["load", "samples", "p50", "p99", "worst", "status answered, p99"],
         [[rate(lag["bytes_per_second"]), lag["samples"], fine(lag["p50_seconds"]), fine(lag["p99_seconds"]),
           fine(lag["worst_seconds"]), fine(lag["answer_p99_seconds"])]])
    print(f"  lag p99 at half load {fine(lag['p99_seconds'])} (goal <= {fine(LAG_GOAL)}): "
          f"{verdict(lag['p99_seconds'] <= LAG_GOAL)}", flush=True)


def print_first_copy(copy):
    show(f"First copy of {mebibytes(copy['bytes'])}, half of which differs, and nbdcopy over nbds:// of the same",
         ["rounds", "everstep", "nbdcopy", "ratio", "CPU/GB primary", "standby"],
         [[str(copy["rounds"]), rate(copy["bytes_per_second"]), rate(copy["plain_bytes_per_second"]),
           f"{copy['ratio']:.2f}", cpu(copy["sender_cpu_per_gb"]), cpu(copy["receiver_cpu_per_gb"])]])
    print(f"  first copy {copy['ratio']:.2f} of nbdcopy (goal >= {COPY_GOAL}): "
          f"{verdict(copy['ratio'] >= COPY_GOAL)}", flush=True)


def print_resync(resync):
    show("Resync: the link cut while blocks of 4 KiB are written, then the primary killed",
         ["writes lost", "regions marked", "read by the primary", "ratio", "from serving to equal", "of the regions"],
         [[str(resync["writes"]), mebibytes(resync["marked_bytes"]), mebibytes(resync["read_bytes"]),
           f"{resync['read_ratio']:.2f}", f"{resync['seconds']:.2f} s", rate(resync["bytes_per_second"])]])
    print(f"  resync reads {resync['read_ratio']:.2f} of the marked regions (goal <= {READ_GOAL}): "
          f"{verdict(resync['read_ratio'] <= READ_GOAL)}", flush=True)
