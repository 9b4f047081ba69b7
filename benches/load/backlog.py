"""Memory and speed while a backlog is shipped: hits are recorded without a database, which then comes back."""

import time

import load
import postgres
from cases import CASES

RECORD_SECONDS = 8
MOST_SECONDS = 60
POLL_SECONDS = 0.2


def measure(folder, start, wrk, cores):
    """`start(name, database)` starts one of ours with the given table [database]."""
    cluster = postgres.Cluster(folder, "postgres-backlog", cores)
    program = None
    try:
        url = cluster.create("backlog")
        program = start("backlog", f'url = "{url}"')
        load.wait_until_it_ships(program)
        cluster.kill()
        before = program.memory()["RssAnon"]
        recorded = wrk.closed(program.port, CASES["new"], None, RECORD_SECONDS)
        waiting = load.counters(program)
        held = program.memory()["RssAnon"]
        cluster.start()
        return {"requests": recorded["requests"], "failed": recorded["failed"], "before_kib": before, "held_kib": held,
                "backlog": waiting["hits"] - waiting["records_shipped"]} | watch(program, waiting)
    finally:
        if program:
            program.stop()
        cluster.stop()


def watch(program, waiting):
    """From the first shipped record to the last: the most memory, and how fast."""
    begun, most, shipped = None, 0, waiting["records_shipped"]
    deadline = time.monotonic() + MOST_SECONDS
    while time.monotonic() < deadline and shipped < waiting["hits"]:
        time.sleep(POLL_SECONDS)
        most = max(most, program.memory()["RssAnon"])
        shipped = load.counters(program)["records_shipped"]
        if begun is None and shipped > waiting["records_shipped"]:
            begun = (time.monotonic(), shipped)
    seconds = time.monotonic() - begun[0] if begun else 0.0
    return {
        "most_kib": most,
        "shipped": shipped - waiting["records_shipped"],
        "per_second": (shipped - begun[1]) / seconds if seconds else None,
    }


def table(found):
    mib = {key: found[key] / 1024 for key in ("before_kib", "held_kib", "most_kib")}
    speed = f"{found['per_second']:.0f} a second" if found["per_second"] else "too fast to say"
    return (
        f"\nA backlog of {found['backlog']} first page views, shipped when the database is back: {found['shipped']} shipped, "
        f"{speed}\nAnonymous memory, MiB: {mib['before_kib']:.1f} before, {mib['held_kib']:.1f} with the backlog in the "
        f"journal, {mib['most_kib']:.1f} at most while shipping; {found['failed']} requests failed"
    )
