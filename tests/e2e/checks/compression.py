"""Compressed frames: every step is what it was, whatever reads it; a changed setting counts from the next frame on."""

import glob
import os
import signal

import nbd

from checks.journal_tool import store_of, tool
from everstep_lab.base import need_tool, require, run, wait_for
from everstep_lab.model import name_of, same_images
from everstep_lab.nbdio import read_device, read_file
from everstep_lab.nodes import GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import all_succeeded

SIZE = 24 << 20
CHUNKS = (4 << 10, 64 << 10, 192 << 10, 1 << 20)  # of one and of several chunks of 64 KiB


def figures(scene):
    return scene.primary.status()["compression"]


def require_fewer(scene, setting):
    found = figures(scene)
    require(found["setting"] == setting, f"status says compression {found['setting']}, wanted {setting}")
    require(found["sealed_bytes"] < found["bytes"] * 0.9 and found["ratio"] > 1.1, f"nothing became less: {found}")


def every_reader(scene, count):
    """Exports, rewinds and a scrub of what lies compressed in the store."""
    scene.check_every_export(None, scene.sample(count) + [scene.model.root, scene.model.head])
    for key in scene.sample(4):
        scene.rewind(key)
    scene.resume()
    scene.equal_pair()
    body = scene.standby.one("scrub", GROUP, "--rate", "1GiB")
    require(body["damages"] == 0, f"the scrub found {body}")


def dead_reader(scene):
    """The tool that looks into the store of a node that does not run."""
    store, out = store_of(scene.beta), os.path.join(scene.context.directory, "out")
    tool("verify", store).expect(0, "no damage")
    frames = [line for line in tool("dump", store, "--json").expect(0).json() if line["kind"] == "frame"]
    require(any(frame["compression"] == "zstd" for frame in frames), "no frame is compressed")
    replicas = [scene.beta.device(volume) for volume in scene.lab.volumes]
    for timeline, lsn in scene.sample(4):
        outputs = [f"{out}-{volume}" for volume in scene.lab.volumes]
        tool("extract", store, "--replica", *replicas, "--step", f"t:{timeline}@step:{lsn}", "-o", *outputs).expect(0)
        images = {volume: read_file(path) for volume, path in zip(scene.lab.volumes, outputs)}
        scene.model.check((timeline, lsn), images, f"the extract of step {lsn}")
        for path in outputs:
            os.unlink(path)
    for path in glob.glob(os.path.join(store, "*-index-*")) + glob.glob(os.path.join(store, "catalogue-*")):
        os.unlink(path)
    tool("rebuild", store).expect(0, "wrote")


def any_setting(context, setting):
    with Scene(context, compression=setting, segment_bytes="256KiB") as scene:
        scene.oplog.packable = True
        scene.start()
        all_succeeded(scene.write(context.count(120, 1000), 4, 8))
        scene.settle()
        require_fewer(scene, str(setting))
        every_reader(scene, context.count(30, 400))
        scene.beta.kill9()
        dead_reader(scene)
        all_succeeded(scene.write(40, 2, 8))
        scene.alpha.term()  # what beta lacks goes to the spool
        scene.alpha.start()
        scene.beta.start()
        scene.lab.wait_serving()
        all_succeeded(scene.write(40, 2, 8))
        scene.settle()
        every_reader(scene, context.count(20, 200))
        scene.alpha.kill9()
        body = scene.beta.one("takeover", GROUP, "--force")
        scene.lab.wait_serving(scene.beta)
        scene.primary, scene.standby = scene.beta, None
        all_succeeded(scene.write(context.count(60, 400), 4, 8))  # its own frames are compressed, too
        scene.take_log(scene.beta)
        served = {volume: read_device(uri) for volume, uri in body["uris"].items()}
        same_images("the volumes after the takeover", served, scene.model.image(scene.model.head))
        require_fewer(scene, str(setting))
        scene.check_every_export(scene.beta, scene.sample(context.count(30, 400)) + [scene.model.head])


@check("compression.auto", 240, 900)
def auto(context):
    any_setting(context, "auto")


@check("compression.level_9", 240, 900)
def level_9(context):
    any_setting(context, 9)


@check("compression.reload", 180)
def reload(context):
    """SIGHUP changes it while writes go on; what was compressed before is read as ever."""
    with Scene(context) as scene:
        scene.oplog.packable = True
        scene.start()
        for setting in ("auto", 3, "off", 1):
            scene.lab.group["compression"] = setting
            scene.lab.write_config()
            for node in (scene.alpha, scene.beta):
                node.child.signal(signal.SIGHUP)
            wait_for(f"compression is {setting}", lambda: figures(scene)["setting"] == str(setting))
            before = figures(scene)
            all_succeeded(scene.write(40, 2, 8))
            scene.lab.wait_caught_up()
            after = figures(scene)
            came = after["bytes"] - before["bytes"]
            left = after["sealed_bytes"] - before["sealed_bytes"]
            require((left == came) == (setting == "off"), f"{setting}: {came} bytes became {left}")
        scene.settle()
        every_reader(scene, 60)


def put_ext4(scene, directory):
    """A file system with text and noise in it, written through NBD in pieces of several lengths."""
    for name in ("mke2fs", "e2fsck", "qemu-img"):
        need_tool(name)
    tree, image = os.path.join(directory, "tree"), os.path.join(directory, "ext4.img")
    os.makedirs(tree)
    for number in range(40):
        with open(f"{tree}/text-{number}", "wb") as file:
            file.write(b"".join(b"line %d of file %d\n" % (line, number) for line in range(500 * (number % 7 + 1))))
        with open(f"{tree}/noise-{number}", "wb") as file:
            file.write(scene.random.randbytes(1000 + 2001 * number))
    run(["mke2fs", "-q", "-F", "-t", "ext4", "-d", tree, image, f"{SIZE >> 10}k"])
    content, at = read_file(image), 0
    handle = nbd.NBD()
    handle.connect_uri(scene.primary.uri())
    while at < SIZE:
        piece = content[at:at + scene.random.choice(CHUNKS)]
        if any(piece):
            op = scene.oplog.make("data", "data", at, len(piece))
            op.data, op.submit = piece, scene.oplog.stamp()
            handle.pwrite(piece, at)
            op.complete, op.outcome = scene.oplog.stamp(), "ok"
        at += len(piece)
    handle.shutdown()
    return content


def real_ext4(context, setting):
    with Scene(context, {"data": SIZE}, compression=setting, segment_bytes="4MiB") as scene:
        scene.start()
        content = put_ext4(scene, context.directory)
        scene.settle()
        require(read_device(scene.primary.uri()) == content, "the volume is not the image that was written")
        require_fewer(scene, str(setting))
        every_reader(scene, 12)
        whole = scene.model.head
        scene.oplog.packable = True
        all_succeeded(scene.write(60, 2, 8))
        scene.settle()
        scene.rewind(whole)
        run(["e2fsck", "-f", "-n", scene.standby.device()])
        require(read_file(scene.standby.device()) == content, "the rewound replica is not the image")
        out = os.path.join(context.directory, "out.img")
        scene.standby.do("backup", f"{GROUP}/data", name_of(whole), "-o", out, "--format", "raw")
        require(read_file(out) == content, "the backup is not the image")
        scene.resume()
        scene.alpha.kill9()
        body = scene.beta.one("takeover", GROUP, name_of(whole), "--force")
        require(read_device(body["uris"]["data"]) == content, "what serves after the takeover is not the image")


@check("compression.ext4_auto", 240)
def ext4_auto(context):
    real_ext4(context, "auto")


@check("compression.ext4_level_9", 240)
def ext4_level_9(context):
    real_ext4(context, 9)
