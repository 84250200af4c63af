"""Real NBD clients against our server: libnbd, nbdinfo, nbdcopy, qemu-img, qemu-io and fio, over a unix socket and TCP.

clients_test.py PROGRAM   where PROGRAM is nbd_memory_server. A tool that is missing skips its tests, and says so.
"""

import json
import os
import random
import re
import shutil
import socket
import subprocess
import sys
import tempfile
import unittest

try:
    import nbd
except ImportError:
    nbd = None

MIB = 1 << 20
SIZE = 64 * MIB
SEED = int(os.environ.get("EVERSTEP_SEED") or random.SystemRandom().getrandbits(32))
PROGRAM = ""


def needs(*tools):
    missing = [tool for tool in tools if shutil.which(tool) is None]
    return unittest.skipIf(missing, f"skipped: {', '.join(missing)} not installed")


needs_libnbd = unittest.skipIf(nbd is None, "skipped: python3-libnbd not installed")


def run(*command, **options):
    """Runs a command within a deadline; its standard output. A failure shows its standard error."""
    done = subprocess.run(command, capture_output=True, timeout=120, **options)
    if done.returncode != 0:
        raise AssertionError(f"{command} gave {done.returncode}:\n{done.stdout.decode()}{done.stderr.decode()}")
    return done.stdout


class ClientTest(unittest.TestCase):
    """A server of its own for each test: exports "data" and "second", and "old", which is read-only."""

    address = "unix"

    def setUp(self):
        self.directory = tempfile.TemporaryDirectory(prefix="everstep-nbd-")
        self.addCleanup(self.directory.cleanup)
        listen = f"unix:{self.path('nbd.sock')}" if self.address == "unix" else "tcp:127.0.0.1:0"
        self.server = subprocess.Popen(
            [PROGRAM, listen, f"data={SIZE}", f"second={2 * SIZE}", f"old={SIZE},ro"],
            stdout=subprocess.PIPE, text=True)
        self.addCleanup(self.stop)
        self.base = self.server.stdout.readline().strip()

    def stop(self):
        self.server.terminate()
        self.assertEqual(self.server.wait(timeout=20), 0)
        self.server.stdout.close()

    def path(self, name):
        return os.path.join(self.directory.name, name)

    def uri(self, export="data"):
        if self.base.startswith("nbd+unix:///"):
            return self.base.replace("nbd+unix:///", f"nbd+unix:///{export}")
        return f"{self.base}/{export}"

    def connect(self, export="data"):
        handle = nbd.NBD()
        handle.add_meta_context(nbd.CONTEXT_BASE_ALLOCATION)
        handle.connect_uri(self.uri(export))
        return handle

    def random_file(self, name, mib, salt=0):
        """An image with data, zeroes and holes."""
        path = self.path(name)
        source = random.Random(SEED + salt)
        with open(path, "wb") as file:
            file.truncate(mib * MIB)
            for piece in range(0, mib * 4, 2):
                file.seek(piece * MIB // 4)
                file.write(source.randbytes(MIB // 4 - 4096 * (piece % 3)))
        return path


class Nbdinfo(ClientTest):
    @needs("nbdinfo")
    def test_json_says_what_is_offered(self):
        info = json.loads(run("nbdinfo", "--json", self.uri()))
        self.assertTrue(info["structured"])
        export = info["exports"][0]
        self.assertEqual(export["export-size"], SIZE)
        for flag in ("can_flush", "can_fua", "can_trim", "can_zero", "can_multi_conn", "can_df"):
            self.assertTrue(export[flag], flag)
        self.assertFalse(export["is_read_only"])
        self.assertEqual(export["block_size_minimum"], 512)
        self.assertEqual(export["block_size_preferred"], 4096)
        self.assertEqual(export["block_size_maximum"], 32 * MIB)
        self.assertIn("base:allocation", export["contexts"])

    @needs("nbdinfo")
    def test_list_names_every_export(self):
        info = json.loads(run("nbdinfo", "--json", "--list", self.base))
        self.assertEqual(
            [(e["export-name"], e["export-size"]) for e in info["exports"]],
            [("data", SIZE), ("second", 2 * SIZE), ("old", SIZE)])
        self.assertTrue(info["exports"][2]["is_read_only"])
        self.assertEqual(info["exports"][0]["description"], "memory")

    @needs("nbdinfo")
    @needs_libnbd
    def test_map_shows_data_between_holes(self):
        with_data = self.connect()
        with_data.pwrite(b"x" * 65536, 10 * MIB)
        with_data.shutdown()
        extents = json.loads(run("nbdinfo", "--json", "--map", self.uri()))
        self.assertEqual([(e["offset"], e["length"], e["type"]) for e in extents],
                         [(0, 10 * MIB, 3), (10 * MIB, 65536, 0), (10 * MIB + 65536, SIZE - 10 * MIB - 65536, 3)])


class NbdinfoTcp(Nbdinfo):
    address = "tcp"


class Copies(ClientTest):
    def round_trip(self, export, *options):
        source = self.random_file("source.img", 64)
        run("nbdcopy", *options, source, self.uri(export))
        run("nbdcopy", *options, self.uri(export), self.path("back.img"))
        run("cmp", source, self.path("back.img"))

    @needs("nbdcopy")
    def test_nbdcopy_there_and_back(self):
        self.round_trip("data")

    @needs("nbdcopy")
    def test_nbdcopy_with_odd_request_sizes_and_flush(self):
        self.round_trip("data", "--request-size=1048576", "--flush", "--connections=4", "--requests=64")

    @needs("nbdcopy")
    def test_nbdcopy_without_extents_synchronous(self):
        self.round_trip("data", "--no-extents", "--synchronous")

    @needs("nbdcopy")
    def test_nbdcopy_from_one_export_to_another(self):
        source = self.random_file("source.img", 64)
        run("nbdcopy", source, self.uri("data"))
        run("nbdcopy", self.uri("data"), self.uri("second"))
        run("nbdcopy", self.uri("second"), self.path("back.img"))
        os.truncate(self.path("back.img"), SIZE)
        run("cmp", source, self.path("back.img"))

    @needs("qemu-img")
    def test_qemu_img_info_convert_compare(self):
        info = json.loads(run("qemu-img", "info", "--output=json", self.uri()))
        self.assertEqual(info["virtual-size"], SIZE)
        source = self.random_file("source.img", 64, salt=1)
        run("qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", source, self.uri())
        run("qemu-img", "compare", "-f", "raw", "-F", "raw", source, self.uri())
        run("qemu-img", "convert", "-f", "raw", "-O", "qcow2", self.uri(), self.path("back.qcow2"))
        run("qemu-img", "compare", "-f", "raw", "-F", "qcow2", source, self.path("back.qcow2"))
        extents = json.loads(run("qemu-img", "map", "--output=json", "-f", "raw", self.uri()))
        self.assertTrue(any(e["zero"] for e in extents) and any(e["data"] for e in extents))


class CopiesTcp(Copies):
    address = "tcp"


class QemuIo(ClientTest):
    def io(self, *commands, export="data"):
        arguments = [word for command in commands for word in ("-c", command)]
        text = run("qemu-io", "-f", "raw", *arguments, self.uri(export)).decode()
        self.assertNotRegex(text, r"(?i)error|failed", text)
        return text

    @needs("qemu-io")
    def test_writes_zeroes_and_discards_are_read_back(self):
        self.io("write -P 0x5a 0 8M", "write -z 1M 1M", "write -f -P 0x11 2M 64k", "write -z -f 3M 512",
                "discard 4M 1M", "write -P 0x22 5120 512", "write -z -u 6M 128k", "flush")
        self.io("read -P 0x5a 0 5120", "read -P 0x22 5120 512", "read -P 0x5a 5632 1042944",
                "read -P 0 1M 1M", "read -P 0x11 2M 64k", "read -P 0x5a 2162688 983040", "read -P 0 3M 512",
                "read -P 0 4M 1M", "read -P 0x5a 5M 1M", "read -P 0 6M 128k")

    @needs("qemu-io")
    def test_a_read_only_export_refuses_writes(self):
        done = subprocess.run(["qemu-io", "-f", "raw", "-c", "write 0 4k", self.uri("old")],
                              capture_output=True, timeout=60)
        self.assertNotEqual(done.returncode, 0)
        text = run("qemu-io", "-r", "-f", "raw", "-c", "read -P 0 0 4k", self.uri("old")).decode()
        self.assertIn("read 4096/4096", text)


class Fio(ClientTest):
    def fio(self, *options):
        out = run("fio", "--name=job", "--ioengine=nbd", f"--uri={self.uri()}", "--output-format=json",
                  f"--randseed={SEED}", *options)
        job = json.loads(out[out.index(b"{"):])["jobs"][0]
        self.assertEqual(job["error"], 0)
        return job

    @needs("fio")
    def test_verified_random_writes_of_4k(self):
        job = self.fio("--rw=randwrite", "--bs=4k", "--iodepth=16", "--size=32M", "--verify=crc32c",
                       "--verify_backlog=512", "--verify_fatal=1")
        self.assertEqual(job["write"]["total_ios"], 8192)
        self.assertGreater(job["read"]["total_ios"], 0)

    @needs("fio")
    def test_verified_writes_of_128k_with_flushes_and_trims(self):
        self.fio("--rw=randwrite", "--bs=128k", "--iodepth=16", "--size=64M", "--verify=crc32c",
                 "--fsync=16", "--verify_fatal=1")
        self.fio("--rw=randtrim", "--bs=64k", "--iodepth=8", "--size=32M")

    @needs("fio")
    def test_verified_writes_of_odd_sizes(self):
        self.fio("--rw=randrw", "--bsrange=512-512k", "--bs_unaligned=0", "--blockalign=512", "--iodepth=32",
                 "--size=64M", "--verify=crc32c", "--verify_fatal=1", "--do_verify=1", "--serialize_overlap=1")


class Libnbd(ClientTest):
    @needs_libnbd
    def test_several_connections_see_one_disk(self):
        handles = [self.connect() for _ in range(4)]
        self.assertTrue(all(handle.can_multi_conn() for handle in handles))
        source = random.Random(SEED)
        blocks = [source.randbytes(4096) for _ in range(64)]
        for i, block in enumerate(blocks):
            handles[i % 4].pwrite(block, i * 4096)
        handles[0].flush()
        for i, block in enumerate(blocks):
            self.assertEqual(handles[(i + 1) % 4].pread(4096, i * 4096), block)
        for handle in handles:
            handle.shutdown()

    @needs_libnbd
    def test_errors_carry_a_text_and_the_connection_lives_on(self):
        handle = self.connect()
        handle.set_strict_mode(0)
        for request, wanted in (
                (lambda: handle.pread(512, 100), "EINVAL"),
                (lambda: handle.pwrite(b"x" * 512, SIZE), "ENOSPC"),
                (lambda: handle.zero(4096, 0, nbd.CMD_FLAG_FAST_ZERO), "EINVAL"),
                (lambda: handle.cache(4096, 0), "EINVAL"),
                (lambda: handle.trim(4096, SIZE), "EINVAL")):
            with self.assertRaises(nbd.Error) as caught:
                request()
            self.assertEqual(caught.exception.errno, wanted)
        read_only = self.connect("old")
        read_only.set_strict_mode(0)
        with self.assertRaises(nbd.Error) as caught:
            read_only.pwrite(b"x" * 512, 0)
        self.assertEqual(caught.exception.errno, "EPERM")
        self.assertEqual(handle.pread(512, 0), bytes(512))
        handle.shutdown()
        read_only.shutdown()

    @needs_libnbd
    def test_the_largest_requests_pass(self):
        handle = self.connect()
        block = random.Random(SEED).randbytes(32 * MIB)
        handle.pwrite(block, MIB, nbd.CMD_FLAG_FUA)
        self.assertEqual(handle.pread(32 * MIB, MIB), block)
        handle.zero(48 * MIB, 0, nbd.CMD_FLAG_NO_HOLE)
        self.assertEqual(handle.pread(16 * MIB, MIB), bytes(16 * MIB))
        handle.shutdown()

    @needs_libnbd
    def test_old_clients_use_simple_replies_and_export_name(self):
        handle = nbd.NBD()
        handle.set_request_structured_replies(False)
        handle.set_handshake_flags(0)
        handle.connect_uri(self.uri())
        self.assertFalse(handle.get_structured_replies_negotiated())
        block = random.Random(SEED).randbytes(8192)
        handle.pwrite(block, 512)
        self.assertEqual(handle.pread(8192, 512), block)
        handle.shutdown()

    @needs_libnbd
    def test_unknown_exports_are_refused(self):
        with self.assertRaises(nbd.Error):
            self.connect("nothing")
        self.connect("second").shutdown()

    @needs_libnbd
    def test_killed_clients_leave_a_server_that_serves(self):
        for i in range(8):
            if self.address == "unix":
                raw = socket.socket(socket.AF_UNIX)
                raw.connect(self.path("nbd.sock"))
            else:
                host, port = re.fullmatch(r"nbd://(.*):(\d+)", self.base).groups()
                raw = socket.create_connection((host, int(port)))
            raw.recv(18)
            raw.sendall(random.Random(SEED + i).randbytes(10 * i))
            raw.close()
        child = subprocess.Popen(
            ["/usr/bin/python3", "-c",
             f"import nbd, os\nh = nbd.NBD()\nh.connect_uri('{self.uri()}')\n"
             "for i in range(64): h.aio_pread(nbd.Buffer(1 << 20), 0)\n"
             "for i in range(64): h.aio_pwrite(nbd.Buffer(1 << 20), 0)\nos._exit(0)"])
        self.assertEqual(child.wait(timeout=60), 0)
        handle = self.connect()
        handle.pwrite(b"y" * 4096, 0)
        self.assertEqual(handle.pread(4096, 0), b"y" * 4096)
        handle.shutdown()


class LibnbdTcp(Libnbd):
    address = "tcp"


if __name__ == "__main__":
    if len(sys.argv) < 2:
        sys.exit("usage: clients_test.py NBD_MEMORY_SERVER [unittest options]")
    PROGRAM = sys.argv.pop(1)
    print(f"EVERSTEP_SEED={SEED}", flush=True)
    result = unittest.main(verbosity=2, exit=False).result
    # 77 = CTest's "skipped": a tool was missing, which is said above.
    sys.exit(1 if not result.wasSuccessful() else 77 if result.skipped else 0)
