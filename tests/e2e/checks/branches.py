"""Writable exports: a step that is written on, with steps of its own, over restarts and kill -9."""

from everstep_lab.base import require, wait_for
from everstep_lab.history import fetch
from everstep_lab.model import same_images
from everstep_lab.nbdio import connect, read_device, read_point
from everstep_lab.nodes import GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene

SECTOR = 512


class Branch:
    """A writable export and what each of its steps holds: {lsn: images by volume} of the newest timeline."""

    def __init__(self, node, point, random):
        self.node, self.random = node, random
        _, self.images = read_point(node, point)
        self.body = node.one("export", GROUP, point, "--writable")
        self.id, self.base = self.body["id"], self.body["lsn"]
        self.steps = {}
        self.note()

    def told(self):
        found = [one for one in self.node.do("exports", GROUP) if one["id"] == self.id]
        require(len(found) == 1, f"export {self.id} is listed {len(found)} times")
        return found[0]

    def key(self):
        told = self.told()
        return told["timeline"], told["lsn"]

    def note(self):
        self.steps[self.key()] = dict(self.images)

    def write(self, count):
        """Random writes and zeroes, each a step; all flushed at the end."""
        for _ in range(count):
            volume = self.random.choice(sorted(self.images))
            image = bytearray(self.images[volume])
            length = SECTOR * self.random.randint(1, 24)
            at = self.random.randrange(0, len(image) - length, SECTOR)
            handle = connect(self.told()["uris"][volume])
            if self.random.random() < 0.2:
                handle.zero(length, at)
                image[at:at + length] = bytes(length)
            else:
                content = self.random.randbytes(length)
                handle.pwrite(content, at)
                image[at:at + length] = content
            handle.flush()
            handle.shutdown()
            self.images[volume] = bytes(image)
            self.note()

    def served(self):
        return {volume: read_device(uri) for volume, uri in self.told()["uris"].items()}

    def compare(self, what):
        same_images(f"{what}: served by export {self.id}", self.served(), self.images)
        for (timeline, lsn), images in self.steps.items():
            found, content = read_point(self.node, f"t:{timeline}@step:{lsn}")
            require(found[1] == lsn, f"{what}: step {lsn} of {timeline} is {found}")
            same_images(f"{what}: step {lsn} of {timeline}", content, images)


def sectors_that_differ(a, b):
    return {(volume, at) for volume in a for at in range(0, len(a[volume]), SECTOR)
            if a[volume][at:at + SECTOR] != b[volume][at:at + SECTOR]}


def sectors_of(extents):
    return {(one["volume"], at) for one in extents
            for at in range(one["offset"], one["offset"] + one["length"], SECTOR)}


@check("branches.steps_of_their_own", 300)
def steps_of_their_own(context):
    with Scene(context) as scene:
        scene.start()
        scene.write(120, 2, 8)
        scene.settle()
        beta = scene.beta
        one = Branch(beta, "step:60", scene.random)
        other = Branch(beta, "step:60", scene.random)
        one.write(12)
        other.write(5)
        scene.write(60, 2, 8)  # the group goes on beside them
        one.compare("first")
        other.compare("second")
        scene.settle()
        scene.check_every_export(keys=scene.sample(5))

        # Its steps in the log, on top of those that it branched from.
        timeline, head = one.key()
        listed = fetch(beta, "--to", f"t:{timeline}@head").rows
        require([row.lsn for row in listed] == list(range(1, head + 1)),
                f"the log of a branch lists {[row.lsn for row in listed][:20]}")
        require({row.timeline for row in listed if row.lsn > 60} == {timeline},
                "the steps of the branch are of its timeline")

        # Differences: along it, and between the two, which meet at their base.
        far = other.key()
        for a, b in (("step:60", one.key()), (one.key(), far)):
            names = [f"t:{p[0]}@step:{p[1]}" if isinstance(p, tuple) else p for p in (a, b)]
            wanted = sectors_that_differ(read_point(beta, names[0])[1], read_point(beta, names[1])[1])
            found = sectors_of(beta.do("diff", GROUP, *names))
            require(found == wanted, f"diff {names}: {len(found)} sectors, wanted {len(wanted)}")

        # Marks, and points that reach from a branch over to what is below it.
        beta.do("mark", GROUP, "repaired", "--at", f"t:{timeline}@head~2")
        require(read_point(beta, "repaired")[0] == (timeline, head - 2), "a mark on a branch")
        require(read_point(beta, "repaired~11")[0][1] == head - 13, "a mark's way below the branch")
        beta.cli("mark", GROUP, "repaired").expect(1, "taken")
        require("repaired" in [mark["name"] for mark in beta.do("marks", GROUP)], "marks lists it")
        beta.do("unmark", GROUP, "repaired")
        beta.cli("export", GROUP, "repaired").expect(1)


@check("branches.back_and_forward", 300)
def back_and_forward(context):
    with Scene(context) as scene:
        scene.start()
        scene.write(60, 2, 8)
        scene.settle()
        beta = scene.beta
        branch = Branch(beta, "head~20", scene.random)
        branch.write(10)
        keys = list(branch.steps)
        timeline, head = keys[-1]
        # Back, other writes there, and forward again to what was left.
        for key in (keys[4], keys[-1], keys[0]):
            name = f"t:{key[0]}@step:{key[1]}"
            handle = connect(branch.told()["uris"]["data"])
            beta.cli("rewind", GROUP, name, "--branch", branch.id).expect(3, "in use")
            handle.shutdown()
            wait_for("the client is gone", lambda: beta.cli(
                "rewind", GROUP, name, "--branch", branch.id).code == 0, 20)
            branch.images = dict(branch.steps[key])
            same_images(f"back at {name}", branch.served(), branch.images)
            branch.write(3)
        branch.compare("after three turns")
        # A branch over a branch.
        child = Branch(beta, f"t:{timeline}@step:{head}", scene.random)
        child.write(4)
        child.compare("over a branch")
        branch.compare("below it")

        beta.cli("rewind", GROUP, f"t:{timeline}@head").expect(3, f"export {branch.id}")
        beta.cli("takeover", GROUP, f"t:{timeline}@head", "--force").expect(3)
        beta.cli("rewind", GROUP, "head~1", "--branch", branch.id).expect(3, branch.id)
        beta.cli("rewind", GROUP, "head~1", "--branch", "999").expect(1, "999")
        beta.cli("unexport", branch.id).expect(3, "--drop")
        beta.cli("unexport", branch.id, "--drop").expect(3, child.id)
        beta.do("unexport", child.id, "--drop")
        beta.do("unexport", branch.id, "--drop")
        require(beta.do("exports") == [], "both are gone")
        beta.cli("export", GROUP, f"t:{timeline}@head").expect(3)
        unwritten = beta.one("export", GROUP, "head", "--writable")
        beta.do("unexport", unwritten["id"])  # nothing was written: nothing is lost
        scene.settle()
        scene.check_every_export(keys=scene.sample(5))


@check("branches.restarts", 300)
def restarts(context):
    with Scene(context) as scene:
        scene.start()
        scene.write(60, 2, 8)
        scene.settle()
        beta = scene.beta
        branch = Branch(beta, "step:30", scene.random)
        branch.write(6)
        child = Branch(beta, f"t:{branch.key()[0]}@step:{branch.key()[1] - 2}", scene.random)
        child.write(3)
        # It stands on a timeline of its own that is not the one it began with.
        key = list(branch.steps)[2]
        wait_for("its clients are gone", lambda: beta.cli(
            "rewind", GROUP, f"t:{key[0]}@step:{key[1]}", "--branch", branch.id).code == 0, 20)
        branch.images = dict(branch.steps[key])
        branch.write(2)
        timelines = []
        for end in (beta.term, beta.kill9, beta.kill9):
            timelines.append(branch.key()[0])
            end()
            beta.start()
            wait_for("both are served again", lambda: len(
                [one for one in beta.do("exports") if one["uri"]]) == 2, 60)
            branch.compare(f"after {end.__name__}")
            child.compare(f"after {end.__name__}")
            branch.write(3)
            child.write(2)
        require(timelines[0] == timelines[1], "a clean stop goes on on the same timeline")
        require(timelines[1] != timelines[2], "one that was not clean begins a new one")
        branch.compare("at the end")
        child.compare("at the end")
        ids = [int(branch.id), int(child.id)]
        new = beta.one("export", GROUP, "head")
        require(int(new["id"]) > max(ids), f"export {new['id']} is none of {ids}")
        scene.lab.wait_streaming()
        scene.write(20)
        scene.settle()
        scene.check_every_export(keys=scene.sample(5))
