"""The stored bytes looked at: everstep-journal on the store of a killed standby, and the scrub of a running one."""

import glob
import json
import os

from checks.branches import Branch
from everstep_lab.base import Child, require, run, wait_for
from everstep_lab.model import name_of, same_images
from everstep_lab.nodes import BIN, EVERSTEP, GROUP, Answer
from everstep_lab.registry import check
from everstep_lab.scene import Scene

TOOL = os.path.join(BIN, "everstep-journal")


def tool(*words):
    argv = [TOOL, *words]
    return Answer(argv, run(argv, check=False))


def store_of(node):
    return os.path.join(node.state, "groups", GROUP, "store")


def content(directory):
    return {name: open(os.path.join(directory, name), "rb").read() for name in sorted(os.listdir(directory))}


def flip(path, at):
    """Changes one byte, or changes it back."""
    with open(path, "r+b") as file:
        file.seek(at)
        byte = file.read(1)[0]
        file.seek(at)
        file.write(bytes([byte ^ 1]))


def flip_payload(path):
    """Changes a byte of the first payload of a segment."""
    at = open(path, "rb").read().index(b"EVSF") + 128 + 10
    flip(path, at)
    return at


def damaged_payload(store, volumes):
    """Flips a byte of a payload in the oldest segment; gives its step."""
    redo = sorted(glob.glob(os.path.join(store, "redo-0*")))[0]
    for line in tool("dump", store, "--segment", str(int(redo[-16:], 16)), "--json").expect(0).json():
        data = [step for step in line.get("steps", []) if step["kind"] == "data"]
        if line["kind"] != "frame" or not data:
            continue
        at = line["offset"] + 64 + 128 + 10  # the first payload lies behind the frame's header
        flip(redo, at)
        require(data[0]["volume"] < volumes, f"the dump names volume {data[0]['volume']}")
        return redo, at, data[0]
    return None


@check("journal_tool.dead_standby", 240)
def dead_standby(context):
    """A killed standby's store: refused while it runs; then verified, dumped, extracted, rebuilt, and not changed."""
    with Scene(context, {"data": 1 << 20, "log": 1 << 19}, segment_bytes="1MiB") as scene:
        scene.start()
        scene.write(context.count(150, 1500), 2, 8)
        scene.settle()
        store = store_of(scene.beta)
        for command in ("dump", "verify", "rebuild"):
            tool(command, store).expect(3, "has the store open", "everstepd", str(scene.beta.child.pid))
        scene.beta.kill9()
        before = content(store)
        tool("verify", store).expect(0, "no damage")
        lines = tool("dump", store, "--json").expect(0).json()
        steps = [step["lsn"] for line in lines if line["kind"] == "frame" for step in line["steps"]
                 if step["kind"] in ("data", "zero", "discard", "reread", "sync")]
        require(steps == list(range(1, scene.model.head[1] + 1)), "the dump does not hold every step once, in order")
        replicas = [scene.beta.device(volume) for volume in scene.lab.volumes]
        for key in scene.sample(context.count(12, 100)):
            outputs = [os.path.join(context.directory, f"out-{volume}") for volume in scene.lab.volumes]
            timeline, lsn = key
            tool("extract", store, "--replica", *replicas, "--step", f"t:{timeline}@step:{lsn}", "-o",
                 *outputs).expect(0)
            images = {volume: open(path, "rb").read() for volume, path in zip(scene.lab.volumes, outputs)}
            scene.model.check(key, images, f"the extract of {name_of(key)}")
            for path in outputs:
                os.unlink(path)
        require(content(store) == before, "dump, verify or extract changed the store")
        for path in glob.glob(os.path.join(store, "*-index-*")) + glob.glob(os.path.join(store, "catalogue-*")):
            os.unlink(path)
        tool("rebuild", store).expect(0, "wrote", "the catalogue of", "was written")
        require(os.path.exists(os.path.join(store, "catalogue-0")), "the rebuild wrote no catalogue")
        tool("verify", store).expect(0, "no damage")

        redo, at, step = damaged_payload(store, len(scene.lab.volumes))
        found = tool("verify", store, "--json").expect(1).json()[0]["damage"]
        require(len(found) == 1 and found[0]["file"] == redo and found[0]["first"] == step["lsn"] and
                found[0]["offset"] <= at < found[0]["offset"] + found[0]["length"] and
                found[0]["extents"] == [{key: step[key] for key in ("volume", "offset", "length")}],
                f"a flipped payload byte at {at} of step {step} is reported as {json.dumps(found)}")
        flip(redo, at)
        tool("verify", store).expect(0, "no damage")
        scene.beta.start()
        scene.lab.wait_caught_up()
        require(not any("catalogue" in event["text"] for event in scene.beta.events()),
                "the rebuilt catalogue is not the store's")
        scene.write(20, 2, 8)
        scene.settle()


@check("journal_tool.scrub", 240)
def scrub(context):
    """A running node's scrub: nothing found under writes; a flipped byte with place and extent; other steps stay."""
    with Scene(context, {"data": 1 << 20}, segment_bytes="1MiB") as scene:
        scene.start()
        scene.write(context.count(150, 1500), 2, 8)
        scene.settle()
        work = scene.workload(2, 8)
        for _ in range(3):
            work.run(40)
            body = scene.beta.one("scrub", GROUP, "--rate", "1GiB")
            require(body["damages"] == 0 and body["damage"] == [] and body["segments"] >= 1, f"scrub says {body}")
        scene.settle()
        # Through the other node, too.
        require(scene.alpha.one("scrub", GROUP, "--rate", "1GiB")["damages"] == 0, "a relayed scrub found damage")
        redo = sorted(glob.glob(os.path.join(store_of(scene.beta), "redo-0*")))[0]
        at = flip_payload(redo)
        answer = scene.beta.cli("scrub", GROUP, "--rate", "1GiB").expect(1, "damaged place")
        damage = json.loads(answer.out)["damage"]
        require(len(damage) == 1 and damage[0]["file"] == redo and damage[0]["first"] is not None and
                damage[0]["offset"] <= at < damage[0]["offset"] + damage[0]["length"] and
                damage[0]["extents"][0]["volume"] == "data", f"a flipped byte at {at} is reported as {damage}")
        require(any(event["kind"] == "alarm-damage" and redo in event["text"] for event in scene.beta.events()),
                "no alarm names the damage")
        scene.check_export(scene.model.head)
        flip(redo, at)
        scene.write(20, 2, 8)
        scene.settle()
        require(scene.beta.one("scrub", GROUP, "--rate", "1GiB")["damages"] == 0, "the mended byte is reported")


def segments_of(node):
    """The redo files of its store, oldest first, with their numbers; the newest is the open one."""
    files = glob.glob(os.path.join(store_of(node), "redo-" + "[0-9a-f]" * 16))
    return [(int(path[-16:], 16), path) for path in sorted(files)]


def kill_in_scrub(context, node):
    """Kills the node once a slow scrub has done a segment."""
    log = os.path.join(context.directory, "scrub.log")
    words = [EVERSTEP, "--config", node.lab.config, "--node", node.name, "scrub", GROUP, "--rate", "2MiB"]
    watcher = Child(words, log)
    kept = os.path.join(store_of(node), "scrub")
    wait_for("a segment is scrubbed", lambda: os.path.exists(kept), 60)
    require(watcher.alive(), f"the scrub ended at once: {watcher.tail()}")
    node.kill9()
    require(watcher.wait() != 0, "a scrub whose node was killed says that it is done")
    require("ended the connection" in watcher.tail(), f"the cut scrub said {watcher.tail()}")


@check("journal_tool.scrub_killed", 240)
def scrub_killed(context):
    """A scrub that kill -9 of its node cut short goes on behind the segments that it did, and its end says all."""
    with Scene(context, {"data": 4 << 20}, segment_bytes="1MiB") as scene:
        scene.start()
        while len(segments_of(scene.beta)) < 7:
            scene.write(100, 2, 8)
        scene.settle()
        first, oldest = segments_of(scene.beta)[0]
        at = flip_payload(oldest)
        kill_in_scrub(context, scene.beta)
        flip(oldest, at)  # a start may read it again
        scene.beta.start()
        scene.lab.wait_caught_up()

        sealed = segments_of(scene.beta)[:-1]
        at = flip_payload(sealed[-1][1])
        answer = scene.beta.cli("scrub", GROUP, "--rate", "1GiB").expect(1, "damaged place")
        body = json.loads(answer.out)
        require(body["resumed_at"] is not None and first < body["resumed_at"] <= sealed[-1][0],
                f"the scrub went on at {body['resumed_at']}, wanted behind {first}")
        left = [number for number, _ in segments_of(scene.beta) if number >= body["resumed_at"]]
        require(body["segments"] == len(left), f"the rest of the scrub was {body['segments']} segments, wanted {left}")
        require(body["damages_before"] == 1, f"the damage in the first part is forgotten: {body}")
        require(body["damages"] == 1 and [one["file"] for one in body["damage"]] == [sealed[-1][1]],
                f"the damage in {sealed[-1][1]} is reported as {body}")
        flip(sealed[-1][1], at)

        # It came to its end: the next one begins at the beginning.
        body = scene.beta.one("scrub", GROUP, "--rate", "1GiB")
        require(body["resumed_at"] is None and body["segments"] == len(segments_of(scene.beta)),
                f"the next scrub is not a whole one: {body}")
        require(body["damages"] == 0 and body["damages_before"] == 0, f"the next scrub says {body}")
        scene.write(20, 2, 8)
        scene.settle()


@check("journal_tool.branches", 240)
def branches(context):
    """The steps of a dead node's branch, and of one over it, come out; not without the store below."""
    with Scene(context, {"data": 1 << 20, "log": 1 << 19}) as scene:
        scene.start()
        scene.write(60, 2, 8)
        scene.settle()
        branch = Branch(scene.beta, "step:30", scene.random)
        branch.write(8)
        child = Branch(scene.beta, f"t:{branch.key()[0]}@step:{branch.key()[1] - 3}", scene.random)
        child.write(4)
        scene.beta.kill9()
        group = store_of(scene.beta)
        stores = {one.id: os.path.join(os.path.dirname(group), "branches", one.id, "store") for one in (branch, child)}
        over = {branch.id: (group,), child.id: (stores[branch.id], group)}
        before = {store: content(store) for store in (group, *stores.values())}
        for one in (branch, child):
            tool("verify", stores[one.id]).expect(0, "no damage")
            for key, images in one.steps.items():
                same_images(f"step {name_of(key)} of export {one.id}",
                            extracted(scene, stores[one.id], key, "--over", *over[one.id]), images)
        words = ("--step", "0", "--replica", *map(scene.beta.device, scene.lab.volumes),
                 "-o", "/nowhere/a", "/nowhere/b")
        tool("extract", stores[branch.id], *words).expect(2, "--over")
        tool("extract", stores[child.id], *words, "--over", group).expect(3)
        require({store: content(store) for store in before} == before, "extract changed a store")


def extracted(scene, store, key, *words):
    outputs = {volume: os.path.join(scene.lab.directory, f"{volume}.extracted") for volume in scene.lab.volumes}
    for path in outputs.values():
        if os.path.exists(path):
            os.unlink(path)
    tool("extract", store, "--step", f"t:{key[0]}@step:{key[1]}", "--replica",
         *map(scene.beta.device, scene.lab.volumes), "-o", *outputs.values(), *words).expect(0)
    return {volume: open(path, "rb").read() for volume, path in outputs.items()}
