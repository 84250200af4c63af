"""The naive model: a tree of steps, each a whole image made by doing its path's operations in order.

A step is (timeline, lsn). It knows its parent, its operation (none for `sync`), or an image that was checked in
another way (the end of a gap: see history.py). Nothing here knows how the product stores anything.
"""

from dataclasses import dataclass

from .base import Failed, require
from .workload import SECTOR, describe

CHECKPOINT = 128  # steps between kept images


@dataclass
class Step:
    key: tuple
    parent: tuple
    op: object = None
    row: tuple = ()
    image: dict = None     # given for the end of a gap
    inside: bool = False   # of a gap: listed, but no point


def difference(found, wanted):
    """In words, where two images of a volume differ first; None: equal."""
    if found == wanted:
        return None
    if len(found) != len(wanted):
        return f"{len(found)} bytes, wanted {len(wanted)}"
    bad = [at for at in range(0, len(wanted), SECTOR) if found[at:at + SECTOR] != wanted[at:at + SECTOR]]
    at = bad[0]
    return (f"{len(bad)} sectors differ, the first at byte {at}: found {describe(found[at:at + SECTOR])}, "
            f"wanted {describe(wanted[at:at + SECTOR])}")


def same_images(what, found, wanted):
    for volume in wanted:
        words = difference(found[volume], wanted[volume])
        if words is not None:
            raise Failed(f"{what}: volume {volume}: {words}")


class Model:
    def __init__(self, volumes, root, base=None):
        self.volumes = dict(volumes)
        base = base or {name: bytes(size) for name, size in self.volumes.items()}
        self.root = root
        self.steps = {root: Step(root, None, image=base)}
        self.kept = {}
        self.head = root

    def add(self, step):
        require(step.key not in self.steps, f"the model has {step.key} already")
        require(step.parent in self.steps, f"step {step.key} follows {step.parent}, which the model does not have")
        self.steps[step.key] = step

    def path(self, key):
        """Keys from the root to `key`."""
        keys = []
        while key is not None:
            keys.append(key)
            key = self.steps[key].parent
        return keys[::-1]

    def points(self, key=None):
        """The path's steps that are points (not inside a gap), oldest first."""
        return [k for k in self.path(key or self.head) if not self.steps[k].inside]

    @staticmethod
    def write(images, op):
        images[op.volume][op.offset:op.offset + op.length] = op.content()

    def image(self, key):
        """The images at a step: a fresh dict of bytes."""
        require(key in self.steps, f"the model has no step {key}")
        todo, at = [], key
        while at not in self.kept and self.steps[at].image is None:
            todo.append(at)
            at = self.steps[at].parent
        start = self.kept.get(at) or self.steps[at].image
        images = {name: bytearray(content) for name, content in start.items()}
        for at in reversed(todo):
            if self.steps[at].op is not None:
                self.write(images, self.steps[at].op)
        frozen = {name: bytes(content) for name, content in images.items()}
        if len(todo) >= CHECKPOINT:
            self.kept[key] = frozen
        return frozen

    def walk(self, key=None):
        """(key, images) for every point of a path, oldest first; the images are valid until the next one."""
        images = None
        for at in self.path(key or self.head):
            step = self.steps[at]
            if step.image is not None:
                images = {name: bytearray(content) for name, content in step.image.items()}
            elif step.op is not None:
                self.write(images, step.op)
            if not step.inside:
                yield at, images

    def check(self, key, images, what):
        step = self.steps.get(key)
        require(step is not None, f"{what}: {name_of(key)} is no step that the model knows")
        require(not step.inside, f"{what}: {name_of(key)} lies inside a gap and was given as a point")
        same_images(f"{what} at {name_of(key)}", images, self.image(key))


def name_of(key):
    """The point expression of a step."""
    return f"t:{key[0]}@step:{key[1]}"


def permitted(start, loose, volume):
    """What each sector may hold after a crash: {sector: set of contents}, for the sectors that loose writes touch.

    `loose`: operations without a place in history, answered or not. The content of one stays possible unless an
    answered one on the same sector was submitted after it completed; the old content only where none was answered.
    """
    touching = {}
    for op in loose:
        if op.volume == volume:
            for sector in range(op.offset // SECTOR, (op.offset + op.length) // SECTOR):
                touching.setdefault(sector, []).append(op)
    allowed = {}
    for sector, ops in touching.items():
        sure = [op for op in ops if op.outcome == "ok"]
        latest = max((op.submit for op in sure), default=0)
        alive = [op for op in ops if op.outcome != "ok" or op.complete >= latest]
        at = sector * SECTOR
        contents = {op.content()[at - op.offset:at - op.offset + SECTOR] for op in alive}
        if not sure:
            contents.add(bytes(start[at:at + SECTOR]))
        allowed[sector] = contents
    return allowed


def check_after_crash(what, found, start, loose, sure):
    """An image at the end of a gap: `sure` operations in their order, over any permitted outcome of `loose`."""
    for volume, content in found.items():
        require(len(content) == len(start[volume]), f"{what}: volume {volume} has {len(content)} bytes")
        allowed = permitted(start[volume], loose, volume)
        for op in sure:
            if op.volume == volume:
                body = op.content()
                for at in range(0, op.length, SECTOR):
                    allowed[(op.offset + at) // SECTOR] = {body[at:at + SECTOR]}
        for at in range(0, len(content), SECTOR):
            sector = content[at:at + SECTOR]
            wanted = allowed.get(at // SECTOR, (start[volume][at:at + SECTOR],))
            if sector not in wanted:
                raise Failed(f"{what}: volume {volume} byte {at}: found {describe(sector)}, "
                             f"may only be {' or '.join(sorted(describe(w) for w in wanted))}")
