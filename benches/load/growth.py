"""How CPU per request grows and falls: with the requests that share a connection, and with the rate."""

from statistics import median

import load
from cases import CASES

PER_CONNECTION = (1, 10, 100, 1000)
RATES = (250, 1000, 4000)
CASE = "known"


def measure(options, proxies, wrk, cookie_of, say):
    """CPU µs by proxy and step, one value a round; proxies in turns."""
    case = CASES[CASE]
    curves = {"per_connection": PER_CONNECTION, "rate": () if options.no_latency else RATES}
    figures = {curve: {name: {str(step): [] for step in steps} for name in proxies} for curve, steps in curves.items()}
    for number in range(options.growth_rounds):
        for curve, steps in curves.items():
            for step in steps:
                say(f"round {number + 1} of {options.growth_rounds}: {curve.replace('_', ' ')} {step}")
                for name, program in proxies.items():
                    cookie = cookie_of(program)

                    def send(port, case, cookie, seconds):
                        if curve == "rate":
                            return wrk.paced(port, case, cookie, seconds, step)
                        return wrk.closed(port, case, cookie, seconds, step)

                    turn = load.turn(wrk, program, case, cookie, options.seconds, send)
                    figures[curve][name][str(step)].append(turn["cpu_us"])
    return figures


def table(figures, titles):
    lines = []
    heads = {
        "per_connection": "CPU µs per request, by requests per connection (on average; known visitor)",
        "rate": "CPU µs per request, by requests a second (known visitor)",
    }
    for curve, by_name in figures.items():
        steps = list(next(iter(by_name.values())))
        if not steps:
            continue
        lines += ["", heads[curve], " " * 22 + "".join(step.rjust(18) for step in steps)]
        for name, by_step in by_name.items():
            cells = []
            for step, values in by_step.items():
                cell = format(median(values), ".1f")
                if name != "nginx" and "nginx" in by_name:
                    share = median(one / other for one, other in zip(values, by_name["nginx"][step]))
                    cell += f" ({share:.2f})"
                cells.append(cell.rjust(18))
            lines.append(titles[name].ljust(22) + "".join(cells))
        if "nginx" in by_name:
            lines.append("In brackets: ratio to nginx in the same round, median.")
    return "\n".join(lines)
