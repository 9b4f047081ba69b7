"""The programs under load: the shop, the proxies, and what the kernel says of their CPU time and memory."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).resolve().parent
TICKS = os.sysconf("SC_CLK_TCK")
START_SECONDS = 60


class Trouble(Exception):
    """The rig cannot go on; the text says why."""


def find(program):
    """Path of a program; Debian keeps servers in /usr/sbin, which is not on everybody's PATH."""
    return shutil.which(program, path=os.environ.get("PATH", "") + ":/usr/local/sbin:/usr/sbin:/sbin")


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


def fill(template, values):
    """A configuration from its template: `@name@` is replaced."""
    text = (HERE / template).read_text()
    for name, value in values.items():
        text = text.replace(f"@{name}@", str(value))
    return text


class Program:
    """A running server. It is ended by its process id, and its process group with it."""

    def __init__(self, name, command, port, cores, folder, user=None):
        self.name, self.port, self.folder = name, port, folder
        self.output = folder / f"{name}.out"
        self.started = time.monotonic()
        with open(self.output, "wb") as output:
            self.process = subprocess.Popen(
                command,
                stdin=subprocess.DEVNULL,
                stdout=output,
                stderr=subprocess.STDOUT,
                start_new_session=True,
                user=user,
                preexec_fn=lambda: os.sched_setaffinity(0, cores),
            )
        self.pid = self.process.pid

    def wait_until_it_listens(self):
        deadline = time.monotonic() + START_SECONDS
        while time.monotonic() < deadline:
            if self.process.poll() is not None:
                break
            try:
                socket.create_connection(("127.0.0.1", self.port), timeout=1).close()
                return
            except OSError:
                time.sleep(0.001)
        said = self.output.read_text(errors="replace")[-2000:]
        raise Trouble(f"{self.name} does not listen on port {self.port}; it said:\n{said}")

    def processes(self):
        """Its own process and its workers: children that run the same program."""
        family = {self.pid}
        executable = os.path.realpath(f"/proc/{self.pid}/exe")
        for entry in Path("/proc").iterdir():
            if not entry.name.isdigit():
                continue
            try:
                parent = int((entry / "stat").read_text().rpartition(")")[2].split()[1])
                if parent == self.pid and os.path.realpath(entry / "exe") == executable:
                    family.add(int(entry.name))
            except OSError:
                continue
        return family

    def freeze(self):
        """Stops it, so that what it still has to do does not disturb another's turn."""
        for pid in self.processes():
            os.kill(pid, signal.SIGSTOP)

    def thaw(self):
        for pid in self.processes():
            os.kill(pid, signal.SIGCONT)

    def cpu(self):
        """Seconds of CPU: `user` and `system` of the processes, and of each thread by its name."""
        times = defaultdict(float)
        for pid in self.processes():
            user, system = ticks(f"/proc/{pid}/stat")
            times["user"] += user
            times["system"] += system
            for task in Path(f"/proc/{pid}/task").iterdir():
                try:
                    # Nanoseconds on the CPU: ticks of 10 ms are too coarse for a thread that does little.
                    seconds = int((task / "schedstat").read_text().split()[0]) / 1e9
                except OSError:
                    seconds = sum(ticks(task / "stat"))
                times["thread " + (task / "comm").read_text().strip()] += seconds
        return times

    def memory(self):
        """Resident KiB, all and anonymous."""
        resident = {"VmRSS": 0, "RssAnon": 0}
        for pid in self.processes():
            for line in Path(f"/proc/{pid}/status").read_text().splitlines():
                name, _, value = line.partition(":")
                if name in resident:
                    resident[name] += int(value.split()[0])
        return resident

    def stop(self):
        if self.process.poll() is None:
            self.thaw()
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                os.killpg(self.pid, signal.SIGKILL)
                self.process.wait()


def ticks(path):
    """User and system seconds in a `stat` file: fields 14 and 15, counted from the end of the name."""
    fields = Path(path).read_text().rpartition(")")[2].split()
    return int(fields[11]) / TICKS, int(fields[12]) / TICKS


def start_shop(folder, files, cores):
    shop = folder / "shop"
    shop.mkdir()
    for path, size in files.items():
        line = b"<p>A pair of red shoes, size 42, in stock, 1499.00 UAH.</p>\n"
        (shop / path.lstrip("/")).write_bytes((line * (size // len(line) + 1))[:size])
    shop.chmod(0o755)
    values = common(folder) | {"upstream": free_port()}
    return start("upstream", "upstream.conf", nginx_command, values, values["upstream"], cores)


def start_nginx(folder, upstream, cores, certificate=None):
    port = free_port()
    tls = {"listen": f"127.0.0.1:{port}", "tls": ""}
    if certificate:
        tls = {"listen": f"127.0.0.1:{port} ssl http2",
               "tls": f"ssl_certificate {certificate}; ssl_certificate_key {certificate};"}
    values = common(folder) | {"upstream": upstream} | tls
    return start("nginx", "nginx.conf", nginx_command, values, port, cores)


def start_haproxy(folder, upstream, cores, certificate=None):
    port = free_port()
    tls = f" ssl crt {certificate} alpn h2,http/1.1" if certificate else ""
    values = common(folder) | {"upstream": upstream, "port": port, "tls": tls}
    return start("haproxy", "haproxy.cfg", lambda path: [find("haproxy"), "-f", str(path)], values, port, cores)


def start_dispatcher(
    name, binary, folder, upstream, cores, mode, database, certificate=None, rules="", access_log=False
):
    """`database` is the body of the table [database]; `rules` are tables [[action]]; `access_log` is written to a file,
    a line as nginx's."""
    port, stats = free_port(), free_port()
    own = folder / name
    own.mkdir(exist_ok=True)
    values = common(folder) | {
        "upstream": upstream, "port": port, "stats": stats, "name": name, "mode": mode, "database": database,
        "rules": rules,
        "listen": "tls_listen" if certificate else "listen",
        "access_log": f'[proxy.access_log]\nformat = "combined"\npath = "{own}/access.log"' if access_log else "",
        "tls": f'[[proxy.tls]]\ncertificate = "{certificate}"\nkey = "{certificate}"' if certificate else "",
    }
    program = start(
        name, "utm-dispatcher.toml", lambda path: [str(binary), "run", "--config", str(path)], values, port, cores
    )
    program.stats = stats
    return program


def common(folder):
    mime_types = Path("/etc/nginx/mime.types")
    if not mime_types.exists():
        raise Trouble("/etc/nginx/mime.types is missing (Debian: apt-get install nginx-light)")
    return {"dir": folder, "mime_types": mime_types, "user": "user root;" if os.geteuid() == 0 else ""}


def start(name, template, command, values, port, cores):
    folder = values["dir"]
    configuration = folder / f"{name}{Path(template).suffix}"
    configuration.write_text(fill(template, values))
    program = Program(name, command(configuration), port, cores, folder)
    try:
        program.wait_until_it_listens()
    except BaseException:
        program.stop()
        raise
    return program


def nginx_command(path):
    return [find("nginx"), "-c", str(path), "-e", str(path.parent / f"{path.stem}-error.log")]
