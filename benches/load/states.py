"""Forwarding while the database is killed, frozen or slow, and while the journal's disk is frozen or full: in turns with
a healthy one."""

import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from statistics import median
from typing import Callable

import disk
import load
import postgres
from cases import CASES
from programs import Program, Trouble

TITLES = {
    "healthy": "healthy",
    "killed": "database killed",
    "frozen": "database frozen",
    "slow": "database slow (50 ms a packet)",
    "disk-frozen": "journal's disk frozen",
    "disk-full": "journal's disk full",
}
# The state begins while requests are under way: what happens at that moment is measured too.
BEGINS_AFTER_SECONDS = 0.2


def nothing():
    pass


@dataclass
class Subject:
    """A proxy of ours, what brings it into its state, and what out of it again."""

    program: Program
    begin: Callable = nothing
    end: Callable = nothing


def measure(options, folder, start, wrk, cores, say):
    """`start(name, database)` starts one of ours with the given table [database]."""
    if not postgres.is_possible():
        raise Trouble("PostgreSQL's programs are missing (Debian: apt-get install postgresql)")
    with ExitStack() as stack:
        subjects = prepare(folder, start, cores, stack, say)
        figures = {name: [] for name in subjects}
        rate = options.rate
        for number in range(options.state_rounds):
            # There and back, so that a machine that grows slower burdens none of them more. Healthy is first, then last.
            for name, subject in list(subjects.items())[:: -1 if number % 2 else 1]:
                say(f"round {number + 1} of {options.state_rounds}: {TITLES[name]}")
                cookie = cookie_of(subjects["healthy"].program)
                figures[name].append(turn(wrk, subject, cookie, options, rate))
                rate = rate or load.half_of(figures["healthy"][0]["rps"])
        counted = {}
        for name, subject in subjects.items():
            subject.program.thaw()
            counted[name] = load.counters(subject.program)
    return {"rate": rate, "figures": figures, "journals": counted}


def prepare(folder, start, cores, stack, say):
    """All subjects, stopped until their turn."""

    def started(name, url):
        program = start(name, f'url = "{url}"')
        stack.callback(program.stop)
        load.wait_until_it_ships(program)
        return program

    good = postgres.Cluster(folder, "postgres", cores)
    stack.callback(good.stop)
    bad = postgres.Cluster(folder, "postgres-bad", cores)
    stack.callback(bad.stop)
    good_port = postgres.start_relay(folder, good.port, cores)
    stack.callback(good_port.stop)
    subjects = {"healthy": Subject(started("healthy", good.create("healthy")))}
    subjects["killed"] = Subject(started("killed", bad.create("killed")), bad.kill, bad.start)
    subjects["frozen"] = Subject(
        started("frozen", bad.create("frozen")), lambda: bad.server.freeze(), lambda: bad.server.thaw()
    )
    good.create("slow")
    subjects["slow"] = Subject(started("slow", good.url("slow", good_port.port)))
    if reason := disk.why_not():
        say(f"the journal's disk is left out: {reason}")
    else:
        for name in ("disk-frozen", "disk-full"):
            own = disk.Disk(folder / name, folder / f"{name}.img")
            stack.callback(own.remove)
            program = started(name, good.create(name.replace("-", "_")))
            # Thawed before the program is told to end: it could not.
            stack.callback(own.thaw)
            ways = (own.freeze, own.thaw) if name == "disk-frozen" else (own.fill, own.empty)
            subjects[name] = Subject(program, *ways)
    for subject in subjects.values():
        subject.program.freeze()
    return subjects


def cookie_of(program):
    program.thaw()
    _, headers, _ = load.ask(program.port, CASES["new"])
    program.freeze()
    return load.own_cookie_in(headers)


def turn(wrk, subject, cookie, options, rate):
    """As many requests as it takes, then as many as are due; the state begins amid the first and lasts."""
    program, case = subject.program, CASES["known"]
    program.thaw()
    try:
        wrk.closed(program.port, case, cookie, load.WARM_UP_SECONDS)
        with ThreadPoolExecutor() as pool:
            begun = pool.submit(lambda: (time.sleep(BEGINS_AFTER_SECONDS), subject.begin()))
            before = load.request_path(program)
            peak = wrk.closed(program.port, case, cookie, options.seconds)
            cpu_us = (load.request_path(program) - before) * 1e6 / peak["requests"]
            begun.result()
        found = {"rps": peak["requests"] / peak["seconds"], "cpu_us": cpu_us, "requests": peak["requests"],
                 "failed": peak["failed"]}
        if not options.no_latency:
            paced = wrk.paced(program.port, case, cookie, options.seconds, rate or load.half_of(found["rps"]))
            found["latency_us"] = paced["latency_us"]
            found["requests"] += paced["requests"]
            found["failed"] += paced["failed"]
    finally:
        subject.end()
        program.freeze()
    return found


def table(result):
    lines = ["", "Forwarding in bad states: known visitor, ratios to the healthy turn of the same round (least–greatest)"]
    healthy = result["figures"]["healthy"]
    for name, turns in result["figures"].items():
        cells = [f"{TITLES[name]:<32}{median(turn['rps'] for turn in turns):8.0f} requests/s"]
        cells.append(ratios([turn["rps"] / good["rps"] for turn, good in zip(turns, healthy)]))
        cells.append(f"CPU {ratios([turn['cpu_us'] / good['cpu_us'] for turn, good in zip(turns, healthy)])}")
        if "latency_us" in turns[0]:
            p99 = [turn["latency_us"]["p99"] for turn in turns]
            cells.append(f"p99 {median(p99):8.0f} µs")
            cells.append(ratios([one / good["latency_us"]["p99"] for one, good in zip(p99, healthy)]))
        asked, failed = (sum(turn[key] for turn in turns) for key in ("requests", "failed"))
        cells.append(f"{failed} of {asked} failed")
        counted = result["journals"][name]
        cells.append(f"{counted['hits_dropped']} hits dropped, {counted['responses_ahead_of_journal']} ahead")
        lines.append("  ".join(cells))
    if result["rate"]:
        lines.append("CPU: of proxy and journal threads per request, ratio.")
        lines.append(f"p99 at {result['rate']} requests/s, in the state; requests/s with its beginning.")
    return "\n".join(lines)


def ratios(values):
    return f"{median(values):5.2f} ({min(values):.2f}–{max(values):.2f})"
