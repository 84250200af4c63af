"""What a process has used: CPU time, bytes read."""

import os

TICKS = os.sysconf("SC_CLK_TCK")


def cpu_seconds(pid):
    """User and system time, all threads."""
    with open(f"/proc/{pid}/stat", encoding="ascii") as stat:
        words = stat.read().rpartition(")")[2].split()
    return (int(words[11]) + int(words[12])) / TICKS


def bytes_read(pid):
    """From files: by calls, or (what goes by io_uring or O_DIRECT) from the disk, whichever is more."""
    with open(f"/proc/{pid}/io", encoding="ascii") as counts:
        found = {key: int(value) for key, value in (line.split(":") for line in counts)}
    return max(found["rchar"], found["read_bytes"])


class CpuMeter:
    """CPU seconds of some nodes' daemons since it was made."""

    def __init__(self, *nodes):
        self.before = {node: cpu_seconds(node.child.pid) for node in nodes}

    def used(self, node):
        return cpu_seconds(node.child.pid) - self.before[node]
