"""The table: medians over rounds; ratios are taken within a round, then their median."""

from statistics import median

from cases import CASES

TITLES = {
    "direct": "shop without proxy",
    "nginx": "nginx",
    "haproxy": "HAProxy",
    "off": "ours, no tracking",
    "record": "ours, recording",
    "journal": "ours, database away",
    "logged": "the same, access log",
    "rules": "database away, reading pages",
}
COLUMNS = (
    "", "CPU µs", "user", "system", "/ nginx", "spread", "office µs", "requests/s",
    "p50 µs", "p99 µs", "p99.9 µs", "added p99", "RSS MiB", "anon MiB",
)


def of(result, cases):
    rows = []
    for case in cases:
        rows.append((CASES[case].title,))
        rows += [
            row(TITLES[name], by_case[case], *(result["figures"].get(peer, {}).get(case) for peer in ("nginx", "direct")))
            for name, by_case in result["figures"].items()
            if by_case[case]["peak"] or by_case[case]["paced"]
        ]
    widths = [max([len(column), *(len(row[at]) for row in rows if len(row) > 1)]) for at, column in enumerate(COLUMNS)]
    lines = [line(COLUMNS, widths)]
    for cells in rows:
        lines += ["", cells[0]] if len(cells) == 1 else [line(cells, widths)]
    rate = result["rate"]
    lines += [
        "",
        "CPU µs: user and system time of proxy, journal and access-log threads per request, closed loop; of a peer, all of it.",
        "user, system: of the whole process, shipping included.",
        "/ nginx: against nginx in the same round. spread: least to greatest of these ratios.",
        "office µs: shipping to the database per request, apart. requests/s: bounded by the core of load and shop.",
    ]
    if rate:
        lines.append(f"p50 … p99.9: at {rate} requests/s, counted from when a request was due (oha).")
        lines.append("added p99: less the p99 of the shop without proxy in the same round; median.")
    lines += [
        f"{TITLES[name]}: {counted['hits']} hits in the journal, {counted['hits_dropped']} dropped, "
        f"{counted['responses_ahead_of_journal']} responses ahead of it, {counted['records_shipped']} shipped so far."
        for name, counted in result["journals"].items()
    ]
    lines.append("One machine, loopback, two cores: compare rows, not with other machines.")
    return "\n".join(lines)


def row(title, figures, nginx, direct):
    peak, paced = figures["peak"], figures["paced"]
    ratios = []
    if peak and nginx and nginx["peak"]:
        ratios = [ours["cpu_us"] / theirs["cpu_us"] for ours, theirs in zip(peak, nginx["peak"])]
    added = []
    if direct is not figures:
        added = [ours["latency_us"]["p99"] - floor["latency_us"]["p99"] for ours, floor in zip(paced, direct["paced"])]
    return (
        title,
        middle(peak, "cpu_us", ".1f"),
        middle(peak, "user_us", ".1f"),
        middle(peak, "system_us", ".1f"),
        f"{median(ratios):.2f}" if ratios else "",
        f"{min(ratios):.2f}–{max(ratios):.2f}" if ratios else "",
        middle(peak, "office_us", ".1f") if any(turn["office_us"] for turn in peak) else "",
        middle(peak, "rps", ".0f"),
        *(middle([turn["latency_us"] for turn in paced], key, ".0f") for key in ("p50", "p99", "p99.9")),
        f"{median(added):.0f}" if added else "",
        *(f"{max(turn[key] for turn in peak) / 1024:.0f}" if peak else "" for key in ("rss_kib", "anonymous_kib")),
    )


def middle(turns, key, form):
    return format(median(turn[key] for turn in turns), form) if turns else ""


def line(cells, widths):
    first, *rest = (cell.ljust(width) if at == 0 else cell.rjust(width) for at, (cell, width) in enumerate(zip(cells, widths)))
    return "  ".join([first, *rest]).rstrip()
