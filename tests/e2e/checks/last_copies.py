"""The last copy of what was acknowledged: by whose word a start brings it back, who may leave the group, what goes."""

from checks.ack_switch import switch
from checks.group_apply import apply
from everstep_lab.base import require, wait_for
from everstep_lab.nodes import GROUP, Node
from everstep_lab.registry import check
from everstep_lab.scene import Scene
from everstep_lab.workload import all_succeeded


def ahead_of_gamma(scene, stop):
    """Writes that beta has and gamma, which was stopped, lacks; all are acknowledged."""
    scene.write(20)
    scene.settle()
    gamma = scene.lab.nodes["gamma"]
    scene.lab.wait_caught_up(scene.alpha, gamma)
    stop(gamma)
    all_succeeded(scene.write(40, 2, 4))
    return gamma


@check("last_copies.a_start_asks_as_many_as_had_it", 120)
def start_asks(context):
    """Acknowledged by one of two; `ack_standbys` is raised over an unclean stop: the other one alone is not trusted."""
    with Scene(context, ack="durable", ack_standbys=1, standbys=("beta", "gamma")) as scene:
        scene.start()
        gamma = ahead_of_gamma(scene, Node.kill9)
        newest = scene.alpha.status()["positions"]["captured"]
        wait_for("beta has it all", lambda: scene.beta.status()["positions"]["durable"] == newest, 20)
        scene.alpha.kill9()
        crash = scene.oplog.stamp()
        scene.beta.kill9()
        scene.lab.group["ack_standbys"] = 2
        scene.lab.write_config()
        gamma.start()
        scene.alpha.start()
        scene.lab.wait_serving()
        scene.beta.start()
        scene.settle(crash=crash, gap_allowed=True)


@check("last_copies.one_that_lags_is_none", 120)
def lagging(context):
    """Behind a switch of `ack_standbys` nothing is released yet: one that lags holds what was acknowledged no more."""
    with Scene(context, ack="durable", ack_standbys=1, on_standby_loss="stall", standbys=("beta", "gamma"),
               keepalive='{ interval = "1s", timeout = "120s" }') as scene:
        scene.start()
        gamma = ahead_of_gamma(scene, Node.freeze)
        switch(scene, scene.alpha, ack_standbys=2)
        scene.lab.group["ack_standbys"] = 1
        scene.lab.set_members("gamma")
        apply(scene.alpha, "--yes", code=3, say=("standbys", "--force"))
        peers = [one["node"] for one in scene.alpha.status()["peers"]]
        require(peers == ["beta", "gamma"], f"the peers are {peers}")
        gamma.thaw()


@check("last_copies.adopt_names_what_goes", 120)
def adopt_names(context):
    """An old primary takes the data of the one that took over: an alarm names the steps that it alone had."""
    with Scene(context) as scene:
        scene.start()
        scene.write(20)
        scene.settle()
        kept = scene.alpha.status()["positions"]["captured"]
        scene.alpha.do("pause", GROUP)
        all_succeeded(scene.write(20))
        newest = scene.alpha.status()["positions"]["captured"]
        timeline = scene.alpha.status()["timeline"]
        scene.alpha.term()
        scene.beta.one("takeover", GROUP, "--force")
        scene.lab.wait_serving(scene.beta)
        scene.alpha.start()
        wait_for("alpha has stepped down", lambda: "adopt" in (scene.alpha.status()["why"] or ""), 30)
        scene.alpha.one("adopt", GROUP, "--from", "beta")
        told = [event["text"] for event in scene.alpha.events() if event["kind"] == "alarm-adopt"]
        wanted = f"steps {kept + 1} to {newest} of timeline {timeline}"
        require(len(told) == 1 and wanted in told[0], f"alpha says {told}, wanted {wanted}")
        scene.lab.wait_caught_up(scene.beta, scene.alpha)


@check("last_copies.a_takeover_names_who_has_more", 120)
def who_has_more(context):
    """A takeover where less is than another standby has: the steps that would be lost are told, and who has them."""
    with Scene(context, ack="durable", ack_standbys=1, standbys=("beta", "gamma")) as scene:
        scene.start()
        gamma = ahead_of_gamma(scene, Node.kill9)
        scene.alpha.kill9()
        gamma.start()
        less = gamma.status()["history"]["head"]
        newest = scene.beta.status()["history"]["head"]
        require(newest > less, f"beta has no more than gamma: {newest}, {less}")
        gamma.cli("takeover", GROUP).expect(3, f"{newest - less} steps", f"beta has steps up to {newest}")
        plan = gamma.one("takeover", GROUP, "--dry-run")
        require(plan["lost_steps"] == newest - less, f"lost are {plan['lost_steps']} steps, wanted {newest - less}")
        refused = scene.beta.cli("takeover", GROUP).expect(3, "--force")
        require("take over there" not in refused.err, f"beta sends its user away: {refused.err}")


@check("last_copies.an_old_primary_names_the_new_one", 120)
def names_the_new_one(context):
    """Whoever of two tells an old primary of the takeover: it says to take the data of the node that took over."""
    with Scene(context, {"data": 1 << 20}, standbys=("beta", "gamma")) as scene:
        scene.start()
        lab, alpha, beta = scene.lab, scene.alpha, scene.beta
        all_succeeded(scene.write(20))
        lab.wait_caught_up(alpha, lab.nodes["gamma"])
        alpha.kill9()
        beta.one("takeover", GROUP, "--force")
        lab.wait_streaming(lab.nodes["gamma"])
        beta.freeze()  # so that gamma tells it
        alpha.start()
        wait_for("alpha steps down", lambda: "adopt" in (alpha.status()["why"] or ""), 30)
        beta.thaw()
        why = alpha.status()["why"]
        require(f"adopt {GROUP} --from beta" in why, f"alpha says {why}")
