"""`everstep verify`: standbys compared with the primary while both run, and brought what differs; also by itself."""

import os
import shutil
from concurrent.futures import ThreadPoolExecutor, as_completed

from checks.reload import reload
from everstep_lab.base import require, wait_for
from everstep_lab.nbdio import connect, raw_images
from everstep_lab.nodes import GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import all_succeeded

MIB = 1 << 20
BLOCK = 4096


def spoil(node, places):
    """Somebody writes to the replica past everstepd."""
    with open(node.device(), "r+b") as file:
        for at in places:
            file.seek(at)
            file.write(os.urandom(100))
        file.flush()
        os.fsync(file.fileno())


def fill(scene, size):
    """Noise in each MiB; returns the head."""
    client = connect(scene.alpha.uri())
    for at in range(0, size, MIB):
        client.pwrite(os.urandom(MIB), at)
    client.shutdown()
    return scene.lab.wait_caught_up()


def result_of(answer):
    return answer.json()[-1]["standbys"][0]


def alarms(node):
    return [one for one in node.events() if one["kind"] == "alarm-verify"]


@check("verify.equal_while_written", 180)
def equal_while_written(context):
    """Blocks that are written all the time are not told as different."""
    with Scene(context, {"data": 8 * MIB, "logs": 1 * MIB}) as scene:
        scene.start()
        work = scene.workload(2, 8)
        work.start(pace=800)
        for _ in range(context.count(5, 50)):
            result = result_of(scene.alpha.cli("verify", GROUP).expect(0))
            require(result["differing_bytes"] == 0 and result["compared_bytes"] == 9 * MIB, f"verify says {result}")
        require(result_of(scene.beta.cli("verify", GROUP).expect(0))["node"] == "beta", "asked on the standby")
        work.stop()
        all_succeeded(work.ops())
        require(not scene.beta.status()["history"]["gaps"], "a verify without a difference left a gap")


@check("verify.finds_and_repairs", 180)
def finds_and_repairs(context):
    """What differs is named, brought, and stands in the history as a gap; a step before it stays a point."""
    size = 16 * MIB
    with Scene(context, {"data": size}) as scene:
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        lab.start()
        head = fill(scene, size)
        client = connect(alpha.uri())
        places = [3 * MIB + BLOCK, 3 * MIB + 2 * BLOCK, 9 * MIB]
        spoil(beta, places)
        answer = alpha.cli("verify", GROUP)
        answer.expect(1, "beta", "differs from the primary", "--repair")
        found = result_of(answer)
        require(found["differing_bytes"] == 3 * BLOCK, f"verify says {found}")
        wanted = [(3 * MIB + BLOCK, 2 * BLOCK), (9 * MIB, BLOCK)]
        require([(one["offset"], one["length"]) for one in found["extents"]] == wanted, f"verify says {found}")
        require(alarms(alpha), "no alarm")
        client.pwrite(b"x" * BLOCK, 12 * MIB)
        repaired = result_of(alpha.cli("verify", GROUP, "--repair").expect(0))
        require(repaired["repaired"] and repaired["differing_bytes"] == 3 * BLOCK, f"verify says {repaired}")
        lab.wait_streaming()
        lab.wait_caught_up()
        require(raw_images(beta) == raw_images(alpha), "the pair is not equal after the repair")
        require(beta.status()["history"]["gaps"] == 1, "a repair is one gap")
        beta.do("rewind", GROUP, f"step:{head}")  # a step before the repair is still a point
        beta.do("resume", GROUP)
        require(result_of(alpha.cli("verify", GROUP).expect(0))["differing_bytes"] == 0, "not repaired")
        client.shutdown()


@check("verify.without_the_standby", 120)
def without_the_standby(context):
    """A standby that cannot be compared is no success; nor is one that goes in the middle."""
    with Scene(context, {"data": 64 * MIB}, sync_rate="8MiB") as scene:
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        lab.start()
        fill(scene, MIB)
        alpha.cli("verify", GROUP, "--standby", "gamma").expect(2, "gamma")
        with ThreadPoolExecutor() as others:
            running = [others.submit(alpha.cli, "verify", GROUP) for _ in range(2)]
            first = next(as_completed(running))
            first.result().expect(1, "runs already")
            beta.kill9()
            running[first is running[0]].result().expect(1, "beta", "not compared")
        wait_for("the loss is seen", lambda: alpha.status()["peers"][0]["state"] != "connected", 30)
        alpha.cli("verify", GROUP).expect(1, "beta was not compared", "not connected")
        beta.start()
        lab.wait_streaming()


@check("verify.repair_of_a_standby_that_goes", 180)
def repair_of_a_standby_that_goes(context):
    """The command ends when the link stays away, another may run, and the repair is done when the standby is back."""
    size = 16 * MIB
    with Scene(context, {"data": size}, sync_rate="4MiB") as scene:
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        lab.start()
        fill(scene, size)
        spoil(beta, range(0, size, BLOCK))  # the repair takes four seconds
        with ThreadPoolExecutor() as others:
            running = others.submit(alpha.cli, "verify", GROUP, "--repair")
            wait_for("the difference is found", lambda: alarms(alpha), 60, every=0.01)
            beta.kill9()
            answer = running.result()
        answer.expect(1, "beta", "differs from the primary")
        alpha.cli("verify", GROUP).expect(1, "beta was not compared", "not connected")
        beta.start()
        lab.wait_streaming()
        lab.wait_caught_up()
        require(result_of(alpha.cli("verify", GROUP).expect(0))["differing_bytes"] == 0, "not repaired")


@check("verify.by_itself", 240)
def by_itself(context):
    """`verify_every` finds a foreign write unasked, under writes, and says so; a restart forgets nothing."""
    size = 8 * MIB
    with Scene(context, {"data": size}) as scene:
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        lab.start()
        fill(scene, size)

        def verified():
            return alpha.status()["peers"][0]["verified"]

        def set_every(value):
            lab.group["verify_every"] = value
            lab.write_config()
            for node in (beta, alpha):
                reload(node, f"verify_every: {value}")
        require(verified() is None, "it is off, and ran")
        set_every("2s")
        first = wait_for("it ran", verified, 60)
        require(first["differing_bytes"] == 0 and first["compared_bytes"] == size, f"status says {first}")
        spoil(beta, [5 * MIB])
        client = connect(alpha.uri())

        def found():
            client.pwrite(os.urandom(BLOCK), 3 * MIB)
            now = verified()
            return now if now["differing_bytes"] else None
        second = wait_for("the foreign write is found", found, 60)
        require(second["differing_bytes"] == BLOCK and second["time"] > first["time"], f"status says {second}")
        require(second["lsn"] >= first["lsn"] and not second["repaired"], f"status says {second}")
        require(alarms(alpha), "no alarm")
        require(not beta.status()["history"]["gaps"], "it was repaired unasked")
        client.shutdown()

        set_every("3600s")
        kept = wait_for("none runs", lambda: alpha.status()["peers"][0]["verifying"] is None and verified(), 60)
        alpha.term()
        alpha.start()
        lab.wait_serving()
        lab.wait_caught_up()
        require(verified() == kept, f"before the restart {kept}, behind it {verified()}")
        require(result_of(alpha.cli("verify", GROUP, "--repair").expect(0))["repaired"], "not repaired")
        require(verified()["repaired"], f"status says {verified()}")
        require(result_of(alpha.cli("verify", GROUP).expect(0))["differing_bytes"] == 0, "not repaired")
        require(verified()["differing_bytes"] == 0, f"a command counts, too: {verified()}")


@check("verify.not_beside_a_copy", 180)
def not_beside_a_copy(context):
    """`verify_every` begins nothing while a standby is copied, and does when the copy is done."""
    size = 24 * MIB
    with Scene(context, {"data": size}, standbys=("beta", "gamma"), sync_rate="4MiB") as scene:
        lab, alpha, gamma = scene.lab, scene.alpha, scene.lab.nodes["gamma"]
        lab.start()
        fill(scene, size)
        gamma.kill9()
        shutil.rmtree(gamma.state)
        os.remove(gamma.device())
        gamma.start()

        def peers():
            return {one["node"]: one for one in alpha.status()["peers"]}
        wait_for("gamma is copied", lambda: peers()["gamma"]["copy"], 60)
        lab.group["verify_every"] = "1s"
        lab.write_config()
        for node in (scene.beta, gamma, alpha):
            reload(node, "verify_every: 1s")
        began = []

        def copied():
            now = peers()
            if now["gamma"]["copy"] is None:
                return True
            began.append(now["beta"]["verifying"] or now["beta"]["verified"])
            return False
        wait_for("the copy is done", copied, 60, every=0.05)
        require(not any(began), f"beside the copy of gamma beta was verified: {began}")
        require(len(began) >= 10, f"the copy was seen {len(began)} times only")
        for name in ("beta", "gamma"):
            done = wait_for(f"{name} is verified", lambda name=name: peers()[name]["verified"], 120)
            require(done["differing_bytes"] == 0 and done["compared_bytes"] == size, f"{name}: {done}")
