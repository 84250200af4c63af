"""Takeover by hand, to the newest and to an older step; refused where it would split the brain; coming back."""

import os
import socket
import subprocess

import nbd

from everstep_lab.base import Failed, need_tool, require, wait_for
from everstep_lab.history import fetch
from everstep_lab.model import name_of, same_images
from everstep_lab.nbdio import read_device
from everstep_lab.nodes import GROUP, Lab
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import all_succeeded


def prepare(scene, count):
    scene.start()
    all_succeeded(scene.write(count, 4, 8))
    scene.settle()


def take_over(scene, *point):
    """beta becomes the primary; the model's head moves to where it took over."""
    body = scene.beta.one("takeover", GROUP, *point, "--force")
    require(body["timeline_number"] == 2, f"the new timeline's number is {body['timeline_number']}, wanted 2")
    require(set(body["uris"]) == set(scene.lab.volumes), f"takeover serves {body['uris']}")
    scene.lab.wait_serving(scene.beta)
    status = scene.beta.status()
    require(status["timeline"] == body["timeline"], f"status shows timeline {status['timeline']}")
    require(all(volume["uri"] for volume in status["volumes"]), f"status shows no uri: {status['volumes']}")
    scene.primary, scene.standby = scene.beta, None
    return body


def check_served(scene, body):
    served = {volume: read_device(uri) for volume, uri in body["uris"].items()}
    same_images("the volumes after the takeover", served, scene.model.image(scene.model.head))


@check("takeover.newest", 180, 600)
def newest(context):
    with Scene(context) as scene:
        prepare(scene, context.count(100, 600))
        old_points = scene.model.points()
        scene.alpha.kill9()
        body = take_over(scene)
        require(body["lsn"] == scene.model.head[1], f"took over at {body['lsn']}, the head was {scene.model.head}")
        check_served(scene, body)
        all_succeeded(scene.write(context.count(100, 400), 4, 8))
        listing = scene.take_log(scene.beta)
        require(not listing.gaps, f"a takeover made a gap: {listing.gaps}")
        require(listing.rows[-1].number == 2 and listing.rows[0].number == 1,
                f"timeline numbers {listing.rows[0].number}, {listing.rows[-1].number}, wanted 1 and 2")
        check_served(scene, body)
        scene.check_every_export(scene.beta)
        restart_promoted(scene, body)
        require(set(old_points) <= set(scene.model.points()), "old steps left the path")
        context.say(f"lost_steps {body['lost_steps']}, lost_seconds {body['lost_seconds']}")


def restart_promoted(scene, body):
    """The promoted node restarts, by SIGTERM and by kill -9, and is what it was: all steps there."""
    for end in (scene.beta.term, scene.beta.kill9):
        end()
        crash = scene.oplog.stamp()
        scene.beta.start()
        scene.lab.wait_serving(scene.beta)
        scene.take_log(scene.beta, crash)
        check_served(scene, body)
        all_succeeded(scene.write(20, 2, 8))
        scene.take_log(scene.beta)
        check_served(scene, body)
        scene.check_every_export(scene.beta, scene.sample(15) + [scene.model.head])


@check("takeover.older_point", 180, 600)
def older_point(context):
    """To a step back: the new line branches there; the old line past the branch stays reachable by its own name."""
    with Scene(context) as scene:
        prepare(scene, 120)
        path = scene.model.points()
        branch = path[len(path) * 2 // 3]
        scene.alpha.kill9()
        body = take_over(scene, name_of(branch))
        require(body["lsn"] == branch[1], f"took over at {body['lsn']}, wanted {branch[1]}")
        require(body["lost_steps"] >= path[-1][1] - branch[1], f"lost_steps is {body['lost_steps']}")
        scene.model.head = branch
        check_served(scene, body)
        all_succeeded(scene.write(60, 2, 8))
        scene.take_log(scene.beta)
        check_served(scene, body)
        scene.check_every_export(scene.beta)
        for key in path[path.index(branch) + 1:]:
            scene.check_export(key, scene.beta)  # the side line, t:HEX@step:N
        for point in (f"1@step:{path[-1][1]}", f"t:{path[-1][0][:8]}@step:{path[-1][1]}"):
            answer = scene.beta.one("export", GROUP, point)
            require((answer["timeline"], answer["lsn"]) == path[-1], f"{point} is {answer}")
            scene.beta.do("unexport", answer["id"])
        plain = scene.beta.one("export", GROUP, f"step:{branch[1] + 1}")
        require(plain["timeline"] == scene.model.head[0], "step:N without a timeline left the group's line")
        side = fetch(scene.beta, "--to", name_of(path[-1]))
        require(side.rows[-1].key == path[-1], f"log --to {name_of(path[-1])} ends at {side.rows[-1].key}")


@check("takeover.to_a_side_line_says_what_it_leaves", 90)
def to_a_side_line(context):
    """Lost is what the line that is left has behind the newest step that both share, not a difference of numbers."""
    lab = Lab(context.directory, {"data": 1 << 20})
    try:
        lab.start()
        write_blocks(lab.alpha, 10)
        lab.wait_caught_up()
        lab.beta.kill9()
        lab.alpha.kill9()
        lab.alpha.start()  # alone: it branches at the last step that it has on record
        lab.wait_serving()
        write_blocks(lab.alpha, 3)
        lab.beta.start()
        head = lab.wait_caught_up()
        rows = lab.beta.do("log", GROUP)
        branch = [row["from"] for row in rows if row["kind"] == "gap"][0]
        lab.alpha.kill9()
        for point, shared in (("head", head), (f"1@step:{min(branch, 10)}", branch), ("1@step:10", branch),
                              ("step:0", 0)):
            told = lab.beta.one("takeover", GROUP, point, "--force", "--dry-run")
            require(told["lost_steps"] == head - shared, f"takeover at {point}: lost_steps is {told['lost_steps']}, "
                    f"wanted {head - shared}: head {head}, branch {branch}")
    except Failed:
        lab.say_logs()
        raise
    finally:
        lab.close()


def write_blocks(node, count):
    handle = nbd.NBD()
    handle.connect_uri(node.uri())
    for number in range(count):
        handle.pwrite(bytes([number + 1]) * 4096, number * 4096)
    handle.shutdown()


@check("takeover.refused_while_primary_is_reachable", 90)
def refused_while_reachable(context):
    with Scene(context, {"data": 1 << 20}) as scene:
        prepare(scene, 40)
        scene.beta.cli("takeover", GROUP).expect(3, "alpha")
        require(scene.beta.status()["role"] == "standby", "a refused takeover changed the role")
        scene.alpha.kill9()
        crash = scene.oplog.stamp()
        answer = wait_for("a takeover without --force is refused", lambda: scene.beta.cli("takeover", GROUP), 10)
        answer.expect(3, "--force")
        plan = scene.beta.one("takeover", GROUP, "--force", "--dry-run")
        require(plan["lsn"] == scene.model.head[1], f"the plan is {plan}")
        require(scene.beta.status()["role"] == "standby", "a dry run changed the role")
        scene.alpha.start()
        scene.lab.wait_serving()
        all_succeeded(scene.write(20))
        scene.settle(crash, True)


@check("takeover.during_load", 180)
def during_load(context):
    """Killed under load with ack = durable: every acknowledged write is in what the standby serves."""
    with Scene(context, ack="durable") as scene:  # the promoted node goes on alone after standby_timeout
        prepare(scene, 20)
        work = scene.workload(4, 8)
        work.start(reconnect=True)
        wait_for("writes flow", lambda: scene.oplog.completed() > 150 or work.trouble, 30)
        scene.alpha.kill9()
        crash = scene.oplog.stamp()
        work.stop()
        body = take_over(scene)
        scene.take_log(scene.beta, crash)  # fails when an acknowledged write is missing
        check_served(scene, body)
        all_succeeded(scene.write(30, 2, 4))
        scene.take_log(scene.beta)
        scene.check_every_export(scene.beta)


@check("takeover.while_held", 120)
def while_held(context):
    """A standby that is rewound takes over at the newest step it has, not where its replica stands."""
    with Scene(context) as scene:
        prepare(scene, 80)
        scene.rewind(scene.sample(1)[0])
        all_succeeded(scene.write(40, 2, 8))
        scene.lab.wait_caught_up(held=True)
        scene.take_log()
        scene.alpha.kill9()
        body = take_over(scene)
        require(body["lsn"] == scene.model.head[1], f"took over at {body['lsn']}, the head is {scene.model.head[1]}")
        check_served(scene, body)
        all_succeeded(scene.write(20))
        scene.take_log(scene.beta)
        scene.check_every_export(scene.beta)


@check("takeover.old_primary_returns", 240, 600)
def old_primary_returns(context):
    """It does not serve and says so; `adopt --from` makes it a standby that streams and ends equal."""
    with Scene(context) as scene:
        prepare(scene, 80)
        scene.alpha.kill9()
        body = take_over(scene)
        all_succeeded(scene.write(60, 4, 8))
        scene.take_log(scene.beta)
        scene.alpha.start()
        wait_for("the old primary sees the newer timeline", lambda: not_serving(scene.alpha), 30)
        nothing_served(scene.alpha)
        require("timeline" in scene.alpha.told().lower(), "the old primary does not say why it does not serve")
        why = scene.alpha.status()["why"]  # it gave out 80 steps, and has recorded none of them
        require("did not stop cleanly" in why and "at least" in why, f"the killed primary claims to know: {why}")
        check_served(scene, body)
        all_succeeded(scene.write(20))
        scene.alpha.cli("adopt", GROUP, "--from", "beta").expect(0)
        scene.lab.wait_streaming(scene.alpha)
        scene.lab.wait_caught_up(scene.beta, scene.alpha)
        scene.take_log(scene.beta)
        scene.check_raw(scene.alpha, scene.model.head)
        check_served(scene, body)
        work = scene.workload(4, 8)
        all_succeeded(work.run(60).ops())
        scene.lab.wait_caught_up(scene.beta, scene.alpha)
        scene.take_log(scene.beta)
        scene.check_raw(scene.alpha, scene.model.head)
        scene.check_every_export(scene.beta)
        new_standby_has_steps(scene)


def not_serving(node):
    status = node.status()
    return status["state"] != "serving" and status["state"] != "starting" and status


def nothing_served(node):
    for uri in node.uris().values():
        handle = nbd.NBD()
        try:
            handle.connect_uri(uri)
        except nbd.Error:
            continue
        raise Failed(f"{node.name} serves {uri} though another node took over")


def new_standby_has_steps(scene):
    """The steps since it adopted are reachable on the new standby, and equal the model."""
    oldest = scene.alpha.status()["history"]["oldest"]
    keys = [key for key in scene.model.points() if key[1] >= oldest]
    require(len(keys) > 50, f"the new standby's history begins at {oldest}, the head is {scene.model.head[1]}")
    scene.standby = scene.alpha
    scene.check_every_export(scene.alpha, scene.random.sample(keys, 25) + [scene.model.head])
    key = scene.random.choice(keys)
    scene.rewind(key)
    scene.resume()
    scene.check_raw(scene.alpha, scene.model.head)


@check("takeover.and_back", 240, 600)
def and_back(context):
    """Takeover, adopt, takeover again at the first node: three timelines, one history, every step of the model."""
    with Scene(context) as scene:
        prepare(scene, 60)
        scene.alpha.kill9()
        take_over(scene)
        all_succeeded(scene.write(40, 2, 8))
        scene.take_log(scene.beta)
        scene.alpha.start()
        wait_for("the old primary sees the newer timeline", lambda: not_serving(scene.alpha), 30)
        scene.alpha.cli("adopt", GROUP, "--from", "beta").expect(0)
        scene.lab.wait_caught_up(scene.beta, scene.alpha)
        all_succeeded(scene.write(40, 2, 8))
        scene.lab.wait_caught_up(scene.beta, scene.alpha)
        scene.take_log(scene.beta)
        scene.beta.kill9()
        body = scene.alpha.one("takeover", GROUP, "--force")
        require(body["timeline_number"] == 3, f"the third timeline's number is {body['timeline_number']}")
        scene.lab.wait_serving(scene.alpha)
        scene.primary, scene.standby = scene.alpha, None
        check_served(scene, body)
        all_succeeded(scene.write(30, 2, 8))
        oldest = scene.alpha.status()["history"]["oldest"]
        listing = fetch(scene.alpha)
        require(listing.rows[0].lsn == oldest + 1, f"the log begins at {listing.rows[0].lsn}, history at {oldest}")
        scene.matcher.absorb(listing, scene.read_step)
        check_served(scene, body)
        keys = [key for key in scene.model.points() if key[1] >= oldest]
        scene.check_every_export(scene.alpha, keys)


def lone_standby(scene):
    """alpha lives and cannot be reached: what a takeover by force is ordered upon."""
    scene.alpha.freeze()
    wait_for("the link is gone", lambda: scene.beta.status()["state"] == "waiting", 40)


def primary_was_left_alone(scene):
    """alpha serves on, and beta is its standby."""
    scene.alpha.thaw()
    all_succeeded(scene.write(10))
    scene.lab.wait_caught_up()
    require(scene.beta.status()["timeline_number"] == 1, f"beta is {scene.beta.status()}")
    all_succeeded(scene.write(10))
    scene.settle()


@check("takeover.failed_leaves_all_as_it_was", 60)
def failed_leaves_all(context):
    """The address is taken, then the record cannot be saved: the living primary keeps its role, the standby its own."""
    with Scene(context, {"data": 1 << 20}) as scene:
        prepare(scene, 20)
        lone_standby(scene)
        with socket.socket(socket.AF_UNIX) as other:
            other.bind(scene.beta.socket())
            other.listen()
            scene.beta.cli("takeover", GROUP, "--force").expect(3, "data.sock", "nothing was changed")
        os.unlink(scene.beta.socket())
        in_the_way = os.path.join(scene.beta.state, "groups", GROUP, "group.new")
        os.makedirs(os.path.join(in_the_way, "x"))
        scene.beta.cli("takeover", GROUP, "--force").expect(1, "group.new")
        os.rmdir(os.path.join(in_the_way, "x"))
        os.rmdir(in_the_way)
        primary_was_left_alone(scene)
        scene.alpha.kill9()
        body = take_over(scene)  # its number is 2: nothing was left of the others
        check_served(scene, body)


def killed_at_rename(scene, number):
    """beta is killed at the n-th file that the takeover puts in place: the first is the record of the role."""
    wanted = f"signal=KILL:error=EIO:when={number}"
    with subprocess.Popen([need_tool("strace"), "-f", "-o", os.devnull, "-p", str(scene.beta.child.pid), "-e",
                           "trace=rename", "-e", f"inject=rename:{wanted}"]) as tracer:
        def traced():
            with open(f"/proc/{scene.beta.child.pid}/status", encoding="ascii") as status:
                return "TracerPid:\t0\n" not in status.read()
        wait_for("strace is there", traced, 10)
        scene.beta.cli("takeover", GROUP, "--force").expect(4)
        scene.beta.child.wait()
        tracer.wait(10)


@check("takeover.killed_half_way", 90)
def killed_half_way(context):
    """Before the role is durable beta is the standby that it was; behind that its next start goes on with it."""
    with Scene(context, {"data": 1 << 20}) as scene:
        prepare(scene, 20)
        lone_standby(scene)
        killed_at_rename(scene, 1)
        scene.beta.start()
        primary_was_left_alone(scene)
        lone_standby(scene)
        killed_at_rename(scene, 2)
        scene.beta.start()
        scene.lab.wait_serving(scene.beta)
        require(scene.beta.status()["timeline_number"] == 2, f"beta is {scene.beta.status()}")
        scene.alpha.thaw()
        wait_for("the old primary sees the newer timeline", lambda: not_serving(scene.alpha), 30)
        nothing_served(scene.alpha)
        check_served(scene, {"uris": scene.beta.uris()})


@check("takeover.refused_while_any_member_serves", 60)
def any_member_serves(context):
    """gamma asks beta, which took over, and not only the configured primary."""
    lab = Lab(context.directory, {"data": 1 << 20}, standbys=("beta", "gamma"))
    gamma = lab.nodes["gamma"]
    try:
        for node in lab.nodes.values():
            node.spawn()
        lab.wait_serving()
        lab.wait_streaming(lab.beta)
        lab.wait_streaming(gamma)
        lab.alpha.kill9()
        lab.beta.one("takeover", GROUP, "--force")
        lab.wait_streaming(gamma)
        lab.beta.do("pause", GROUP)
        wait_for("gamma waits", lambda: gamma.status()["state"] == "waiting", 20)
        gamma.cli("takeover", GROUP, "--force").expect(3, "beta")
        require(gamma.status()["role"] == "standby", "a refused takeover changed the role")
        lab.beta.do("unpause", GROUP)
        lab.wait_streaming(gamma)
        lab.wait_serving(lab.beta)
    except Failed:
        lab.say_logs()
        raise
    finally:
        lab.close()


@check("takeover.old_primary_returns_unseen", 60)
def old_primary_returns_unseen(context):
    """It branched by itself while nobody answered, and serves; when it hears of the takeover, it steps down."""
    with Scene(context, {"data": 1 << 20}) as scene:
        prepare(scene, 20)
        scene.alpha.kill9()
        take_over(scene)
        scene.beta.freeze()
        scene.alpha.start()
        scene.lab.wait_serving(scene.alpha)
        scene.beta.thaw()
        wait_for("the old primary steps down", lambda: not_serving(scene.alpha), 30)
        nothing_served(scene.alpha)
        require("adopt" in scene.alpha.told(), "the old primary does not say what to do")
        all_succeeded(scene.write(10))
        for node in (scene.alpha, scene.beta):
            node.term()
        scene.alpha.start()
        scene.beta.start()
        scene.lab.wait_serving(scene.beta)
        nothing_served(scene.alpha)
