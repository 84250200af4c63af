"""A resync that breaks, and two at once: no point is ever a mix of two contents."""

import contextlib
import os
import random

from checks.journal_tool import flip, flip_payload, segments_of
from everstep_lab.base import require, wait_for
from everstep_lab.nbdio import connect, read_device, read_file
from everstep_lab.nodes import GROUP, Lab
from everstep_lab.proxy import Proxy
from everstep_lab.registry import check

SIZE = 6 << 20


def overwrite(node, size):
    """New content everywhere."""
    client = connect(node.uri())
    for at in range(0, size, 1 << 20):
        client.pwrite(os.urandom(1 << 20), at)
    client.shutdown()


def content_of(node, point):
    """The image of a point; None: it is no point here."""
    answer = node.cli("export", GROUP, point)
    if answer.code == 3:
        return None
    export = answer.expect(0).json()[0]
    image = read_device(export["uri"])
    node.do("unexport", export["id"])
    return image


def check_points(node, images):
    """Each step of the log that can be exported has one of the contents that a step may have."""
    for row in node.cli("log", GROUP).json():
        if "lsn" not in row or row.get("kind") in ("gap", "mark"):
            continue
        image = content_of(node, f"{row['timeline_number']}@step:{row['lsn']}")
        require(image is None or image in images, f"step {row['lsn']} of {node.name} is a mix of contents")


@contextlib.contextmanager
def lost_primary(context, standbys=("beta",), size=SIZE, before=None):
    """The primary was killed while its standbys were away: a lab whose alpha holds what nobody else has.

    `before` writes what everybody has, before that.
    """
    lab = Lab(context.directory, {"data": size}, standbys=standbys)
    try:
        lab.start()
        client = connect(lab.alpha.uri())
        client.pwrite(b"\1" * 4096, 0)
        client.shutdown()
        if before is not None:
            before(lab.alpha)
        others = [lab.nodes[name] for name in standbys]
        for node in others:
            lab.wait_caught_up(standby=node)
        old = read_file(lab.alpha.device())
        for node in others:
            node.term()
        overwrite(lab.alpha, size)
        lab.alpha.kill9()
        yield lab, old, read_file(lab.alpha.device())
    except BaseException:
        lab.say_logs()
        raise
    finally:
        lab.close()


@check("resync.cut_anywhere", 240, 900)
def cut_anywhere(context):
    """The link breaks again and again, at random bytes of the compare."""
    choice = random.Random(context.seed)
    with lost_primary(context) as (lab, old, new):
        proxy = Proxy(lab.beta)
        lab.beta.start()
        with open(lab.config, encoding="utf-8") as file:
            text = file.read()
        lab.alpha.config = lab.config + ".alpha"
        with open(lab.alpha.config, "w", encoding="utf-8") as file:
            file.write(text.replace(lab.beta.address, proxy.address))
        lab.alpha.start()
        for number in range(context.count(4, 30)):
            before = proxy.breaks
            # Near the end the sender has made its sync step already.
            proxy.break_after(choice.randrange(20000, SIZE) if number % 2 else SIZE - choice.randrange(2 << 20))
            wait_for("the link breaks, or the copy is whole",
                     lambda count=before: proxy.breaks > count or lab.beta.status()["state"] == "streaming", 60)
            wait_for("a session again", lambda: lab.beta.status()["state"] != "waiting", 60)
            check_points(lab.beta, (old, new))
        proxy.break_after(None)
        lab.wait_caught_up()
        check_points(lab.beta, (old, new))
        require(content_of(lab.beta, "head") == new, "the head is not the primary's content")
        require(read_file(lab.beta.device()) == new, "the replica is not the primary's content")
        require(content_of(lab.beta, "1@step:1") == old, "the step before the gap has changed")
        proxy.close()


@check("resync.two_at_once", 180)
def two_at_once(context):
    """The end of one standby's compare is not the other's, whose compare is not whole."""
    size = 64 << 20
    with lost_primary(context, ("beta", "gamma"), size) as (lab, old, new):
        gamma = lab.nodes["gamma"]
        for node in lab.nodes.values():
            node.start()
        wait_for("gamma's compare begins", lambda: gamma.status()["state"] == "resync", 30, 0.002)
        gamma.freeze()
        lab.wait_streaming(lab.beta)
        gamma.thaw()
        check_points(gamma, (old, new))
        for node in (lab.beta, gamma):
            lab.wait_caught_up(standby=node)
            check_points(node, (old, new))
            require(content_of(node, "head") == new, f"the head of {node.name} is not the primary's content")


@check("resync.takeover_in_the_middle", 120)
def takeover_in_the_middle(context):
    """The step before the gap is served; what is written from there on has points, and keeps nothing for ever."""
    size = 64 << 20
    with lost_primary(context, size=size) as (lab, old, _):
        alpha, beta = lab.alpha, lab.beta
        alpha.start()
        beta.start()
        wait_for("the compare begins", lambda: beta.status()["state"] == "resync", 30, 0.002)
        alpha.kill9()
        wait_for("the link is down", lambda: beta.status()["state"] == "waiting", 30)
        require(beta.status()["history"]["head"] == 1, "the compare has come to its end: nothing is tested")
        beta.one("takeover", GROUP, "--force")
        lab.wait_serving(beta)
        require(read_device(beta.uri()) == old, "another content than that of the step before the gap is served")
        for turn in range(2):
            client = connect(beta.uri())
            client.pwrite(os.urandom(4096), turn << 20)
            client.flush()
            client.shutdown()
            require(content_of(beta, "head") == read_device(beta.uri()), "the head is not what is served")
            beta.one("mark", GROUP, f"mine{turn}")
            require(content_of(beta, f"mine{turn}") == read_device(beta.uri()), "a mark is not what is served")
            beta.kill9()
            beta.start()
            lab.wait_serving(beta)
        require(content_of(beta, "1@step:1") == old, "the step before the gap has changed")


def blocks_once(node):
    """Some segments of history: blocks that are written once each."""
    client = connect(node.uri())
    for at in range(1 << 20, 5 << 20, 64 << 10):
        client.pwrite(os.urandom(64 << 10), at)
    client.shutdown()


@check("resync.damaged_history_ends_no_gap", 120)
def damaged_history_ends_no_gap(context):
    """A standby that cannot read what it has to compare with takes no extents and no end of the gap."""
    with lost_primary(context, before=blocks_once) as (lab, old, new):
        lab.beta.start()
        # Away from the head, so that the compare reads the history.
        lab.beta.do("rewind", GROUP, "step:1")
        newest = lab.beta.status()["positions"]["durable"]
        redo = segments_of(lab.beta)[1][1]
        at = flip_payload(redo)
        lab.alpha.start()
        wait_for("the standby has failed", lambda: lab.beta.status()["state"] == "failed", 60)
        wait_for("the primary hears why", lambda: redo in lab.alpha.told(), 30)
        status = lab.beta.status()
        require(redo in status["why"], f"the standby does not say where the damage is: {status['why']}")
        require(status["history"]["gaps"] == 0, "a gap ended without the extents that it lacks")
        require(status["positions"]["durable"] == newest, f"durable went from {newest} to {status['positions']}")

        lab.beta.kill9()
        flip(redo, at)
        lab.beta.start()
        require(lab.beta.status()["held_at"] == 1, "the standby is not where it was held")
        lab.beta.do("resume", GROUP)
        lab.wait_caught_up()
        require(lab.beta.status()["history"]["gaps"] == 1, "the compare that was whole has ended no gap")
        require(content_of(lab.beta, f"1@step:{newest}") == old, "the step before the gap has changed")
        require(content_of(lab.beta, "head") == new, "the head is not the primary's content")
        require(read_file(lab.beta.device()) == new, "the replica is not the primary's content")


def frames_without_steps(context, lacks, promote):
    """One of two standbys has a flush mark behind the last step, which the other lacks; the primary dies."""
    with contextlib.closing(Lab(context.directory, standbys=("beta", "gamma"))) as lab:
        lab.start()
        client = connect(lab.alpha.uri())
        for number in range(5):
            client.pwrite(bytes([number + 1]) * 4096, number * 4096)
        for name in lab.standbys:
            lab.wait_caught_up(standby=lab.nodes[name])
        other = next(lab.nodes[name] for name in lab.standbys if name != lacks)
        lab.nodes[lacks].kill9()
        client.flush()
        wait_for("the flush mark is there", lambda: any(row.get("flush") for row in other.do("log", GROUP)))
        lab.alpha.kill9()
        lab.nodes[lacks].start()
        primary = lab.beta if promote else lab.alpha
        if promote:
            primary.do("takeover", GROUP, "--force")
        else:
            primary.start()
        lab.wait_serving(primary)
        client = connect(primary.uri())
        client.pwrite(b"z" * 4096, 0)
        followers = [lab.nodes["gamma"]] if promote else [lab.beta, lab.nodes["gamma"]]
        for node in followers:
            lab.wait_caught_up(primary, node)
            require(read_file(node.device()) == read_device(primary.uri()), f"{node.name} differs from {primary.name}")
            gaps = node.status()["history"]["gaps"]
            require(gaps == 0 or not promote, f"{node.name} stood at the branch and has {gaps} gaps")


for lacking in ("beta", "gamma"):
    for promoted in (False, True):
        check(f"resync.flush_mark_{lacking}_lacks_{'takeover' if promoted else 'restart'}", 120)(
            lambda context, lacks=lacking, promote=promoted: frames_without_steps(context, lacks, promote))


@check("resync.behind_two_unclean_stops", 120)
def behind_two_unclean_stops(context):
    """Of a timeline that came and went while it was away a standby has nothing; it comes back by itself."""
    with lost_primary(context) as (lab, old, _):
        alpha, beta = lab.alpha, lab.beta
        alpha.start()
        lab.wait_serving(alpha)
        record = os.path.join(alpha.state, "groups", GROUP, "group")
        overwrite(alpha, SIZE)
        saved = os.stat(record).st_mtime_ns
        wait_for("what was given out is recorded", lambda: os.stat(record).st_mtime_ns != saved, 30)
        alpha.kill9()
        alpha.start()
        status = lab.wait_serving(alpha)
        begun = [one["text"] for one in alpha.events() if one["kind"] == "timeline"][-1]
        require(status["timeline_number"] == 3 and "behind step 1:" not in begun, f"{begun}: nothing is tested")
        overwrite(alpha, SIZE)
        beta.start()
        lab.wait_caught_up()
        new = read_device(alpha.uri())
        check_points(beta, (old, new))
        require(content_of(beta, "head") == new, "the head is not the primary's content")
        require(content_of(beta, "1@step:1") == old, "the step before the gap has changed")
