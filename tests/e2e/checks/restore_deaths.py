"""A restore in the middle of which the standby, the command line, or both nodes die, under each `ack`."""

import os
import threading

from everstep_lab.base import Child, require, wait_for
from everstep_lab.model import same_images
from everstep_lab.nbdio import read_device, read_point
from everstep_lab.nodes import EVERSTEP, GROUP
from everstep_lab.registry import check
from checks.restore import FULL, HALF, batches, begin_and_cut, big_scene, equal_pair, has_begun, head_of, served

ZEROES = {"data": bytes(96 << 20)}


class Running:
    """A restore that is in its middle; `end` gives what the command line said."""

    def __init__(self, node, point):
        self.node, self.answers = node, []
        self.thread = threading.Thread(target=self.ask, args=(point,))
        self.thread.start()
        wait_for("the restore writes", lambda: has_begun(node), 60, 0.005)
        require(self.answers == [], f"the restore ended at once: {self.answers}")

    def ask(self, point):
        self.answers.append(self.node.cli("restore", GROUP, point, seconds=180))

    def end(self, seconds=120):
        self.thread.join(seconds)
        require(self.answers, f"the restore has not ended within {seconds} s")
        return self.answers[0]


def without_standby(scene):
    """The standby is killed and comes back: the restore waits, and goes on to its end."""
    running = Running(scene.alpha, "step:0")
    scene.beta.kill9()
    require(running.answers == [], "the restore ended before its standby died: nothing is tested")
    status = scene.alpha.status()
    require(status["state"] == "restoring" and status["restore"]["running"], f"without its standby it is {status}")
    scene.beta.start()
    running.end().expect(0)
    same_images("over the standby's death", equal_pair(scene, "over the standby's death"), ZEROES)


def without_command(scene, full):
    """The command line is killed: the restore goes on, another one is told so, and it comes to its end."""
    alpha = scene.alpha
    words = [EVERSTEP, "--config", scene.lab.config, "--node", "alpha", "restore", GROUP, FULL]
    asked = Child(words, os.path.join(scene.lab.directory, "restore.log"))
    wait_for("the restore writes", lambda: has_begun(alpha), 60, 0.005)
    asked.process.kill()
    asked.wait()
    scene.beta.freeze()
    try:
        require(alpha.status()["state"] == "restoring", "it ended before the command line died: nothing is tested")
        for word in ("--continue", "--undo"):
            alpha.cli("restore", GROUP, word).expect(1, "under way")
        alpha.cli("adopt", GROUP, "--from", "beta").expect(3, "under way")
    finally:
        scene.beta.thaw()
    scene.lab.wait_serving(alpha)
    same_images("without its command line", equal_pair(scene, "without its command line"), full)


def without_both(scene, full):
    """Both nodes are killed: the primary serves nobody, the step before stays, and both ways out work."""
    alpha, beta = scene.alpha, scene.beta
    for word, wanted in (("--undo", full), ("--continue", ZEROES)):
        running = Running(alpha, "step:0")
        alpha.kill9()
        beta.kill9()
        require(running.end().code != 0, "a restore whose node was killed says that it is done")
        beta.start()
        head = beta.status()["history"]["head"]
        alpha.start()
        status = wait_for("the primary is up", lambda: alpha.status() if alpha.status()["state"] == "refused" else None)
        for part in ("--continue", "--undo"):
            require(part in status["why"], f"the primary says {status['why']}")
        before = status["restore"]["before"]
        require(before <= head, f"the restore began behind step {before}, the standby ended at {head}")
        same_images("the step before", read_point(beta, f"step:{before}")[1], full)
        alpha.cli("adopt", GROUP, "--from", "beta").expect(3, "--continue", "--undo", "--force")
        for words in ((GROUP, "--dry-run"), (f"{GROUP}/data",)):
            alpha.cli("restore", *words, word).expect(2, "all that the restore began with")
        wait_for("the history is there", lambda w=word: alpha.cli("restore", GROUP, w, seconds=180).code == 0, 120, 1)
        scene.lab.wait_streaming()
        same_images(f"both killed, {word}", equal_pair(scene, word), wanted)
        same_images("the step before, later", read_point(beta, f"step:{before}")[1], full)


def deaths(context, ack):
    with big_scene(context, ack=ack, on_standby_loss="stall" if ack == "durable" else "continue") as scene:
        alpha, beta = scene.alpha, scene.beta
        full = served(alpha)
        without_standby(scene)
        without_command(scene, full)
        if ack == "durable":
            without_both(scene, full)
        # What is told to be done is kept by the standby.
        body = alpha.one("restore", GROUP, FULL)
        alpha.kill9()
        wait_for("the link is down", lambda: beta.status()["state"] == "waiting", 30)
        require(beta.one("takeover", GROUP, "--force")["lsn"] == body["lsn"], "a restore that was done is taken back")
        scene.lab.wait_serving(beta)
        same_images("taken over", {"data": read_device(beta.uri())}, full)


for level in ("received", "durable"):
    check(f"restore_deaths.{level}", 300)(lambda context, ack=level: deaths(context, ack))


@check("restore_deaths.replaced_disk", 200)
def replaced_disk(context):
    """The primary's disk is lost with a cut restore: the standby's batch is taken by nobody, its step before is."""
    with big_scene(context) as scene:
        alpha, beta = scene.alpha, scene.beta
        full, head = served(alpha), head_of(beta)
        begin_and_cut(scene, alpha.kill9, HALF, head)
        os.unlink(alpha.device())
        alpha.start()
        wait_for("the disk is missed", lambda: alpha.status()["state"] == "refused", 60)
        alpha.cli("adopt", GROUP, "--from", "beta").expect(3, f"step {head}", "takeover")
        alpha.term()
        wait_for("the link is down", lambda: beta.status()["state"] == "waiting", 30)
        require(beta.one("takeover", GROUP, "--force")["lsn"] == head, "a takeover at another step")
        scene.lab.wait_serving(beta)
        same_images("taken over", {"data": read_device(beta.uri())}, full)
        alpha.start()
        wait_for("it knows of the other", lambda: alpha.status()["role"] == "standby", 60)
        alpha.one("adopt", GROUP, "--from", "beta")
        scene.lab.wait_streaming(alpha)
        scene.primary, scene.standby = beta, alpha
        same_images("the pair", equal_pair(scene, "the pair"), full)
