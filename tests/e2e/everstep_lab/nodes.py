"""Two nodes on loopback: PKI, everstep.toml, daemons by pid, the command line."""

import json
import os
import random
import signal
import socket

from .base import Child, Failed, require, run, wait_for

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__)))))
BIN = os.environ.get("EVERSTEP_BIN", os.path.join(ROOT, "build", "bin"))
EVERSTEP = os.path.join(BIN, "everstep")
EVERSTEPD = os.path.join(BIN, "everstepd")
GROUP = "db"


def free_port():
    """A loopback port below the range from which outgoing connections take theirs."""
    for _ in range(500):
        port = random.SystemRandom().randrange(20000, 32000)
        with socket.socket() as probe:
            try:
                probe.bind(("127.0.0.1", port))
                return port
            except OSError:
                continue
    raise Failed("no free port between 20000 and 32000")


def objects(text):
    """JSON output: one value, or one object a line; always a list."""
    text = text.strip()
    if not text:
        return []
    try:
        value = json.loads(text)
        return value if isinstance(value, list) else [value]
    except json.JSONDecodeError:
        return [json.loads(line) for line in text.splitlines()]


class Answer:
    """What a run of the command line gave."""

    def __init__(self, argv, done):
        self.command = " ".join(argv)
        self.code, self.out, self.err = done.returncode, done.stdout, done.stderr

    def expect(self, code, *words):
        """Failed unless it ended with `code` and its messages hold all words (any case)."""
        require(self.code == code, f"{self.command}: exit {self.code}, wanted {code}\n{self.out}{self.err}")
        for word in words:
            require(str(word).lower() in (self.err + self.out).lower(),
                    f"{self.command}: the message does not name {word!r}: {self.err}{self.out}")
        return self

    def json(self):
        try:
            return objects(self.out)
        except json.JSONDecodeError as error:
            raise Failed(f"{self.command}: not JSON ({error}): {self.out[:400]}") from error


class Node:
    def __init__(self, lab, name):
        self.lab, self.name = lab, name
        self.directory = os.path.join(lab.directory, name)
        self.state = os.path.join(self.directory, "state")
        self.address = f"127.0.0.1:{free_port()}"
        self.log = os.path.join(lab.directory, f"{name}.log")
        self.config = None     # its own configuration, where that is not the lab's
        self.prefix = []       # what starts its daemon, in place of itself
        self.child = None
        self.log_start = 0  # characters of the log before the newest start
        os.makedirs(self.directory, exist_ok=True)

    def device(self, volume="data"):
        return os.path.join(self.directory, f"{volume}.img")

    def socket(self, volume="data"):
        return os.path.join(self.directory, f"{volume}.sock")

    def uri(self, volume="data"):
        return f"nbd+unix:///?socket={self.socket(volume)}"

    def uris(self):
        return {volume: self.uri(volume) for volume in self.lab.volumes}

    def spawn(self):
        require(self.child is None or not self.child.alive(), f"{self.name} runs already")
        self.log_start = len(self.log_text())
        env = dict(os.environ, EVERSTEP_CONFIG="", EVERSTEP_NODE="")
        words = [*self.prefix, EVERSTEPD, "--config", self.config or self.lab.config, "--node", self.name]
        self.child = Child(words, self.log, env)

    def start(self, seconds=60):
        """Starts the daemon; returns when its admin socket answers."""
        self.spawn()
        self.wait_answer(seconds)

    def wait_answer(self, seconds=60):
        def answers():
            if not self.child.alive():
                raise RuntimeError(f"everstepd {self.name} ended by itself: {self.child.wait()}")
            return self.cli("status").code == 0
        try:
            wait_for(f"everstepd {self.name} answers", answers, seconds)
        except RuntimeError as error:
            raise Failed(str(error)) from error

    def running(self):
        return self.child is not None and self.child.alive()

    def kill9(self):
        self.child.signal(signal.SIGKILL)
        self.child.wait()

    def term(self, seconds=60):
        """An orderly stop; anything but exit status 0 is a failure."""
        self.child.signal(signal.SIGTERM)
        code = self.child.wait(seconds)
        require(code == 0, f"everstepd {self.name}: exit {code} after SIGTERM, wanted 0")

    def freeze(self):
        self.child.signal(signal.SIGSTOP)

    def thaw(self):
        self.child.signal(signal.SIGCONT)

    def cli(self, *words, seconds=120, **options):
        argv = [EVERSTEP, "--config", self.lab.config, "--node", self.name, "--json", *map(str, words)]
        return Answer(argv, run(argv, seconds, check=False, **options))

    def do(self, *words, seconds=120):
        """A command that has to succeed; its JSON objects."""
        return self.cli(*words, seconds=seconds).expect(0).json()

    def one(self, *words, seconds=120):
        found = self.do(*words, seconds=seconds)
        require(len(found) == 1, f"everstep {' '.join(map(str, words))}: {len(found)} objects, wanted 1")
        return found[0]

    def status(self):
        answer = self.cli("status", GROUP)
        if answer.code != 0:
            raise Failed(f"{answer.command}: exit {answer.code}: {answer.err}")
        body = answer.json()[0]
        for group in body["groups"]:
            if group["name"] == GROUP:
                return group
        raise Failed(f"status of {self.name} has no group {GROUP}: {body}")

    def log_text(self):
        try:
            with open(self.log, errors="replace") as file:
                return file.read()
        except OSError:
            return ""

    def events(self):
        return self.do("events")

    def told(self):
        """What this node has said since its start: log, events and the reasons in its status."""
        said = [self.log_text()[self.log_start:], self.cli("events").out]
        answer = self.cli("status", GROUP)
        for group in answer.json()[0]["groups"] if answer.code == 0 else []:
            said += [value for key, value in group.items() if isinstance(value, str) and key != "timeline"]
            said += [str(peer) for peer in group["peers"]]
        return "\n".join(said)


class Lab:
    """Directory, PKI, configuration, the primary alpha and its standbys. Sizes of volumes in bytes."""

    def __init__(self, directory, volumes=None, ack="local", standbys=("beta",), **group):
        self.directory = directory
        self.volumes = volumes or {"data": 2 << 20}
        self.group = {"ack": ack, "start_wait": "2s", "standby_timeout": "1s", "segment_bytes": "1MiB", **group}
        os.makedirs(directory, exist_ok=True)
        os.chmod(directory, 0o711)  # PostgreSQL runs as another user
        self.pki = os.path.join(directory, "pki")
        self.config = os.path.join(directory, "everstep.toml")
        self.primary, self.standbys = "alpha", list(standbys)  # as the configuration has them
        self.nodes = {name: Node(self, name) for name in ("alpha", *standbys)}
        self.alpha, self.beta = self.nodes["alpha"], self.nodes.get("beta")
        self.make_pki()
        self.write_config()

    def make_pki(self):
        if not os.path.exists(EVERSTEPD) or not os.path.exists(EVERSTEP):
            raise Failed(f"{BIN}: everstepd and everstep are not there; build first (scripts/setup)")
        run([EVERSTEP, "pki", "init", self.pki])
        for name in self.nodes:
            run([EVERSTEP, "pki", "issue", self.pki, name])

    def add_node(self, name):
        """One more, no member of the group yet."""
        self.nodes[name] = Node(self, name)
        run([EVERSTEP, "pki", "issue", self.pki, name])
        return self.nodes[name]

    def set_members(self, *standbys, primary=None):
        """The file names these from now on."""
        self.primary, self.standbys = primary or self.primary, list(standbys)
        self.write_config()

    def config_text(self):
        lines = ["[tls]", 'ca = "pki/ca.crt"', ""]
        for node in self.nodes.values():
            lines += ["[[node]]", f'name = "{node.name}"', f'address = "{node.address}"',
                      f'state = "{node.name}/state"', f'certificate = "pki/{node.name}.crt"',
                      f'key = "pki/{node.name}.key"', ""]
        lines += ["[[group]]", f'name = "{GROUP}"', f'primary = "{self.primary}"',
                  f"standbys = {json.dumps(self.standbys)}"]
        for key, value in self.group.items():
            table = isinstance(value, str) and value.startswith("{")
            lines.append(f"{key} = {value if isinstance(value, int) or table else json.dumps(value)}")
        for name, size in self.volumes.items():
            lines += ["", "[[group.volume]]", f'name = "{name}"', f'size = "{size}B"']
            for node in (self.nodes[name] for name in (self.primary, *self.standbys)):
                lines.append(f'{node.name} = {{ device = "{node.name}/{name}.img", capture = "nbd", '
                             f'listen = "unix:{node.name}/{name}.sock" }}')
        return "\n".join(lines) + "\n"

    def write_config(self):
        with open(self.config, "w", encoding="utf-8") as file:
            file.write(self.config_text())

    def start(self, wait=True):
        """All nodes; with `wait`, until every standby streams."""
        for node in reversed(self.nodes.values()):
            node.spawn()
        for node in self.nodes.values():
            node.wait_answer()
        if wait:
            self.wait_serving()
            for name in self.standbys:
                self.wait_streaming(self.nodes[name])

    def wait_serving(self, node=None, seconds=60):
        node = node or self.alpha

        def serving():
            status = node.status()
            if status["role"] == "primary" and status["state"] == "serving":
                return status
            raise Failed(f"{node.name} is {status['role']} {status['state']}")
        return wait_for(f"{node.name} serves", serving, seconds)

    def wait_streaming(self, node=None, seconds=60):
        node = node or self.beta

        def streaming():
            status = node.status()
            if status["role"] == "standby" and status["state"] == "streaming":
                return status
            raise Failed(f"{node.name} is {status['role']} {status['state']}")
        return wait_for(f"{node.name} streams", streaming, seconds)

    def wait_caught_up(self, primary=None, standby=None, seconds=60, held=False):
        """The standby has everything: durable there, and (unless it is held) applied. Returns the head's LSN."""
        primary, standby = primary or self.alpha, standby or self.beta

        def caught_up():
            first, second = primary.status(), standby.status()
            newest = first["positions"]["captured"]
            there = second["positions"]
            peer = next(one for one in first["peers"] if one["node"] == standby.name)
            wanted = "held" if held else "streaming"
            if (first["state"] == "serving" and second["state"] == wanted and peer["state"] == "connected"
                    and peer["replica"] == "streaming"  # the primary was asked first: a resync may end in between
                    and there["durable"] == newest and peer["durable"] == newest
                    and (held or there["applied"] == newest) and second["timeline"] == first["timeline"]):
                return {"lsn": newest}
            raise Failed(f"{primary.name} {first['state']} {str(first['timeline'])[:8]} captured {newest}; "
                         f"{standby.name} {second['state']} {str(second['timeline'])[:8]} {there}; link {peer}")
        return wait_for("the standby has caught up", caught_up, seconds)["lsn"]

    def say_logs(self, lines=25):
        for node in self.nodes.values():
            if node.child is not None:
                print(f"--- {node.name} (pid {node.child.pid}), the last lines of {node.log}:")
                print(node.child.tail(lines), end="")

    def close(self):
        for node in self.nodes.values():
            if node.child is not None:
                node.child.stop()
