"""The programs of a run: the shop behind gunicorn, and the proxy in front of it with its private Postgres."""

import json
import os
import signal
import socket
import subprocess
import sys
import time
from contextlib import contextmanager
from pathlib import Path

import requests

HERE = Path(__file__).resolve().parent
# On a busy machine; nothing is waited for when it is there.
PATIENCE_SECONDS = 120


class Failure(Exception):
    """Something is not as promised."""


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def process(name, arguments, log, **options):
    """Runs a program while the block runs; its output goes to `log`."""
    with open(log, "ab") as output:
        child = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT, **options)
    try:
        yield child
    except BaseException:
        # What went wrong in the block is what has to be told.
        end(child)
        raise
    code = end(child)
    if code is None:
        raise Failure(f"{name} did not stop:\n{tail(log)}")
    if code not in (0, -signal.SIGTERM):
        raise Failure(f"{name} ended with {code}:\n{tail(log)}")


def end(child):
    """The exit code after SIGTERM; none where it had to be killed."""
    child.send_signal(signal.SIGTERM)
    try:
        return child.wait(timeout=PATIENCE_SECONDS)
    except subprocess.TimeoutExpired:
        child.kill()
        child.wait()
        return None


def tail(log, lines=30):
    return "\n".join(Path(log).read_text(errors="replace").splitlines()[-lines:])


def until(what, child, log, question):
    """The first true answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        if answer := question():
            return answer
        if child.poll() is not None or time.monotonic() > deadline:
            raise Failure(f"{what}: not in time\n{tail(log)}")
        time.sleep(0.05)


def answers(url):
    try:
        return requests.get(url, timeout=5).ok
    except requests.RequestException:
        return False


class Shop:
    """The Oscar shop with its back office."""

    def __init__(self, stack, state, orders_endpoint):
        self.log = state / "shop.log"
        self.seen = state / "shop-requests.log"
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "pottery.settings",
            "POTTERY_STATE": str(state),
            "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if orders_endpoint:
            self.environment["UTM_DISPATCHER_ORDERS"] = orders_endpoint
        self.office("set-up")
        self.address = f"127.0.0.1:{free_port()}"
        gunicorn = [sys.executable, "-m", "gunicorn", "pottery.wsgi", "--bind", self.address]
        # Threads keep connections open, as a shop's server behind a proxy does.
        gunicorn += ["--workers", "2", "--threads", "4", "--keep-alive", "5", "--access-logfile", str(self.seen)]
        gunicorn += ["--access-logformat", "%(r)s", "--no-control-socket"]
        child = stack.enter_context(process("gunicorn", gunicorn, self.log, env=self.environment, cwd=state))
        until("the shop answers", child, self.log, lambda: answers(f"http://{self.address}/"))

    def office(self, command, given=None):
        """One command of the back office; JSON in, JSON out."""
        done = subprocess.run(
            [sys.executable, "-m", "pottery.office", command],
            input=json.dumps(given),
            env=self.environment,
            cwd=HERE,
            capture_output=True,
            text=True,
            check=False,
        )
        if done.returncode:
            raise Failure(f"back office, {command}:\n{done.stderr}")
        return json.loads(done.stdout or "null")


class Dispatcher:
    """The proxy in front of the shop."""

    def __init__(self, stack, state, binary, shop_address, port, stats_port):
        self.log = state / "dispatcher.log"
        self.stats = f"http://127.0.0.1:{stats_port}"
        self.file = state / "config.toml"
        self.config = f"""
            [proxy]
            listen = ["127.0.0.1:{port}"]
            [[upstream]]
            name = "oscar"
            servers = ["http://{shop_address}"]
            [tracking]
            presets = ["django-oscar"]
            upstream_headers = true
            [tracking.identity]
            session_timeout = "SESSION_TIMEOUT"
            [orders]
            phone_country = "UA"
            [database]
            managed = true
            data_dir = "{state}/database"
            [journal]
            dir = "{state}/journal"
            [stats]
            listen = "127.0.0.1:{stats_port}"
            currency = "UAH"
            """
        self._write("30m")
        command = [binary, "run", "--config", str(self.file)]
        self.child = stack.enter_context(process("utm-dispatcher", command, self.log))
        until("the proxy is ready", self.child, self.log, lambda: answers(f"{self.stats}/readyz"))

    def _write(self, session_timeout):
        self.file.write_text(self.config.replace("SESSION_TIMEOUT", session_timeout))

    def end_sessions_after(self, session_timeout):
        """Changes the configuration of the running program."""
        before = self._reloads()
        self._write(session_timeout)
        self.child.send_signal(signal.SIGHUP)
        until("the configuration is read again", self.child, self.log, lambda: self._reloads() > before)

    def _reloads(self):
        lines = requests.get(f"{self.stats}/metrics", timeout=30).text.splitlines()
        wanted = 'utm_dispatcher_config_reloads_total{result="ok"} '
        return sum(float(line.removeprefix(wanted)) for line in lines if line.startswith(wanted))

    def get(self, report):
        response = requests.get(f"{self.stats}/api/v1/{report}", timeout=PATIENCE_SECONDS)
        if not response.ok:
            raise Failure(f"{report} answered {response.status_code}: {response.text}")
        return response.json()
