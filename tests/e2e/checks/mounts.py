"""`everstep mount`: file systems of steps in a directory, what goes wrong on the way, and `umount` of what is left."""

import hashlib
import os
import shutil
import struct
from concurrent.futures import ThreadPoolExecutor

from everstep_lab.base import Failed, loops_under, mounts_under, need_tool, place_of, require, run, wait_for
from everstep_lab.mounts import FuseFile, Mounted, need_mounts
from everstep_lab.nbdio import read_point
from everstep_lab.nodes import GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene

EXT4, XFS = 24 << 20, 320 << 20
NEEDS_RECOVERY = 0x4  # of ext4's s_feature_incompat


def servers_of(place):
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as words:
                if place.encode() in words.read():
                    found.append(pid)
        except OSError:
            continue
    return found


def what_is_left(directory):
    place = place_of(directory)
    return {"mounts": mounts_under(directory) + mounts_under(place), "loops": loops_under(place),
            "processes": servers_of(place), "place": os.path.exists(place)}


def nothing_left(node, directory, when):
    left = what_is_left(directory)
    require(not any(left.values()), f"{when}: {left} is left of {directory}")
    if node is not None:
        exports = node.do("exports", GROUP)
        require(exports == [], f"{when}: exports are left: {exports}")


def summed(directory):
    """{path: checksum} of all files below a directory."""
    found = {}
    for top, _, names in os.walk(directory):
        for name in names:
            path = os.path.join(top, name)
            with open(path, "rb") as file:
                found[os.path.relpath(path, directory)] = hashlib.sha256(file.read()).hexdigest()
    return found


def put(path, content):
    """The content and the names on the way to it are in the file system's journal when it returns."""
    with open(path, "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


class Writer:
    """A mounted file system that is written on; `seen` holds what its files were at steps of the group."""

    def __init__(self, scene, kind):
        self.scene, self.seen = scene, {}
        self.disk = Mounted(scene.alpha.uri(), os.path.join(scene.context.directory, "origin"), True, kind)

    def change(self, count):
        """Files are made, changed, renamed and removed; then the step that holds all that is noted."""
        point, random = self.disk.point, self.scene.random
        for number in range(count):
            put(os.path.join(point, f"file {random.randrange(8)}"), random.randbytes(random.randrange(1, 200_000)))
            folder = os.path.join(point, f"folder-{len(self.seen)}-{number}")
            os.mkdir(folder)
            put(os.path.join(folder, "inner"), random.randbytes(5000))
            names = [name for name in os.listdir(point) if name.startswith("file")]
            os.rename(os.path.join(point, random.choice(names)), os.path.join(point, "file 1"))
        put(os.path.join(point, "last"), str(len(self.seen)).encode())
        lsn = self.scene.lab.wait_caught_up()
        self.seen[lsn] = summed(point)
        return lsn

    def close(self):
        self.disk.close()


def same_files(directory, wanted, what):
    found = summed(directory)
    wrong = {name for name in wanted.keys() | found.keys() if wanted.get(name) != found.get(name)}
    require(not wrong, f"{what}: {len(wrong)} of {len(wanted)} files differ: {sorted(wrong)[:5]}")


def refuses_writes(directory):
    for path in (os.path.join(directory, "new"), os.path.join(directory, "last")):
        try:
            with open(path, "ab") as file:
                file.write(b"x")
        except OSError as error:
            require("Read-only" in str(error), f"{path}: {error}, wanted EROFS")
        else:
            raise Failed(f"{path} could be written on a read-only mount")


def check_body(body, directory, lsn, kind, writable=False):
    for key, value in (("directory", directory), ("lsn", lsn), ("writable", writable), ("filesystem", kind)):
        require(body[key] == value, f"mount says {key} is {body[key]!r}, wanted {value!r}: {body}")
    require(body["device"].startswith("/dev/loop"), f"mount says device {body['device']}")
    require(isinstance(body["id"], str) and len(body["timeline"]) == 32, f"mount says {body}")
    require(isinstance(body["seconds"], float) and body["seconds"] > 0, f"mount took {body['seconds']} s")


def needs_replay(context, kind, image):
    if kind == "ext4":
        return struct.unpack_from("<I", image, 1024 + 0x60)[0] & NEEDS_RECOVERY != 0
    path = os.path.join(context.directory, "image")
    with open(path, "wb") as file:
        file.write(image)
    return "<DIRTY>" in run(["xfs_logprint", "-t", path]).stdout


def any_step(context, kind, size):
    """A file system that is mounted and written on, and its steps beside it."""
    need_mounts()
    with Scene(context, {"data": size}) as scene:
        scene.lab.start()
        beta, there = scene.beta, os.path.join(context.directory, "then is-100%")
        os.mkdir(there)
        writer = Writer(scene, kind)
        try:
            for _ in range(4):
                writer.change(4)
            before = {lsn: read_point(beta, f"step:{lsn}")[1] for lsn in writer.seen}
            require(needs_replay(context, kind, before[min(before)]["data"]),
                    "the step's journal is clean: this would prove nothing")
            for lsn, files in writer.seen.items():
                # On the primary, too: it asks the standby.
                body = scene.random.choice((scene.alpha, beta)).one("mount", GROUP, f"step:{lsn}", there)
                check_body(body, there, lsn, kind)
                context.say(f"step {lsn}: {kind} mounted in {body['seconds']:.3f} s")
                same_files(there, files, f"step {lsn} on {there}")
                refuses_writes(there)
                require(all(what_is_left(there).values()), f"a mount is not seen whole: {what_is_left(there)}")
                listed = beta.one("exports", GROUP)
                require((listed["id"], listed["mount"]) == (body["id"], there), f"exports says {listed}")
                beta.cli("unexport", body["id"]).expect(3, there, "umount")
                ended = scene.random.choice((scene.alpha, beta)).one("umount", there)
                require(ended == {"directory": there, "ids": [body["id"]], "kept": False}, f"umount says {ended}")
                nothing_left(beta, there, f"step {lsn} was unmounted")
            written_on(scene, writer, there, kind)
            for lsn, images in before.items():
                require(read_point(beta, f"step:{lsn}")[1] == images, f"step {lsn} is not what it was")
            same_files(writer.disk.point, writer.seen[max(writer.seen)], "the origin")
        finally:
            writer.close()


def written_on(scene, writer, there, kind):
    """A writable mount, beside a read-only one; thrown away, and kept."""
    beta, lsn = scene.beta, min(writer.seen)
    other = there + ".other"
    os.mkdir(other)
    for keep in (False, True):
        body = beta.one("mount", f"{GROUP}/data", f"step:{lsn}", there, "--writable")
        check_body(body, there, lsn, kind, True)
        beta.one("mount", GROUP, f"step:{lsn}", other)
        put(os.path.join(there, "mine"), b"written on the step")
        os.remove(os.path.join(there, "last"))
        mine = summed(there)
        same_files(other, writer.seen[lsn], "the same step beside a writable mount")
        beta.one("umount", other)
        beta.one("umount", there, *(["--keep"] if keep else []))
        nothing_left(None if keep else beta, there, "a writable mount was unmounted")
    kept = beta.one("exports", GROUP)
    require(kept["id"] == body["id"] and "mount" not in kept, f"what was kept is {kept}")
    beta.cli("umount", there).expect(1, there, "no mount")
    beta.one("mount", GROUP, f"t:{kept['timeline']}@head", there)
    same_files(there, mine, "a kept branch, mounted again")
    beta.one("umount", there)
    beta.one("unexport", kept["id"], "--drop")
    nothing_left(beta, there, "all was ended")


@check("mounts.ext4", 300)
def ext4(context):
    any_step(context, "ext4", EXT4)


@check("mounts.xfs", 300)
def xfs(context):
    need_tool("mkfs.xfs")
    any_step(context, "xfs", XFS)


def partitioned(scene, label, kinds):
    """A partition table on the volume; the file systems of its partitions, each with one file."""
    disk = FuseFile(scene.alpha.uri(), os.path.join(scene.context.directory, label))
    try:
        run(["sfdisk", "--quiet", "--no-reread", disk.path],
            input=f"label: {label}\n" + "".join(line + "\n" for line in kinds.values()))
        table = run(["sfdisk", "--json", disk.path]).stdout
        for number, line in kinds.items():
            if "type=5" in line:
                continue
            start, size = (int(part.split("=")[1]) * 512 for part in line.split(",")[:2])
            require(str(start // 512) in table, f"sfdisk made {table}")
            loop = run(["losetup", "--find", "--show", "--offset", str(start), "--sizelimit", str(size),
                        disk.path]).stdout.strip()
            try:
                tree = os.path.join(scene.context.directory, f"tree-{label}-{number}")
                os.mkdir(tree)
                put(os.path.join(tree, "who"), f"{label} {number}".encode())
                run(["mke2fs", "-q", "-t", "ext4", "-d", tree, loop])
            finally:
                run(["losetup", "-d", loop])
    finally:
        disk.close()
    return scene.lab.wait_caught_up()


@check("mounts.partitions", 180)
def partitions(context):
    need_mounts()
    for tool in ("sfdisk", "mke2fs"):
        need_tool(tool)
    with Scene(context, {"data": EXT4, "logs": 1 << 20}) as scene:
        scene.lab.start()
        beta, there, data = scene.beta, os.path.join(context.directory, "then"), f"{GROUP}/data"
        os.mkdir(there)
        scene.write(4)
        beta.cli("mount", GROUP, "head", there).expect(2, "data, logs", f"{GROUP}/VOLUME")
        beta.cli("mount", f"{GROUP}/none", "head", there).expect(2, "none")
        beta.cli("mount", f"{GROUP}/logs", "head", there).expect(1, "volume logs", "no file system", "blkid")
        beta.cli("mount", data, "head", there, "--partition", "1").expect(2, "volume data", "no partition table")
        gpt = partitioned(scene, "gpt", {1: "start=2048,size=16384", 2: "start=20480,size=16384"})
        beta.cli("mount", data, "head", there).expect(1, "gpt", "partitions 1, 2", "--partition")
        dos = partitioned(scene, "dos", {1: "start=2048,size=12288,type=83", 2: "start=16384,size=24576,type=5",
                                         5: "start=18432,size=16384,type=83"})
        for label, lsn, numbers in (("gpt", gpt, (1, 2)), ("dos", dos, (1, 5))):
            for number in numbers:
                body = beta.one("mount", data, f"step:{lsn}", there, "--partition", number)
                check_body(body, there, lsn, "ext4")
                with open(os.path.join(there, "who"), encoding="utf-8") as file:
                    require(file.read() == f"{label} {number}", f"partition {number} of {label} is another one")
                beta.one("umount", there)
            listed = ", ".join(map(str, numbers))
            for number in (3, 999999999):
                beta.cli("mount", data, f"step:{lsn}", there, "--partition", number).expect(
                    2, "volume data", f"no partition {number}", f"there are {listed}")
        nothing_left(beta, there, "every mount was refused or ended")


class Tools:
    """Stand-ins for the tools that a mount runs, in front of the real ones."""

    def __init__(self, scene):
        self.scene, self.directory = scene, os.path.join(scene.context.directory, "tools")
        os.mkdir(self.directory)

    def become(self, name, script):
        """The stand-in; `$real` in the script is the tool itself."""
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nreal={need_tool(name)}\n{script}\nexec $real \"$@\"\n")
        os.chmod(path, 0o755)

    def real(self):
        shutil.rmtree(self.directory)
        os.mkdir(self.directory)

    def run(self, *words, path=None, **options):
        env = dict(os.environ, PATH=path or f"{self.directory}:{os.environ['PATH']}")
        return self.scene.beta.cli(*words, env=env, **options)


STAGES = {"nbdfuse": "", "losetup": '[ "$1" = --find ] || exec $real "$@"', "blkid": "", "mount": ""}


@check("mounts.failures_leave_nothing", 240)
def failures_leave_nothing(context):
    need_mounts()
    with Scene(context, {"data": EXT4}) as scene:
        scene.lab.start()
        beta, there = scene.beta, os.path.join(context.directory, "then")
        os.mkdir(there)
        writer, tools = Writer(scene, "ext4"), Tools(scene)
        try:
            lsn = writer.change(3)
            for name, only in STAGES.items():
                tools.become(name, f"{only}\necho 'out of luck' >&2; exit 13")
                tools.run("mount", GROUP, "head", there).expect(1, name, "out of luck")
                nothing_left(beta, there, f"{name} failed")
                tools.real()
            tools.become("losetup", '[ "$1" != --detach ] || { echo "held fast" >&2; exit 1; }')
            tools.become("mount", "echo 'no such luck' >&2; exit 32")
            tools.run("mount", GROUP, "head", there).expect(1, "no such luck", "held fast", f"umount {there}")
            require(what_is_left(there)["loops"], "the stand-in for losetup was not asked")
            tools.real()
            tools.run("mount", GROUP, "head", there).expect(1, f"umount {there}")
            beta.one("umount", there)
            nothing_left(beta, there, "a mount that could not be undone was unmounted")
            cut_short(scene, tools, there)
            interrupted(scene, tools, there)
            bad_directories(scene, tools, there)
            beta.one("mount", GROUP, f"step:{lsn}", there)
            in_use(beta, there)
            beta.one("umount", there)
            nothing_left(beta, there, "all was ended")
        finally:
            writer.close()


def cut_short(scene, tools, there):
    """kill -9 of `everstep mount` before and after each tool that it runs."""
    for name, only in STAGES.items():
        for script in ("", "$real \"$@\""):
            if name == "nbdfuse" and script:
                continue  # it does not end: killed behind it is killed before the next one
            script += "\nkill -9 $PPID; exit 0"
            tools.become(name, f"{only}\n{script}")
            answer = tools.run("mount", GROUP, "head", there)
            require(answer.code == -9, f"everstep mount ended with {answer.code}, wanted kill -9: {answer.err}")
            tools.real()
            scene.beta.cli("mount", GROUP, "head", there).expect(
                3 if mounts_under(there) else 1, there)
            scene.beta.one("umount", there)
            nothing_left(scene.beta, there, f"killed at {name}: {script}")


def interrupted(scene, tools, there):
    """Ctrl-C and its like, while each tool runs: all is undone."""
    for name, only in STAGES.items():
        for number in ("INT", "TERM", "HUP"):
            script = f"kill -{number} $PPID" + ("; exit 0" if name == "nbdfuse" else "")
            tools.become(name, f"{only}\n{script}")
            answer = tools.run("mount", GROUP, "head", there)
            tools.real()
            answer.expect(1, "interrupted")
            nothing_left(scene.beta, there, f"SIG{number} at {name}")


def bad_directories(scene, tools, there):
    beta = scene.beta
    beta.cli("mount", GROUP, "head", there + ".none").expect(1, there + ".none")
    beta.cli("mount", GROUP, "head", scene.lab.config).expect(1, "no directory")
    beta.cli("mount", GROUP, "head", context_of(scene)).expect(3, "not empty")
    beta.cli("mount", GROUP, "head", "/proc").expect(3, "mounted on /proc already")
    beta.cli("umount", "/proc").expect(1, "/proc")
    require(os.path.exists("/proc/self"), "/proc was unmounted")
    beta.cli("umount", there).expect(1, there, "no mount")
    beta.cli("mount", GROUP, "step:999999", there).expect(3)
    beta.cli("mount", "nogroup", "head", there).expect(2, "nogroup")
    beta.cli("mount", GROUP, "head", there, "--partition", "x").expect(2, "--partition")
    long = os.path.join(context_of(scene), "/".join(["a" * 100] * 4))
    os.makedirs(long)
    beta.cli("mount", GROUP, "head", long).expect(1, "too long")
    for words in (("mount", GROUP, "head", there), ("umount", there)):
        answer = run([beta.cli("status").command.split()[0], "--config", scene.lab.config, "--node", "beta", *words],
                     check=False, user=65534)
        require(answer.returncode == 1 and "root" in answer.stderr, f"user 65534 may {words}: {answer}")
    nothing_left(beta, there, "every mount was refused")


def context_of(scene):
    return scene.context.directory


def in_use(beta, there):
    """A file that is open keeps the mount, and all below it."""
    before = what_is_left(there)
    with open(os.path.join(there, "last"), "rb") as file:
        beta.cli("umount", there).expect(1, "busy", "fuser", "nothing was changed")
        require(what_is_left(there) == before, "a umount that failed changed something")
        require(file.read() != b"", "the open file can still be read")
    os.mkdir(there + ".bound")
    run(["mount", "--bind", there, there + ".bound"])
    beta.cli("umount", there).expect(1, there + ".bound")
    run(["umount", there + ".bound"])


def take_away_by_hand(there):
    """What a restart of the machine leaves: nothing."""
    place = place_of(there)
    for point in mounts_under(there):
        run(["umount", point])
    for loop in loops_under(place):
        run(["losetup", "-d", loop])
    for point in mounts_under(place):
        run(["umount", point])
    wait_for("nbdfuse ends", lambda: not servers_of(place), 20)
    shutil.rmtree(place)


@check("mounts.node_dies", 240)
def node_dies(context):
    need_mounts()
    with Scene(context, {"data": EXT4}) as scene:
        scene.lab.start()
        beta, there = scene.beta, os.path.join(context.directory, "then")
        os.mkdir(there)
        writer = Writer(scene, "ext4")
        try:
            lsn = writer.change(3)
        finally:
            writer.close()
        scene.lab.wait_caught_up()
        for writable in ((), ("--writable",)):
            # It dies, and is not there when it is unmounted: the rest is ended when it is back.
            beta.one("mount", GROUP, f"step:{lsn}", there, *writable)
            beta.kill9()
            beta.cli("umount", there).expect(4, "nothing is mounted", f"everstep umount {there}")
            nothing_left(None, there, "unmounted without its node")
            beta.cli("umount", there).expect(4, "does not answer")
            beta.start()
            require(beta.one("exports", GROUP)["mount"] == there, "the branch is there again")
            beta.cli("mount", GROUP, "head", there).expect(1, f"umount {there}")
            beta.one("umount", there)
            nothing_left(beta, there, "unmounted in two parts")

            # It dies and comes back while it is mounted.
            beta.one("mount", GROUP, f"step:{lsn}", there, *writable)
            beta.kill9()
            beta.start()
            beta.one("umount", there)
            nothing_left(beta, there, "unmounted after a restart of the node")

        # It is there, and does not answer.
        beta.one("mount", GROUP, f"step:{lsn}", there)
        beta.freeze()
        beta.cli("umount", there).expect(4, "does not answer", "nothing is mounted", f"everstep umount {there}")
        nothing_left(None, there, "unmounted beside a frozen node")
        beta.thaw()
        beta.one("umount", there)
        nothing_left(beta, there, "unmounted when the node answered again")

        # What was written before a restart of the machine can be kept.
        beta.one("mount", GROUP, f"step:{lsn}", there, "--writable")
        put(os.path.join(there, "mine"), b"written on the step")
        mine = summed(there)
        take_away_by_hand(there)
        beta.term()
        beta.start()
        kept = beta.one("umount", there, "--keep")["ids"][0]
        told = beta.one("exports", GROUP)
        require(told["id"] == kept and "mount" not in told, f"what was kept is {told}")
        beta.one("mount", GROUP, f"t:{told['timeline']}@head", there)
        same_files(there, mine, "what was written before a restart of the machine")
        beta.one("umount", there)
        beta.one("unexport", kept, "--drop")
        nothing_left(beta, there, "all was ended")


@check("mounts.at_once", 180)
def at_once(context):
    """Many at the same time: each in its own directory, and only one in a directory."""
    need_mounts()
    with Scene(context, {"data": EXT4}) as scene:
        scene.lab.start()
        beta, theres = scene.beta, [os.path.join(context.directory, f"then-{n}") for n in range(6)]
        for there in theres:
            os.mkdir(there)
        writer = Writer(scene, "ext4")
        try:
            lsns = [writer.change(2) for _ in theres]
        finally:
            writer.close()
        scene.lab.wait_caught_up()
        with ThreadPoolExecutor(len(theres)) as pool:
            for answer in pool.map(lambda pair: beta.cli("mount", GROUP, f"step:{pair[0]}", pair[1]),
                                   zip(lsns, theres)):
                answer.expect(0)
            for lsn, there in zip(lsns, theres):
                same_files(there, writer.seen[lsn], f"step {lsn} beside others")
            for answer in pool.map(lambda there: beta.cli("umount", there), theres):
                answer.expect(0)
            for there in theres:
                nothing_left(beta, there, "many were unmounted at once")

            there, last = theres[0], lsns[-1]
            codes = [answer.code for answer in pool.map(
                lambda _: beta.cli("mount", GROUP, f"step:{last}", there), theres)]
            require(codes.count(0) == 1, f"{len(codes)} mounts on one directory at once ended with {codes}")
            same_files(there, writer.seen[last], "the one that was first")
            beta.one("umount", there)
            nothing_left(beta, there, "the one that was first was unmounted")
