"""System calls per request, counted by strace; and how often a thread gave up its core or lost it."""

import re
import signal
import subprocess
import time
from pathlib import Path

import load
from cases import CASES
from programs import Trouble, find

CASES_COUNTED = ("asset", "known", "new")
SHOWN_FROM = 0.005


def measure(proxies, wrk, cookie_of, folder, seconds, say):
    figures = {}
    for name in CASES_COUNTED:
        for proxy, program in proxies.items():
            say(f"system calls: {CASES[name].title}, {proxy}")
            cookie = cookie_of(program)
            figures.setdefault(name, {})[proxy] = count(program, wrk, CASES[name], cookie, folder / "calls", seconds)
    return figures


def count(program, wrk, case, cookie, output, seconds):
    """Calls per request by name. Tracing slows a program down, so that more requests share a turn of its loop than else."""
    program.thaw()
    pids = sorted(program.processes())
    try:
        wrk.closed(program.port, case, cookie, load.WARM_UP_SECONDS)
        before = switches(pids)
        untraced = wrk.closed(program.port, case, cookie, seconds)
        after = switches(pids)
        command = [find("strace"), "-f", "-c", "-o", str(output), *(part for pid in pids for part in ("-p", str(pid)))]
        tracer = subprocess.Popen(command, stderr=subprocess.DEVNULL, stdin=subprocess.DEVNULL)
        try:
            wait_until_traced(pids, tracer)
            result = wrk.closed(program.port, case, cookie, seconds)
        finally:
            tracer.send_signal(signal.SIGINT)
            tracer.wait(timeout=30)
    finally:
        program.freeze()
    calls = {name: calls / result["requests"] for name, calls in counted(output.read_text()).items()}
    return {
        "calls": calls,
        "switches": (after - before) / untraced["requests"],
        "requests": result["requests"],
        "failed": result["failed"] + untraced["failed"],
    }


def counted(text):
    """Lines of `strace -c`: share, seconds, µs per call, calls, perhaps errors, name."""
    rows = re.findall(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:\d+\s+)?([a-z]\w+)$", text, re.M)
    return {name: int(calls) for calls, name in rows if name != "total"}


def switches(pids):
    """Times that threads left their core, willingly or not."""
    found = 0
    for pid in pids:
        for task in Path(f"/proc/{pid}/task").iterdir():
            status = (task / "status").read_text()
            found += sum(map(int, re.findall(r"voluntary_ctxt_switches:\s+(\d+)", status)))
    return found


def wait_until_traced(pids, tracer):
    deadline = time.monotonic() + 10
    while time.monotonic() < deadline:
        if tracer.poll() is not None:
            raise Trouble("strace cannot trace here (root, or kernel.yama.ptrace_scope = 0)")
        if all("TracerPid:\t0\n" not in Path(f"/proc/{pid}/status").read_text() for pid in pids):
            return
        time.sleep(0.01)
    raise Trouble("strace did not begin in time")


def table(figures, titles):
    lines = ["", "System calls per request (strace), and context switches per request without it"]
    for case, by_proxy in figures.items():
        lines.append(CASES[case].title)
        for proxy, found in by_proxy.items():
            calls = sorted(found["calls"].items(), key=lambda call: -call[1])
            shown = ", ".join(f"{name} {per:.2f}" for name, per in calls if per >= SHOWN_FROM)
            lines.append(
                f"  {titles[proxy]:<22}{sum(found['calls'].values()):6.2f}  switches {found['switches']:.2f}  {shown}"
            )
    return "\n".join(lines)
