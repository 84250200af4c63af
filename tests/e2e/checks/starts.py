"""What a start may believe: stops that say clean and are, the operator's word, whose content is the truth."""

import contextlib
import os
import shutil
import socket
import time

from everstep_lab.base import Child, need_root, require, run, wait_for
from everstep_lab.model import same_images
from everstep_lab.nbdio import connect, raw_images, read_device
from everstep_lab.nodes import EVERSTEP, GROUP, Lab
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import all_succeeded

SIZE = 1 << 20
PIECE = 8 << 20
SAMPLED = 512 << 10  # between two sampled blocks of a volume of 128 MiB


def fill(node, byte, offset=0, length=SIZE):
    handle = connect(node.uri())
    end = offset + length
    for at in range(offset, end, PIECE):
        handle.pwrite(bytes([byte]) * min(PIECE, end - at), at)
    handle.shutdown()


def bytes_served(node):
    return set(read_device(node.uri()))


def wait_state(node, state, seconds=20):
    return wait_for(f"{node.name} is {state}", lambda: node.status()["state"] == state and node.status(), seconds)


def prepare(scene, byte=0x11):
    scene.lab.start()
    fill(scene.alpha, byte)
    scene.lab.wait_caught_up()


def promote_beta(scene):
    scene.alpha.kill9()
    scene.beta.one("takeover", GROUP, "--force")
    scene.lab.wait_serving(scene.beta)


def replace_disk(node, byte):
    """The operator puts another disk in place, of the same size, full of `byte`."""
    os.rename(node.device(), node.device() + ".away")
    with open(node.device(), "wb") as file:
        file.write(bytes([byte]) * SIZE)


@check("starts.promoted_and_stopped_behind_writes", 60)
def promoted_and_stopped(context):
    """SIGTERM while the image is still behind the store: the next start knows it again."""
    with Scene(context, {"data": 2 << 20}, start_wait="500ms") as scene:
        prepare(scene)
        promote_beta(scene)
        for turn in range(5):
            handle = connect(scene.beta.uri())
            for at in range(40):
                handle.pwrite(bytes([turn * 20 + at % 20 + 1]) * 65536, at % 32 * 65536)
            handle.shutdown()
            served = read_device(scene.beta.uri())
            scene.beta.term()
            scene.beta.start()
            scene.lab.wait_serving(scene.beta)
            require(read_device(scene.beta.uri()) == served, "another content is served after a clean stop")


@check("starts.adopted_disk_stays_the_truth", 60)
def adopted_disk_stays(context):
    """`adopt --force` under durable, then kill -9 before any standby has confirmed: nothing is pulled over it."""
    with Scene(context, {"data": SIZE}, ack="durable", start_wait="500ms", standby_timeout="5s") as scene:
        prepare(scene)
        scene.alpha.term()
        scene.beta.term()
        replace_disk(scene.alpha, 0x77)
        scene.alpha.start()
        wait_state(scene.alpha, "refused")
        scene.alpha.cli("adopt", GROUP, "--force").expect(0)
        require(bytes_served(scene.alpha) == {0x77}, "adopt --force serves something else than the disk")
        scene.alpha.kill9()
        scene.beta.start()
        scene.alpha.start()
        scene.lab.wait_serving()
        require(bytes_served(scene.alpha) == {0x77}, "a crash brought back what the operator had declared void")
        scene.lab.wait_caught_up()
        require(raw_images(scene.beta) == raw_images(scene.alpha), "the pair is not equal after the adoption")


@check("starts.that_served_nothing_used_up_nothing", 60)
def served_nothing(context):
    """A start that cannot listen leaves the clean stop to the next one: no gap, no new timeline."""
    with Scene(context, {"data": SIZE}, start_wait="500ms") as scene:
        prepare(scene)
        before = scene.alpha.status()["timeline"]
        scene.alpha.term()
        with socket.socket(socket.AF_UNIX) as taken:
            taken.bind(scene.alpha.socket())
            taken.listen()
            scene.alpha.start()
            wait_state(scene.alpha, "refused")
            scene.alpha.term()
        os.unlink(scene.alpha.socket())
        scene.alpha.start()
        scene.lab.wait_serving()
        scene.lab.wait_caught_up()
        require(scene.alpha.status()["timeline"] == before, "a start that served nothing used up the clean stop")
        require(scene.beta.status()["history"]["gaps"] == 0, "and made a gap")


@check("starts.a_store_that_cannot_listen_begins_one_timeline", 60)
def one_timeline(context):
    """A promoted node that was killed and finds its socket taken tries again, always on the same new timeline."""
    with Scene(context, {"data": SIZE}, start_wait="500ms") as scene:
        prepare(scene)
        scene.alpha.kill9()
        scene.beta.do("takeover", GROUP, "--force")
        fill(scene.beta, 0x33, length=4096)
        scene.beta.kill9()
        with contextlib.suppress(FileNotFoundError):
            os.unlink(scene.beta.socket())
        with socket.socket(socket.AF_UNIX) as taken:
            taken.bind(scene.beta.socket())
            taken.listen()
            scene.beta.start()

            def tries():
                return sum(event["kind"] == "alarm-refused" or event["kind"] == "timeline"
                           for event in scene.beta.events())
            wait_for("the first try", lambda: tries() >= 2, 30)
            before = len([event for event in scene.beta.events() if event["kind"] == "timeline"])
            time.sleep(5)  # the node tries again every 2 s, without a word: nothing to wait for
            after = len([event for event in scene.beta.events() if event["kind"] == "timeline"])
            require(after == before == 1, f"{before}, then {after} timelines were begun while the socket was taken")
        os.unlink(scene.beta.socket())
        scene.lab.wait_serving(scene.beta)
        require(scene.beta.status()["timeline_number"] == 3, f"timeline {scene.beta.status()['timeline_number']}")


@check("starts.a_refused_adopt_is_over", 60)
def refused_adopt(context):
    """`adopt --force` that was answered with a refusal is not carried out later."""
    with Scene(context, {"data": SIZE}, start_wait="500ms") as scene:
        prepare(scene)
        scene.alpha.term()
        replace_disk(scene.alpha, 0x77)
        with socket.socket(socket.AF_UNIX) as taken:
            taken.bind(scene.alpha.socket())
            taken.listen()
            scene.alpha.start()
            wait_state(scene.alpha, "refused")
            scene.alpha.cli("adopt", GROUP, "--force").expect(3)
        os.unlink(scene.alpha.socket())
        scene.beta.term()
        scene.beta.start()  # greets again: the question is asked once more
        wait_for("beta answers alpha", lambda: scene.alpha.status()["peers"][0]["state"] == "connected", 20)
        status = wait_state(scene.alpha, "refused")
        require("another file" in status["why"], f"the reason is forgotten: {status['why']}")
        same_images("beta's replica", raw_images(scene.beta), {"data": b"\x11" * SIZE})
        scene.alpha.cli("adopt", GROUP, "--force").expect(0)
        require(bytes_served(scene.alpha) == {0x77}, "adopt --force serves something else than the disk")


def kept_by_the_standby(scene, size):
    """alpha is put back to an older clean stop (state and disk) while beta is further: refused."""
    away = os.path.join(scene.context.directory, "away")
    scene.alpha.term()
    shutil.copytree(scene.alpha.state, away)
    shutil.copy(scene.alpha.device(), away + ".img")
    scene.alpha.start()
    scene.lab.wait_serving()
    handle = connect(scene.alpha.uri())
    for at in range(0, size, SAMPLED):  # never on a block by which a volume is recognised
        handle.pwrite(b"\x22" * (SAMPLED - 4096), at + 4096)
    handle.shutdown()
    scene.lab.wait_caught_up()
    scene.alpha.term()
    run(["cp", "--sparse=never", away + ".img", scene.alpha.device()])
    shutil.rmtree(scene.alpha.state)
    shutil.copytree(away, scene.alpha.state)
    scene.alpha.start()
    wait_state(scene.alpha, "refused")


@check("starts.a_half_pulled_disk_is_not_served", 90)
def half_pulled(context):
    """`adopt --from` killed in the middle, the other node silent: refused; it goes on when that node answers."""
    size = 128 << 20
    with Scene(context, {"data": size}, start_wait="500ms", segment_bytes="64MiB") as scene:
        prepare(scene)
        kept_by_the_standby(scene, size)
        words = [EVERSTEP, "--config", scene.lab.config, "--node", "alpha", "adopt", GROUP, "--from", "beta"]
        asked = Child(words, os.path.join(context.directory, "adopt.log"))

        def begun():
            with open(scene.alpha.device(), "rb") as file:
                file.seek(size // 8 + 4096)
                return file.read(1) == b"\x22"
        wait_for("a part is there", begun, 60, every=0.002)
        scene.alpha.kill9()
        asked.wait()
        with open(scene.alpha.device(), "rb") as file:
            file.seek(size - 4096)
            require(file.read(1) != b"\x22", "everything was there before the kill; a slower disk is wanted")
        scene.beta.freeze()
        scene.alpha.start()
        status = wait_state(scene.alpha, "refused")
        require("beta" in status["why"], f"the reason does not name beta: {status['why']}")
        scene.beta.thaw()
        scene.lab.wait_serving()
        scene.lab.wait_caught_up()
        require(raw_images(scene.alpha) == raw_images(scene.beta), "the pair is not equal after the pull went on")


def back_at(scene, node):
    """alpha, demoted, takes beta's data: a pair again, served by beta through its store."""
    node.start()
    wait_for("the old primary is demoted", lambda: node.status()["role"] == "standby", 20)
    node.cli("adopt", GROUP, "--from", "beta").expect(0)
    scene.lab.wait_caught_up(scene.beta, scene.alpha)


@check("starts.a_store_behind_its_standby_is_not_served", 60)
def store_behind(context):
    """A promoted node put back to an older clean stop, and one that lost what was acknowledged: refused by name."""
    with Scene(context, {"data": SIZE}, ack="durable", start_wait="500ms", segment_bytes="16MiB") as scene:
        prepare(scene)
        promote_beta(scene)
        back_at(scene, scene.alpha)
        wait_for("durable is in force", lambda: scene.beta.status()["ack_in_force"] == "durable", 20)
        fill(scene.beta, 0x40)
        scene.lab.wait_caught_up(scene.beta, scene.alpha)
        store = os.path.join(scene.beta.state, "groups", GROUP, "store")
        away = os.path.join(context.directory, "away")
        shutil.copytree(store, away)
        fill(scene.beta, 0x55)
        scene.lab.wait_caught_up(scene.beta, scene.alpha)
        scene.beta.kill9()
        shutil.rmtree(store)
        shutil.copytree(away, store)  # what was not synced is gone
        scene.beta.start()
        status = wait_state(scene.beta, "refused")
        for word in ("alpha", "takeover"):
            require(word in status["why"], f"the reason does not name {word}: {status['why']}")
        scene.beta.cli("adopt", GROUP, "--from", "alpha").expect(3, "takeover")
        scene.beta.term()
        body = scene.alpha.one("takeover", GROUP, "--force")
        require(set(read_device(body["uri"])) == {0x55}, "acknowledged writes are gone")


class Alone(Lab):
    """One node, `standbys = []`: its own history."""

    def __init__(self, directory, volumes=None, ack="local", **group):
        super().__init__(directory, volumes, ack, **group)
        self.write_config()

    def config_text(self):
        lines = super().config_text().replace('standbys = ["beta"]', "standbys = []").splitlines()
        return "\n".join(line for line in lines if not line.startswith("beta = ")) + "\n"


@check("starts.alone_with_its_own_history", 60)
def alone(context):
    """No standby: every step is kept and reachable on the node itself, over a clean stop and kill -9."""
    with Scene(context, {"data": SIZE}) as scene:
        scene.lab = Alone(os.path.join(context.directory, "alone"), {"data": SIZE})
        scene.alpha = scene.primary = scene.standby = scene.lab.alpha
        scene.alpha.start()
        scene.lab.wait_serving()
        scene.begin_model()
        for end in (scene.alpha.term, scene.alpha.kill9, scene.alpha.term):
            all_succeeded(scene.write(30, 2, 8))
            scene.take_log(scene.alpha)
            served = read_device(scene.alpha.uri())
            same_images("what is served", {"data": served}, scene.model.image(scene.model.head))
            end()
            crash = scene.oplog.stamp()
            scene.alpha.start()
            scene.lab.wait_serving()
            scene.take_log(scene.alpha, crash)
            require(read_device(scene.alpha.uri()) == served, "another content is served after a restart")
            scene.check_every_export(scene.alpha, scene.sample(20))
        require(not scene.take_log(scene.alpha).gaps, "there is a gap")
        scene.alpha.cli("mark", GROUP, "here", "--pin").expect(0)
        require([mark["name"] for mark in scene.alpha.do("marks", GROUP)] == ["here"], "the mark is not there")
        scene.alpha.cli("rewind", GROUP, "head~1").expect(3)


@check("starts.a_stranger_standby_stops_no_primary", 60)
def stranger(context):
    """A standby with another group's state is refused by itself; `adopt` there makes it a standby of this group."""
    second = type(context)(context.name, context.directory + "/two", context.seed, context.long)
    with Scene(context, {"data": SIZE}, start_wait="500ms") as scene, Scene(second, {"data": SIZE}) as other:
        for one, byte in ((scene, 0x11), (other, 0x22)):
            prepare(one, byte)
            one.alpha.term()
            one.beta.term()
        shutil.rmtree(scene.beta.state)
        os.rename(other.beta.state, scene.beta.state)
        os.rename(other.beta.device(), scene.beta.device())
        scene.beta.start()
        scene.alpha.start()
        scene.lab.wait_serving()

        def refused():
            peer = scene.alpha.status()["peers"][0]
            return peer["state"] == "refused" and "another group" in peer["why"]
        wait_for("the stranger is refused by itself", refused, 20, every=0.01)
        fill(scene.alpha, 0x33)
        scene.beta.cli("adopt", GROUP, "--from", "alpha").expect(0)
        scene.lab.wait_caught_up()
        for restart in (scene.beta, scene.alpha):
            restart.term()
            restart.start()
            scene.lab.wait_caught_up()
        require(raw_images(scene.beta) == {"data": b"\x33" * SIZE}, "the adopted standby has another content")
        told = [event for event in scene.alpha.events() if event["kind"] == "alarm-refused"]
        require(len(told) <= 1, f"the same refusal was told {len(told)} times")


@check("starts.a_mark_is_told_when_it_is_kept", 60)
def mark_kept(context):
    """With no standby there the answer says so; the mark goes with the stream once one is."""
    with Scene(context, {"data": SIZE}, start_wait="500ms") as scene:
        prepare(scene)
        scene.alpha.cli("mark", GROUP, "first", "--pin").expect(0)
        scene.alpha.kill9()
        require("first" in [mark["name"] for mark in scene.beta.do("marks", GROUP)], "the mark was told and is lost")
        scene.alpha.start()
        scene.lab.wait_caught_up()
        scene.beta.kill9()
        scene.alpha.cli("mark", GROUP, "second", "--pin").expect(4, "second", "durable")
        scene.beta.start()
        wait_for("the mark has come with the stream", lambda: "second" in [
            mark["name"] for mark in scene.beta.do("marks", GROUP)], 20)


@check("starts.a_full_state_disk_alarms_once", 60)
def full_state_disk(context):
    """The loss of a standby is recorded on a full disk too, in the room kept for that; alarms do not repeat."""
    need_root()
    with Scene(context, {"data": SIZE}, ack="durable") as scene:
        os.makedirs(scene.alpha.state, mode=0o700)
        run(["mount", "-t", "tmpfs", "-o", "size=32m,mode=0700", "none", scene.alpha.state])
        try:
            prepare(scene)
            with open(os.path.join(scene.alpha.state, "fill"), "wb", buffering=0) as file:
                try:
                    while True:
                        file.write(b"f" * 4096)
                except OSError:
                    pass
            scene.beta.freeze()
            fill(scene.alpha, 0x22, 0, 4096)
            behind = scene.alpha.status()["peers"][0]["behind_since"]
            require(behind is not None, "a write was answered without the standby, and that is not recorded")
            alarms = [event["text"] for event in scene.alpha.events() if event["kind"].startswith("alarm")]
            require(len(alarms) == len(set(alarms)), f"alarms repeat: {alarms}")
            scene.beta.thaw()
        finally:
            scene.lab.close()
            run(["umount", "-l", scene.alpha.state])


@check("starts.killed_under_load_a_store_is_never_behind", 60)
def killed_under_load(context):
    """kill -9 of a promoted node in mid-write: its standby is never ahead of its store, so it serves."""
    with Scene(context, {"data": 2 << 20}, ack="durable", start_wait="500ms", standby_timeout="5s") as scene:
        prepare(scene)
        promote_beta(scene)
        scene.primary = scene.beta
        back_at(scene, scene.alpha)
        for _ in range(context.count(4, 20)):
            work = scene.workload(4, 8)
            work.start(reconnect=True)
            wanted = scene.oplog.completed() + 150
            wait_for("writes flow", lambda: scene.oplog.completed() > wanted or work.trouble, 30)  # noqa: B023
            scene.beta.kill9()
            work.stop()
            scene.beta.start()
            scene.lab.wait_serving(scene.beta)
            scene.lab.wait_caught_up(scene.beta, scene.alpha)
            same_images("the standby's replica", raw_images(scene.alpha), {"data": read_device(scene.beta.uri())})
