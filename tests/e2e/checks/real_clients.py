"""Real NBD clients read and write the volume and read the exports."""

import hashlib
import json
import os
import random

from everstep_lab.base import need_tool, require, run
from everstep_lab.model import difference
from everstep_lab.mounts import FuseFile, Mounted, Overlay, need_mounts
from everstep_lab.nbdio import Export, raw_images, read_device, read_file
from everstep_lab.nodes import GROUP, free_port
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import Workload

SIZE = 32 << 20


def filled(path, seed):
    """An image with data, zeroes and holes."""
    choice = random.Random(seed)
    with open(path, "wb") as file:
        file.truncate(SIZE)
        for _ in range(60):
            file.seek(choice.randrange(SIZE // 4096) * 4096)
            file.write(choice.randbytes(choice.randrange(1, 40) * 4096)[:SIZE - file.tell()])
    return path


def caught_up_equal(scene):
    scene.lab.wait_caught_up()
    require(raw_images(scene.alpha) == raw_images(scene.beta), "the pair is not equal")


@check("real_clients.nbdinfo", 60)
def nbdinfo(context):
    need_tool("nbdinfo")
    with Scene(context, {"data": SIZE, "logs": 1 << 20}) as scene:
        scene.start()
        info = json.loads(run(["nbdinfo", "--json", scene.alpha.uri()]).stdout)["exports"][0]
        require(info["export-size"] == SIZE and not info["is_read_only"], f"nbdinfo says {info}")
        for able in ("can_flush", "can_fua", "can_trim", "can_zero", "can_multi_conn"):
            require(info[able], f"nbdinfo says {able} is {info[able]}")
        require("base:allocation" in info.get("contexts", []), f"nbdinfo shows no base:allocation: {info}")
        require(info.get("block_size_minimum") == 512, f"no smallest block of 512: {info}")
        run(["nbdinfo", "--map", "--json", scene.alpha.uri()])
        run(["nbdinfo", "--list", scene.alpha.uri()])
        with Export(scene.beta, "head") as export:
            info = json.loads(run(["nbdinfo", "--json", export.body["uri"]]).stdout)["exports"][0]
            require(info["is_read_only"] and info["export-size"] == SIZE, f"nbdinfo of an export says {info}")
            spans = json.loads(run(["nbdinfo", "--map", "--json", export.body["uri"]]).stdout)
            require(sum(span["length"] for span in spans) == SIZE, f"the export's map covers {spans}")


@check("real_clients.nbdcopy", 90)
def nbdcopy(context):
    need_tool("nbdcopy")
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        image = filled(context.directory + "/in.img", context.seed)
        run(["nbdcopy", "--flush", image, scene.alpha.uri()])
        wanted = read_file(image)
        caught_up_equal(scene)
        require(raw_images(scene.beta)["data"] == wanted, "the replica is not what nbdcopy wrote")
        out = context.directory + "/out.img"
        run(["nbdcopy", scene.alpha.uri(), out])
        require(read_file(out) == wanted, "nbdcopy read other bytes than it wrote")
        with Export(scene.beta, "head") as export:
            run(["nbdcopy", export.body["uri"], out])
        require(read_file(out) == wanted, "nbdcopy of the export at head is not what was written")
        with Export(scene.beta, "step:0") as export:
            run(["nbdcopy", export.body["uri"], out])
        require(not any(read_file(out)), "step:0 is not empty")


@check("real_clients.qemu_img", 90)
def qemu_img(context):
    need_tool("qemu-img")
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        image, uri = filled(context.directory + "/in.img", context.seed), scene.alpha.uri()
        run(["qemu-img", "convert", "-n", "-f", "raw", "-O", "raw", image, uri])
        run(["qemu-img", "compare", "-f", "raw", "-F", "raw", image, uri])
        scene.lab.wait_caught_up()
        with Export(scene.beta, "head") as export:
            run(["qemu-img", "compare", "-f", "raw", "-F", "raw", image, export.body["uri"]])
            out = context.directory + "/out.qcow2"
            run(["qemu-img", "convert", "-f", "raw", "-O", "qcow2", export.body["uri"], out])
            run(["qemu-img", "compare", "-f", "raw", "-F", "qcow2", image, out])
            run(["qemu-img", "map", "--output=json", "-f", "raw", export.body["uri"]])
        info = json.loads(run(["qemu-img", "info", "--output=json", "-f", "raw", uri]).stdout)
        require(info["virtual-size"] == SIZE, f"qemu-img info says {info}")


@check("real_clients.qemu_io", 90)
def qemu_io(context):
    need_tool("qemu-io")
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        commands = ["write -P 17 0 1M", "write -f -P 18 512k 4k", "write -z 64k 32k", "write -z -u 128k 32k",
                    "discard 256k 64k", "aio_write -P 19 2M 64k", "aio_write -P 20 3M 64k", "aio_flush", "flush",
                    "read -P 17 0 64k", "read -P 0 64k 32k", "read -P 0 128k 32k", "read -P 0 256k 64k",
                    "read -P 18 512k 4k", "read -P 19 2M 64k", "read -P 20 3M 64k"]
        said = run(["qemu-io", "-f", "raw", scene.alpha.uri(), *(w for c in commands for w in ("-c", c))])
        require("verification failed" not in said.stdout + said.stderr, f"qemu-io: {said.stdout}{said.stderr}")
        caught_up_equal(scene)
        with Export(scene.beta, "head") as export:
            said = run(["qemu-io", "-r", "-f", "raw", export.body["uri"],
                        *(w for c in commands if c.startswith("read") for w in ("-c", c))])
            require("verification failed" not in said.stdout + said.stderr, f"qemu-io: {said.stdout}{said.stderr}")


@check("real_clients.fio", 120, 400)
def fio(context):
    """fio's nbd engine with its own verification, several jobs at once."""
    need_tool("fio")
    engines = run(["fio", "--enghelp"]).stdout
    require("nbd" in engines, "this fio has no nbd engine")
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        for mode, size in (("randwrite", "4k"), ("randrw", "512-64k"), ("write", "128k")):
            blocks = ["--bsrange=" + size] if "-" in size else ["--bs=" + size]
            half = SIZE // 2
            said = run(["fio", "--name=verify", "--ioengine=nbd", f"--uri={scene.alpha.uri()}", f"--rw={mode}",
                        *blocks, "--iodepth=16", f"--size={half}", "--numjobs=2", f"--offset_increment={half}",
                        "--verify=crc32c", "--do_verify=1", "--verify_fatal=1", "--randrepeat=0", "--fsync=64",
                        "--output-format=terse", f"--aux-path={context.directory}"], 200, cwd=context.directory)
            require("verify:" not in said.stderr, f"fio {mode}: {said.stderr}")
            caught_up_equal(scene)
        wanted = raw_images(scene.beta)["data"]
        with Export(scene.beta, "head") as export:
            require(difference(read_device(export.body["uri"]), wanted) is None, "the export at head differs")
        steps = scene.beta.status()["positions"]["applied"]
        context.say(f"fio wrote and verified; {steps} steps")


@check("real_clients.nbdfuse", 120)
def nbdfuse(context):
    """The volume and an export as files."""
    need_mounts()
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        fuse = FuseFile(scene.alpha.uri(), context.directory + "/fuse")
        try:
            with open(fuse.path, "r+b", buffering=0) as file:
                for number in range(40):
                    os.pwrite(file.fileno(), hashlib.sha256(b"%d" % number).digest() * 64, number * 70144)
                os.fsync(file.fileno())
        finally:
            fuse.close()
        caught_up_equal(scene)
        wanted = raw_images(scene.alpha)["data"]
        with Export(scene.beta, "head") as export:
            fuse = FuseFile(export.body["uri"], context.directory + "/export", read_only=True)
            try:
                require(read_file(fuse.path) == wanted, "an export through nbdfuse differs")
            finally:
                fuse.close()


@check("real_clients.ext4", 180)
def ext4(context):
    """A mounted ext4: files written, exports at flush points checked with fsck and mounted with journal replay."""
    need_mounts()
    with Scene(context, {"data": 64 << 20}) as scene:
        scene.start()
        mounted = Mounted(scene.alpha.uri(), context.directory + "/live", make=True)
        try:
            contents = {}
            for number in range(12):
                contents[number] = os.urandom(50000 + number)
                with open(f"{mounted.point}/file-{number}", "wb") as file:
                    file.write(contents[number])
                    file.flush()
                    os.fsync(file.fileno())
                    os.fsync(os.open(mounted.point, os.O_RDONLY))
                scene.alpha.one("mark", GROUP, f"written-{number}")
            scene.lab.wait_caught_up()
            for number in (2, 7, 11):
                files_at(scene, f"written-{number}", {n: contents[n] for n in range(number + 1)})
        finally:
            mounted.close()
        caught_up_equal(scene)


def files_at(scene, point, wanted):
    """What was synced before the mark is there in the step, after ext4's own recovery."""
    directory = f"{scene.lab.directory}/{point}"
    with Export(scene.beta, point) as export:
        overlay = Overlay(export.body["uri"], directory)
        try:
            mounted = Mounted(overlay.uri, directory)
            try:
                for number, content in wanted.items():
                    found = read_file(f"{mounted.point}/file-{number}")
                    require(found == content, f"{point}: file-{number} differs")
            finally:
                mounted.close()
        finally:
            overlay.close()


@check("real_clients.tcp", 60)
def tcp(context):
    """The volume served over TCP."""
    need_tool("nbdinfo")
    with Scene(context, {"data": 1 << 20}) as scene:
        port = free_port()
        text = scene.lab.config_text().replace("unix:alpha/data.sock", f"tcp:127.0.0.1:{port}")
        with open(scene.lab.config, "w", encoding="utf-8") as file:
            file.write(text)
        scene.lab.start()
        shown = scene.alpha.status()["volumes"][0]["uri"]
        require(str(port) in shown, f"status shows the uri {shown}")
        run(["nbdinfo", shown])
        scene.begin_model()
        scene.oplog.ops.clear()
        Workload(scene.oplog, {"data": shown}, 2, 8).run(30)
        scene.lab.wait_caught_up()
        scene.take_log()
        scene.check_raw(scene.beta, scene.model.head)
