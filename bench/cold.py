"""Page caches: what is measured cold begins with nothing of its files in memory."""

import os
import time

DROP = "/proc/sys/vm/drop_caches"
SETTLE_SECONDS = 0.02  # the kernel does some of it later


def forget_files(directory):
    """What lies under the directory leaves the page cache, as far as it is on the disk."""
    for top, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(top, name)
            if not os.path.isfile(path):
                continue
            descriptor = os.open(path, os.O_RDONLY)
            try:
                os.posix_fadvise(descriptor, 0, 0, os.POSIX_FADV_DONTNEED)
            finally:
                os.close(descriptor)
    time.sleep(SETTLE_SECONDS)


def forget_all(directory):
    """The same behind a sync, and every other cache of the machine's where this user may say so."""
    os.sync()
    if os.access(DROP, os.W_OK):
        with open(DROP, "w", encoding="ascii") as file:
            file.write("3\n")
    forget_files(directory)
