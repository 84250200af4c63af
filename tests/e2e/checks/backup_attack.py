"""Attacks on backups: images that were cut, damaged, moved or written over are not relied on without a word."""

import os
import random
import shutil
import signal
import threading

from checks.backup import CLUSTER, DATA, SIZE, Backups, Tools, change, need_qemu, servers_of
from checks.restore import equal_pair, head_of, served
from everstep_lab.base import Child, Failed, require, run, wait_for
from everstep_lab.model import name_of, same_images
from everstep_lab.nbdio import connect, read_file, read_point
from everstep_lab.nodes import EVERSTEP, GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import Profile, all_succeeded


def cut(path, count):
    os.truncate(path, os.stat(path).st_size - count)


class Chain:
    """Three backups over each other, what they hold, and a copy of them; then other content on the volume."""

    def __init__(self, scene, kinds=("qcow2", "qcow2", "qcow2")):
        self.scene, self.backups = scene, Backups(scene)
        self.keys = []
        for number, kind in enumerate(kinds):
            self.keys.append(change(scene, 40))
            words = ("--since", "last") if number else ()
            self.backups.make(f"{number}", self.keys[-1], "--format", kind, *words)
        self.contents = [scene.model.image(key)["data"] for key in self.keys]
        change(scene, 40)
        self.pristine = os.path.join(scene.context.directory, "pristine")
        shutil.copytree(self.backups.directory, self.pristine)
        self.before, self.head = served(scene.alpha), head_of(scene.beta)

    def at(self, number):
        return self.backups.at(str(number))

    def same(self):
        """The place of a cluster that all three hold alike."""
        return next(at for at in range(0, SIZE, CLUSTER)
                    if len({content[at:at + CLUSTER] for content in self.contents}) == 1)

    def mend(self):
        shutil.rmtree(self.backups.directory)
        shutil.copytree(self.pristine, self.backups.directory)

    def restore(self, number, *words):
        return self.scene.beta.cli("restore", DATA, "--from", self.at(number), *words)

    def refused(self, number, code, *says):
        """A restore of one of them, which changes nothing."""
        self.restore(number).expect(code, *says)
        self.unchanged(f"a refusal that says {says}")

    def unchanged(self, when):
        require(self.scene.beta.do("exports", GROUP) == [], f"{when}: an export is left")
        same_images(when, served(self.scene.alpha), self.before)
        require(head_of(self.scene.beta) == self.head, f"{when}: the history goes on")

    def restored(self, number, what):
        wanted = dict(self.before, data=self.contents[number])
        same_images(what, equal_pair(self.scene, what), wanted)


@check("backup_attack.restore_from_a_broken_chain", 240)
def restore_from_a_broken_chain(context):
    """A missing base, a ring, images that are cut, damaged or in another's place: refused, and nothing changed."""
    need_qemu()
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        chain = Chain(scene)
        os.rename(chain.at(1), chain.at("away"))
        chain.refused(2, 1, chain.at(1))
        chain.mend()
        run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", "2", "-F", "qcow2", chain.at(0)])
        chain.refused(2, 1, "infinite loop")
        chain.mend()
        for number in (2, 1, 0):  # less than a cluster of the end, which qemu-img check does not see
            cut(chain.at(number), 100)
            chain.refused(2, 3, chain.at(number), "is cut", "--force")
            chain.mend()
        os.unlink(chain.at("1.everstep"))
        cut(chain.at(1), 200000)
        chain.refused(2, 3, chain.at(1), "is damaged", "--force")
        chain.mend()
        for ending in ("", ".everstep"):
            shutil.copy(chain.at(f"0{ending}"), chain.at(f"1{ending}"))
        made, holds = f"made over step {chain.keys[1][1]}", f"holds step {chain.keys[0][1]}"
        chain.refused(2, 3, chain.at(2), made, holds, "--force")
        chain.restore(2, "--force").expect(0)
        chain.mend()
        os.rename(chain.backups.directory, chain.backups.directory + "-moved")
        chain.backups.directory += "-moved"
        for number in (2, 0):
            chain.restore(number).expect(0)
            chain.restored(number, f"backup {number} of the chain that was moved")
        link = os.path.join(context.directory, "latest")
        os.symlink(chain.at(1), link)
        scene.beta.one("restore", DATA, "--from", link)
        chain.restored(1, "a link to a backup")


@check("backup_attack.restore_of_what_is_no_backup", 180)
def restore_of_what_is_no_backup(context):
    """Half an image, a damaged record, a format that is not the record's; content that looks like an image."""
    need_qemu()
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        chain = Chain(scene)
        # What kill -9 of a backup leaves: a good image with half of the content, and no record.
        os.rename(chain.at(0), chain.at("0.part"))
        os.rename(chain.at("0.everstep"), chain.at("0.everstep.part"))
        half = ("restore", DATA, "--from", chain.at("0.part"), "--format", "qcow2")
        scene.beta.cli(*half).expect(3, "half an image", "--force")
        chain.unchanged("half an image")
        scene.beta.one(*half, "--force")
        chain.restored(0, "half an image, by force")
        chain.mend()
        chain.before, chain.head = served(scene.alpha), head_of(scene.beta)
        with open(chain.at("1.everstep"), "wb") as file:
            file.write(b"{")
        chain.refused(1, 1, chain.at("1.everstep"), "--force and --format")
        chain.restore(1, "--format", "qcow2").expect(1, "--force and --format")
        chain.restore(1, "--format", "qcow2", "--force").expect(0)
        chain.restored(1, "an image whose record is damaged")
        chain.restore(2, "--format", "raw").expect(2, chain.at(2), "is qcow2")
        looks_like_an_image(scene, chain)


def looks_like_an_image(scene, chain):
    """A guest writes the head of an image over another file on its disk: nobody opens that file for it."""
    secret, image = (os.path.join(scene.context.directory, name) for name in ("secret", "image"))
    with open(secret, "wb") as file:
        file.write(b"secret" * 100000)
    run(["qemu-img", "create", "-q", "-f", "qcow2", "-b", secret, "-F", "raw", image, SIZE])
    handle = connect(scene.alpha.uri("data"))
    handle.pwrite(read_file(image)[:CLUSTER * 4].ljust(CLUSTER * 4, b"\0"), 0)
    handle.shutdown()
    scene.lab.wait_caught_up()
    key, images = read_point(scene.beta, "head")
    raw, over = chain.backups.at("like.raw"), chain.backups.at("like")
    scene.beta.one("backup", DATA, name_of(key), "-o", raw, "--format", "raw")
    require(read_file(raw) == images["data"], "the raw backup is not the volume")
    handle = connect(scene.alpha.uri("data"))
    handle.zero(CLUSTER, SIZE - CLUSTER)
    handle.shutdown()
    scene.lab.wait_caught_up()
    wanted = read_point(scene.beta, "head")[1]
    scene.beta.one("backup", DATA, "head", "-o", over, "--base", raw)
    require(chain.backups.content("like") == wanted["data"], "a backup over what looks like an image is not the volume")
    scene.beta.cli("restore", DATA, "--from", raw, "--format", "qcow2").expect(2, raw, "is raw")
    for path, content in ((raw, images["data"]), (over, wanted["data"])):
        scene.beta.one("restore", DATA, "--from", path)
        same_images(f"restored from {path}", equal_pair(scene, path), {"data": content})
    with open(raw, "ab") as file:  # QEMU would fill a raw image up to whole sectors
        file.truncate(SIZE - 100)
    os.unlink(raw + ".everstep")
    scene.beta.cli("restore", DATA, "--from", raw, "--format", "raw").expect(3, str(SIZE - 100), str(SIZE))


@check("backup_attack.bases_that_changed", 180)
def bases_that_changed(context):
    """No backup is made over an image that is not any more what its record says."""
    need_qemu()
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        chain = Chain(scene, ("raw", "qcow2", "qcow2"))
        names = os.listdir(chain.pristine)

        def refused(number, code, *says):
            name = str(number)
            chain.backups.cli("new", "head", "--base", chain.at(name)).expect(code, *says)
            chain.backups.cli("new", "head", "--since", name_of(chain.keys[number])).expect(code, *says)
            chain.backups.nothing_left(names, f"a backup over {name} that says {says}")
            chain.mend()

        for number in (2, 1):
            cut(chain.at(0), 1 << 20)
            refused(number, 3, chain.at(0), str(SIZE - (1 << 20)), str(SIZE), "full backup")
            cut(chain.at(0), 100)
            refused(number, 3, chain.at(0), "is cut", "full backup")
            cut(chain.at(1), 100)
            refused(number, 3, chain.at(1), "is cut", "full backup")
        for number in (2, 1, 0):
            with open(chain.at(0), "r+b") as file:  # a guest that was booted from it
                file.seek(chain.same())
                file.write(b"guest")
            refused(number, 3, chain.at(number), "does not hold step", "differ at byte", "full backup")
        for name in names:
            os.utime(chain.at(name))  # they were only copied
        chain.backups.make("new", scene.model.head, "--since", name_of(chain.keys[2]))
        chain.backups.check("new", scene.model.image(scene.model.head)["data"])
        chain.mend()
        # From another directory nobody sees that something lies over what is written over.
        other = Backups(scene, "other")
        other.make("over", chain.keys[2], "--base", chain.at(0))
        for name in ("1", "2"):
            for ending in ("", ".everstep"):
                os.unlink(chain.at(name + ending))
        chain.backups.make("0", chain.keys[1], "--format", "raw", "--force")
        says = [other.at("over"), chain.at(0), "written over", "full backup"]
        other.cli("new", "head", "--since", "last").expect(3, *says)
        other.nothing_left(["over", "over.everstep"], "the base was written over")
        scene.beta.cli("restore", DATA, "--from", other.at("over")).expect(3, *says[:3], "--force")
        chain.unchanged("a restore over a base that was written over")


SLOW = """
for word; do
    case $word in --socket=*) socket=$word ;; --format=*) format=${word#--format=} ;; /*) file=$word ;; esac
done
exec $real "$socket" --read-only --object throttle-group,id=slow,x-bps-read=2097152 --image-opts \\
    "driver=throttle,throttle-group=slow,file.driver=$format,file.file.driver=file,file.file.filename=$file"
"""


class SlowRestore:
    """A restore from an image that has written a part of it on its branch."""

    def __init__(self, scene, tools, path):
        self.beta, self.log = scene.beta, os.path.join(scene.context.directory, "restore.log")
        if os.path.exists(self.log):
            os.unlink(self.log)
        tools.become("qemu-nbd", SLOW)
        argv = [EVERSTEP, "--config", scene.lab.config, "--node", "beta", "restore", DATA, "--from", path]
        self.child = Child(argv, self.log, tools.env)
        self.branch = wait_for("a part of the image is on the branch", self.begun, 60)
        tools.real()

    def begun(self):
        if not self.child.alive():
            raise RuntimeError(f"the restore ended: {self.child.tail()}")
        for one in self.beta.do("exports", GROUP):
            if one["writable"] and one["lsn"] > one["base_lsn"]:
                return one
        return None

    def end(self, code, *says):
        found = self.child.wait(120)
        require(found == code, f"restore ended with {found}, wanted {code}: {self.child.tail()}")
        for word in says:
            require(word in self.child.tail(), f"restore does not say {word!r}: {self.child.tail()}")


@check("backup_attack.restore_from_an_image_cut", 300)
def restore_from_an_image_cut(context):
    """The command, the standby or the primary dies while the image is read: nothing has changed, and again it works."""
    need_qemu()
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        handle = connect(scene.alpha.uri("data"))
        contents = []
        backups, tools, alpha, beta = Backups(scene), Tools(scene), scene.alpha, scene.beta
        for name in ("image", "other"):
            handle.pwrite(scene.random.randbytes(SIZE // 2), SIZE // 4)
            handle.flush()
            scene.lab.wait_caught_up()
            contents.append(read_point(beta, "head")[1]["data"])
            beta.one("backup", DATA, "head", "-o", backups.at(name))
        handle.shutdown()

        def ended(when, branch=None):
            same_images(when, equal_pair(scene, when), {"data": contents[1]})
            wait_for(f"{when}: no qemu-nbd is left", lambda: not servers_of(backups.directory), 20)
            if branch:
                left = [one["id"] for one in beta.do("exports", GROUP)]
                require(left == [branch["id"]], f"{when}: the exports are {left}, wanted {branch['id']}")
                beta.one("unexport", branch["id"], "--drop")
            require(beta.do("exports", GROUP) == [], f"{when}: an export is left")
            for number, name in enumerate(("image", "other")):
                beta.one("restore", DATA, "--from", backups.at(name))
                what = f"{when}, and restored from {name}"
                same_images(what, equal_pair(scene, what), {"data": contents[number]})

        one = SlowRestore(scene, tools, backups.at("image"))
        one.child.signal(signal.SIGKILL)
        one.child.wait()
        ended("kill -9 of the command", one.branch)
        for number in (signal.SIGINT, signal.SIGTERM):
            one = SlowRestore(scene, tools, backups.at("image"))
            one.child.signal(number)
            one.end(1, "interrupted")
            ended(number.name)
        one = SlowRestore(scene, tools, backups.at("image"))
        beta.kill9()
        one.end(1, f"export {one.branch['id']}", f"unexport {one.branch['id']} --drop")
        beta.start()
        ended("kill -9 of the standby", one.branch)
        one = SlowRestore(scene, tools, backups.at("image"))
        alpha.kill9()
        one.end(4, f"export {one.branch['id']}", f"unexport {one.branch['id']} --drop")
        alpha.start()
        ended("kill -9 of the primary", one.branch)
        alpha.kill9()
        beta.one("takeover", GROUP, "--force")
        scene.lab.wait_serving(beta)
        for number, name in enumerate(("image", "other")):
            beta.one("restore", DATA, "--from", backups.at(name))
            same_images(f"a promoted node, restored from {name}", served(beta), {"data": contents[number]})


@check("backup_attack.while_writing", 300, 1200)
def while_writing(context):
    """Whole and incremental backups of any two steps, while writes arrive and the replica goes back and forth."""
    need_qemu()
    size = (6 << 20) + 7 * 512  # the last cluster is a part of one, and so is its last block
    with Scene(context, {"data": size, "logs": 1 << 20}) as scene:
        scene.start()
        scene.write(30)
        scene.settle()
        backups, beta, made = Backups(scene), scene.beta, {}
        work = scene.workload(3, 8, profile=Profile(data=5, zero=2, discard=2, flush=1, hot=0.3, sectors_max=3000))
        work.start(pace=150)
        moves = Moves(scene)
        try:
            for number in range(context.count(16, 120)):
                newest = beta.status()["positions"]["durable"]
                point = scene.random.choice(("head", f"step:{scene.random.randrange(newest + 1)}"))
                words = ["--format", "raw"] if number % 5 == 0 else []
                if number % 5 in (2, 3, 4):
                    words = ["--base", backups.at(scene.random.choice(list(made)))]
                made[str(number)] = beta.one("backup", DATA, point, "-o", backups.at(str(number)), *words)
        finally:
            moves.stop()
            work.stop()
        all_succeeded(work.ops())
        require(moves.count > 2, "the replica did not move: nothing is tested")
        beta.one("resume", GROUP)
        scene.settle()
        for name, body in made.items():
            require(body["size"] == size, f"backup {name} says {body}")
            backups.check(name, scene.model.image((body["timeline"], body["lsn"]))["data"], body["format"])
        require(beta.do("exports", GROUP) == [], "exports are left")
        context.say(f"{len(made)} backups over {moves.count} moves, {scene.model.head[1]} steps")


class Moves:
    """The standby's replica, back to any step and live again, until it is stopped."""

    def __init__(self, scene):
        self.node, self.random, self.count = scene.beta, random.Random(scene.context.seed), 0
        self.over, self.failure = threading.Event(), None
        self.thread = threading.Thread(target=self.run)
        self.thread.start()

    def run(self):
        try:
            while not self.over.is_set():
                newest = self.node.status()["positions"]["durable"]
                self.node.one("rewind", GROUP, f"step:{self.random.randrange(newest + 1)}")
                self.node.one("resume", GROUP)
                self.count += 1
        except Failed as error:
            self.failure = error

    def stop(self):
        self.over.set()
        self.thread.join()
        if self.failure:
            raise self.failure


@check("backup_attack.history_goes_meanwhile", 240)
def history_goes_meanwhile(context):
    """The steps of a backup stay until it is whole, however much is written; one over a step that went is refused."""
    need_qemu()
    with Scene(context, {"data": SIZE}, **{"history.keep_bytes": "6MiB"}) as scene:
        scene.start()
        backups, tools, beta = Backups(scene), Tools(scene), scene.beta
        keys = [change(scene, 40)]
        backups.make("full", keys[0])
        keys.append(change(scene, 40))
        go, part = os.path.join(context.directory, "go"), backups.at("next.part")
        os.mkfifo(go)
        tools.become("qemu-nbd", f"read -r nothing <{go}")
        argv = [EVERSTEP, "--config", scene.lab.config, "--node", "beta", "backup", DATA, name_of(keys[1]), "-o",
                backups.at("next"), "--since", "last"]
        child = Child(argv, os.path.join(context.directory, "next.log"), tools.env)
        wait_for("the image is made", lambda: os.path.exists(part) and os.stat(part).st_size > 0, 30)
        write_past(scene, keys[1])
        require(beta.status()["history"]["oldest"] <= keys[0][1], "a step that is held has left history")
        with open(go, "w", encoding="utf-8") as fifo:
            fifo.write("on\n")
        require(child.wait(60) == 0, f"the backup ended: {child.tail()}")
        backups.check("next", scene.model.image(keys[1])["data"])
        backups.nothing_left(["full", "full.everstep", "next", "next.everstep"], "whole")
        wait_for("the held steps go", lambda: beta.status()["history"]["oldest"] > keys[1][1], 60)
        for words, says in ((("--since", "last"), ["the base", backups.at("next")]),
                            (("--since", name_of(keys[0])), ["--since"])):
            backups.cli("late", "head", *words).expect(3, *says)
            backups.nothing_left(["full", "full.everstep", "next", "next.everstep"], f"refused {words}")


@check("backup_attack.killed_before_it_copies", 60)
def killed_before_it_copies(context):
    """kill -9 of the command before the server of its image has a client: that ends, too."""
    need_qemu()
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        backups, tools = Backups(scene), Tools(scene)
        go = os.path.join(context.directory, "go")
        os.mkfifo(go)
        tools.become("qemu-nbd", f"read -r nothing <{go}")
        argv = [EVERSTEP, "--config", scene.lab.config, "--node", "beta", "backup", DATA, "head", "-o", backups.at("a")]
        env = dict(tools.env, TMPDIR=context.directory)
        child = Child(argv, os.path.join(context.directory, "a.log"), env)
        wait_for("the server begins", lambda: processes_of(tools.directory), 30)
        child.signal(signal.SIGKILL)
        child.wait()
        wait_for("the server ends", lambda: not processes_of(tools.directory), 20)
        tools.real()
        scene.beta.one("backup", DATA, "head", "-o", backups.at("a"))
        backups.nothing_left(["a", "a.everstep"], "killed, and made again")
        unheard(scene, backups, argv)


def unheard(scene, backups, argv):
    """The command is killed while its export is being made: nobody hears of that, but the next run knows it."""
    beta = scene.beta
    for _ in range(5):
        beta.freeze()
        child = Child([*argv[:-1], backups.at("b")], os.path.join(scene.context.directory, "b.log"))
        wait_for("the node is asked", lambda: has_socket(child.pid), 30)
        child.signal(signal.SIGKILL)
        child.wait()
        beta.thaw()
        if beta.do("exports", GROUP):
            break
    require(len(beta.do("exports", GROUP)) >= 1, "no export was made: nothing is tested")
    beta.one("backup", DATA, "head", "-o", backups.at("b"))
    backups.nothing_left(["a", "a.everstep", "b", "b.everstep"], "killed while the export was made")


def has_socket(pid):
    try:
        files = [os.readlink(f"/proc/{pid}/fd/{one}") for one in os.listdir(f"/proc/{pid}/fd")]
    except OSError:
        return False
    return any(one.startswith("socket:") for one in files)


def processes_of(directory):
    """Process ids of those that run a program of a directory."""
    found = []
    for pid in filter(str.isdigit, os.listdir("/proc")):
        try:
            with open(f"/proc/{pid}/cmdline", "rb") as words:
                if any(word.startswith(directory.encode()) for word in words.read().split(b"\0")[:2]):
                    found.append(int(pid))
        except OSError:
            continue
    return found


def write_past(scene, key):
    """Writes until what lies behind a step is far more than history may be."""
    handle = connect(scene.alpha.uri("data"))
    for _ in range(24):
        handle.pwrite(scene.random.randbytes(1 << 20), scene.random.randrange(SIZE // CLUSTER - 16) * CLUSTER)
    handle.shutdown()
    scene.lab.wait_caught_up()
    require(scene.beta.status()["history"]["head"] >= key[1] + 24, "nothing was written")
