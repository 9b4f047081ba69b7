"""A PostgreSQL of the rig's own, which can be killed, frozen and started again; and a way to it that is slow."""

import os
import pwd
import shutil
import signal
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path

from programs import HERE, Program, Trouble, free_port

PROGRAMS = ("initdb", "postgres", "createdb", "pg_isready")
START_SECONDS = 30
DELAY_SECONDS = 0.05  # of each piece of data on the slow way, in either direction


def binaries():
    """Where the server's programs are; Debian keeps them beside the PATH."""
    found = sorted(Path("/usr/lib/postgresql").glob("*/bin"), key=lambda path: -int(path.parent.name))
    found += [Path(path) for path in os.environ.get("PATH", "").split(":")]
    return next((path for path in found if all((path / program).exists() for program in PROGRAMS)), None)


def user():
    """A server refuses to run as root."""
    return "postgres" if os.geteuid() == 0 else None


def is_possible():
    try:
        return binaries() is not None and (user() is None or pwd.getpwnam("postgres") is not None)
    except KeyError:
        return False


class Cluster:
    """A server with data of its own."""

    def __init__(self, folder, name, cores):
        self.folder, self.name, self.cores = folder / name, name, cores
        self.folder.mkdir()
        self.port = free_port()
        self.server = None
        if user():
            shutil.chown(self.folder, user())
        self.call("initdb", "--auth=trust", "--username=utm", "--no-sync", "-D", self.folder / "data")
        try:
            self.start()
        except BaseException:
            self.stop()
            raise

    def call(self, program, *arguments):
        done = subprocess.run(
            [binaries() / program, *arguments], user=user(), cwd=self.folder, capture_output=True, text=True, timeout=60
        )
        if done.returncode != 0:
            raise Trouble(f"{program} failed: {done.stderr.strip()}")

    def start(self):
        """Starts it, also after a kill: what remains of the killed server may be in the way for a moment."""
        command = [str(binaries() / "postgres"), "-D", str(self.folder / "data"), "-p", str(self.port),
                   "-k", str(self.folder), "-c", "listen_addresses=127.0.0.1"]
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.server is None or self.server.process.poll() is not None:
                self.server = Program(self.name, command, self.port, self.cores, self.folder, user())
            ready = [binaries() / "pg_isready", "-q", "-h", "127.0.0.1", "-p", str(self.port)]
            if subprocess.run(ready, timeout=10).returncode == 0:
                return
            time.sleep(0.05)
        raise Trouble(f"PostgreSQL does not start: {self.server.output.read_text(errors='replace')[-1000:]}")

    def create(self, database):
        """A database; returns its URL."""
        self.call("createdb", "-h", "127.0.0.1", "-p", str(self.port), "-U", "utm", database)
        return self.url(database, self.port)

    @staticmethod
    def url(database, port):
        return f"postgres://utm@127.0.0.1:{port}/{database}"

    def kill(self):
        # The first of them first: it would start others anew.
        for pid in [self.server.pid, *self.server.processes()]:
            with suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)
        self.server.process.wait()

    def stop(self):
        if self.server and self.server.process.poll() is None:
            self.server.thaw()
            self.server.process.send_signal(signal.SIGINT)
            try:
                self.server.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                self.kill()


def start_relay(folder, port, cores):
    """A process that passes connections on to a port, slowly."""
    own = free_port()
    command = [sys.executable, str(HERE / "relay.py"), str(own), str(port), str(DELAY_SECONDS)]
    program = Program("relay", command, own, cores, folder)
    program.wait_until_it_listens()
    return program
