"""The proxies with TLS: HTTP/1.1 by wrk, HTTP/2 by h2load; CPU per request, handshakes apart."""

import re
import ssl
import subprocess
from statistics import median

import load
from cases import CASES, FILES, HOST
from programs import Trouble, find

# How each part's rows are called.
PARTS = {"tls": "TLS, HTTP/1.1", "h2": "TLS, HTTP/2"}
# Requests at a time on each connection of HTTP/2.
STREAMS = 10
CASES_MEASURED = ("asset", "known")


def certificate(folder):
    """A certificate and its key in one file, as HAProxy wants it, and in two, as the others do."""
    key, chain, both = (folder / name for name in ("tls-key.pem", "tls-chain.pem", "tls.pem"))
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
               "-days", "30", "-subj", f"/CN={HOST}", "-addext", f"subjectAltName=DNS:{HOST}",
               "-keyout", str(key), "-out", str(chain)]
    subprocess.run(command, check=True, capture_output=True)
    both.write_text(chain.read_text() + key.read_text())
    for path in (key, chain, both):
        path.chmod(0o644)  # of a throw-away key; workers may run as others
    return both


def measure(options, part, proxies, wrk, say):
    """Rounds of turns, each case with each proxy; all figures."""
    send = {"tls": wrk.closed_tls, "h2": http2(wrk)}[part]
    cases = [name for name in CASES_MEASURED if name in options.cases]
    for proxy in proxies.values():
        check_answers(proxy, cases)
    figures = {name: {case: [] for case in cases} for name in proxies}
    for number in range(options.rounds):
        for case in cases:
            say(f"{PARTS[part]}, round {number + 1} of {options.rounds}: {CASES[case].title}")
            for proxy in proxies.values():
                cookie = visitor_cookie(proxies)
                for other in proxies.values():
                    other.freeze()
                turn = load.turn(wrk, proxy, CASES[case], cookie, options.seconds, send, warm_up=send)
                turn["rps"] = turn["requests"] / turn["seconds"]
                figures[proxy.name][case].append(turn)
    return figures


def http2(wrk):
    """Sends with h2load."""

    def send(port, case, own_cookie, seconds):
        command = ["h2load", "-t1", f"-c{load.CONNECTIONS}", f"-m{STREAMS}", f"-D{max(1, round(seconds))}"]
        for name, value in case.headers(own_cookie).items():
            if name == "Connection":
                continue
            command += ["-H", f"{':authority' if name == 'Host' else name.lower()}: {value}"]
        said = wrk.run([*command, f"https://127.0.0.1:{port}{case.target}"], seconds)
        counted = re.search(r"^requests: .* (\d+) done, (\d+) succeeded, (\d+) failed, (\d+) errored, (\d+) timeout", said, re.M)
        if not counted or "Application protocol: h2" not in said:
            raise Trouble(f"h2load did not speak HTTP/2: {said}")
        done, succeeded, *_ = map(int, counted.groups())
        if not done and seconds > load.WARM_UP_SECONDS:
            raise Trouble("h2load had no answer in time: the machine is busy, or --seconds too few")
        return {"requests": done, "seconds": float(max(1, round(seconds))), "failed": done - succeeded}

    return send


def visitor_cookie(proxies):
    """A cookie just given to a new visitor, which all proxies are sent."""
    ours = proxies.get("record")
    if ours is None:
        return "A" * 92
    ours.thaw()
    _, headers, _ = load.ask(ours.port, CASES["new"], tls=trusting())
    return load.own_cookie_in(headers)


def check_answers(proxy, cases):
    proxy.thaw()
    for name in cases:
        status, _, length = load.ask(proxy.port, CASES[name], tls=trusting())
        if status != 200 or length != FILES[CASES[name].path]:
            raise Trouble(f"{proxy.name}, {name}: status {status}, {length} bytes")


def trusting():
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    return context


def programs_missing(parts):
    needed = {"openssl": "openssl"} | ({"h2load": "nghttp2-client"} if "h2" in parts else {})
    return [package for program, package in needed.items() if not find(program)]


def table(part, figures, titles):
    lines = ["", f"{PARTS[part]}: CPU µs per request, closed loop, {load.CONNECTIONS} connections"
             + (f" of {STREAMS} streams" if part == "h2" else "")]
    for case in CASES_MEASURED:
        for name, by_case in figures.items():
            turns = by_case.get(case)
            if not turns:
                continue
            peers = figures.get("nginx", {}).get(case) or []
            ratios = [ours["cpu_us"] / theirs["cpu_us"] for ours, theirs in zip(turns, peers)]
            middle = median(turn["cpu_us"] for turn in turns)
            ratio = f"  {median(ratios):.2f} of nginx ({min(ratios):.2f}–{max(ratios):.2f})" if ratios else ""
            rps = median(turn["rps"] for turn in turns)
            lines.append(f"{CASES[case].title:36}  {titles[name]:20}  {middle:7.1f}  {rps:8.0f}/s{ratio}")
    return "\n".join(lines)
