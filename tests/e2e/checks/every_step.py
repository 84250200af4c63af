"""The image at every step equals the model: through exports, through rewinds, under writes, after restarts."""

from everstep_lab.base import require, wait_for
from everstep_lab.model import same_images
from everstep_lab.nbdio import raw_images
from everstep_lab.registry import check
from everstep_lab.scene import Scene, Watch
from everstep_lab.workload import all_succeeded


@check("every_step_equals_model.export", 300, 1800)
def by_export(context):
    with Scene(context) as scene:
        scene.start()
        for connections, depth in ((1, 1), (1, 16), (4, 8)):
            all_succeeded(scene.write(context.count(60, 1000), connections, depth))
        listing = scene.settle()
        require(listing.rows[0].lsn == 1, f"the first write is step {listing.rows[0].lsn}, wanted 1")
        scene.check_flushes(listing)
        count = scene.check_every_export()
        context.say(f"{count} steps read through exports")


@check("every_step_equals_model.rewind", 300, 1800)
def by_rewind(context):
    with Scene(context) as scene:
        scene.start()
        all_succeeded(scene.write(context.count(120, 800), 4, 8))
        scene.settle()
        keys = scene.sample(context.count(40, 800))
        for key in keys + [scene.model.root, scene.model.head]:
            scene.rewind(key)
        scene.resume()
        scene.equal_pair()
        context.say(f"{len(keys) + 2} steps reached by rewind in random order")


@check("every_step_equals_model.back_and_forward", 300, 900)
def back_and_forward(context):
    """Back N and forward N is bit-identical; step:0 included."""
    with Scene(context) as scene:
        scene.start()
        scene.write(context.count(100, 600), 2, 8)
        scene.settle()
        path = scene.model.points()
        for _ in range(context.count(6, 40)):
            place = scene.random.randrange(len(path))
            steps = scene.random.randrange(place + 1)
            scene.rewind(path[place])
            before = raw_images(scene.standby)
            scene.rewind(path[place - steps])
            scene.rewind(path[place])
            same_images(f"back {steps} and forward {steps} from {path[place]}", raw_images(scene.standby), before)
        scene.resume()
        scene.equal_pair()


@check("every_step_equals_model.while_writing", 300, 1200)
def while_writing(context):
    with Scene(context) as scene:
        scene.start()
        scene.write(30)
        scene.settle()
        watch = Watch(scene)
        work = scene.workload(4, 8)
        work.start(pace=150)
        try:
            for turn in range(context.count(12, 100)):
                newest = scene.standby.status()["positions"]["durable"]
                watch.export(f"step:{scene.random.randrange(newest + 1)}")
                watch.export("head")
                if turn % 3 == 0:
                    watch.rewind(f"step:{scene.random.randrange(newest + 1)}")
                    watch.export("head")
                elif turn % 3 == 2:
                    scene.standby.one("resume", "db")
        finally:
            work.stop()
        scene.standby.one("resume", "db")
        all_succeeded(work.ops())
        scene.settle()
        watch.check()
        context.say(f"{len(watch.seen)} images taken under writes, {scene.model.head[1]} steps")


def restart(scene, node):
    node.term()
    node.start()
    scene.lab.wait_serving()
    wait_for("the link is there", lambda: scene.alpha.status()["peers"][0]["state"] == "connected", 30)


@check("every_step_equals_model.after_restart", 300, 1200)
def after_restart(context):
    """Restarts of either daemon and of both, by SIGTERM: no gap, no new timeline, nothing twice."""
    with Scene(context) as scene:
        scene.start()
        timeline = scene.alpha.status()["timeline"]
        for turn in range(context.count(3, 12)):
            all_succeeded(scene.write(30, 2, 8))
            if turn % 3 == 2:
                for node in scene.random.sample((scene.alpha, scene.beta), 2):
                    node.term()
                scene.lab.start()
            else:
                restart(scene, scene.beta if turn % 3 else scene.alpha)
            scene.lab.wait_serving()
            all_succeeded(scene.write(20, 2, 8))
            listing = scene.settle()
            require(not listing.gaps, f"SIGTERM made a gap: {listing.gaps}")
            require(scene.alpha.status()["timeline"] == timeline, "SIGTERM began a new timeline")
            for key in scene.sample(8):
                scene.check_export(key)
        scene.check_every_export()


@check("every_step_equals_model.held_over_restart", 180)
def held_over_restart(context):
    """A rewound replica stays where it was over a restart and a kill; receiving goes on meanwhile."""
    with Scene(context) as scene:
        scene.start()
        scene.write(80, 2, 8)
        scene.settle()
        for end in (scene.beta.term, scene.beta.kill9):
            key = scene.sample(1)[0]
            scene.rewind(key)
            end()
            scene.beta.start()
            wait_for("held again", lambda: scene.beta.status()["state"] == "held", 30)
            scene.check_raw(scene.beta, key)
            scene.write(20, 2, 8)
            scene.lab.wait_caught_up(held=True)
            scene.take_log()
            scene.check_raw(scene.beta, key)
            scene.check_every_export(keys=scene.sample(6) + [scene.model.head])
            scene.resume()
            scene.settle()
