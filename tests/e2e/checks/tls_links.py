"""TLS between nodes: who is let in, what a certificate's renewal and removal do, how a connection may end, records."""

import contextlib
import os
import shutil
import signal
import ssl
import subprocess

from checks.bad_clients import refused_certificates
from everstep_lab import tls
from everstep_lab.base import Failed, need_tool, require, wait_for
from everstep_lab.nbdio import connect, read_file
from everstep_lab.nodes import GROUP, Lab
from everstep_lab.proxy import Proxy
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.tls_records import RECORD_MAX, RecordClient, admin_request, hello
from everstep_lab.workload import all_succeeded

HELLO, ADMIN_REPLY = 1, 11


def certificate_of(scene, what):
    """(certificate, key) for one case of the list."""
    if what == "good":
        return f"{scene.lab.pki}/beta.crt", f"{scene.lab.pki}/beta.key"
    words = {"no_certificate": "no certificate", "wrong_ca": "another CA", "expired": "an expired one",
             "not_valid_yet": "one not valid yet", "wrong_name": "another name"}
    return next(one[1:] for one in refused_certificates(scene) if one[0] == words[what])


def openssl_ends(command):
    """Its output; it has to end because the node ends the connection, not because its input does."""
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
                          text=True) as child:
        try:
            child.wait(20)
        except subprocess.TimeoutExpired as error:
            child.kill()
            raise Failed(f"{' '.join(command)}: the node does not end the connection") from error
        return child.stdout.read()


# case: (what openssl is told, a word of the node's alarm)
CLIENTS = {"wrong_ca": ("-tls1_3", "unknown CA"), "wrong_name": ("-tls1_3", "wanted one of"),
           "no_certificate": ("-tls1_3", "no certificate"), "expired": ("-tls1_3", "has expired"),
           "not_valid_yet": ("-tls1_3", "is not valid before"), "tls_1_2": ("-tls1_2", "TLS 1.3")}


def client_refused(context, what):
    """`openssl s_client` is turned away, the node says why, and the pair goes on."""
    option, word = CLIENTS[what]
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        certificate, key = certificate_of(scene, "good" if what == "tls_1_2" else what)
        shown = ["-cert", certificate, "-key", key] if certificate else []
        for node in (scene.alpha, scene.beta):
            if node is scene.beta and what == "tls_1_2":
                shown = ["-cert", f"{scene.lab.pki}/alpha.crt", "-key", f"{scene.lab.pki}/alpha.key"]
            said = openssl_ends([need_tool("openssl"), "s_client", "-connect", node.address, option, *shown])
            require("alert" in said, f"{what}: openssl was told of no alert: {said[-600:]}")
            wait_for(f"{what}: {node.name} says why", lambda n=node: any(
                one["kind"] == "alarm-peer" and word in one["text"] for one in n.events()), 10)
        all_succeeded(scene.write(10))
        scene.settle()


for case in CLIENTS:
    check(f"tls.client_{case}", 90)(lambda context, what=case: client_refused(context, what))


# case: (what openssl is told, a word of the primary's reason)
SERVERS = {"wrong_ca": ("-tls1_3", "unknown CA"), "wrong_name": ("-tls1_3", "is for 'gamma'"),
           "expired": ("-tls1_3", "has expired"), "not_valid_yet": ("-tls1_3", "is not valid before"),
           "tls_1_2": ("-tls1_2", "TLS 1.3")}


def server_refused(context, what):
    """`openssl s_server` in the standby's place: the primary says why it does not take it for beta."""
    option, word = SERVERS[what]
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        certificate, key = certificate_of(scene, "good" if what == "tls_1_2" else what)
        scene.beta.term()
        words = [need_tool("openssl"), "s_server", "-accept", scene.beta.address, option, "-cert", certificate, "-key",
                 key, "-CAfile", f"{scene.lab.pki}/ca.crt", "-quiet"]
        server = subprocess.Popen(words, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        try:
            wait_for(f"{what}: the reason", lambda: word in str(scene.alpha.status()["peers"][0]["why"]), 20)
            require(scene.alpha.status()["peers"][0]["state"] != "connected", f"{what}: openssl was taken for beta")
            all_succeeded(scene.write(10))
        finally:
            server.kill()
            server.wait()
        scene.beta.start()
        scene.settle()


for case in SERVERS:
    check(f"tls.server_{case}", 90)(lambda context, what=case: server_refused(context, what))


def said(node, kind, *words):
    return [one["text"] for one in node.events() if one["kind"] == kind and all(word in one["text"] for word in words)]


@check("tls.removed_node_is_refused", 120)
def removed_node(context):
    """A node that the file does not have any more loses its session at SIGHUP, good certificate or not."""
    lab = Lab(context.directory, {"data": 1 << 20}, standbys=("beta", "gamma"))
    alpha, gamma = lab.alpha, lab.nodes["gamma"]
    peer = lambda: next(one for one in alpha.status()["peers"] if one["node"] == "gamma")
    certificate = f"{lab.pki}/gamma.crt", f"{lab.pki}/gamma.key"
    with contextlib.closing(lab):
        lab.start()
        whole = lab.config_text()
        lab.standbys = ["beta"]
        removed = lab.nodes.pop("gamma")
        lab.write_config()
        gamma.config = os.path.join(lab.directory, "old.toml")  # it does not know of its removal
        with open(gamma.config, "w", encoding="utf-8") as file:
            file.write(whole)
        alpha.child.signal(signal.SIGHUP)
        wait_for("alpha has forgotten gamma", lambda: said(alpha, "reload", "node.gamma is gone"), 20)
        wait_for("the session of gamma has ended", lambda: peer()["state"] == "refused", 20)
        require("no node gamma any more" in peer()["why"], f"alpha says {peer()['why']}")
        with tls.connect_tls(alpha, *certificate) as stream:
            with contextlib.suppress(ssl.SSLError, ConnectionError):
                stream.sendall(hello("gamma"))
            require(tls.bytes_until_end(stream) == b"", "alpha answers a node that was removed")
        wait_for("the alarm", lambda: said(alpha, "alarm-peer", "is for 'gamma'", "wanted one of 'beta'"), 10)
        client = connect(alpha.uri())
        client.pwrite(b"z" * 4096, 0)
        client.shutdown()
        require(alpha.status()["peers"][0]["state"] == "connected", "the session of beta has ended, too")
        lab.nodes["gamma"], lab.standbys = removed, ["beta", "gamma"]
        lab.write_config()
        alpha.child.signal(signal.SIGHUP)
        for name in lab.standbys:  # it is let in again
            lab.wait_caught_up(standby=lab.nodes[name])
        gone = [name for name in lab.standbys if read_file(lab.nodes[name].device()) != read_file(alpha.device())]
        require(not gone, f"{gone} differ from the primary")


@check("tls.removed_primary_is_refused", 120)
def removed_primary(context):
    """The same on a standby: it takes nothing more of a primary that its file does not have any more."""
    lab = Lab(context.directory, {"data": 1 << 20}, standbys=("beta", "gamma"))
    alpha, beta = lab.alpha, lab.beta
    with contextlib.closing(lab):
        beta.config = os.path.join(lab.directory, "beta.toml")
        with open(beta.config, "w", encoding="utf-8") as file:
            file.write(lab.config_text())
        lab.start()
        lab.wait_caught_up()
        nodes = {name: lab.nodes[name] for name in ("beta", "gamma")}
        own = Lab.config_text(type("Own", (), {**vars(lab), "nodes": nodes, "primary": "gamma",
                                             "standbys": ["beta"]}))
        with open(beta.config, "w", encoding="utf-8") as file:
            file.write(own)
        beta.child.signal(signal.SIGHUP)
        wait_for("beta ends the session", lambda: said(beta, "alarm-link", "no node alpha any more"), 20)
        newest = beta.status()["positions"]["received"]
        client = connect(alpha.uri())
        client.pwrite(b"z" * 4096, 0)
        client.shutdown()
        wait_for("beta refuses alpha's name", lambda: said(beta, "alarm-peer", "is for 'alpha'"), 20)
        require(beta.status()["positions"]["received"] == newest, "beta has taken a step of a node that is gone")
        lab.wait_caught_up(standby=lab.nodes["gamma"])


def shown_by(node, lab):
    """The certificate that a new handshake with the node gets, as bytes."""
    other = "alpha" if node.name == "beta" else "beta"
    with tls.connect_tls(node, f"{lab.pki}/{other}.crt", f"{lab.pki}/{other}.key") as stream:
        return stream.getpeercert(binary_form=True)


def renew(lab, name, directory):
    """Another certificate and key of the CA for a node, in place of its own."""
    made = tls.issue(directory, (f"{lab.pki}/ca.crt", f"{lab.pki}/ca.key"), name)
    for source, end in zip(made, ("crt", "key")):
        shutil.copyfile(source, f"{lab.pki}/{name}.{end}")
    with open(made[0], encoding="ascii") as file:
        return ssl.PEM_cert_to_DER_cert(file.read())


def reread(node, kind, word):
    before = len(said(node, kind, word))
    node.child.signal(signal.SIGHUP)
    wait_for(f"{node.name} says '{word}'", lambda: len(said(node, kind, word)) > before, 20)


@check("tls.certificates_are_read_again", 120)
def certificates_again(context):
    """SIGHUP: the session that runs goes on, new handshakes show the new certificate; a bad file changes nothing."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        work = scene.workload(2, 4)
        work.start(pace=200)
        lab = scene.lab
        sessions = lambda: len(said(scene.beta, "session")) + len(said(scene.beta, "link"))
        before = sessions()
        for node in (scene.beta, scene.alpha):
            old = shown_by(node, lab)
            new = renew(lab, node.name, f"{context.directory}/new-{node.name}")
            require(shown_by(node, lab) == old, f"{node.name} shows another certificate without being told")
            reread(node, "reload", "certificates were read again")
            require(shown_by(node, lab) == new, f"{node.name} does not show its new certificate")
        require(sessions() == before, "the session that ran has ended")
        scene.lab.wait_streaming()
        # And with a key that is not the certificate's.
        shutil.copyfile(f"{lab.pki}/beta.key", f"{context.directory}/kept")
        shutil.copyfile(f"{lab.pki}/alpha.key", f"{lab.pki}/beta.key")
        shown = shown_by(scene.beta, lab)
        reread(scene.beta, "alarm-reload", "beta.key")
        require(shown_by(scene.beta, lab) == shown, "a key that does not fit has changed what is shown")
        shutil.copyfile(f"{context.directory}/kept", f"{lab.pki}/beta.key")
        require(sessions() == before, "the session has ended at a bad file")
        scene.alpha.do("pause", GROUP)
        scene.alpha.do("unpause", GROUP)  # both sides of the next session have new ones
        scene.lab.wait_streaming()
        work.stop()
        all_succeeded(work.ops())
        scene.settle()


@check("tls.truncation_is_no_orderly_end", 90)
def truncation(context):
    """The end of TCP without close_notify is told as a cut, on both sides; a pause is not, and nothing is lost."""
    with Scene(context, {"data": 1 << 20}) as scene:
        proxy = Proxy(scene.beta)
        scene.alpha.config = scene.lab.config + ".alpha"
        with open(scene.alpha.config, "w", encoding="utf-8") as file:
            file.write(scene.lab.config_text().replace(scene.beta.address, proxy.address))
        scene.start()
        scene.write(20)
        scene.alpha.do("pause", GROUP)
        wait_for("beta has heard of it", lambda: said(scene.beta, "link", "paused"), 20)
        require(not said(scene.beta, "link", "cut"), "a pause is told as a cut")
        scene.alpha.do("unpause", GROUP)
        scene.lab.wait_streaming()
        proxy.break_after(1)
        scene.write(20)
        for node in (scene.alpha, scene.beta):
            wait_for(f"{node.name} tells of a cut", lambda n=node: said(n, "link", "connection cut"), 20)
        require(not scene.settle().gaps, "a cut made a gap")
        proxy.close()


def peer_of(scene, **options):
    """Of beta's certificate, connected to alpha."""
    return RecordClient(scene.alpha, f"{scene.lab.pki}/beta.crt", f"{scene.lab.pki}/beta.key", **options)


def answered(peer):
    peer.answer(HELLO)
    require(b"groups" in peer.answer(ADMIN_REPLY), "no status in the answer")


@check("tls.half_close", 60)
def half_close(context):
    """close_notify behind a request: the answer comes, then the node's own close_notify."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        for apart in (False, True):
            with peer_of(scene) as peer:
                peer.send(hello("beta"))
                peer.answer(HELLO)
                peer.send(admin_request("status"))
                if apart:
                    require(b"groups" in peer.answer(ADMIN_REPLY), "no status in the answer")
                peer.end_writing()
                if not apart:
                    require(b"groups" in peer.answer(ADMIN_REPLY), "no status in the answer")
                require(peer.ended(), "the node ended the connection without close_notify")
        scene.write(10)
        scene.settle()


@check("tls.records_tiny_huge_and_empty", 120)
def records(context):
    """Messages in records of 1 byte, in the largest, with empty ones between; a handshake byte by byte."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        words = hello("beta") + admin_request("status")
        with peer_of(scene, piece=1) as peer:
            peer.send(words, 1)
            answered(peer)
        with peer_of(scene) as peer:
            for at in range(0, len(words), 7):
                peer.socket.sendall(b"".join(peer.record(b"") for _ in range(30)) + peer.record(words[at:at + 7]))
            answered(peer)
        with peer_of(scene) as peer:
            peer.send(hello("beta"))
            peer.answer(HELLO)
            count = 3 * RECORD_MAX // len(admin_request("status"))
            peer.send(admin_request("status") * count, RECORD_MAX)
            for _ in range(count):
                require(b"groups" in peer.answer(ADMIN_REPLY), "no status in the answer")
        scene.write(10)
        scene.settle()


@check("tls.records_that_may_not_be", 120)
def bad_records(context):
    """Empty ones without end, one over the limit, one that was changed: that connection ends, and nothing else."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        work = scene.workload(2, 4)
        work.start(pace=200)

        def changed(peer):
            record = bytearray(peer.record(hello("beta")))
            record[-1] ^= 1
            return bytes(record)
        for what, made in (("empty records without end", lambda peer: b"".join(peer.record(b"") for _ in range(2000))),
                           ("a record of 16385 bytes", lambda peer: peer.record(bytes(RECORD_MAX + 1))),
                           ("a header of 65535 bytes", lambda peer: b"\x17\x03\x03\xff\xff" + bytes(65535)),
                           ("a changed byte", changed),
                           ("a record again", lambda peer: peer.record(hello("beta")) * 2)):
            with peer_of(scene) as peer:
                with contextlib.suppress(ConnectionError):
                    peer.socket.sendall(made(peer))
                peer.ended()
            require(scene.alpha.running(), f"{what}: the daemon died")
        require(scene.alpha.status()["peers"][0]["state"] == "connected", "the pair's own link has ended")
        work.stop()
        all_succeeded(work.ops())
        require(not scene.settle().gaps, "bad records made a gap")
