"""A small disk of its own (ext4 in a file), which can be frozen and filled. It never stays frozen: a guard thaws it after
a while, and when the rig is gone."""

import os
import shutil
import subprocess

from programs import Trouble, find

BYTES = 512 << 20
GUARD_SECONDS = 30
TOOLS = ("mkfs.ext4", "mount", "umount", "fsfreeze")
GUARD = 'timeout "$1" cat >/dev/null; exec fsfreeze -u "$2" 2>/dev/null'


def why_not():
    """Why there can be none; nothing when there can."""
    if os.geteuid() != 0:
        return "root is needed to mount one"
    missing = [tool for tool in TOOLS if not find(tool)]
    return f"missing: {' '.join(missing)}" if missing else None


class Disk:
    """A mounted file system; `folder` is where."""

    def __init__(self, folder, image):
        self.folder, self.image, self.guard = folder, image, None
        folder.mkdir()
        with open(image, "wb") as file:
            file.truncate(BYTES)
        call("mkfs.ext4", "-q", "-m", "0", str(image))
        call("mount", "-o", "loop", str(image), str(folder))

    def freeze(self):
        # Before the disk is frozen, so that nothing can come between.
        self.guard = subprocess.Popen(
            ["sh", "-c", GUARD, "guard", str(GUARD_SECONDS), str(self.folder)],
            stdin=subprocess.PIPE, start_new_session=True,
        )
        call("fsfreeze", "-f", str(self.folder))

    def thaw(self):
        """Ends a freeze, if there is one; returns when writing is possible again."""
        if self.guard:
            self.guard.stdin.close()
            self.guard.wait()
            self.guard = None

    def fill(self):
        room = os.statvfs(self.folder)
        with open(self.folder / "filler", "wb", buffering=0) as file:
            try:
                os.posix_fallocate(file.fileno(), 0, max(4096, (room.f_bavail - 64) * room.f_frsize))
            except OSError:
                pass
            file.seek(0, os.SEEK_END)
            try:
                while True:
                    file.write(b"\0" * 4096)
            except OSError:
                pass

    def empty(self):
        (self.folder / "filler").unlink(missing_ok=True)

    def remove(self):
        self.thaw()
        subprocess.run([find("umount"), "-l", str(self.folder)], capture_output=True, timeout=30)
        self.image.unlink(missing_ok=True)
        shutil.rmtree(self.folder, ignore_errors=True)


def call(program, *arguments):
    done = subprocess.run([find(program), *arguments], capture_output=True, text=True, timeout=60)
    if done.returncode != 0:
        raise Trouble(f"{program} failed: {done.stderr.strip()}")
