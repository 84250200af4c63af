"""SIGHUP: what a running node takes over from everstep.toml, and what it names or refuses."""

import signal

from everstep_lab.base import require, wait_for
from everstep_lab.nodes import GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene


def told(node, *words):
    """Whether one line of its log since the start holds all the words (a broken file stops `everstep`, too)."""
    return any(all(word in line for word in ("reload:", *words))
               for line in node.log_text()[node.log_start:].splitlines())


def reload(node, *words):
    """SIGHUP; returns when the node has said the words."""
    node.child.signal(signal.SIGHUP)
    wait_for(f"{node.name} says {' '.join(words)}", lambda: told(node, *words))


@check("reload.retention_limits", 120)
def retention_limits(context):
    """Limits count at once; other keys are named; a broken file changes nothing; nodes agree after all are told."""
    with Scene(context, {"data": 1 << 20}, segment_bytes="1MiB") as scene:
        scene.start()
        alpha, beta, group = scene.alpha, scene.beta, scene.lab.group
        while beta.status()["history"]["bytes"] < 6 << 20:
            scene.write(100, 2, 8)
        scene.lab.wait_caught_up()
        require(beta.status()["history"]["oldest"] == 0, "something was dropped without a limit")

        with open(scene.lab.config, "w", encoding="utf-8") as file:
            file.write(scene.lab.config_text().replace('name = "db"', 'name = "db"\nkeep_forever = 1'))
        reload(beta, "everstep.toml:", "keep_forever", "stays as it was")

        group["history.keep_bytes"], group["segment_bytes"] = "3MiB", "2MiB"
        scene.lab.write_config()
        reload(beta, "group.db.segment_bytes", "needs a restart")
        require(told(beta, f"{GROUP}: reload: history.keep_bytes: 3MiB, was 0B"), "the new limit is not told")
        wait_for("history is within its bytes", lambda: beta.status()["history"]["bytes"] < 5 << 20)
        wait_for("the oldest steps have gone", lambda: beta.status()["history"]["oldest"] > 0)
        scene.write(50, 2, 8)
        scene.lab.wait_caught_up()

        # The running session went on; a new one begins once the other node has been told as well.
        group["segment_bytes"] = "1MiB"
        scene.lab.write_config()
        beta.kill9()
        beta.start()
        wait_for("alpha says what differs", lambda: "history.keep_bytes" in alpha.told())
        reload(alpha, "history.keep_bytes: 3MiB, was 0B")
        scene.lab.wait_caught_up()
        require(not told(alpha, "needs a restart"), "alpha names a key that is as it was")
        scene.write(50, 2, 8)
        scene.lab.wait_caught_up()
