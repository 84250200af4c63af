"""A guest under QEMU without KVM: a Debian kernel and busybox, whose root file system is a disk of ours.

The kernel is what scripts/guest_kernel fetches; EVERSTEP_GUEST_ROOT names a directory that holds another one.
"""

import glob
import os
import shutil

from .base import Child, Skip, need_tool, require, run
from .nodes import ROOT

# In the order in which they need each other; what a kernel has built in is not there as a file.
MODULES = ("virtio_ring", "virtio", "virtio_pci_legacy_dev", "virtio_pci_modern_dev", "virtio_pci", "virtio_blk",
           "crc16", "crc32c_generic", "mbcache", "jbd2", "ext4")
FIRST = """#!/bin/busybox sh
for module in {modules}; do /bin/busybox insmod /$module.ko; done
/bin/busybox mount -t devtmpfs none /dev
/bin/busybox mount -t ext4 /dev/vda /root
exec /bin/busybox switch_root /root /sbin/init
"""
INIT = """#!/bin/busybox sh
/bin/busybox mount -t devtmpfs none /dev
echo "guest: $(/bin/busybox cat /who) $(/bin/busybox md5sum /content)" >/dev/console
echo "the guest was here" >/written && /bin/busybox sync && echo "guest: written" >/dev/console
/bin/busybox poweroff -f
"""


class Guest:
    def __init__(self, directory):
        self.directory = directory
        self.emulator, self.busybox = need_tool("qemu-system-x86_64"), need_tool("busybox")
        need_tool("mke2fs")
        fetched = run([os.path.join(ROOT, "scripts/guest_kernel")], seconds=300, check=False)
        if fetched.returncode != 0:
            raise Skip(f"no kernel for a guest: {fetched.stderr.strip()}")
        root = fetched.stdout.strip()
        self.kernel = sorted(glob.glob(os.path.join(root, "boot/vmlinuz-*")))[-1]
        version = os.path.basename(self.kernel).removeprefix("vmlinuz-")
        self.modules = {}
        for top, _, names in os.walk(os.path.join(root, "lib/modules", version)):
            for name in names:
                if name.endswith(".ko") and name[:-3] in MODULES:
                    self.modules[name[:-3]] = os.path.join(top, name)
        os.makedirs(directory)
        self.initramfs = os.path.join(directory, "initramfs")
        self.make_initramfs()

    def tree(self, name):
        """A directory with busybox and where the kernel mounts things."""
        top = os.path.join(self.directory, name)
        for folder in ("bin", "sbin", "dev", "proc", "root"):
            os.makedirs(os.path.join(top, folder))
        shutil.copy(self.busybox, os.path.join(top, "bin/busybox"))
        return top

    @staticmethod
    def script(path, text):
        with open(path, "w", encoding="utf-8") as file:
            file.write(text)
        os.chmod(path, 0o755)

    def make_initramfs(self):
        top = self.tree("first")
        names = [name for name in MODULES if name in self.modules]
        for name in names:
            shutil.copy(self.modules[name], os.path.join(top, name + ".ko"))
        self.script(os.path.join(top, "init"), FIRST.format(modules=" ".join(names)))
        files = [os.path.relpath(os.path.join(folder, name), top)
                 for folder, folders, found in os.walk(top) for name in folders + found]
        run([self.busybox, "cpio", "-o", "-H", "newc", "-F", self.initramfs], input="\n".join(files) + "\n", cwd=top)

    def root(self, name, who, content, size):
        """A root file system whose guest says `who` and the sum of `content`, as bytes."""
        top, image = self.tree(name), os.path.join(self.directory, name + ".ext4")
        self.script(os.path.join(top, "sbin/init"), INIT)
        with open(os.path.join(top, "who"), "w", encoding="utf-8") as file:
            file.write(who)
        with open(os.path.join(top, "content"), "wb") as file:
            file.write(content)
        run(["mke2fs", "-q", "-t", "ext4", "-d", top, image, f"{size >> 10}k"])
        with open(image, "rb") as file:
            return file.read()

    def boot(self, image, seconds):
        """What the guest says that has this qcow2 image as its disk; the image stays as it is."""
        log = os.path.join(self.directory, os.path.basename(image) + ".console")
        child = Child([self.emulator, "-accel", "tcg", "-m", "256", "-nographic", "-nodefaults", "-no-reboot",
                       "-serial", "stdio", "-kernel", self.kernel, "-initrd", self.initramfs,
                       "-append", "console=ttyS0 panic=-1 quiet",
                       "-drive", f"file={image},format=qcow2,if=virtio,snapshot=on"], log)
        code = child.wait(seconds)
        require(code == 0, f"the guest on {image}: exit {code}: {child.tail()}")
        return child.tail(60)
