"""kill -9 of either daemon and of both at random moments, over and over, under load."""

import threading
import time
from datetime import datetime, timezone

from everstep_lab.base import SLOWER, Failed, require, wait_for
from everstep_lab.model import name_of
from everstep_lab.nodes import GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import Profile


class Swarm:
    def __init__(self, scene, ack):
        self.scene, self.ack, self.random = scene, ack, scene.random
        self.kills = {"alpha": 0, "beta": 0, "both": 0, "term": 0}
        self.crash = 0
        self.story = ""
        self.alone = False  # a primary started while its standby was down, or did not answer
        self.alarms = 0  # of primaries that served alone, in all rounds before

    def await_writes(self, work, count, seconds=60):
        wanted = self.scene.oplog.completed() + count
        wait_for(f"{count} more writes complete", lambda: work.trouble or self.scene.oplog.completed() >= wanted,
                 seconds, every=0.002)
        if work.trouble:
            raise work.trouble

    def kill(self, node):
        node.kill9()
        if node is self.scene.alpha:
            self.crash = self.scene.oplog.stamp()
            now = datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")
            self.scene.matcher.deaths.append((self.crash, now))

    def kill_some(self):
        """One, the other or both; returns who has to start again, in the order of starting."""
        alpha, beta = self.scene.alpha, self.scene.beta
        who = self.random.choice(("alpha", "beta", "both"))
        self.kills[who] += 1
        if who == "both":
            victims = self.random.sample((alpha, beta), 2)
            for node in victims:
                self.kill(node)
            return self.random.sample(victims, 2)
        victim = alpha if who == "alpha" else beta
        self.kill(victim)
        return [victim]

    def start_again(self, nodes):
        for node in nodes:
            if node is self.scene.alpha and not self.scene.beta.running():
                self.alone = True
            node.spawn()
            time.sleep(self.random.random() * 0.3)  # the moment of the next start is part of the chance
        for node in nodes:
            node.wait_answer()

    def die_in_recovery(self, nodes):
        """Kills once more before the pair is together again."""
        victim = self.random.choice(nodes)
        self.story += f", again while it recovered: {victim.name}"
        time.sleep(self.random.random() * 0.5)
        self.kill(victim)
        self.kills[victim.name] += 1
        self.alone = self.alone or victim is self.scene.beta
        self.start_again([victim])

    def round(self):
        scene = self.scene
        self.crash, self.alone = 0, False
        work = scene.workload(4, 6, profile=Profile(sectors_max=64))
        work.start(reconnect=True, pace=self.random.choice((60, 150, 300)))
        try:
            self.await_writes(work, self.random.randrange(5, 50))
            gentle = self.random.random() < 0.15
            if gentle:
                victim = self.random.choice((scene.alpha, scene.beta))
                victim.term()
                self.kills["term"] += 1
                self.story = f"SIGTERM of {victim.name}"
                self.start_again([victim])
            else:
                nodes = self.kill_some()
                self.story = f"kill -9, started again: {', '.join(node.name for node in nodes)}"
                self.start_again(nodes)
                if self.random.random() < 0.2:
                    self.die_in_recovery(nodes)
            scene.lab.wait_serving()
            work.pace = 100
            self.await_writes(work, self.random.randrange(5, 30))
        finally:
            work.stop()
        failed = [op for op in work.ops() if op.outcome == "failed"]
        require(not failed, f"answered with an error: {[(str(op), op.error) for op in failed[:2]]}")
        self.check()

    def served_alone(self):
        """A standby that runs may be too slow for start_wait: the primary says so, and a gap follows."""
        before, self.alarms = self.alarms, self.scene.alpha.log_text().count("no standby confirmed the timeline")
        return self.alarms > before

    def check(self):
        scene = self.scene
        self.alone = self.served_alone() or self.alone
        gap_allowed = self.crash > 0 and (self.ack == "local" or self.alone)
        listing = scene.settle(self.crash, gap_allowed)
        for key in scene.sample(4) + [scene.model.head]:
            scene.check_export(key)
        self.no_point_inside(listing)
        for node in (scene.alpha, scene.beta):
            said = [line for line in node.log_text().splitlines() if "catalogue" in line]
            require(not said, f"a kill cost {node.name} its catalogue: {said[:2]}")
        if self.random.random() < 0.25:
            scene.rewind(scene.sample(1)[0])
            scene.resume()
            scene.equal_pair()

    def no_point_inside(self, listing):
        for first, last, _ in listing.gaps[-2:]:
            if last is not None and last > first + 1:
                scene, lsn = self.scene, self.random.randrange(first + 1, last)
                scene.beta.cli("export", GROUP, f"step:{lsn}").expect(3, str(first), str(last))

    def run(self, rounds):
        for number in range(rounds):
            try:
                self.round()
            except Failed as error:
                raise Failed(f"round {number + 1}: {error}") from error
            self.scene.context.say(f"round {number + 1}: {self.story}, {self.scene.model.head[1]} steps")
        points = self.scene.model.points()
        chosen = None if self.scene.context.long else self.scene.sample(250) + [points[0], points[-1]]
        require(not self.scene.context.long or sum(self.kills.values()) - self.kills["term"] >= 100,
                f"too few kills: {self.kills}")
        count = self.scene.check_every_export(keys=chosen)
        self.scene.context.say(f"{rounds} rounds, kills {self.kills}; "
                               f"{count} of {len(points)} points equal the model")


def swarm(context, ack, rounds, **group):
    # A standby that runs has to be heard in that time: only then is there no reason for a gap.
    start_wait = f"{round(1000 * SLOWER)}ms"
    with Scene(context, None, ack, start_wait=start_wait, **group) as scene:
        scene.start()
        Swarm(scene, ack).run(rounds)


@check("kill9_swarm.durable", 400, 3600)
def durable(context):
    """Under `stall` no write is acknowledged by the primary alone: every acknowledged one has to be there."""
    swarm(context, "durable", context.count(6, 140), on_standby_loss="stall")


@check("kill9_swarm.local", 400, 3600)
def local(context):
    swarm(context, "local", context.count(6, 140))


@check("kill9_swarm.alone_behind_what_was_listed", 120)
def alone(context):
    """A primary that starts alone branches at its record; the steps behind that stay, its disk's content too."""
    with Scene(context) as scene:
        scene.start()
        for _ in range(context.count(2, 10)):
            scene.write(30, 4, 8)
            scene.settle()
            before = scene.model.points()[-20:]
            swarm_of_one = Swarm(scene, "local")
            scene.beta.kill9()
            swarm_of_one.kill(scene.alpha)
            scene.alpha.start()
            scene.lab.wait_serving()
            scene.write(20, 4, 8)
            scene.beta.start()
            scene.settle(swarm_of_one.crash, True)
            for key in before:
                scene.check_export(key)
        scene.check_every_export()


@check("kill9_swarm.moving_replica", 300, 1200)
def moving_replica(context):
    """The standby is killed while its replica moves: the move ends after the restart, no step is lost."""
    with Scene(context) as scene:
        scene.start()
        scene.write(context.count(150, 600), 4, 8)
        scene.settle()
        for _ in range(context.count(4, 30)):
            key = scene.sample(1)[0]
            argv = ["rewind", GROUP, name_of(key)]
            mover = threading.Thread(target=lambda words=argv: scene.beta.cli(*words, seconds=30))
            mover.start()
            time.sleep(scene.random.random() * 0.06)
            scene.beta.kill9()
            mover.join()
            scene.beta.start()
            wait_for("the standby is held or streams",
                     lambda: scene.beta.status()["state"] in ("held", "streaming"), 30)
            for point in scene.sample(3):
                scene.check_export(point)
            scene.rewind(key)
            scene.resume()
            scene.equal_pair()
        scene.check_every_export()


@check("sigterm_never_makes_a_gap", 200, 600)
def sigterm(context):
    """Orderly stops under load, of either node: no gap, one timeline, nothing acknowledged is lost."""
    with Scene(context) as scene:
        scene.start()
        timeline = scene.alpha.status()["timeline"]
        for turn in range(context.count(4, 30)):
            work = scene.workload(4, 8)
            work.start(reconnect=True, pace=200)
            wait_for("writes flow", lambda w=work: scene.oplog.completed() > 20 * turn + 20 or w.trouble, 30)
            victim = (scene.alpha, scene.beta)[turn % 2]
            victim.term()
            if turn % 4 == 2:
                scene.beta.term()
                scene.beta.start()
            victim.start()
            scene.lab.wait_serving()
            work.stop()
            listing = scene.settle()
            require(not listing.gaps, f"SIGTERM made a gap: {listing.gaps}")
            require(scene.alpha.status()["timeline"] == timeline, "SIGTERM began a new timeline")
        scene.check_every_export(keys=scene.sample(40) + [scene.model.head])
