"""How long a proxy takes from its start to the first request it forwards."""

import os
import time
from statistics import median

import load
from cases import CASES
from programs import Trouble


def measure(names, folder, repeats, start_proxy):
    """Milliseconds of each start, by proxy, in turns. A private Postgres would be created anew with each start, so
    `record` is measured only against a running one (DATABASE_URL)."""
    names = [name for name in names if name != "record" or os.environ.get("DATABASE_URL")]
    figures = {name: [] for name in names}
    for number in range(repeats):
        for name in names:
            own = folder / f"start-{number}-{name}"
            own.mkdir()
            own.chmod(0o755)
            program = start_proxy(name, own)
            try:
                status, _, _ = load.ask(program.port, CASES["asset"])
                took = (time.monotonic() - program.started) * 1e3
            finally:
                program.stop()
            if status != 200:
                raise Trouble(f"{name}: the first request was answered with {status}")
            figures[name].append(took)
    return figures


def table(figures, titles):
    lines = ["", "From start to the first forwarded request, ms: median (least–greatest)"]
    for name, took in figures.items():
        lines.append(f"{titles[name]:<22}{median(took):8.1f}  ({min(took):.1f}–{max(took):.1f}, {len(took)} starts)")
    return "\n".join(lines)
