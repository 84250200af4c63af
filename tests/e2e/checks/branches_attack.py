"""Branches under attack: full disks, races of commands, kill -9 in storms, bad words, many of them."""

import os
import resource
import socket
import subprocess
import threading
import time

import nbd

from everstep_lab.base import need_root, require, run, wait_for
from everstep_lab.nbdio import connect, read_device, read_point
from everstep_lab.nodes import EVERSTEP, GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene

SECTOR = 512


class SmallDisk:
    def __init__(self, node, size):
        self.point = node.state
        os.makedirs(self.point, mode=0o700, exist_ok=True)
        run(["mount", "-t", "tmpfs", "-o", f"size={size},mode=0700", "tmpfs", self.point])

    def close(self):
        run(["umount", "-l", self.point], check=False)

    def free(self):
        facts = os.statvfs(self.point)
        return facts.f_bavail * facts.f_frsize


def alarms(node):
    return [one for one in node.events()
            if "fail" in one["kind"] or "alarm" in one["kind"] and one["kind"] != "alarm-peer"]


def exports(node):
    return {one["id"]: one for one in node.do("exports", GROUP)}


def fill_branch(uri, size):
    """Writes until it is refused; the error, and how many bytes were taken."""
    handle = connect(uri)
    taken, at = 0, 0
    try:
        while taken < 1 << 30:
            handle.pwrite(os.urandom(1 << 20), at)
            handle.flush()
            taken += 1 << 20
            at = (at + (1 << 20)) % size
    except nbd.Error as error:
        return error, taken
    finally:
        try:
            handle.shutdown()
        except nbd.Error:
            pass
    return None, taken


@check("branches_attack.full_spares_the_group", 200)
def full_spares_the_group(context):
    need_root()
    size = 64 << 20
    with Scene(context, {"data": size}, **{"history.reserve_bytes": "32MiB"}) as scene:
        disk = SmallDisk(scene.beta, 360 << 20)
        try:
            scene.start()
            scene.write(50, 1, 4)
            scene.lab.wait_caught_up()
            branch = scene.beta.one("export", GROUP, "head", "--writable")
            error, taken = fill_branch(branch["uri"], size)
            require(error is not None and error.errno == "ENOSPC", f"the client was told {error}")
            context.say(f"refused after {taken >> 20} MiB, {disk.free() >> 20} MiB are free")
            time.sleep(3)
            status = scene.beta.status()
            alarms = [one["text"] for one in scene.beta.events() if one["kind"] == "alarm-full"]
            context.say(f"state {status['state']}, why {status.get('why')}; alarms {alarms}")
            scene.write(50, 1, 4)
            scene.lab.wait_caught_up(seconds=20)
        finally:
            scene.lab.close()
            disk.close()


@check("branches_attack.no_room_hangs_nobody", 200)
def no_room_hangs_nobody(context):
    need_root()
    size = 64 << 20
    with Scene(context, {"data": size}, **{"history.reserve_bytes": "8MiB"}) as scene:
        disk = SmallDisk(scene.beta, 360 << 20)
        try:
            scene.start()
            scene.write(50, 1, 4)
            scene.lab.wait_caught_up()
            branch = scene.beta.one("export", GROUP, "head", "--writable")
            handle = connect(branch["uri"])
            handle.set_strict_mode(0)
            buffer = nbd.Buffer.from_bytearray(bytearray(os.urandom(1 << 20)))
            filler = os.path.join(scene.beta.state, "filler")
            run(["fallocate", "-l", str(disk.free() - (4 << 20)), filler], check=False)
            with open(filler, "ab") as file:
                try:
                    while True:
                        file.write(bytes(1 << 16))
                        file.flush()
                except OSError:
                    pass
            context.say(f"free: {disk.free()}")
            for n in range(40):
                handle.aio_pwrite(buffer, n << 20)
                handle.poll(10)
            deadline = time.time() + 2
            while time.time() < deadline:
                handle.poll(100)
            context.say(f"in flight {handle.aio_in_flight()}, free {disk.free()}")
            begun = time.time()
            answer = scene.beta.cli("exports", GROUP, seconds=20)
            context.say(f"exports: {answer.code} after {time.time() - begun:.1f} s")
            begun = time.time()
            answer = scene.beta.cli("unexport", branch["id"], "--drop", seconds=30)
            context.say(f"unexport: {answer.code} {answer.err} after {time.time() - begun:.1f} s")
            answer.expect(0)
            os.unlink(filler)
            scene.lab.wait_caught_up(seconds=30)
        finally:
            scene.lab.close()
            disk.close()


@check("branches_attack.adopt_is_not_a_dead_end", 200)
def adopt_is_not_a_dead_end(context):
    with Scene(context) as scene:
        scene.start()
        scene.write(50, 2, 4)
        scene.settle()
        beta = scene.beta
        branch = beta.one("export", GROUP, "head", "--writable")
        handle = connect(branch["uri"])
        handle.pwrite(bytes([7]) * SECTOR, 0)
        handle.flush()
        handle.shutdown()
        beta.term()
        os.unlink(beta.device("data"))  # the replica is gone: "adopt the group anew"
        beta.start()
        context.say(str(beta.status().get("why")))
        answer = beta.cli("adopt", GROUP, "--from", "alpha")
        context.say(f"adopt: {answer.code} {answer.err}")
        answer.expect(3, f"unexport {branch['id']} --drop")
        context.say(f"exports: {beta.do('exports', GROUP)}")
        for words in (("unexport", branch["id"], "--drop"), ("unexport", branch["id"], "--drop", "--on", "beta")):
            answer = beta.cli(*words)
            context.say(f"{words}: {answer.code} {answer.err}")
            if answer.code == 0:
                break
        answer.expect(0)
        beta.do("adopt", GROUP, "--from", "alpha")
        scene.lab.wait_caught_up()


@check("branches_attack.commands_race", 200)
def commands_race(context):
    with Scene(context) as scene:
        scene.start()
        scene.write(50, 2, 4)
        scene.settle()
        beta = scene.beta
        branch = beta.one("export", GROUP, "head", "--writable")
        base = branch["lsn"]
        timeline = branch["timeline"]
        handle = connect(branch["uris"]["data"])
        for n in range(20):
            handle.pwrite(bytes([n]) * SECTOR, n * SECTOR)
        handle.flush()
        handle.shutdown()
        wait_for("no client", lambda: beta.cli(
            "rewind", GROUP, f"t:{timeline}@head", "--branch", branch["id"]).code == 0, 20)
        stop = threading.Event()
        said = []

        def client():
            while not stop.is_set():
                try:
                    told = exports(beta)[branch["id"]]
                    if not told["uris"].get("data"):
                        continue
                    one = nbd.NBD()
                    one.connect_uri(told["uris"]["data"])
                    for _ in range(50):
                        one.pwrite(os.urandom(SECTOR), 0)
                    one.shutdown()
                except nbd.Error as error:
                    if error.errno not in (None, "ESHUTDOWN", "ENOTCONN", "ECONNREFUSED", "ENOENT", "ECONNRESET",
                                           "EPIPE"):
                        said.append(str(error))

        threads = [threading.Thread(target=client) for _ in range(2)]
        for one in threads:
            one.start()
        begun = time.time()
        codes = []
        while time.time() - begun < 25:
            argv = [EVERSTEP, "--config", scene.lab.config, "--node", "beta", "--json", "rewind", GROUP]
            running = [subprocess.Popen(
                [*argv, f"t:{timeline}@step:{base + 5 + n}", "--branch", branch["id"], "--force"],
                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) for n in range(4)]
            for one in running:
                out, err = one.communicate(timeout=60)
                codes.append(one.returncode)
                if one.returncode != 0 and "on its way" not in err:
                    said.append(err.strip())
        stop.set()
        for one in threads:
            one.join()
        context.say(f"{len(codes)} rewinds, failed {sum(1 for code in codes if code)}: {sorted(set(said))[:10]}")
        told = exports(beta)[branch["id"]]
        context.say(str(told))
        bad = alarms(beta)
        require(not bad, f"{bad[:5]}")
        handle = connect(told["uris"]["data"])
        handle.pwrite(b"x" * SECTOR, 0)
        handle.flush()
        require(bytes(handle.pread(SECTOR, 0)) == b"x" * SECTOR, "read back")
        handle.shutdown()
        require(not said, f"failed: {sorted(set(said))[:10]}")


@check("branches_attack.bad_socket_words", 100)
def bad_socket_words(context):
    with Scene(context) as scene:
        scene.start()
        scene.write(20, 1, 4)
        scene.settle()
        beta = scene.beta
        path = os.path.join(context.directory, "a\nb.sock")
        answer = beta.cli("export", GROUP + "/data", "head", "--writable", "--socket", path)
        context.say(f"{answer.code} {answer.err}")
        if answer.code == 0:
            body = answer.json()[0]
            handle = nbd.NBD()
            handle.connect_uri(body["uri"])
            handle.pwrite(b"k" * SECTOR, 0)
            handle.flush()
            handle.shutdown()
            beta.term()
            beta.start()
            wait_for("it is served", lambda: exports(beta)[body["id"]]["uri"], 20)
        else:
            answer.expect(2)


@check("branches_attack.points", 100)
def points(context):
    with Scene(context) as scene:
        scene.start()
        scene.write(60, 2, 4)
        scene.settle()
        beta = scene.beta
        branch = beta.one("export", GROUP, "step:40", "--writable")
        t = f"t:{branch['timeline']}"
        handle = connect(branch["uris"]["data"])
        for n in range(10):
            handle.pwrite(bytes([n + 1]) * SECTOR, n * SECTOR)
            if n == 4:
                handle.flush()
        handle.shutdown()

        def at(point, *code):
            answer = beta.cli("export", GROUP, point)
            if answer.code != 0:
                return answer.err.strip()
            body = answer.json()[0]
            beta.do("unexport", body["id"])
            return (body["timeline"], body["lsn"])
        mine, trunk = branch["timeline"], scene.model.head[0]
        wanted = {
            f"{t}@head": (mine, 50), f"{t}@head~3": (mine, 47), f"{t}@head~10": (trunk, 40),
            f"{t}@head~15": (trunk, 35), f"{t}@step:40": (trunk, 40), f"{t}@step:41": (mine, 41),
            f"{t}@step:1": (trunk, 1), f"{t}@head^flush": (mine, 45),
            f"{t}@step:40+5": (mine, 45), f"{t}@step:38+5": (mine, 43), f"{t}@step:42~5": (trunk, 37),
            f"{t}@step:0": (trunk, 0),
        }
        wrong = {name: (at(name), want) for name, want in wanted.items() if at(name) != want}
        context.say(str(wrong))
        beyond = at(f"{t}@step:51")
        require("after head" in beyond and "nearest" in beyond or "newest" in beyond, beyond)
        context.say(beyond)
        context.say(at(f"{t}@head+1"))
        # A branch at a branch's first point, over a restart.
        again = beta.one("export", GROUP, f"{t}@step:40", "--writable")
        over = beta.one("export", GROUP, f"{t}@step:43", "--writable")
        beta.kill9()
        beta.start()
        told = wait_for("all are served", lambda: len(
            [one for one in exports(beta).values() if one["uri"]]) == 3 and exports(beta), 30)
        beta.cli("unexport", branch["id"], "--drop").expect(3, over["id"])
        # Marks of the same name: one on the branch, one by the stream.
        beta.do("mark", GROUP, "same", "--at", f"{t}@step:44")
        answer = scene.alpha.cli("mark", GROUP, "same")
        context.say(f"mark on the primary: {answer.code} {answer.err}")
        require(not wrong, str(wrong))
        require(told[again["id"]]["uri"] is not None, "again")


@check("branches_attack.sizes", 200)
def sizes(context):
    size = (200 << 20) + 3 * SECTOR
    with Scene(context, {"data": size, "logs": 1 << 20}) as scene:
        scene.start()
        scene.write(60, 2, 4)
        scene.settle()
        beta = scene.beta
        image = bytearray(read_point(beta, "head")[1]["data"])
        branch = beta.one("export", GROUP, "head", "--writable")
        handle = connect(branch["uris"]["data"])
        rnd = scene.random

        def put(at, count):
            data = rnd.randbytes(count)
            handle.pwrite(data, at)
            image[at:at + count] = data
        put(size - SECTOR, SECTOR)
        put(size - 3 * SECTOR, 2 * SECTOR)
        put(1 << 20, 1 << 20)
        handle.zero(150 << 20, SECTOR)
        image[SECTOR:SECTOR + (150 << 20)] = bytes(150 << 20)
        put(100 << 20, 3 * SECTOR)
        handle.trim(90 << 20, size - (90 << 20) - SECTOR)
        image[size - (90 << 20) - SECTOR:size - SECTOR] = bytes(90 << 20)
        put(size - (10 << 20), 4096 + SECTOR)
        put(SECTOR, 4096)
        for bad in (lambda: handle.pwrite(bytes(SECTOR), size),
                    lambda: handle.pwrite(bytes(2 * SECTOR), size - SECTOR)):
            try:
                handle.set_strict_mode(0)
                bad()
                raise AssertionError("taken behind the end")
            except nbd.Error as error:
                context.say(str(error))
        handle.flush()
        handle.shutdown()
        require(read_device(branch["uris"]["data"]) == bytes(image), "the branch differs")
        beta.kill9()
        beta.start()
        wait_for("served", lambda: exports(beta)[branch["id"]]["uri"], 30)
        uri = exports(beta)[branch["id"]]["uris"]["data"]
        require(read_device(uri) == bytes(image), "behind kill -9 the branch differs")
        nbdinfo = subprocess.run(["nbdinfo", "--map", uri], capture_output=True, text=True)
        context.say(nbdinfo.stdout[:400])


class Writer(threading.Thread):
    """Counts in a sector of its own; what was flushed has to be there after any kill."""

    def __init__(self, uri, place):
        super().__init__()
        self.uri, self.place = uri, place
        self.sent = self.flushed = 0
        self.wrong = None

    def run(self):
        try:
            handle = nbd.NBD()
            handle.connect_uri(self.uri)
            while True:
                self.sent += 1
                body = self.sent.to_bytes(8, "little") * (SECTOR // 8)
                fua = self.sent % 7 == 0
                handle.pwrite(body, self.place * SECTOR, nbd.CMD_FLAG_FUA if fua else 0)
                if fua:
                    self.flushed = self.sent
                elif self.sent % 5 == 0:
                    sent = self.sent
                    handle.flush()
                    self.flushed = sent
                if self.sent % 11 == 0 and bytes(handle.pread(SECTOR, self.place * SECTOR)) != body:
                    self.wrong = f"place {self.place}: a read does not see write {self.sent}"
                    return
        except nbd.Error:
            return


@check("branches_attack.kill9_storm", 400)
def kill9_storm(context):
    """Writers on a branch and on one over it, the group at full speed below, retention, kill -9."""
    with Scene(context, {"data": 4 << 20, "logs": 1 << 20}, **{"history.keep_bytes": "12MiB"}) as scene:
        scene.start()
        scene.write(100, 2, 8)
        scene.settle()
        beta = scene.beta
        _, images = read_point(beta, "head")
        lower = beta.one("export", GROUP, "head", "--writable")
        handle = connect(lower["uris"]["data"])
        handle.pwrite(b"L" * SECTOR, 100 * SECTOR)
        handle.flush()
        handle.shutdown()
        upper = beta.one("export", GROUP, f"t:{exports(beta)[lower['id']]['timeline']}@head", "--writable")
        want = {lower["id"]: bytearray(images["data"]), upper["id"]: bytearray(images["data"])}
        for image in want.values():
            image[100 * SECTOR:101 * SECTOR] = b"L" * SECTOR
        low = {lower["id"]: [0] * 6, upper["id"]: [0] * 6}
        for turn in range(6):
            stop = threading.Event()

            def group(stop=stop):
                while not stop.is_set():
                    scene.write(200, 2, 8)
            below = threading.Thread(target=group)
            below.start()
            told = exports(beta)
            writers = {id: [Writer(told[id]["uris"]["data"], place) for place in range(6)] for id in want}
            for one in sum(writers.values(), []):
                one.start()
            until = time.time() + 2 + scene.random.random() * 3
            mixed = None
            while time.time() < until and mixed is None:
                for id in want:
                    try:
                        got = read_device(exports(beta)[id]["uris"]["data"])
                    except Exception as error:  # noqa
                        mixed = str(error)
                        break
                    if got[6 * SECTOR:] != bytes(want[id])[6 * SECTOR:]:
                        mixed = f"export {id} gives another content than its base"
            beta.kill9()
            for one in sum(writers.values(), []):
                one.join()
            require(mixed is None, mixed)
            beta.start()
            stop.set()
            below.join()
            wait_for("both are served", lambda: len([one for one in exports(beta).values() if one["uri"]]) == 2, 60)
            told = exports(beta)
            for id, ones in writers.items():
                got = read_device(told[id]["uris"]["data"])
                for one in ones:
                    require(one.wrong is None, one.wrong)
                    sector = got[one.place * SECTOR:(one.place + 1) * SECTOR]
                    value = int.from_bytes(sector[:8], "little")
                    whole = sector == value.to_bytes(8, "little") * (SECTOR // 8)
                    require(whole or turn == 0 and one.flushed == 0, "a torn sector")
                    require(one.flushed == 0 or one.flushed <= value <= one.sent,
                            f"turn {turn}: export {id} place {one.place} holds {value}, flushed {one.flushed}, "
                            f"sent {one.sent}")
                require(got[6 * SECTOR:] == bytes(want[id])[6 * SECTOR:], f"export {id} differs behind the kill")
            flushed = {id: [one.flushed for one in ones] for id, ones in writers.items()}
            context.say(f"turn {turn}: {flushed} oldest {scene.beta.status()['history']['oldest']}")
        scene.lab.wait_caught_up()


@check("branches_attack.many", 400)
def many(context):
    resource.setrlimit(resource.RLIMIT_NOFILE, (1024, 1024))
    with Scene(context) as scene:
        scene.start()
        scene.write(50, 2, 4)
        scene.settle()
        beta = scene.beta
        made = []
        count = 200 if context.long else 120
        refused = None
        for n in range(count):
            answer = beta.cli("export", GROUP + "/data", "head", "--writable")
            if answer.code != 0:
                refused = answer
                break
            made.append(answer.json()[0])
        pid = beta.child.pid
        threads = len(os.listdir(f"/proc/{pid}/task"))
        fds = len(os.listdir(f"/proc/{pid}/fd"))
        context.say(f"{len(made)} made, {threads} threads, {fds} descriptors; {refused and refused.err}")
        if refused:
            refused.expect(3, "limit of open files")
        context.say(run(["du", "-sh", beta.state]).stdout)
        scene.write(400, 2, 8)
        scene.lab.wait_caught_up()
        bad = alarms(beta)
        require(not bad, f"{bad[:5]}")
        for one in made[::5]:
            handle = connect(one["uri"])
            handle.pwrite(bytes([5]) * SECTOR, 0)
            handle.flush()
            handle.shutdown()
        begun = time.time()
        beta.kill9()
        beta.start(120)
        context.say(f"a start takes {time.time() - begun:.1f} s")
        told = exports(beta)
        require(len(told) == len(made), f"{len(told)} are listed, {len(made)} were made")
        unserved = {id: one.get("failed") for id, one in told.items() if not one["uri"]}
        context.say(f"{len(os.listdir(f'/proc/{beta.child.pid}/fd'))} descriptors; {len(unserved)} are not served")
        scene.write(400, 2, 8)
        scene.lab.wait_caught_up()  # whatever became of the branches
        require(not unserved, f"{len(unserved)} are not served: {list(unserved.items())[:3]}")
        bad = alarms(beta)
        require(not bad, f"{bad[:5]}")


@check("branches_attack.over_takeovers", 300)
def over_takeovers(context):
    """A branch stays what it is over a takeover and a demotion, and can be dropped in every role."""
    from checks.branches import Branch
    with Scene(context, {"data": 1 << 20, "logs": 1 << 20}) as scene:
        scene.start()
        scene.write(60, 2, 8)
        scene.settle()
        alpha, beta = scene.alpha, scene.beta
        branch = Branch(beta, "head~20", scene.random)
        branch.write(6)
        alpha.kill9()
        beta.one("takeover", GROUP, "--force")
        scene.lab.wait_serving(beta)
        branch.compare("after the takeover")
        scene.primary = beta
        branch.write(3)
        late = Branch(beta, "head", scene.random)
        late.write(3)
        work = scene.workload(2, 4, beta)
        work.run(200)
        branch.compare("with writes below")
        late.compare("with writes below")
        beta.kill9()
        beta.start()
        scene.lab.wait_serving(beta)
        wait_for("both are served", lambda: len([one for one in exports(beta).values() if one["uri"]]) == 2, 30)
        branch.compare("after kill -9")
        late.compare("after kill -9")
        alpha.start()
        alpha.do("adopt", GROUP, "--from", "beta")
        scene.lab.wait_streaming(alpha)
        wait_for("alpha has it", lambda: alpha.status()["positions"]["applied"] ==
                 beta.status()["positions"]["captured"], 30)
        beta.kill9()
        alpha.one("takeover", GROUP, "--force")
        scene.lab.wait_serving(alpha)
        beta.start()
        wait_for("beta gave up its role", lambda: beta.status()["role"] == "standby", 30)
        time.sleep(1)
        context.say(f"{beta.status()['state']}: {beta.status().get('why')}")
        context.say(str(beta.do("exports", GROUP, "--on", "beta")))
        answer = beta.cli("adopt", GROUP, "--from", "alpha")
        context.say(f"adopt: {answer.code} {answer.err}")
        answer.expect(3, "unexport")
        for one in (branch, late):
            beta.cli("unexport", one.id, "--drop", "--on", "beta").expect(0)
        beta.do("adopt", GROUP, "--from", "alpha")
        scene.lab.wait_streaming(beta)


@check("branches_attack.tcp", 120)
def tcp(context):
    from everstep_lab.nodes import free_port
    with Scene(context, {"data": 1 << 20, "logs": 1 << 20}) as scene:
        scene.start()
        scene.write(30, 2, 4)
        scene.settle()
        beta = scene.beta
        port = free_port()
        first = beta.one("export", GROUP, "head", "--writable", "--tcp", f"127.0.0.1:{port}")
        answer = beta.cli("export", GROUP, "head", "--writable", "--tcp", f"127.0.0.1:{port + 1}")
        context.say(f"the second on a taken port: {answer.code} {answer.err}")
        require(answer.code != 0, "two on one port")
        require(list(exports(beta)) == [first["id"]], f"left over: {exports(beta)}")
        left = os.listdir(os.path.join(beta.state, "groups", GROUP, "branches"))
        require(left == [first["id"]], f"directories are left: {left}")
        handle = connect(first["uris"]["logs"])
        handle.pwrite(b"t" * SECTOR, 0)
        handle.flush()
        for end in (beta.kill9, beta.term):
            end()
            beta.start()
            told = wait_for("served", lambda: exports(beta)[first["id"]]["uri"] and exports(beta)[first["id"]], 20)
            require(told["uris"] == first["uris"], f"{told['uris']}, before {first['uris']}")
            require(read_device(told["uris"]["logs"])[:SECTOR] == b"t" * SECTOR, "what was written")


@check("branches_attack.served_again", 120)
def served_again(context):
    """A socket or a port that was taken when the node came back is had as soon as it is free."""
    from everstep_lab.nodes import free_port
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        scene.write(30, 2, 4)
        scene.settle()
        beta = scene.beta
        path, port = os.path.join(context.directory, "branch.sock"), free_port()
        made = [beta.one("export", GROUP, "head", "--writable", "--socket", path),
                beta.one("export", GROUP, "head", "--writable", "--tcp", f"127.0.0.1:{port}")]
        for one in made:
            handle = connect(one["uri"])
            handle.pwrite(b"s" * SECTOR, 0)
            handle.flush()
            handle.shutdown()
        beta.term()
        taken = [socket.socket(socket.AF_UNIX), socket.socket(socket.AF_INET)]
        taken[1].setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        if os.path.exists(path):
            os.unlink(path)
        for one, address in zip(taken, (path, ("127.0.0.1", port))):
            one.bind(address)
            one.listen()
        beta.start()
        told = exports(beta)
        for one in made:
            require(told[one["id"]]["uri"] is None and told[one["id"]]["failed"], f"{told[one['id']]}")
        scene.write(20)
        scene.lab.wait_caught_up()
        for one in taken:
            one.close()
        os.unlink(path)
        for one in made:
            wait_for("it is served", lambda id=one["id"]: exports(beta)[id]["uri"], 20)
            again = exports(beta)[one["id"]]
            require(again["uri"] == one["uri"] and "failed" not in again, f"{again}, before {one}")
            require(read_device(again["uri"])[:SECTOR] == b"s" * SECTOR, "what was written")
        said = [one["text"] for one in beta.events() if one["kind"] == "alarm-export"]
        require(len(said) == 2, f"said once each: {said}")


@check("branches_attack.drop_under_readers", 200)
def drop_under_readers(context):
    with Scene(context) as scene:
        scene.start()
        scene.write(60, 2, 4)
        scene.settle()
        beta = scene.beta
        for turn in range(8):
            branch = beta.one("export", GROUP, "step:30", "--writable")
            writers = [Writer(branch["uris"]["data"], place) for place in range(5)]
            for one in writers:
                one.start()
            time.sleep(0.5)
            point = f"t:{branch['timeline']}@head"
            argv = [EVERSTEP, "--config", scene.lab.config, "--node", "beta", "--json"]
            commands = (("diff", GROUP, "step:1", point), ("log", GROUP, "--to", point), ("scrub", GROUP),
                        ("export", GROUP, point, "--writable"), ("mark", GROUP, f"m{turn}", "--at", point),
                        ("unexport", branch["id"], "--drop"), ("export", GROUP, point))
            jobs = [subprocess.Popen([*argv, *words], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
                    for words in commands]
            for one in jobs:
                try:
                    one.communicate(timeout=30)
                except subprocess.TimeoutExpired:
                    raise AssertionError(f"{one.args} hangs") from None
            for id, one in sorted(exports(beta).items(), key=lambda pair: -int(pair[0])):
                beta.cli("unexport", id, "--drop").expect(0)
            for one in writers:
                one.join(20)
                require(not one.is_alive() and one.wrong is None, f"writer: {one.wrong}")
            require(os.listdir(os.path.join(beta.state, "groups", GROUP, "branches")) == [], "left over")
        bad = alarms(beta)
        require(not bad, f"{bad[:5]}")
        scene.settle()


@check("branches_attack.kill9_make_drop", 300)
def kill9_make_drop(context):
    with Scene(context) as scene:
        scene.start()
        scene.write(60, 2, 4)
        scene.settle()
        beta = scene.beta
        argv = [EVERSTEP, "--config", scene.lab.config, "--node", "beta", "--json"]
        there, gone, maybe = {}, set(), set()
        for turn in range(14):
            dropping = next(iter(there), None) if turn % 3 == 2 else None
            words = ("unexport", dropping, "--drop") if dropping else ("export", GROUP, "head", "--writable")
            job = subprocess.Popen([*argv, *words], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
            time.sleep(scene.random.random() * 0.12)
            beta.kill9()
            out, _ = job.communicate(timeout=30)
            if dropping:
                body = there.pop(dropping)
                (gone if job.returncode == 0 else maybe).add(dropping)
            elif job.returncode == 0:
                body = __import__("json").loads(out)
                there[body["id"]] = body
            beta.start()
            told = exports(beta)
            for id in there:
                require(id in told and told[id]["uri"], f"turn {turn}: export {id} was made and is {told.get(id)}")
            for id in told:
                require(id not in gone, f"turn {turn}: export {id} was dropped and is back")
                require(told[id]["uri"], f"turn {turn}: {told[id]}")
            branches = os.path.join(beta.state, "groups", GROUP, "branches")  # the first one may have been cut short
            lies = set(os.listdir(branches)) if os.path.isdir(branches) else set()
            require(lies == set(told), f"turn {turn}: {lies} lie there, {set(told)} are listed")
            bad = [one for one in beta.events() if "alarm" in one["kind"]]
            require(not bad, f"{bad[:5]}")
        context.say(f"{len(there)} there, {len(gone)} dropped, {len(maybe)} cut short")


def limit_with(pid, spare):
    """The limit of descriptors under which exactly so many numbers are free; those in use have holes between."""
    used = {int(fd) for fd in os.listdir(f"/proc/{pid}/fd")}
    limit = 0
    while spare > 0:
        spare -= limit not in used
        limit += 1
    return limit


@check("branches_attack.no_descriptors_left", 300)
def no_descriptors_left(context):
    """Whichever descriptor is one too many: the export is refused, and the daemon goes on."""
    with Scene(context) as scene:
        scene.start()
        scene.write(50, 2, 4)
        scene.settle()
        beta = scene.beta
        pid = beta.child.pid
        usual = resource.prlimit(pid, resource.RLIMIT_NOFILE)
        for words in ((), ("--writable",)):
            refused = served = 0
            for spare in range(1, 80):
                resource.prlimit(pid, resource.RLIMIT_NOFILE, (limit_with(pid, spare), usual[1]))
                answer = beta.cli("export", GROUP, "head", *words, seconds=30)
                resource.prlimit(pid, resource.RLIMIT_NOFILE, usual)
                require(beta.child.alive(), f"the daemon ended: {spare} descriptors, {words}")
                refused += answer.code != 0
                if answer.code == 0:
                    served += 1
                    beta.do("unexport", answer.json()[0]["id"])
                if served == 3:
                    break
            context.say(f"{words}: {refused} times refused, {served} times served")
            require(refused > 0 and served == 3, "nothing is tested")
            require(not exports(beta), f"left over: {exports(beta)}")
        scene.write(50)
        scene.settle()
        beta.term()
        beta.start()  # removes what could not be removed without a descriptor
        left = os.listdir(os.path.join(beta.state, "groups", GROUP, "branches"))
        require(not left and not exports(beta), f"left over: {left}, {exports(beta)}")
