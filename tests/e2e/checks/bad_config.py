"""Every kind of mistake in everstep.toml: refused with file, line and key."""

import os
import re

from everstep_lab.base import Failed, require, run
from everstep_lab.nodes import EVERSTEPD, Lab
from everstep_lab.registry import check

# (what, old text, new text, the key in the message, the text whose line is named). The first place of `old` counts.
# An empty new text takes the line away; then any line of the table may be named (last field: None).
MISTAKES = [
    ("unknown key at the top", "[tls]", "colour = 1\n[tls]", "colour", "colour"),
    ("unknown key of tls", 'ca = "pki/ca.crt"', 'ca = "pki/ca.crt"\ncipher = "x"', "cipher", "cipher"),
    ("unknown key of a node", 'name = "beta"', 'name = "beta"\nnmae = "x"', "nmae", "nmae"),
    ("unknown key of a group", 'ack = "local"', 'ack = "local"\nakc = "local"', "akc", "akc"),
    ("unknown key of a volume", 'name = "data"', 'name = "data"\nsise = "1MiB"', "sise", "sise"),
    ("unknown key of a volume on a node", 'alpha = { device', 'alpha = { devize = "x", device', "devize", "devize"),
    ("unknown key of history", 'ack = "local"', 'ack = "local"\nhistory = { kept = "1h" }', "kept", "kept"),
    ("a size without a unit", 'size = "1048576B"', 'size = "1048576"', "size", "size ="),
    ("a size with a bad unit", 'size = "1048576B"', 'size = "1MB"', "size", "size ="),
    ("a size of nothing", 'size = "1048576B"', 'size = "0B"', "size", "size ="),
    ("a negative size", 'size = "1048576B"', 'size = "-4KiB"', "size", "size ="),
    ("a size too large for 64 bits", 'size = "1048576B"', 'size = "99999999999TiB"', "size", "size ="),
    ("a size that is no whole sectors", 'size = "1048576B"', 'size = "1000B"', "size", "size ="),
    ("a bad duration", 'start_wait = "2s"', 'start_wait = "soon"', "start_wait", "start_wait"),
    ("a duration without a unit", 'start_wait = "2s"', 'start_wait = "2"', "start_wait", "start_wait"),
    ("a bad ack", 'ack = "local"', 'ack = "maybe"', "ack", "ack ="),
    ("ack of another type", 'ack = "local"', "ack = 3", "ack", "ack ="),
    ("bad on_standby_loss", 'ack = "local"', 'ack = "local"\non_standby_loss = "x"', "on_standby_loss", "on_st"),
    ("too many ack_standbys", 'ack = "local"', 'ack = "local"\nack_standbys = 2', "ack_standbys", "ack_standbys"),
    ("an unknown primary", 'primary = "alpha"', 'primary = "omega"', "primary", "primary"),
    ("an unknown standby", '["beta"]', '["omega"]', "standbys", "standbys"),
    ("the primary as standby", '["beta"]', '["alpha"]', "standbys", "standbys"),
    ("a standby twice", '["beta"]', '["beta", "beta"]', "standbys", "standbys"),
    ("standbys that are no list", '["beta"]', '"beta"', "standbys", "standbys"),
    ("no ca", 'ca = "pki/ca.crt"', "", "ca", None),
    ("no primary", 'primary = "alpha"', "", "primary", None),
    ("no state directory", 'state = "alpha/state"', "", "state", None),
    ("no group name", 'name = "db"', "", "name", None),
    ("no device", 'device = "alpha/data.img", ', "", "device", "alpha = {"),
    ("a volume that misses a node", "beta = { device", "# beta = { device", "beta", None),
    ("an unknown node of a volume", "beta = { device", "omega = { device", "omega", None),
    ("a node twice", 'name = "beta"', 'name = "alpha"', "name", 2),
    ("an address without a port", "ADDRESS:", "ADDRESS ", "address", "address"),
    ("a port that is none", "ADDRESS:PORT", "ADDRESS:99999", "address", "address"),
    ("a missing ca", "pki/ca.crt", "pki/none.crt", "ca", "ca ="),
    ("a missing certificate", "pki/alpha.crt", "pki/none.crt", "certificate", "certificate"),
    ("a missing key", "pki/alpha.key", "pki/none.key", "key", "key ="),
    ("a key of another certificate", "pki/alpha.key", "pki/beta.key", "key", "key ="),
    ("a ca that is no certificate", "pki/ca.crt", "everstep.toml", "ca", "ca ="),
    ("a bad capture", 'capture = "nbd"', 'capture = "magic"', "capture", "alpha = {"),
    ("a bad listen", "unix:alpha/data.sock", "pipe:alpha/data.sock", "listen", "alpha = {"),
    ("no listen where a node serves", ', listen = "unix:alpha/data.sock"', "", "listen", "alpha = {"),
    ("a text without its end", 'name = "db"', 'name = "db', "", 'name = "db'),
    ("a key twice", 'primary = "alpha"', 'primary = "alpha"\nprimary = "beta"', "primary", "primary"),
]


def mutate(lab, old, new):
    old = old.replace("ADDRESS:PORT", lab.alpha.address).replace("ADDRESS", "127.0.0.1")
    new = new.replace("ADDRESS", "127.0.0.1")
    text = lab.config_text()
    require(old in text, f"the configuration has no {old!r}")
    return text.replace(old, new, 1)


def wanted_lines(text, mark):
    """Numbers of the lines that a message may name; None: any."""
    lines = text.splitlines()
    if mark is None:
        return None
    if isinstance(mark, int):  # the n-th `name = "alpha"`
        return {[n for n, line in enumerate(lines, 1) if line == 'name = "alpha"'][mark - 1]}
    return {number for number, line in enumerate(lines, 1) if mark in line}


def refused(lab, what, text, key, lines):
    with open(lab.config, "w", encoding="utf-8") as file:
        file.write(text)
    done = run([EVERSTEPD, "--config", lab.config, "--node", "alpha", "--check"], 20, check=False)
    said = done.stderr + done.stdout
    require(done.returncode == 2, f"{what}: --check ended with {done.returncode}, wanted 2\n{said}")
    found = re.search(r"everstep\.toml:(\d+)", said)
    require(found is not None, f"{what}: the message names no everstep.toml:LINE: {said}")
    require(lines is None or int(found.group(1)) in lines,
            f"{what}: the message names line {found.group(1)}, wanted one of {sorted(lines or [])}: {said}")
    require(re.search(rf"\b{re.escape(key)}\b", said.replace(lab.config, "")),
            f"{what}: the message does not name {key}: {said}")


@check("bad_input.configuration", 120)
def configuration(context):
    lab = Lab(context.directory, {"data": 1 << 20})
    done = run([EVERSTEPD, "--config", lab.config, "--node", "alpha", "--check"], 20, check=False)
    require(done.returncode == 0, f"--check of a good configuration: {done.returncode}\n{done.stderr}")
    wrong = []
    for what, old, new, key, mark in MISTAKES:
        text = mutate(lab, old, new)
        try:
            refused(lab, what, text, key, wanted_lines(text, mark))
        except Failed as error:
            wrong.append(str(error))
    two_volumes(lab, wrong)
    require(not wrong, f"{len(wrong)} of {len(MISTAKES) + 3} mistakes:\n  " + "\n  ".join(wrong))
    context.say(f"{len(MISTAKES) + 3} mistakes, each refused with file, line and key")


def two_volumes(lab, wrong):
    """Mistakes that need a second volume: a device, a socket, a name used twice."""
    lab.volumes = {"data": 1 << 20, "logs": 1 << 20}
    for what, old, new, key in (("a device used twice", "alpha/logs.img", "alpha/data.img", "device"),
                                ("a socket used twice", "alpha/logs.sock", "alpha/data.sock", "listen"),
                                ("a volume's name twice", 'name = "logs"', 'name = "data"', "name")):
        text = mutate(lab, old, new)
        lines = {n for n, line in enumerate(text.splitlines(), 1) if new in line}
        try:
            refused(lab, what, text, key, lines)
        except Failed as error:
            wrong.append(str(error))


@check("bad_input.usage", 60)
def usage(context):
    """Wrong words on the command line end with 2, an absent node with 4, and both say what to do."""
    lab = Lab(context.directory, {"data": 1 << 20})
    for words in (("frobnicate",), ("rewind",), ("log",), ("status", "--no-such"), ("export", "db"),
                  ("log", "db", "--limit", "many")):
        lab.alpha.cli(*words).expect(2)
    lab.alpha.cli("status").expect(4, "alpha")
    lab.alpha.cli("log", "db").expect(4, "alpha")
    done = run([EVERSTEPD, "--config", lab.config, "--node", "omega", "--check"], 20, check=False)
    require(done.returncode != 0 and "omega" in done.stderr, f"an unknown node: {done.returncode} {done.stderr}")
    done = run([EVERSTEPD, "--config", "/none/everstep.toml", "--node", "alpha", "--check"], 20, check=False)
    require(done.returncode != 0 and "/none/everstep.toml" in done.stderr, f"no file: {done.stderr}")
    lab.start()
    try:
        lab.alpha.cli("status", "nogroup").expect(2, "nogroup")
        lab.beta.cli("export", "nogroup", "head").expect(2, "nogroup")
        lab.beta.cli("export", "db/novolume", "head").expect(2, "novolume")
        lab.beta.cli("unexport", "no-such-id").expect(1, "no-such-id")
        second = run([EVERSTEPD, "--config", lab.config, "--node", "alpha"], 20, check=False)
        require(second.returncode != 0, "a second daemon of the same node started")
        require(lab.alpha.running(), "a second daemon harmed the first")
        lab.alpha.status()
    except Failed:
        lab.say_logs()
        raise
    finally:
        lab.close()


@check("bad_input.pki", 60)
def pki(context):
    """`everstep pki` never overwrites; keys are 0600."""
    lab = Lab(context.directory, {"data": 1 << 20})
    for name in ("ca", "alpha", "beta"):
        mode = os.stat(f"{lab.pki}/{name}.key").st_mode & 0o777
        require(mode == 0o600, f"{name}.key has mode {mode:o}, wanted 600")
    before = open(f"{lab.pki}/ca.crt", "rb").read()
    require(lab.alpha.cli("pki", "init", lab.pki).code != 0, "pki init over an existing CA was done")
    require(lab.alpha.cli("pki", "issue", lab.pki, "alpha").code != 0, "pki issue over an existing name was done")
    require(open(f"{lab.pki}/ca.crt", "rb").read() == before, "pki init changed an existing CA")
    run(["openssl", "verify", "-CAfile", f"{lab.pki}/ca.crt", f"{lab.pki}/alpha.crt"])
