"""The load: wrk as fast as the proxy answers, oha at a fixed rate; and what a turn under it cost the proxy."""

import http.client
import json
import os
import subprocess
import time

from programs import HERE, Trouble, find

CONNECTIONS = 64
WARM_UP_SECONDS = 1  # wrk counts in whole seconds


def find_oha():
    return find("oha") or find(os.path.expanduser("~/.cargo/bin/oha"))


class Load:
    """Sends the request of a case from the given cores."""

    def __init__(self, folder, cores):
        self.folder, self.cores = folder, cores
        self.oha = find_oha()

    def run(self, command, seconds):
        try:
            done = subprocess.run(
                command,
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                timeout=3 * seconds + 30,
                preexec_fn=lambda: os.sched_setaffinity(0, self.cores),
            )
        except subprocess.TimeoutExpired:
            raise Trouble(f"{command[0]} did not end in time") from None
        if done.returncode != 0:
            raise Trouble(f"{command[0]} failed: {done.stderr.strip() or done.stdout.strip()}")
        return done.stdout

    def closed(self, port, case, own_cookie, seconds, per_connection=0, scheme="http"):
        """Each connection sends its next request when the last is answered. Requests, seconds, failures. With
        `per_connection` every so many requests one says that it is its connection's last."""
        request = self.folder / "request"
        lines = [f"{name}: {value}" for name, value in case.headers(own_cookie).items()]
        request.write_text("\n".join([case.target, *lines]) + "\n")
        output = self.run(
            ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{max(1, round(seconds))}s", "-s", str(HERE / "request.lua"),
             f"{scheme}://127.0.0.1:{port}/", "--", str(request), str(per_connection)],
            seconds,
        )
        return json.loads(output.strip().splitlines()[-1])

    def closed_tls(self, port, case, own_cookie, seconds):
        """The same, encrypted."""
        return self.closed(port, case, own_cookie, seconds, scheme="https")

    def paced(self, port, case, own_cookie, seconds, rate):
        """Requests at a fixed rate, whatever the answers do: latency counts from when a request was due."""
        command = [self.oha, "--no-tui", "--output-format", "json", "--disable-compression", "--redirect", "0",
                   "-c", str(CONNECTIONS), "-q", str(rate), "-n", str(int(rate * seconds)), "--latency-correction"]
        for name, value in case.headers(own_cookie).items():
            command += ["-H", f"{name}: {value}"]
        report = json.loads(self.run([*command, f"http://127.0.0.1:{port}{case.target}"], seconds))
        statuses = report["statusCodeDistribution"]
        failed = sum(report["errorDistribution"].values()) + sum(
            count for status, count in statuses.items() if status != "200"
        )
        micros = {key: report["latencyPercentiles"][key] * 1e6 for key in ("p50", "p99", "p99.9")}
        return {"failed": failed, "requests": sum(statuses.values()), "rate": report["summary"]["requestsPerSec"],
                "latency_us": micros}


def turn(load, program, case, own_cookie, seconds, send, warm_up=None):
    """One turn of one proxy: warm up, then `send` load, with what it cost."""
    program.thaw()
    try:
        (warm_up or load.closed)(program.port, case, own_cookie, WARM_UP_SECONDS)
        before = program.cpu()
        result = send(program.port, case, own_cookie, seconds)
        after = program.cpu()
        memory = program.memory()
    finally:
        program.freeze()
    if result["failed"]:
        raise Trouble(f"{program.name}, {case.name}: {result['failed']} of {result['requests']} requests failed")
    spent = {name: (after[name] - before.get(name, 0.0)) * 1e6 / result["requests"] for name in after}
    threads = {name.removeprefix("thread "): round(spent[name], 3) for name in spent if name.startswith("thread ")}
    office = sum(cpu for name, cpu in threads.items() if not is_request_path(program, name))
    total = sum(threads.values())
    return result | {
        "cpu_us": total - office,
        "office_us": office,
        "user_us": spent["user"],
        "system_us": spent["system"],
        "threads_us": threads,
        "rss_kib": memory["VmRSS"],
        "anonymous_kib": memory["RssAnon"],
    }


def half_of(rps):
    return max(100, int(rps / 2) // 100 * 100)


def is_request_path(program, thread):
    """Of ours the proxy, the journal and the access log serve requests; the rest ships and answers. A peer is all request
    path."""
    return not hasattr(program, "stats") or thread.startswith(("proxy", "journal", "access-log"))


def request_path(program):
    """Seconds of CPU that its request path has used."""
    threads = {name.removeprefix("thread "): cpu for name, cpu in program.cpu().items() if name.startswith("thread ")}
    return sum(cpu for name, cpu in threads.items() if is_request_path(program, name))


def ask(port, case, own_cookie=None, tls=None):
    """One request, encrypted if it is said how; status, headers and length of the answer."""
    if tls:
        connection = http.client.HTTPSConnection("127.0.0.1", port, timeout=30, context=tls)
    else:
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=30)
    connection.putrequest("GET", case.target, skip_host=True, skip_accept_encoding=True)
    for name, value in case.headers(own_cookie).items():
        connection.putheader(name, value)
    connection.endheaders()
    response = connection.getresponse()
    length = len(response.read())
    connection.close()
    return response.status, response.headers, length


def wait_until_it_ships(program, seconds=120):
    """Returns when ours has its database; a private one takes a while on its first start."""
    deadline = time.monotonic() + seconds
    while (said := ask_stats(program, "/readyz")).split("\n")[0] != "ready":
        if time.monotonic() > deadline:
            raise Trouble(f"{program.name} is not ready: {said}")
        time.sleep(0.1)


def counters(program):
    """What ours says of its journal, summed over labels."""
    text = ask_stats(program, "/metrics")
    found = dict.fromkeys(("hits", "hits_dropped", "responses_ahead_of_journal", "records_shipped"), 0)
    for line in text.splitlines():
        name, _, value = line.rpartition(" ")
        name = name.partition("{")[0].removeprefix("utm_dispatcher_").removesuffix("_total")
        if name in found and not line.startswith("#"):
            found[name] += int(float(value))
    return found


def ask_stats(program, path):
    connection = http.client.HTTPConnection("127.0.0.1", program.stats, timeout=30)
    connection.request("GET", path)
    text = connection.getresponse().read().decode()
    connection.close()
    return text


def own_cookie_in(headers):
    """The value of our cookie in an answer's `Set-Cookie` lines, if it is there."""
    for line in headers.get_all("Set-Cookie") or []:
        if line.startswith("_utmd="):
            return line.partition("=")[2].partition(";")[0]
    return None
