"""The link cut at each message of the handshake, of a sync and of the stream in turn, and often under load."""

import contextlib

from checks.initial_sync import SIZE, ext4_image
from checks.resync import SIZE as SIZE_LOST
from checks.resync import check_points, content_of, lost_primary
from everstep_lab.base import SLOWER, require, wait_for
from everstep_lab.nbdio import read_file
from everstep_lab.interceptor import AtRandom, EachOnce, Interceptor
from everstep_lab.nodes import GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import all_succeeded

GREETING = {">Hello", "<Hello", ">Start", "<Started"}


def needs(cutter, *names):
    missing = {*GREETING, *names} - cutter.names()
    require(not missing, f"no cut came at {sorted(missing)}; cuts: {cutter.done}")


@contextlib.contextmanager
def intercepted(scene, cutter):
    """The primary reaches the standby through a man in the middle."""
    between = Interceptor(scene.lab, scene.beta, scene.alpha, cutter)
    try:
        yield between
    finally:
        between.close()


def quiet(between, seconds=60):
    """No message is left that no cut came at: a session lives longer than its keepalives."""
    def lives():
        before = between.cuts, between.sessions
        with contextlib.suppress(Exception):
            wait_for("another cut", lambda: (between.cuts, between.sessions) != before, 2.5 * SLOWER)
        return (between.cuts, between.sessions) == before
    wait_for("a session that is cut no more", lives, seconds)


def cut_initial_sync(context, filled, writes):
    with Scene(context, {"data": SIZE}) as scene:
        base = None
        if filled:
            ext4_image(scene.alpha.device(), context.directory, SIZE)
            base = {"data": read_file(scene.alpha.device())}
        cutter = EachOnce()
        with intercepted(scene, cutter) as between:
            scene.lab.start(wait=False)
            scene.lab.wait_serving()
            work = scene.workload(2, 4)
            if writes:
                work.start(pace=100)
            scene.lab.wait_streaming(seconds=120)
            quiet(between)
            needs(cutter, ">InitialEnd", ">Extents", "<Ack")
            if writes:
                work.stop()
                all_succeeded(work.ops())
                scene.lab.wait_caught_up()
                require(read_file(scene.alpha.device()) == read_file(scene.beta.device()), "the pair is not equal")
                require(scene.beta.status()["history"]["gaps"] == 0, "a cut of the first copy made a gap")
                return
            scene.begin_model(base)
            scene.check_export(scene.model.root)
            all_succeeded(scene.write(60, 2, 8))
            require(not scene.settle().gaps, "a cut of the first copy made a gap")
            context.say(f"{between.cuts} cuts in {between.sessions} sessions: {cutter.done}")


check("link_cuts.initial_sync", 240)(lambda context: cut_initial_sync(context, True, False))
check("link_cuts.initial_sync_under_writes", 240)(lambda context: cut_initial_sync(context, True, True))
check("link_cuts.first_start", 240)(lambda context: cut_initial_sync(context, False, False))


@check("link_cuts.stream", 240)
def stream(context):
    """Under writes: nothing lost, nothing twice, no gap; every step is the model's."""
    with Scene(context, {"data": 1 << 20}) as scene:
        cutter = EachOnce()
        with intercepted(scene, cutter) as between:
            between.cutter = None
            scene.start()
            between.cutter = cutter
            work = scene.workload(2, 4)
            work.start(pace=150)
            scene.alpha.do("pause", GROUP)
            scene.alpha.do("unpause", GROUP)
            wait_for("a cut at each message of the stream", lambda: {
                *GREETING, ">Frame", "<Ack", ">Keepalive", "<Keepalive"} <= cutter.names(), 120)
            quiet(between)
            work.stop()
            all_succeeded(work.ops())
            require(not scene.settle().gaps, f"cuts made a gap: {cutter.done}")
            scene.check_every_export(keys=scene.sample(20))
            goodbyes(scene, between, cutter)


def goodbyes(scene, between, cutter):
    """The last word of either side cut in its middle, and behind it."""
    for _ in range(3):
        scene.alpha.do("pause", GROUP)
        scene.write(5)
        scene.alpha.do("unpause", GROUP)
        scene.lab.wait_caught_up()
    for _ in range(3):
        scene.beta.term()
        scene.write(5)
        scene.beta.start()
        scene.lab.wait_caught_up()
    needs(cutter, ">Goodbye", "<Goodbye")
    require(not scene.settle().gaps, f"cuts of a Goodbye made a gap: {cutter.done}")
    scene.context.say(f"{between.cuts} cuts in {between.sessions} sessions: {cutter.done}")


@check("link_cuts.resync", 240)
def resync(context):
    """The compare behind a crash: no point is ever a mix, the step before the gap stays, the gap has what differed."""
    with lost_primary(context) as (lab, old, new):
        cutter = EachOnce()
        between = Interceptor(lab, lab.beta, lab.alpha, cutter)
        try:
            lab.beta.start()
            lab.alpha.start()
            lab.wait_serving()
            seen = 0
            while lab.beta.status()["state"] != "streaming" or between.cuts > seen:
                seen = between.cuts
                check_points(lab.beta, (old, new))
                wait_for("another cut, or the copy is whole",
                         lambda: between.cuts > seen or lab.beta.status()["state"] == "streaming", 60)
            quiet(between)
            lab.wait_caught_up()
            needs(cutter, ">Extents", ">ResyncEnd", "<Ack")
            check_points(lab.beta, (old, new))
            require(content_of(lab.beta, "head") == new, "the head is not the primary's content")
            require(read_file(lab.beta.device()) == new, "the replica is not the primary's content")
            require(content_of(lab.beta, "1@step:1") == old, "the step before the gap has changed")
            gaps = [row for row in reversed(lab.beta.do("log", GROUP)) if row["kind"] == "gap"]
            require(gaps[0]["from"] == 1 and gaps[0]["bytes"] == SIZE_LOST, f"the gap is {gaps[0]}")
            # Nor does it compare once more where the answer to the end was lost.
            require(len(gaps) == 1, f"gaps: {gaps}")
            context.say(f"{between.cuts} cuts in {between.sessions} sessions: {cutter.done}")
        finally:
            between.close()


@check("link_cuts.flaps_under_load", 240, 900)
def flaps(context):
    """Each session is cut behind a random message, or in it; the pair ends equal and every write is one step."""
    count = context.count(100, 1000)
    with Scene(context, {"data": 1 << 20, "logs": 1 << 20}) as scene:
        with intercepted(scene, None) as between:
            scene.start()
            between.cutter = AtRandom(context.seed, count, 30)
            work = scene.workload(4, 8)
            work.start(pace=200)
            scene.alpha.do("pause", GROUP)
            scene.alpha.do("unpause", GROUP)
            limit = context.count(150, 800) * SLOWER
            wait_for(f"{count} flaps", lambda: between.cutter.left == 0 or work.trouble, limit)
            work.stop()
            all_succeeded(work.ops())
            require(between.cuts == count, f"{between.cuts} cuts, wanted {count}")
            require(not scene.settle().gaps, "a flap made a gap")
            scene.check_every_export(keys=scene.sample(20))
            context.say(f"{count} flaps, {len(work.ops())} operations")


@check("link_cuts.flaps_of_a_resync", 240, 600)
def flaps_of_a_resync(context):
    """PEERS 25: whatever the link does while a compare runs, the step before it can be taken over."""
    count = context.count(100, 300)
    with lost_primary(context) as (lab, old, new):
        between = Interceptor(lab, lab.beta, lab.alpha, AtRandom(context.seed, count, 9))
        try:
            lab.beta.start()
            lab.alpha.start()
            for left in range(count - 1, -1, -10):
                wait_for("ten flaps more", lambda wanted=left: between.cutter.left <= wanted, 60)
                require(content_of(lab.beta, "1@step:1") == old, "the step before the gap is lost")
            check_points(lab.beta, (old, new))
            lab.wait_caught_up()
            require(content_of(lab.beta, "head") == new, "the head is not the primary's content")
            require(read_file(lab.beta.device()) == new, "the replica is not the primary's content")
            require(content_of(lab.beta, "1@step:1") == old, "the step before the gap has changed")
        finally:
            between.close()
