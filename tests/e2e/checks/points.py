"""Marks and point expressions: what each names, and what is refused, with which exit status and words."""

import re
import socket
from datetime import datetime, timedelta, timezone

import nbd

from everstep_lab.base import Failed, require, wait_for
from everstep_lab.history import fetch
from everstep_lab.model import same_images
from everstep_lab.nbdio import read_device
from everstep_lab.nodes import GROUP, free_port
from everstep_lab.registry import check
from everstep_lab.scene import Scene


def resolve(node, point):
    body = node.one("export", GROUP, point)
    node.do("unexport", body["id"]) if body.get("id") else None
    return (body["timeline"], body["lsn"])


def same_point(node, point, key):
    found = resolve(node, point)
    require(found == key, f"{point} is {found}, wanted {key}")



@check("marks_and_points.expressions", 180)
def expressions(context):
    with Scene(context) as scene:
        scene.start()
        scene.write(60, 2, 8)
        scene.settle()
        path, beta = scene.model.points(), scene.beta
        head, root = path[-1], path[0]
        same_point(beta, "head", head)
        same_point(beta, "head~0", head)
        same_point(beta, "head~5", path[-6])
        same_point(beta, f"head~{len(path) - 1}", root)
        same_point(beta, "step:0", root)
        same_point(beta, "step:17", path[17])
        same_point(beta, "1@step:17", path[17])
        same_point(beta, f"t:{head[0]}@step:17", path[17])
        same_point(beta, f"t:{head[0][:8]}@step:17", path[17])
        same_point(beta, "step:17~3", path[14])
        beta.one("mark", GROUP, "here", "--at", "step:20")
        same_point(beta, "here", path[20])
        same_point(beta, "here~2", path[18])
        same_point(beta, "here+2", path[22])
        same_point(beta, "ago:0s", head)
        refused_points(scene, head)
        usage_points(beta)


def refused_points(scene, head):
    """Exit 3, and the nearest points on both sides are named."""
    beta = scene.beta
    beta.cli("export", GROUP, f"step:{head[1] + 1}").expect(3, head[1])
    beta.cli("export", GROUP, f"head~{head[1] + 1}").expect(3)
    beta.cli("export", GROUP, "2001-01-01T00:00:00Z").expect(3)
    beta.cli("export", GROUP, "ago:1000h").expect(3)
    beta.cli("export", GROUP, "here+1000000").expect(3)
    beta.cli("export", GROUP, "7@step:3").expect(3, "7")
    beta.cli("export", GROUP, "t:0123456789abcdef@step:3").expect(3)
    beta.cli("rewind", GROUP, f"step:{head[1] + 1}").expect(3, head[1])
    require(beta.cli("export", GROUP, "no-such-mark").code in (1, 3), "an unknown mark is neither 1 nor 3")


def usage_points(beta):
    for point in ("", "step:", "step:x", "step:-1", "head~", "head~x", "t:12@step:1", "@step:1", "ago:", "ago:5",
                  "2026-13-45T99:00:00Z", "head^flusk", "head~-2", "step:99999999999999999999999", "step:1~~2"):
        answer = beta.cli("export", GROUP, point)
        require(answer.code == 2, f"point {point!r}: exit {answer.code}, wanted 2: {answer.err}")


@check("marks_and_points.flush", 120)
def flush_points(context):
    """P^flush is the newest flush mark at or before P, of any volume or of one."""
    with Scene(context) as scene:
        scene.start()
        scene.write(120, 2, 4)
        listing = scene.settle()
        scene.check_flushes(listing)
        rows = {row.lsn: row for row in listing.rows}
        flushed = {lsn for lsn, row in rows.items() if row.flush or row.fua}
        for key in scene.sample(25) + [scene.model.head]:
            wanted = max((lsn for lsn in flushed if lsn <= key[1]), default=None)
            if wanted is None:
                continue
            found = resolve(scene.beta, f"step:{key[1]}^flush")
            require(found[1] == wanted, f"step:{key[1]}^flush is step {found[1]}, wanted {wanted}")
        for volume in scene.lab.volumes:
            found = resolve(scene.beta, f"head^flush:{volume}")
            require(found[1] <= scene.model.head[1] and (found[1] in flushed or found[1] == 0),
                    f"head^flush:{volume} is step {found[1]}, which is no flush mark")
        flushes_listed(scene, flushed)


def flushes_listed(scene, flushed):
    listed = {row.lsn for row in fetch_loose(scene.beta, "--flushes")}
    require(listed == flushed, f"log --flushes shows {sorted(listed ^ flushed)[:10]} otherwise than the whole log")


def fetch_loose(node, *words):
    """Rows of a log that may leave steps out."""
    class LooseRow:
        def __init__(self, item):
            self.lsn = item["lsn"]
    return [LooseRow(item) for item in node.do("log", GROUP, "--limit", 1000000, *words)
            if item["kind"] not in ("mark", "gap", "thinned")]


def moment(text):
    return datetime.fromisoformat(re.sub(r"Z$", "+00:00", text))


def as_time(value):
    return value.astimezone(timezone.utc).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


@check("marks_and_points.times", 120)
def times(context):
    """A time is the last step not later than it; --from and --to of the log take times."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        for _ in range(5):
            scene.write(6)
            newest = moment(scene.beta.do("log", GROUP, "--limit", "1")[0]["time"])
            wait_for("the clock moves on", lambda n=newest: datetime.now(timezone.utc) > n + timedelta(milliseconds=30))
        scene.settle()
        items = [item for item in scene.beta.do("log", GROUP, "--limit", 1000) if item["kind"] not in ("mark", "gap")]
        steps = sorted((moment(item.get("step_time") or item["time"]), item["lsn"]) for item in items)
        for earlier, later in zip(steps, steps[1:]):
            require(earlier[1] < later[1], f"step times go back between steps {later[1]} and {earlier[1]}")
        for number, (when, lsn) in enumerate(steps):
            following = steps[number + 1][0] if number + 1 < len(steps) else when + timedelta(milliseconds=1)
            if following - when > timedelta(milliseconds=5):
                found = resolve(scene.beta, as_time(when + timedelta(milliseconds=2)))
                require(found[1] == lsn, f"{as_time(when)} + 2 ms is step {found[1]}, wanted {lsn}")
        now = as_time(datetime.now(timezone.utc))
        found = scene.beta.cli("export", GROUP, now)
        require(found.code == 0 and found.json()[0]["lsn"] == scene.model.head[1], f"now is {found.out}{found.err}")
        part = fetch(scene.beta, "--from", "step:5", "--to", "step:9")
        require([row.lsn for row in part.rows] in ([5, 6, 7, 8, 9], [6, 7, 8, 9]), f"log --from 5 --to 9: {part.rows}")
        newest = scene.beta.do("log", GROUP, "--limit", 3)
        require([item["lsn"] for item in newest] == [scene.model.head[1] - n for n in range(3)],
                f"log --limit 3 is {newest}")


@check("marks_and_points.marks", 120)
def marks(context):
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        scene.write(30)
        scene.settle()
        beta, alpha = scene.beta, scene.alpha
        made = beta.one("mark", GROUP, "first")
        require((made["name"], made["lsn"]) == ("first", scene.model.head[1]), f"mark first is {made}")
        old = beta.one("mark", GROUP, "old", "--at", "step:7", "--pin", "--consistency", "application")
        require((old["lsn"], old["pinned"], old["consistency"]) == (7, True, "application"), f"mark old is {old}")
        on_primary(scene)
        listed = {mark["name"]: mark for mark in beta.do("marks", GROUP)}
        require({"first", "old", "travels"} <= set(listed), f"marks are {sorted(listed)}")
        require(beta.cli("mark", GROUP, "first").code in (1, 3), "a name was given twice")
        same_point(beta, "first", scene.model.points()[listed["first"]["lsn"]])
        logged = {mark["name"] for mark in fetch(beta).marks}
        require({"first", "old", "travels"} <= logged, f"the log shows the marks {sorted(logged)}")
        for name in ("", "a b", "head", "step:5", "x" * 300, "with/slash", "ago:5s", "a~b", "2026-11-20T20:45:00Z"):
            answer = beta.cli("mark", GROUP, name)
            require(answer.code == 2, f"a mark named {name[:20]!r}: exit {answer.code}, wanted 2: {answer.err}")
        beta.kill9()
        beta.start()
        scene.lab.wait_streaming()
        again = {mark["name"]: mark for mark in beta.do("marks", GROUP)}
        require(again == listed, f"marks after kill -9: {again}, before: {listed}")
        beta.do("unmark", GROUP, "first")
        require(beta.cli("export", GROUP, "first").code in (1, 3), "an unmarked name is still a point")
        require(beta.cli("unmark", GROUP, "first").code == 1, "unmark of an unknown mark")
        alpha.cli("marks", GROUP).expect(0, "old")  # relayed to the standby


def on_primary(scene):
    """A mark made on the primary travels in the stream: behind what was complete when it was made."""
    scene.write(5)
    made = scene.alpha.one("mark", GROUP, "travels")
    newest = scene.lab.wait_caught_up()
    require(made["lsn"] == newest, f"the mark lies at {made['lsn']}, the newest step is {newest}")
    scene.write(5)
    scene.settle()
    wait_for("the mark arrives", lambda: any(
        mark["name"] == "travels" and mark["lsn"] == newest for mark in scene.beta.do("marks", GROUP)), 10)


def description_of(uri):
    handle = nbd.NBD()
    handle.set_full_info(True)
    handle.connect_uri(uri)
    try:
        return handle.get_export_description()
    finally:
        handle.shutdown()


@check("marks_and_points.exports", 120)
def exports(context):
    """Exports are listed, by name of a volume too, on a chosen socket, and end with unexport."""
    with Scene(context) as scene:
        scene.start()
        scene.write(40, 2, 8)
        scene.settle()
        beta = scene.beta
        one = beta.one("export", f"{GROUP}/logs", "step:10", "--socket", scene.lab.directory + "/mine.sock")
        two = beta.one("export", GROUP, "head")
        require(set(one["uris"]) == {"logs"} and "mine.sock" in one["uri"], f"the export is {one}")
        require(set(two["uris"]) == set(scene.lab.volumes) and not two["writable"], f"the export is {two}")
        require(one["lsn"] == 10 and one["timeline"] == scene.model.head[0], f"the export is {one}")
        branch = beta.one("export", GROUP, "step:10", "--writable")
        for item in (one, two, branch):
            told = {description_of(uri) for uri in item["uris"].values()}
            wanted = f"everstep export {item['id']} of {GROUP} on beta"
            require(told == {wanted} and item["description"] == wanted, f"{item} says {told}, wanted {wanted}")
        beta.do("unexport", branch["id"])
        listed = {item["id"] for item in beta.do("exports")}
        require(listed == {one["id"], two["id"]}, f"exports lists {listed}")
        scene.write(20)
        scene.settle()  # exports stay while writes go on
        from_primary = scene.alpha.one("export", GROUP, "step:5")
        require(from_primary["lsn"] == 5, f"an export asked for at the primary: {from_primary}")
        listed = {item["id"] for item in scene.alpha.do("exports")}  # the node that has them answers
        require(listed == {one["id"], two["id"], from_primary["id"]}, f"exports of the primary lists {listed}")
        require(scene.alpha.one("unexport", from_primary["id"]) == {}, "unexport answers with something")
        for item in (one, two):
            beta.do("unexport", item["id"])
        beta.cli("unexport", one["id"]).expect(1)
        for node in (scene.alpha, beta):
            require(node.do("exports") == [], f"exports are left: {node.do('exports')}")
            node.cli("exports", "nogroup").expect(2, "nogroup")
        ids = [beta.one("export", GROUP, "head")["id"] for _ in range(12)]
        require([item["id"] for item in beta.do("exports")] == ids, "exports are not listed in their order")


@check("marks_and_points.exports_by_tcp", 180)
def exports_by_tcp(context):
    """An export on a port, or on ports one behind the other; a writable one is there again after a restart."""
    with Scene(context) as scene:
        scene.start()
        scene.write(40, 2, 8)
        scene.settle()
        beta, volumes = scene.beta, sorted(scene.lab.volumes)
        wanted = scene.model.image(scene.model.points()[10])
        one = beta.one("export", f"{GROUP}/{volumes[0]}", "step:10", "--tcp", "127.0.0.1:0")
        require(re.fullmatch(r"nbd://127\.0\.0\.1:[1-9][0-9]*", one["uri"]), f"the export is {one}")
        same_images("by a free port", {volumes[0]: read_device(one["uri"])}, {volumes[0]: wanted[volumes[0]]})
        port = free_ports(len(volumes))
        two = beta.one("export", GROUP, "step:10", "--writable", "--tcp", f"127.0.0.1:{port}")
        ports = [int(uri.rsplit(":", 1)[1]) for uri in two["uris"].values()]
        require(sorted(ports) == list(range(port, port + len(volumes))), f"the ports of {two}")
        same_images("by ports", {name: read_device(uri) for name, uri in two["uris"].items()}, wanted)
        beta.cli("export", GROUP, "head", "--tcp", f"127.0.0.1:{port}").expect(1, f"127.0.0.1:{port}")
        beta.cli("export", GROUP, "head", "--tcp", "127.0.0.1:65535").expect(2, "65536")
        for bad in ("127.0.0.1", "nothing:x", "127.0.0.1:99999", "unix:/x"):
            beta.cli("export", GROUP, "head", "--tcp", bad).expect(2, bad)
        beta.cli("export", GROUP, "head", "--tcp", "127.0.0.1:0", "--socket", "/tmp/x").expect(2, "--tcp")
        require({item["id"] for item in beta.do("exports")} == {one["id"], two["id"]}, "a refused export is listed")
        beta.kill9()
        beta.start()
        wait_for("the branch is served again", lambda: any(item["uri"] for item in beta.do("exports")), 60)
        again = beta.do("exports")
        require([item["uris"] for item in again] == [two["uris"]], f"behind a restart: {again}")
        same_images("behind a restart", {name: read_device(uri) for name, uri in two["uris"].items()}, wanted)


def free_ports(count):
    """The first of so many ports that are free, one behind the other."""
    for _ in range(100):
        first = free_port()
        probes = [socket.socket() for _ in range(count)]
        try:
            for number, probe in enumerate(probes):
                probe.bind(("127.0.0.1", first + number))
            return first
        except OSError:
            continue
        finally:
            for probe in probes:
                probe.close()
    raise Failed("no free ports one behind the other")


@check("marks_and_points.dry_run_and_diff", 120)
def dry_run(context):
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        scene.write(60, 2, 8)
        scene.settle()
        plan = scene.beta.one("rewind", GROUP, "step:10", "--dry-run")
        require(plan["lsn"] == 10, f"the plan is {plan}")
        require(scene.beta.status()["state"] == "streaming", "a dry run held the replica")
        scene.check_raw(scene.beta, scene.model.head)
        first, last = scene.model.points()[10], scene.model.points()[40]
        listed = scene.beta.do("diff", GROUP, "step:10", "step:40")
        before, after = scene.model.image(first)["data"], scene.model.image(last)["data"]
        covered = bytearray(len(before))
        for extent in listed:
            covered[extent["offset"]:extent["offset"] + extent["length"]] = b"\1" * extent["length"]
        missed = [at for at in range(len(before)) if before[at] != after[at] and not covered[at]]
        require(not missed, f"diff leaves out {len(missed)} bytes that differ, the first at {missed[:1]}")


@check("marks_and_points.log_of_a_place", 120)
def log_of_a_place(context):
    """--volume, --range and --limit of the log: what a look at every row of the whole log gives."""
    with Scene(context) as scene:
        scene.start()
        for _ in range(3):
            scene.write(context.count(400, 3000), 2, 8)
            scene.settle()
        whole = [row for row in scene.beta.do("log", GROUP) if row["kind"] not in ("mark", "gap")]

        def listed(*words):
            return [row["lsn"] for row in scene.beta.do("log", GROUP, *words) if row["kind"] not in ("mark", "gap")]

        def wanted(volume, begin, length):
            return [row["lsn"] for row in whole
                    if row["volume"] == (volume or row["volume"]) and row["length"] > 0
                    and row["offset"] < begin + length and begin < row["offset"] + row["length"]]
        for volume, size in scene.lab.volumes.items():
            require(listed("--volume", volume) == wanted(volume, 0, size), f"log --volume {volume} shows other steps")
            for _ in range(8):
                begin = scene.random.randrange(size)
                length = scene.random.choice((1, 512, 4096, size // 3))
                words = ["--range", f"{begin}+{length}"]
                both = wanted(volume, begin, length)
                require(listed("--volume", volume, *words) == both, f"log --volume {volume} {words} shows other steps")
                require(listed(*words) == wanted(None, begin, length), f"log {words} shows other steps")
                require(listed("--volume", volume, *words, "--limit", 2) == both[:2], f"--limit 2 of {words}")
        require(listed("--range", "4KiB+4KiB") == wanted(None, 4096, 4096), "units of a range")
        for words, named in ((("--volume", "nothing"), "nothing"), (("--range", "12"), "12"),
                             (("--range", "0+0"), "0+0"), (("--range", "1MiB+x"), "1MiB+x")):
            scene.beta.cli("log", GROUP, *words).expect(2, named)
        dry = scene.beta.one("rewind", GROUP, "step:1", "--dry-run")
        require(dry["about_seconds"] > 0 and dry["bytes"] > 0, f"a dry run says {dry}")
