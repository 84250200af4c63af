"""`everstep backup`: images and chains of them hold their steps, for QEMU's tools too; a failure leaves nothing."""

import hashlib
import json
import os
import signal

from everstep_lab.base import Child, need_root, need_tool, require, run, wait_for
from everstep_lab.guest import Guest
from everstep_lab.model import difference, name_of
from everstep_lab.nbdio import Export, connect, read_device, read_file, read_point
from everstep_lab.nodes import EVERSTEP, GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene

SIZE = 24 << 20
CLUSTER = 64 << 10
DATA = f"{GROUP}/data"


def need_qemu():
    need_tool("qemu-img")
    need_tool("qemu-nbd")


class Backups:
    """A directory of backups, and what each has to hold."""

    def __init__(self, scene, name="backups"):
        self.scene, self.node = scene, scene.beta
        self.directory = os.path.join(scene.context.directory, name)
        os.makedirs(self.directory, exist_ok=True)

    def at(self, name):
        return os.path.join(self.directory, name)

    def cli(self, name, point, *words, **options):
        return self.node.cli("backup", DATA, point, "-o", self.at(name), *words, **options)

    def make(self, name, key, *words):
        """The body of a backup of a step; its fields and its record are checked."""
        answer = self.cli(name, name_of(key), *words).expect(0)
        require(answer.err == "", f"backup says {answer.err} into a pipe")
        body, record = answer.json()[0], self.record(name)
        for key_word, value in (("file", self.at(name)), ("timeline", key[0]), ("lsn", key[1]), ("size", SIZE),
                                ("volume", "data"), ("group", GROUP)):
            require(body[key_word] == value, f"backup says {key_word} is {body[key_word]!r}, wanted {value!r}")
        for key_word in ("group", "volume", "size", "timeline", "lsn", "time", "since"):
            require(record[key_word] == body[key_word], f"the record of {name} has {key_word} {record[key_word]!r}")
        require(record["format"] == 1 and record["image_format"] == body["format"], f"the record is {record}")
        require(os.stat(self.at(name)).st_mode & 0o777 == 0o600, f"{name} is not its owner's alone")
        self.scene.context.say(f"{name}: step {key[1]}, {body['read']} bytes read, {body['written']} written, "
                               f"{self.used(name)} used, {body['seconds']:.2f} s")
        return body

    def record(self, name):
        with open(self.at(name) + ".everstep", encoding="utf-8") as file:
            return json.load(file)

    def used(self, name):
        return os.stat(self.at(name)).st_blocks * 512

    def content(self, name):
        """What the image holds, by qemu-img."""
        flat = os.path.join(self.scene.context.directory, "flat")
        run(["qemu-img", "convert", "-O", "raw", self.at(name), flat])
        return read_file(flat)

    def check(self, name, wanted, kind="qcow2"):
        words = difference(self.content(name), wanted)
        require(words is None, f"backup {name}: {words}")
        if kind == "qcow2":
            said = json.loads(run(["qemu-img", "check", "--output=json", self.at(name)]).stdout)
            bad = {key: said.get(key) for key in ("corruptions", "leaks", "check-errors") if said.get(key)}
            require(not bad, f"qemu-img check of {name}: {bad}")

    def compare(self, name, key):
        """With the export of the step, as qemu-img sees both."""
        with Export(self.node, name_of(key)) as export:
            run(["qemu-img", "compare", self.at(name), export.body["uris"]["data"]])

    def there(self):
        return sorted(os.listdir(self.directory))

    def nothing_left(self, names, when):
        require(self.there() == sorted(names), f"{when}: the directory holds {self.there()}, wanted {sorted(names)}")
        exports = self.node.do("exports", GROUP)
        require(exports == [], f"{when}: exports are left: {exports}")
        wait_for(f"{when}: no qemu-nbd is left", lambda: not servers_of(self.directory), 20)


def servers_of(directory, connected=False):
    """Process ids of the qemu-nbd that write below a directory; `connected`: whose socket is not needed any more."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as words:
                argv = words.read().split(b"\0")
        except OSError:
            continue
        if not argv[0].endswith(b"qemu-nbd") or not any(word.startswith(directory.encode()) for word in argv):
            continue
        socket = next(word[len(b"--socket="):] for word in argv if word.startswith(b"--socket="))
        if not connected or not os.path.exists(os.path.dirname(socket)):
            found.append(int(pid))
    return found


def change(scene, count):
    """Random writes; then one hole over clusters that hold data, and one of zeroes. The key of the step behind."""
    scene.write(count)
    handle = connect(scene.alpha.uri("data"))
    try:
        for act in ("zero", "discard"):
            at = scene.random.randrange(0, SIZE - 8 * CLUSTER, 512)
            op = scene.oplog.make(act, "data", at, 5 * CLUSTER)
            op.submit = scene.oplog.stamp()
            (handle.zero if act == "zero" else handle.trim)(op.length, at)
            op.complete, op.outcome = scene.oplog.stamp(), "ok"
    finally:
        handle.shutdown()
    scene.settle()
    return scene.model.head


@check("backup.chains", 300)
def chains(context):
    """A whole raw, a whole qcow2 and three over it, each byte for byte its step; then commit, and a branch."""
    need_qemu()
    with Scene(context, {"data": SIZE, "logs": 1 << 20}) as scene:
        scene.start()
        backups = Backups(scene)
        keys = [change(scene, context.count(150, 800))]
        image = scene.model.image
        backups.make("full.raw", keys[0], "--format", "raw")
        backups.check("full.raw", image(keys[0])["data"], "raw")
        require(read_file(backups.at("full.raw")) == image(keys[0])["data"], "full.raw is not the volume")
        whole = backups.make("inc-0", keys[0])
        require(whole["since"] is None and whole["base"] is None, f"a whole backup says {whole}")
        for number in (1, 2, 3):
            keys.append(change(scene, context.count(60, 400)))
            since = name_of(keys[-2]) if number < 3 else "last"
            base = ["--base", backups.at("inc-0")] if number == 1 else []  # full.raw holds that step, too
            if base:
                backups.cli("inc-1", name_of(keys[-1]), "--since", since).expect(3, "full.raw", "inc-0", "--base")
            body = backups.make(f"inc-{number}", keys[-1], "--since", since, *base)
            wanted = {"timeline": keys[-2][0], "lsn": keys[-2][1]}
            require(body["since"] == wanted, f"backup says since {body['since']}, wanted {wanted}")
            require(body["base"] == backups.at(f"inc-{number - 1}"), f"backup says base {body['base']}")
            require(backups.record(f"inc-{number}")["base"] == f"inc-{number - 1}", "the base is not relative")
        for number, key in enumerate(keys):
            backups.check(f"inc-{number}", image(key)["data"])
            backups.compare(f"inc-{number}", key)
        over_raw(scene, backups, keys)
        branch(scene, backups, keys)
        for key in scene.sample(context.count(3, 20)):
            backups.make("any", key, "--force")
            backups.check("any", image(key)["data"])
            backups.make("back", key, "--base", backups.at("inc-3"), "--force")  # an older step over a newer one
            backups.check("back", image(key)["data"])
            os.unlink(backups.at("back.everstep"))
        moved = os.path.join(scene.context.directory, "moved")
        os.rename(backups.directory, moved)
        backups.directory = moved
        backups.check("inc-3", image(keys[3])["data"])
        run(["qemu-img", "commit", "-q", backups.at("inc-3")])
        backups.check("inc-2", image(keys[3])["data"])
        require(backups.node.do("exports", GROUP) == [], "exports are left")


def over_raw(scene, backups, keys):
    """A raw base in another directory."""
    other = Backups(scene, "other")
    body = other.make("over-raw", keys[2], "--base", backups.at("full.raw"))
    require(other.record("over-raw")["base"] == backups.at("full.raw"), f"backup says {body}")
    other.check("over-raw", scene.model.image(keys[2])["data"])
    other.compare("over-raw", keys[2])


def branch(scene, backups, keys):
    """What was written on a step, over the backup of that step."""
    beta = backups.node
    told = beta.one("export", GROUP, name_of(keys[1]), "--writable")
    handle = connect(told["uris"]["data"])
    wanted = bytearray(scene.model.image(keys[1])["data"])
    body = scene.random.randbytes(3 * CLUSTER)
    handle.pwrite(body, CLUSTER + 512)
    handle.zero(CLUSTER, 9 * CLUSTER)
    handle.flush()
    handle.shutdown()
    wanted[CLUSTER + 512:CLUSTER + 512 + len(body)] = body
    wanted[9 * CLUSTER:10 * CLUSTER] = bytes(CLUSTER)
    tip = next(one for one in beta.do("exports", GROUP) if one["id"] == told["id"])
    made = backups.make("branch", (tip["timeline"], tip["lsn"]), "--since", name_of(keys[1]))
    require(made["base"] == backups.at("inc-1"), f"a backup of the branch lies over {made['base']}")
    require(made["written"] <= 5 * CLUSTER, f"{made['written']} bytes were written for {len(body)}")
    backups.check("branch", bytes(wanted))
    beta.one("unexport", told["id"], "--drop")


@check("backup.holes_cost_nothing", 120)
def holes_cost_nothing(context):
    """A large empty volume; zeroes that were written as data; data that became zeroes."""
    need_qemu()
    size = 2 << 30
    with Scene(context, {"data": size}) as scene:
        scene.lab.start()
        beta, directory = scene.beta, os.path.join(context.directory, "backups")
        os.mkdir(directory)
        handle = connect(scene.alpha.uri("data"))

        def backup(name, *words):
            path = os.path.join(directory, name)
            scene.lab.wait_caught_up()
            body = beta.one("backup", DATA, "head", "-o", path, *words)
            used = os.stat(path).st_blocks * 512
            context.say(f"{name}: {body['read']} bytes read, {body['written']} written, {used} used, "
                        f"{body['seconds']:.2f} s")
            return body, used

        for name, words in (("empty.raw", ("--format", "raw")), ("empty", ())):
            body, used = backup(name, *words)
            require(body["written"] == 0 and body["read"] <= 1 << 20 and used <= 1 << 20,
                    f"an empty volume: {body}, {used} bytes used")
        handle.pwrite(bytes(8 << 20), 64 << 20)
        handle.pwrite(scene.random.randbytes(8 << 20), 1 << 30)
        handle.flush()
        for name, words in (("full.raw", ("--format", "raw")), ("full", ())):
            body, used = backup(name, *words)
            require(body["written"] == 8 << 20 and used <= 9 << 20, f"8 MiB of data: {body}, {used} bytes used")
        handle.zero(4 << 20, 1 << 30)
        handle.pwrite(bytes(4 << 20), (1 << 30) + (4 << 20))
        handle.flush()
        body, used = backup("zeroed", "--since", "last")
        require(body["written"] == 0 and used <= 1 << 20, f"data became zeroes: {body}, {used} bytes used")
        wanted = run(["qemu-img", "compare", os.path.join(directory, "zeroed"), os.path.join(directory, "empty.raw")])
        require("identical" in wanted.stdout, f"zeroed is not all zeroes: {wanted.stdout}")
        handle.shutdown()


@check("backup.refusals", 180)
def refusals(context):
    need_qemu()
    with Scene(context, {"data": SIZE, "logs": 1 << 20}) as scene:
        scene.start()
        backups = Backups(scene)
        keys = [change(scene, 40), change(scene, 20), change(scene, 20)]
        names = ["a", "a.everstep", "b", "b.everstep"]
        head = name_of(keys[2])
        backups.make("a", keys[0])
        backups.make("b", keys[1], "--since", name_of(keys[0]))
        before = {name: read_file(backups.at(name)) for name in names}

        def refused(code, name, point, *words, says):
            backups.cli(name, point, *words).expect(code, *says)
            backups.nothing_left(names, f"backup of {point} {words}")

        refused(3, "b", head, says=[backups.at("b"), "--force"])
        refused(3, "a", head, "--force", says=["b lies over", backups.at("a")])
        refused(3, "c", "step:999999", says=["step:999999"])
        refused(3, "c", head, "--since", "step:999999", says=["--since", "step:999999"])
        refused(1, "c", head, "--since", name_of(keys[2]), says=["no backup of", "a holds step", "--base"])
        refused(3, "c", head, "--since", name_of(keys[1]), "--base", backups.at("a"),
                says=["a holds", "wanted as a base"])
        refused(1, "c", head, "--base", backups.at("none"), says=["none.everstep"])
        refused(1, "none/c", head, says=["none"])
        refused(2, "c", head, "--format", "raw", "--since", "last", says=["raw"])
        refused(2, "c.part", head, says=[".part"])
        backups.node.cli("backup", GROUP, "head", "-o", backups.at("c")).expect(2, "data, logs")
        backups.node.cli("backup", f"{GROUP}/none", "head", "-o", backups.at("c")).expect(2, "none")
        backups.node.cli("backup", f"{GROUP}/logs", head, "-o", backups.at("c"), "--since", "last").expect(
            1, f"no backup of {GROUP}/logs")
        for text, says in (("{", "no JSON"), (b"\0" * 70000, "65536"), ('{"format": 2}', "format 2")):
            with open(backups.at("b.everstep"), "wb") as file:
                file.write(text if isinstance(text, bytes) else text.encode())
            refused(1, "c", head, "--base", backups.at("b"), says=["b.everstep", says])
            refused(1, "c", head, "--since", name_of(keys[1]), says=["b.everstep", says])
        with open(backups.at("b.everstep"), "wb") as file:
            file.write(before["b.everstep"])
        os.rename(backups.at("a"), backups.at("away"))
        backups.cli("c", head, "--since", name_of(keys[0])).expect(3, "not the image", backups.at("a"))
        backups.cli("c", head, "--since", name_of(keys[1])).expect(1, "over", backups.at("b"), backups.at("a"))
        os.rename(backups.at("away"), backups.at("a"))
        require({name: read_file(backups.at(name)) for name in names} == before, "a refusal changed a backup")
        # From the primary: it asks the standby. Another form of the point, and --force.
        body = scene.alpha.one("backup", DATA, "head~1", "-o", backups.at("b"), "--force", "--on", "beta")
        require(body["lsn"] == keys[2][1] - 1, f"head~1 is step {body['lsn']}")
        backups.check("b", scene.model.image((keys[2][0], body["lsn"]))["data"])
        backups.nothing_left(names, "all was refused or done")


class Tools:
    """Stand-ins for the tools that a backup runs, in front of the real ones."""

    def __init__(self, scene):
        self.directory = os.path.join(scene.context.directory, "tools")
        os.mkdir(self.directory)
        self.env = dict(os.environ, PATH=f"{self.directory}:{os.environ['PATH']}")

    def become(self, name, script):
        path = os.path.join(self.directory, name)
        with open(path, "w", encoding="utf-8") as file:
            file.write(f"#!/bin/sh\nreal={need_tool(name)}\n{script}\nexec $real \"$@\"\n")
        os.chmod(path, 0o755)

    def real(self):
        for name in os.listdir(self.directory):
            os.unlink(os.path.join(self.directory, name))


class Running:
    """A backup that has begun to copy, and waits for its node, which is stopped."""

    def __init__(self, scene, backups, tools, *words):
        self.beta, self.log = scene.beta, os.path.join(scene.context.directory, "running.log")
        if os.path.exists(self.log):
            os.unlink(self.log)
        tools.become("qemu-nbd", f"kill -STOP {self.beta.child.pid}")
        argv = [EVERSTEP, "--config", scene.lab.config, "--node", "beta", "backup", DATA, "head", "-o",
                backups.at("c"), *words]
        self.child = Child(argv, self.log, tools.env)
        self.server = wait_for("qemu-nbd serves the file", lambda: self.began(backups.directory), 30)[0]
        tools.real()

    def began(self, directory):
        if not self.child.alive():
            raise RuntimeError(f"the backup ended: {self.child.tail()}")
        return servers_of(directory, connected=True)

    def end(self, code, *says):
        found = self.child.wait(60)
        require(found == code, f"backup ended with {found}, wanted {code}: {self.child.tail()}")
        for word in says:
            require(word in self.child.tail(), f"backup does not say {word!r}: {self.child.tail()}")


@check("backup.failures_leave_nothing", 240)
def failures_leave_nothing(context):
    need_qemu()
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        backups, tools, beta = Backups(scene), Tools(scene), scene.beta
        keys = [change(scene, 200), change(scene, 60)]
        names = ["a", "a.everstep"]
        backups.make("a", keys[0])
        words = ("--since", "last")
        for name in ("qemu-img", "qemu-nbd"):
            for script, says in (("echo 'out of luck' >&2; exit 13", "out of luck"), ("kill -9 $$", name)):
                tools.become(name, script)
                backups.cli("c", "head", *words, env=tools.env).expect(1, name, says, backups.at("c"))
                tools.real()
                backups.nothing_left(names, f"{name}: {script}")
        # An incremental one waits for its reads then, a whole one for the answer where the holes are.
        for number, kind in ((signal.SIGINT, words), (signal.SIGTERM, ()), (signal.SIGTERM, words),
                             (signal.SIGHUP, ())):
            one = Running(scene, backups, tools, *kind)
            one.child.signal(number)
            beta.thaw()
            one.end(1, "interrupted")
            backups.nothing_left(names, f"{number.name} in the middle")
        one = Running(scene, backups, tools, *words)
        os.kill(one.server, signal.SIGKILL)
        beta.thaw()
        one.end(1, backups.at("c.part"), "qemu-nbd ended", "signal 9")
        backups.nothing_left(names, "kill -9 of qemu-nbd")
        one = Running(scene, backups, tools, *words)
        beta.kill9()
        one.end(1, "export", "ended the connection")
        require(backups.there() == names, f"the node died: {backups.there()}")
        beta.start()
        scene.lab.wait_caught_up()
        backups.nothing_left(names, "the node died")
        killed(scene, backups, tools, keys)


def killed(scene, backups, tools, keys):
    """kill -9 of the command: the next run writes over what it left, and ends its exports."""
    beta = scene.beta
    one = Running(scene, backups, tools)
    one.child.signal(signal.SIGKILL)
    one.child.wait()
    beta.thaw()
    wait_for("qemu-nbd ends by itself", lambda: not servers_of(backups.directory), 20)
    require(backups.there() == ["a", "a.everstep", "c.everstep.part", "c.part"], f"killed: {backups.there()}")
    mine = beta.one("export", GROUP, name_of(keys[1]))
    require(len(beta.do("exports", GROUP)) == 2, "the killed backup's export is not there")
    backups.make("c", keys[1], "--since", "last")
    backups.check("c", scene.model.image(keys[1])["data"])
    beta.one("unexport", mine["id"])
    backups.nothing_left(["a", "a.everstep", "c", "c.everstep"], "killed, and made again")


@check("backup.full_directory", 120)
def full_directory(context):
    need_qemu()
    need_root()
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        backups = Backups(scene)
        mounted = run(["mount", "-t", "tmpfs", "-o", "size=3m", "tmpfs", backups.directory], check=False)
        require(mounted.returncode == 0, f"no tmpfs: {mounted.stderr}")
        try:
            keys = [change(scene, 20)]
            handle = connect(scene.alpha.uri("data"))
            handle.pwrite(scene.random.randbytes(8 << 20), 0)
            handle.shutdown()
            scene.lab.wait_caught_up()
            for words in ((), ("--format", "raw")):
                backups.cli("c", "head", *words).expect(1, backups.at("c.part"), "No space left")
                backups.nothing_left([], f"the directory was full {words}")
            with Export(scene.beta, "step:0") as export:
                require(not any(read_device(export.body["uris"]["data"])), "step 0 is not empty")
            backups.cli("c", "step:0").expect(0)
            require(keys[0][1] > 0, "nothing was written")
        finally:
            run(["umount", backups.directory])



@check("backup.killed_at_each_step", 240)
def killed_at_each_step(context):
    """kill -9 at each step on the way from FILE.part to FILE: FILE is whole, and its record is about it."""
    need_qemu()
    strace = need_tool("strace")
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        backups = Backups(scene)
        keys = [change(scene, 60), change(scene, 30)]
        images = {key[1]: scene.model.image(key)["data"] for key in keys}
        seen, step = [], 0
        for calls in ("fsync", "unlink,unlinkat", "rename,renameat,renameat2"):
            for when in range(1, 12):
                step += 1
                name = f"at-{step}"
                backups.make(name, keys[0])
                argv = [strace, "-qq", "-o", os.devnull, "-e", f"trace={calls}",
                        "-e", f"inject={calls}:signal=KILL:when={when}", EVERSTEP, "--config", scene.lab.config,
                        "--node", "beta", "backup", DATA, name_of(keys[1]), "-o", backups.at(name), "--force"]
                done = run(argv, check=False, env=dict(os.environ, TMPDIR=context.directory))
                if done.returncode == 0:
                    break
                require(done.returncode in (-9, 137), f"strace: {done.returncode}: {done.stderr}")
                found = backups.content(name)
                whole = [lsn for lsn, image in images.items() if image == found]
                require(len(whole) == 1, f"killed at {calls} {when}: {name} is no whole image")
                recorded = None
                if os.path.exists(backups.at(name) + ".everstep"):
                    recorded = backups.record(name)["lsn"]
                    require(recorded == whole[0], f"killed at {calls} {when}: {name} holds step {whole[0]}, and its "
                            f"record says {recorded}")
                seen.append((calls, when, keys[0][1] == whole[0], recorded is not None))
                backups.make(name, keys[1], "--force")
                backups.check(name, images[keys[1][1]])
            require(when > 1, f"nothing was killed at {calls}")
        context.say(f"{len(seen)} kills; (FILE is the old one, it has its record): "
                    f"{sorted({one[2:] for one in seen})}")
        require({one[2:] for one in seen} >= {(True, True), (True, False), (False, False)},
                f"not every step was met: {seen}")
        require(backups.node.do("exports", GROUP) == [], "exports are left")


@check("backup.over_a_takeover", 120)
def over_a_takeover(context):
    """The step that the new timeline begins at is the old one's, by whatever name: its backup is the base."""
    need_qemu()
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        backups, beta = Backups(scene), scene.beta
        key = change(scene, 60)
        backups.make("full", key)
        scene.alpha.kill9()
        timeline = beta.one("takeover", GROUP, "--force")["timeline"]
        require(timeline != key[0], "a takeover began no timeline")
        for name in ("head", f"step:{key[1]}", f"t:{timeline}@step:{key[1]}"):
            body = beta.one("backup", DATA, "head", "-o", backups.at("same"), "--since", name, "--force")
            require(body["base"] == backups.at("full") and body["written"] == 0, f"since {name}: {body}")
            for word in ("same", "same.everstep"):
                os.unlink(backups.at(word))
        handle = connect(beta.uri("data"))
        handle.pwrite(scene.random.randbytes(3 * CLUSTER), 512)
        handle.zero(4 * CLUSTER, 12 * CLUSTER)
        handle.flush()
        handle.shutdown()
        found, images = read_point(beta, "head")
        require(found[0] == timeline and found[1] > key[1], f"head is {found} after a takeover at {key}")
        backups.make("next", found, "--since", "last")
        backups.check("next", images["data"])


@check("backup.guest_boots", 300)
def guest_boots(context):
    """A guest boots from a chain of three, and from the whole image below it: its root file system as it was."""
    need_qemu()
    guest = Guest(os.path.join(context.directory, "guest"))
    with Scene(context, {"data": SIZE}) as scene:
        scene.lab.start()
        handle, contents, held = connect(scene.alpha.uri("data")), [], bytes(SIZE)
        for number in range(3):
            contents.append(scene.random.randbytes(2 << 20))
            image = guest.root(f"root-{number}", f"number {number}", contents[-1], SIZE)
            for at in range(0, SIZE, CLUSTER):
                piece = image[at:at + CLUSTER]
                if piece == held[at:at + CLUSTER]:
                    continue
                if any(piece):
                    handle.pwrite(piece, at)
                else:
                    handle.zero(CLUSTER, at)
            handle.flush()
            held = image
            scene.lab.wait_caught_up()
            path = os.path.join(context.directory, f"image-{number}")
            scene.beta.one("backup", DATA, "head", "-o", path, *(["--since", "last"] if number else []))
        handle.shutdown()
        for number in (2, 0):
            said = guest.boot(os.path.join(context.directory, f"image-{number}"), 140)
            wanted = f"guest: number {number} {hashlib.md5(contents[number]).hexdigest()}"
            require(wanted in said and "guest: written" in said, f"the guest says {said}, wanted {wanted}")
