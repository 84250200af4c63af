"""What programs read: the fields and types of DESIGN.md 9 in --json, and the events of a node."""

import re

from everstep_lab.base import require, wait_for
from everstep_lab.nodes import GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene

TEXT, NUMBER, REAL, YES_NO = str, int, (int, float), bool
HEX, TIME = re.compile("[0-9a-f]{32}"), re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{6}Z")


def shape(what, value, wanted):
    """`wanted`: a type, a pattern, {key: wanted} (more keys may be there), [wanted of each], or (wanted, None)."""
    if isinstance(wanted, tuple) and None in wanted:
        if value is not None:
            shape(what, value, wanted[0])
    elif isinstance(wanted, dict):
        require(isinstance(value, dict), f"{what} is {value}, wanted an object")
        missing = set(wanted) - set(value)
        require(not missing, f"{what} lacks {sorted(missing)}: {value}")
        for key, inner in wanted.items():
            shape(f"{what}.{key}", value[key], inner)
    elif isinstance(wanted, list):
        require(isinstance(value, list) and value, f"{what} is {value}, wanted a list with something in it")
        for item in value:
            shape(what, item, wanted[0])
    elif isinstance(wanted, re.Pattern):
        require(isinstance(value, str) and wanted.fullmatch(value), f"{what} is {value!r}, wanted {wanted.pattern}")
    else:
        is_number = wanted in (NUMBER, REAL) and isinstance(value, bool)
        require(isinstance(value, wanted) and not is_number, f"{what} is {value!r}, wanted {wanted}")


STAGES = ("captured", "queued", "sealed", "sent", "received", "durable", "applied")
PEER = {"node": TEXT, "state": TEXT, "received": NUMBER, "durable": NUMBER, "applied": NUMBER, "lag_steps": NUMBER,
        "lag_bytes": NUMBER, "lag_seconds": REAL}
EXPORT = {"id": TEXT, "uri": TEXT, "uris": {"data": TEXT, "logs": TEXT}, "lsn": NUMBER, "timeline": HEX,
          "writable": YES_NO}
STATUS = {"node": TEXT, "groups": [{
    "name": TEXT, "role": TEXT, "state": TEXT, "timeline": HEX, "timeline_number": NUMBER, "ack_in_force": (TEXT, None),
    "positions": {stage: NUMBER for stage in STAGES}, "peers": [PEER],
    "timelines": [{"timeline": HEX, "timeline_number": NUMBER, "parent": (HEX, None), "from": (NUMBER, None),
                   "node": TEXT, "current": YES_NO}],
    "history": {"oldest": (NUMBER, None), "head": (NUMBER, None), "oldest_time": (TIME, None),
                "head_time": (TIME, None), "bytes": NUMBER, "gaps": NUMBER},
    "volumes": [{"name": TEXT, "size": NUMBER, "device": TEXT, "capture": TEXT, "uri": (TEXT, None)}]}]}
STEP = {"timeline": HEX, "timeline_number": NUMBER, "lsn": NUMBER, "time": TIME, "volume": TEXT, "offset": NUMBER,
        "length": NUMBER, "kind": TEXT, "flush": YES_NO, "fua": YES_NO}


@check("command_line.json", 120)
def json_fields(context):
    """status, log and export have the fields and types of DESIGN.md 9, on a primary, a standby and after a takeover."""
    with Scene(context, {"data": 1 << 20, "logs": 1 << 20}) as scene:
        scene.start()
        scene.write(20)
        scene.settle()
        alpha, beta = scene.alpha, scene.beta
        for node in (alpha, beta):
            shape(f"status of {node.name}", node.one("status"), STATUS)
            for row in node.do("log", GROUP):
                shape("a step of log", row, STEP)
            shape("export", node.one("export", GROUP, "step:3"), EXPORT)
            shape("exports", node.do("exports"), [EXPORT])
        shape("the exports of a status", beta.status()["exports"], [EXPORT])
        require(alpha.status()["exports"] == [], "the status of a node lists another's exports")
        require(alpha.status()["ack_in_force"] == "local", "ack_in_force of a primary is not told")
        alpha.kill9()
        beta.do("takeover", GROUP, "--force")
        scene.lab.wait_serving(beta)
        status = beta.one("status")
        shape("status after a takeover", status, STATUS)
        group = status["groups"][0]
        require(all(one["uri"] for one in group["volumes"]), f"volumes without a URI: {status}")
        old, new = group["timelines"]
        require((new["parent"], new["node"], new["current"]) == (old["timeline"], beta.name, True),
                f"the timelines after a takeover are {group['timelines']}")
        require((old["parent"], old["current"], new["from"]) == (None, False, scene.model.head[1]),
                f"the timelines after a takeover are {group['timelines']}")


@check("command_line.events", 120)
def events(context):
    """What happens to a standby's link, replica and exports can be read afterwards, on either node."""
    with Scene(context, {"data": 1 << 20}) as scene:
        scene.start()
        scene.write(20)
        scene.settle()
        beta, head = scene.beta, scene.model.head[1]
        before = beta.events()
        require(any(one["text"] == "alpha: initial sync" for one in before), f"beta began with {before}")
        beta.do("rewind", GROUP, "step:10", "--dry-run")
        beta.do("rewind", GROUP, "step:10")
        beta.do("resume", GROUP)
        served = beta.one("export", GROUP, "step:3")["id"]
        beta.do("unexport", served)
        copied = [one["text"] for one in scene.alpha.events() if one["kind"] == "session"]
        require(copied == ["beta: initial sync", "beta: streaming, the first copy is done"], f"alpha says {copied}")
        scene.alpha.kill9()
        wait_for("the loss of the link is told", lambda: beta.events()[-1]["kind"] == "link", 30)
        told = [(one["kind"], one["text"]) for one in beta.events()[len(before):-1]]
        wanted = [("rewind", f"the replica went from step {head} to step 10"),
                  ("resume", f"the replica went from step 10 to step {head}"),
                  ("export", f"export {served} of step 3"), ("unexport", f"export {served} is ended")]
        require(told == wanted, f"beta says {told}, wanted {wanted}")
