"""Roles that move, or cannot: what a node does that may not serve yet, that lost its role, that two lines claim."""

import contextlib
import os
import shutil
import signal
import socket

from checks.starts import SIZE, Alone, bytes_served, fill, prepare, wait_state
from checks.takeover import killed_at_rename, lone_standby
from everstep_lab.base import Child, Failed, need_tool, require, wait_for
from everstep_lab.nbdio import raw_images, read_device
from everstep_lab.nodes import EVERSTEPD, GROUP, Lab
from everstep_lab.registry import check
from everstep_lab.scene import Scene

def promote(lab, node):
    node.one("takeover", GROUP, "--force")
    lab.wait_serving(node)


@contextlib.contextmanager
def taken_socket(node):
    """Another program has the node's address."""
    with contextlib.suppress(FileNotFoundError):
        os.unlink(node.socket())
    with socket.socket(socket.AF_UNIX) as taken:
        taken.bind(node.socket())
        taken.listen()
        yield
    os.unlink(node.socket())


@contextlib.contextmanager
def unsaved_record(node):
    """The group's record cannot be saved meanwhile."""
    way = os.path.join(node.state, "groups", GROUP, "group.new")
    os.makedirs(os.path.join(way, "x"))
    yield
    os.rmdir(os.path.join(way, "x"))
    os.rmdir(way)


@check("roles.alone_it_serves_when_the_socket_is_free", 60)
def alone_socket(context):
    """`standbys = []`: a taken socket refuses the start for as long as it is taken, the first start too."""
    with Scene(context, {"data": SIZE}) as scene:
        scene.lab = Alone(os.path.join(context.directory, "alone"), {"data": SIZE})
        alpha = scene.alpha = scene.lab.alpha
        for end in (None, alpha.term, alpha.kill9):
            if end:
                end()
            with taken_socket(alpha):
                alpha.start()
                wait_state(alpha, "refused")
            scene.lab.wait_serving(alpha, 10)
            fill(alpha, 0x21)
            require(bytes_served(alpha) == {0x21}, "another content is served")


@check("roles.split_brain_undecided", 90)
def split_brain(context):
    """Both serve, one takeover each way: no node gives up by itself; `adopt` where the data is to go ends it."""
    with Scene(context, {"data": SIZE}, start_wait="500ms") as scene:
        prepare(scene)
        scene.alpha.freeze()
        wait_for("the link is gone", lambda: scene.beta.status()["state"] == "waiting", 40)
        promote(scene.lab, scene.beta)
        scene.beta.freeze()
        scene.alpha.thaw()
        fill(scene.alpha, 0x22)
        scene.alpha.term()
        os.rename(scene.alpha.device(), scene.alpha.device() + ".away")
        with open(scene.alpha.device(), "wb") as file:
            file.write(b"\x22" * SIZE)
        scene.alpha.start()
        wait_state(scene.alpha, "refused")
        scene.alpha.cli("adopt", GROUP, "--force").expect(0)  # the operator's word here too
        scene.beta.thaw()
        fill(scene.beta, 0x33)
        for node in (scene.alpha, scene.beta):
            wait_for(f"{node.name} sees the split", lambda n=node: "split" in str(n.status()["why"]), 30)
        require(bytes_served(scene.alpha) == {0x22} and bytes_served(scene.beta) == {0x33}, "a side changed by itself")
        for node in (scene.alpha, scene.beta):
            node.cli("adopt", GROUP, "--from", "alpha" if node is scene.beta else "beta").expect(3)
        scene.alpha.term()
        scene.alpha.start()
        status = wait_state(scene.alpha, "refused")
        require("beta" in status["why"] and "adopt" in status["why"], f"the reason: {status['why']}")
        require(raw_images(scene.alpha) == {"data": b"\x22" * SIZE}, "alpha's data is gone before the operator said so")
        scene.alpha.cli("adopt", GROUP, "--from", "beta").expect(0)
        scene.lab.wait_caught_up(scene.beta, scene.alpha)
        require(raw_images(scene.alpha) == {"data": b"\x33" * SIZE}, "alpha has not taken beta's data")
        require(not scene.beta.status()["why"], f"beta still says: {scene.beta.status()['why']}")


@check("roles.a_promoted_node_whose_store_fails_is_heard", 60)
def failed_promoted(context):
    """It cannot serve, but it took over: the old primary does not go on with the line that was left."""
    for end in ("term", "kill9"):
        directory = os.path.join(context.directory, end)
        second = type(context)(context.name, directory, context.seed, context.long)
        with Scene(second, {"data": SIZE}, start_wait="500ms") as scene:
            prepare(scene)
            getattr(scene.alpha, end)()
            promote(scene.lab, scene.beta)
            fill(scene.beta, 0x44)
            scene.beta.kill9()
            store = os.path.join(scene.beta.state, "groups", GROUP, "store")
            redo = sorted(name for name in os.listdir(store) if name.startswith("redo"))[0]
            with open(os.path.join(store, redo), "r+b") as file:
                file.write(b"\xff" * 64)
            scene.beta.start()
            wait_state(scene.beta, "failed")
            scene.alpha.start()
            status = wait_for("alpha has decided", lambda s=scene: s.alpha.status()["state"] != "starting" and
                              s.alpha.status(), 20)
            require(status["state"] != "serving", f"alpha ({end}) serves the line that beta left by a takeover")
            require("beta" in status["why"], f"the reason: {status['why']}")


def bring_back(node, away):
    """Its state and the content of its disk, which stays the same file, are those of the copy `away`."""
    shutil.rmtree(node.state)
    shutil.copytree(os.path.join(away, "state"), node.state)
    with open(os.path.join(away, "data.img"), "rb") as old, open(node.device(), "r+b") as new:
        new.write(old.read())


def put_back(scene, byte):
    """alpha writes, then its disk and its state are those of an older clean stop: beta is ahead, alpha is refused."""
    away = os.path.join(scene.context.directory, "away")
    scene.alpha.term()
    shutil.copytree(scene.alpha.directory, away)
    scene.alpha.start()
    scene.lab.wait_serving()
    fill(scene.alpha, byte)
    scene.lab.wait_caught_up()
    scene.alpha.term()
    bring_back(scene.alpha, away)
    scene.alpha.start()


@check("roles.a_refused_adopt_from_is_over", 60)
def refused_adopt_from(context):
    """`adopt --from` that was answered with an error is not carried out later."""
    with Scene(context, {"data": SIZE}, start_wait="500ms") as scene:
        prepare(scene)
        put_back(scene, 0x22)
        reason = wait_state(scene.alpha, "refused")["why"]
        with unsaved_record(scene.alpha):
            answer = scene.alpha.cli("adopt", GROUP, "--from", "beta")
            require(answer.code != 0, "adopt says done though its record could not be saved")
        scene.beta.term()
        scene.beta.start()
        wait_for("beta answers alpha", lambda: scene.alpha.status()["peers"][0]["state"] == "connected", 20)
        status = wait_state(scene.alpha, "refused")
        require(set(raw_images(scene.alpha)["data"]) == {0x11}, "the disk was written over by a refused order")
        require(status["why"] == reason, f"the reason was {reason}, it is {status['why']}")


@check("roles.a_takeover_that_goes_on_takes_no_session", 90)
def takeover_goes_on(context):
    """beta died behind the record of its role; while it goes on, the old primary's greeting undoes nothing."""
    strace = need_tool("strace")
    with Scene(context, {"data": SIZE}, start_wait="500ms") as scene:
        prepare(scene)
        lone_standby(scene)
        killed_at_rename(scene, 2)
        scene.alpha.thaw()
        slow = Child([strace, "-D", "-f", "-o", os.devnull, "-e", "trace=fdatasync", "-e",
                      "inject=fdatasync:delay_enter=2000000", EVERSTEPD, "--config", scene.lab.config,
                      "--node", "beta"],
                     scene.beta.log, dict(os.environ, EVERSTEP_CONFIG="", EVERSTEP_NODE=""))
        scene.beta.child = slow
        scene.beta.wait_answer()
        scene.lab.wait_serving(scene.beta)
        require(scene.beta.status()["timeline_number"] == 2, f"beta is {scene.beta.status()}")
        wait_for("alpha steps down", lambda: scene.alpha.status()["role"] == "standby", 30)
        sessions = [event["text"] for event in scene.alpha.events()
                    if event["kind"] == "session" and "the first copy is done" not in event["text"]]
        require(len(sessions) == 1, f"beta took a session while its takeover went on: {sessions}")
        scene.beta.kill9()
        scene.beta.start()
        scene.lab.wait_serving(scene.beta)


@check("roles.a_demoted_store_keeps_its_history", 90)
def demoted_history(context):
    """beta took over, wrote, and gamma took over from it unseen: what beta alone has stays readable, restarts too."""
    lab = Lab(context.directory, {"data": SIZE}, standbys=("beta", "gamma"), start_wait="500ms")
    gamma = lab.nodes["gamma"]
    try:
        lab.start()
        fill(lab.alpha, 0x11)
        lab.wait_caught_up()
        lab.wait_caught_up(lab.alpha, gamma)
        lab.alpha.kill9()
        promote(lab, lab.beta)
        lab.wait_caught_up(lab.beta, gamma)
        lab.beta.do("pause", GROUP)
        fill(lab.beta, 0x22)
        point = lab.beta.status()["positions"]["captured"]
        lab.beta.freeze()
        promote(lab, gamma)
        lab.beta.thaw()
        wait_for("beta is demoted", lambda: lab.beta.status()["role"] == "standby", 30)
        require(f"is {point} of" in lab.beta.status()["why"], f"beta says {lab.beta.status()['why']}")
        # It serves nobody: nothing is given up for room.
        oldest = lab.beta.status()["history"]["oldest"]
        lab.group["history.reserve_bytes"] = "1000TiB"
        lab.write_config()
        lab.beta.child.signal(signal.SIGHUP)
        wait_for("its disk is full", lambda: "alarm-full" in [one["kind"] for one in lab.beta.events()], 30)
        require(lab.beta.status()["history"]["oldest"] == oldest, "history was given up for room")
        for restart in (False, True):
            if restart:
                lab.beta.term()
                lab.beta.start()
            answer = lab.beta.one("export", GROUP, f"step:{point}")
            require(set(read_device(answer["uri"])) == {0x22}, "the export has another content")
            lab.beta.do("unexport", answer["id"])
    except Failed:
        lab.say_logs()
        raise
    finally:
        lab.close()


@check("roles.a_store_that_is_gone_is_not_begun_anew", 60)
def store_gone(context):
    """A promoted node, and a lone one, whose store was removed: the image is not served as if nothing had been."""
    with Scene(context, {"data": SIZE}, start_wait="500ms") as scene:
        prepare(scene)
        scene.alpha.term()
        promote(scene.lab, scene.beta)
        fill(scene.beta, 0x44)
        for end in (scene.beta.term, scene.beta.kill9):
            end()
            store = os.path.join(scene.beta.state, "groups", GROUP, "store")
            os.rename(store, store + ".away")
            scene.beta.start()
            status = wait_for("beta has decided", lambda: scene.beta.status()["state"] != "starting" and
                              scene.beta.status(), 20)
            require(status["state"] != "serving", "beta serves without the store that it served")
            require("store" in status["why"], f"the reason: {status['why']}")
            scene.beta.term()
            shutil.rmtree(store, ignore_errors=True)
            os.rename(store + ".away", store)
            scene.beta.start()
            scene.lab.wait_serving(scene.beta)
            require(bytes_served(scene.beta) == {0x44}, "another content is served")
        scene.beta.kill9()
        shutil.rmtree(store)
        scene.beta.start()
        wait_state(scene.beta, "refused")
        scene.beta.cli("adopt", GROUP, "--force").expect(0)  # the image is the truth: history begins anew
        require(bytes_served(scene.beta) == {0x44}, "adopt --force serves something else than the image")


@check("roles.a_standby_put_back_is_no_source", 60)
def standby_put_back(context):
    """durable: beta comes back with an older state than it had answered for: alpha's disk counts."""
    with Scene(context, {"data": SIZE}, ack="durable", start_wait="500ms", standby_timeout="60s") as scene:
        prepare(scene)
        away = os.path.join(context.directory, "away")
        scene.beta.term()
        shutil.copytree(scene.beta.directory, away)
        scene.beta.start()
        scene.lab.wait_caught_up()
        fill(scene.alpha, 0x22)
        acked = scene.alpha.status()["positions"]["captured"]

        def recorded():
            with open(os.path.join(scene.alpha.state, "groups", GROUP, "group"), "rb") as record:
                return f"acked {acked}\n".encode() in record.read()
        wait_for("the record says what was acknowledged", recorded, 20)
        scene.alpha.kill9()
        scene.beta.kill9()
        bring_back(scene.beta, away)
        scene.beta.start()
        scene.alpha.start()
        scene.lab.wait_serving()
        require(bytes_served(scene.alpha) == {0x22}, "a standby's older state was brought over acknowledged writes")
        scene.lab.wait_caught_up()
        require(raw_images(scene.beta) == {"data": b"\x22" * SIZE}, "the pair is not equal")


@check("roles.an_adopt_that_cannot_drop_the_store", 60)
def adopt_wipe_fails(context):
    """The old store cannot be dropped: an error, half a store is never read, and the order can be given again."""
    with Scene(context, {"data": SIZE}, start_wait="500ms") as scene:
        prepare(scene)
        store = os.path.join(scene.beta.state, "groups", GROUP, "store")
        way = os.path.join(store, "undo-00000000000000ff")
        os.makedirs(os.path.join(way, "x"))
        answer = scene.beta.cli("adopt", GROUP, "--from", "alpha")
        require(answer.code == 1, f"adopt: exit {answer.code}, wanted 1: {answer.err}")
        for restart in (False, True):
            if restart:
                scene.beta.term()
                scene.beta.start()
            status = wait_state(scene.beta, "failed")
            require("undo-00000000000000ff" in status["why"], f"the reason: {status['why']}")
            scene.beta.cli("export", GROUP, "head").expect(3)
        fill(scene.alpha, 0x22)
        shutil.rmtree(way)
        scene.beta.cli("adopt", GROUP, "--from", "alpha").expect(0)
        scene.lab.wait_caught_up()
        require(raw_images(scene.beta) == {"data": b"\x22" * SIZE}, "the adopted standby has another content")
