"""Attacks on backups: images that were cut, damaged, moved or written over are not relied on without a word."""

import os
import shutil

from checks.backup import DATA, SIZE, Backups, change, need_qemu
from checks.restore import equal_pair, head_of, served
from everstep_lab.base import require, run
from everstep_lab.model import name_of, same_images
from everstep_lab.nodes import GROUP
from everstep_lab.registry import check
from everstep_lab.scene import Scene


def cut(path, count):
    os.truncate(path, os.stat(path).st_size - count)


class Chain:
    """Three backups over each other, what they hold, and a copy of them; then other content on the volume."""

    def __init__(self, scene, kinds=("qcow2", "qcow2", "qcow2")):
        self.scene, self.backups = scene, Backups(scene)
        self.keys = []
        for number, kind in enumerate(kinds):
            self.keys.append(change(scene, 40))
            words = ("--since", "last") if number else ()
            self.backups.make(f"{number}", self.keys[-1], "--format", kind, *words)
        self.contents = [scene.model.image(key)["data"] for key in self.keys]
        change(scene, 40)
        self.pristine = os.path.join(scene.context.directory, "pristine")
        shutil.copytree(self.backups.directory, self.pristine)
        self.before, self.head = served(scene.alpha), head_of(scene.beta)

    def at(self, number):
        return self.backups.at(str(number))

    def mend(self):
        shutil.rmtree(self.backups.directory)
        shutil.copytree(self.pristine, self.backups.directory)

    def restore(self, number, *words):
        return self.scene.beta.cli("restore", DATA, "--from", self.at(number), *words)

    def refused(self, number, code, *says):
        """A restore of one of them, which changes nothing."""
        self.restore(number).expect(code, *says)
        self.unchanged(f"a refusal that says {says}")

    def unchanged(self, when):
        require(self.scene.beta.do("exports", GROUP) == [], f"{when}: an export is left")
        same_images(when, served(self.scene.alpha), self.before)
        require(head_of(self.scene.beta) == self.head, f"{when}: the history goes on")

    def restored(self, number, what):
        wanted = dict(self.before, data=self.contents[number])
        same_images(what, equal_pair(self.scene, what), wanted)


@check("backup_attack.restore_from_a_broken_chain", 240)
def restore_from_a_broken_chain(context):
    """A missing base, a ring, images that are cut, damaged or in another's place: refused, and nothing changed."""
    need_qemu()
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        chain = Chain(scene)
        os.rename(chain.at(1), chain.at("away"))
        chain.refused(2, 1, chain.at(1))
        chain.mend()
        run(["qemu-img", "rebase", "-u", "-f", "qcow2", "-b", "2", "-F", "qcow2", chain.at(0)])
        chain.refused(2, 1, "infinite loop")
        chain.mend()
        for number in (2, 1, 0):  # less than a cluster of the end, which qemu-img check does not see
            cut(chain.at(number), 100)
            chain.refused(2, 3, chain.at(number), "is cut", "--force")
            chain.mend()
        os.unlink(chain.at("1.everstep"))
        cut(chain.at(1), 200000)
        chain.refused(2, 3, chain.at(1), "is damaged", "--force")
        chain.mend()
        for ending in ("", ".everstep"):
            shutil.copy(chain.at(f"0{ending}"), chain.at(f"1{ending}"))
        made, holds = f"made over step {chain.keys[1][1]}", f"holds step {chain.keys[0][1]}"
        chain.refused(2, 3, chain.at(2), made, holds, "--force")
        chain.restore(2, "--force").expect(0)
        chain.mend()
        os.rename(chain.backups.directory, chain.backups.directory + "-moved")
        chain.backups.directory += "-moved"
        for number in (2, 0):
            chain.restore(number).expect(0)
            chain.restored(number, f"backup {number} of the chain that was moved")


@check("backup_attack.bases_that_changed", 180)
def bases_that_changed(context):
    """No backup is made over an image that is not any more what its record says."""
    need_qemu()
    with Scene(context, {"data": SIZE}) as scene:
        scene.start()
        chain = Chain(scene, ("raw", "qcow2", "qcow2"))
        names = os.listdir(chain.pristine)

        def refused(number, code, *says):
            name = str(number)
            chain.backups.cli("new", "head", "--base", chain.at(name)).expect(code, *says)
            chain.backups.cli("new", "head", "--since", name_of(chain.keys[number])).expect(code, *says)
            chain.backups.nothing_left(names, f"a backup over {name} that says {says}")
            chain.mend()

        for number in (2, 1):
            cut(chain.at(0), 1 << 20)
            refused(number, 3, chain.at(0), str(SIZE - (1 << 20)), str(SIZE), "full backup")
            cut(chain.at(0), 100)
            refused(number, 3, chain.at(0), "is cut", "full backup")
            cut(chain.at(1), 100)
            refused(number, 3, chain.at(1), "is cut", "full backup")
        # From another directory nobody sees that something lies over what is written over.
        other = Backups(scene, "other")
        other.make("over", chain.keys[2], "--base", chain.at(0))
        for name in ("1", "2"):
            for ending in ("", ".everstep"):
                os.unlink(chain.at(name + ending))
        chain.backups.make("0", chain.keys[1], "--format", "raw", "--force")
        says = [other.at("over"), chain.at(0), "written over", "full backup"]
        other.cli("new", "head", "--since", "last").expect(3, *says)
        other.nothing_left(["over", "over.everstep"], "the base was written over")
        scene.beta.cli("restore", DATA, "--from", other.at("over")).expect(3, *says[:3], "--force")
        chain.unchanged("a restore over a base that was written over")
