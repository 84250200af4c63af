"""A lab with its model: what nearly every check begins with. Roles may change; `primary` and `standby` follow."""

import random
from dataclasses import dataclass

from .base import Failed, require
from .history import Matcher, check_flush_marks, fetch
from .model import Model, name_of, same_images
from .nbdio import raw_images, read_device, read_point
from .nodes import GROUP, Lab
from .workload import Oplog, Profile, Workload


@dataclass
class Context:
    """What the runner gives to a check."""
    name: str
    directory: str
    seed: int
    long: bool = False

    def count(self, short, long):
        return long if self.long else short

    @staticmethod
    def say(text):
        print(f"  {text}", flush=True)


class Scene:
    def __init__(self, context, volumes=None, ack="local", **group):
        self.context = context
        self.lab = Lab(context.directory, volumes or {"data": 2 << 20, "logs": 1 << 20}, ack, **group)
        self.alpha, self.beta = self.lab.alpha, self.lab.beta
        self.primary, self.standby = self.alpha, self.beta
        self.random = random.Random(context.seed ^ 0x5EED)
        self.oplog = Oplog(self.lab.volumes, context.seed)
        self.model = self.matcher = None

    def __enter__(self):
        return self

    def __exit__(self, kind, value, trace):
        if kind is not None and kind is not KeyboardInterrupt:
            self.lab.say_logs()
        self.lab.close()

    # ---- beginning
    def start(self, base=None):
        self.lab.start()
        self.begin_model(base)
        return self

    def begin_model(self, base=None):
        status = self.standby.status()
        root = (status["timeline"], status["history"]["oldest"])
        self.model = Model(self.lab.volumes, root, base)
        self.matcher = Matcher(self.model, self.oplog)

    def workload(self, connections=1, depth=8, node=None, profile=None):
        return Workload(self.oplog, (node or self.primary).uris(), connections, depth, profile or Profile())

    def write(self, count, connections=1, depth=8):
        work = self.workload(connections, depth)
        work.run(count)
        return work.ops()

    # ---- ending of writes
    def read_step(self, key):
        found, images = read_point(self.standby if self.standby else self.primary, name_of(key))
        require(found == key, f"export of {name_of(key)} serves {name_of(found)}")
        return images

    def take_log(self, node=None, crash=0, gap_allowed=False):
        """Reads the log into the model; all writes have ended and are there."""
        listing = fetch(node or self.standby or self.primary)
        self.matcher.absorb(listing, self.read_step, crash, gap_allowed)
        return listing

    def settle(self, crash=0, gap_allowed=False):
        """The pair is together, the log explains every write, both devices equal the model's head."""
        newest = self.lab.wait_caught_up(self.primary, self.standby)
        listing = self.take_log(None, crash, gap_allowed)
        require(self.model.head[1] == newest, f"the log ends at step {self.model.head[1]}, captured is {newest}")
        self.equal_pair()
        return listing

    def equal_pair(self):
        """Raw files of both nodes and the primary's served volumes equal the model's head."""
        wanted = self.model.image(self.model.head)
        self.check_raw(self.primary, self.model.head)
        self.check_raw(self.standby, self.model.head)
        served = {volume: read_device(uri) for volume, uri in self.primary.uris().items()}
        same_images(f"what {self.primary.name} serves", served, wanted)

    def check_raw(self, node, key):
        self.model.check(key, raw_images(node), f"the raw files of {node.name}")

    # ---- comparing steps
    def check_export(self, key, node=None):
        node = node or self.standby or self.primary
        found, images = read_point(node, name_of(key))
        require(found == key, f"export of {name_of(key)} serves {name_of(found)}")
        self.model.check(key, images, f"an export on {node.name}")

    def check_every_export(self, node=None, keys=None):
        """All points of the head's path in one walk (the model's images are made once)."""
        node = node or self.standby or self.primary
        wanted, count = None if keys is None else set(keys), 0
        for key, images in self.model.walk():
            if wanted is not None and key not in wanted:
                continue
            found, served = read_point(node, name_of(key))
            require(found == key, f"export of {name_of(key)} serves {name_of(found)}")
            frozen = {volume: bytes(content) for volume, content in images.items()}
            same_images(f"an export on {node.name} at {name_of(key)}", served, frozen)
            count += 1
        return count

    def sample(self, count):
        points = self.model.points()
        return self.random.sample(points, min(count, len(points)))

    def rewind(self, key, check=True):
        body = self.standby.one("rewind", GROUP, name_of(key))
        require((body["timeline"], body["lsn"]) == key, f"rewind to {name_of(key)} says {body}")
        status = self.standby.status()
        require(status["state"] == "held", f"after a rewind {self.standby.name} is {status['state']}, wanted held")
        if check:
            self.check_raw(self.standby, key)
        return body

    def resume(self):
        self.standby.one("resume", GROUP)
        self.lab.wait_streaming(self.standby)
        self.lab.wait_caught_up(self.primary, self.standby)

    def check_flushes(self, listing):
        check_flush_marks(listing.rows, self.oplog.ops)


class Watch:
    """What was read while writes went on: checked once the writes have their places."""

    def __init__(self, scene):
        self.scene, self.seen = scene, []

    def export(self, point):
        key, images = read_point(self.scene.standby, point)
        self.seen.append((key, images, f"an export of {point} while writes went on"))
        return key

    def rewind(self, point):
        body = self.scene.standby.one("rewind", GROUP, point)
        key = (body["timeline"], body["lsn"])
        self.seen.append((key, raw_images(self.scene.standby), f"the replica rewound to {point} under writes"))
        return key

    def check(self):
        if not self.seen:
            raise Failed("nothing was read while writes went on")
        for key, images, what in self.seen:
            self.scene.model.check(key, images, what)
