"""The proxies side by side: rounds of turns, as fast as they can and at a fixed rate."""

import load
from cases import CASES, FILES, HUGE, LARGE
from programs import Trouble

LARGE_PATHS = (LARGE, HUGE)
# Beside `record` they are given neither large pages nor a fixed rate: what they would add is no news.
EXTRA = ("off", "journal", "logged")
TRACKING = ("journal", "record", "logged", "rules")


def measure(options, shop, wrk, running, start, say):
    """The proxies side by side under load. They are stopped afterwards."""
    proxies = {}
    for name in options.proxies:
        proxies[name] = start(name)
        running.append(proxies[name])
    if "record" in proxies:
        load.wait_until_it_ships(proxies["record"])
    check_answers(proxies, options.cases)
    result = rounds(options, proxies, shop, wrk, say)
    result["journals"] = check_journals(proxies, result["figures"])
    for program in proxies.values():
        running.remove(program)
        program.stop()
    return result


def check_answers(proxies, names):
    """Every proxy must give the same answer, and ours must track exactly where it is told to: else the figures would
    compare different work."""
    for name in names:
        case = CASES[name]
        for proxy in proxies.values():
            proxy.thaw()
            cookie = visitor_cookie(proxies) if case.known else None
            status, headers, length = load.ask(proxy.port, case, cookie)
            tracks = proxy.name in TRACKING
            sets = load.own_cookie_in(headers) is not None
            if status != 200 or length != FILES[case.path]:
                raise Trouble(f"{proxy.name}, {name}: status {status}, {length} bytes")
            if sets != (tracks and case.navigation and not case.known):
                raise Trouble(f"{proxy.name}, {name}: it {'sets' if sets else 'does not set'} our cookie")


def check_journals(proxies, figures):
    """What ours counted. It must have seen a hit for each page that was asked for: else it was not recording."""
    journals = {}
    for proxy in proxies.values():
        if proxy.name not in TRACKING:
            continue
        proxy.thaw()
        journals[proxy.name] = counted = load.counters(proxy)
        asked = sum(
            turn["requests"]
            for name, by_kind in figures[proxy.name].items()
            if CASES[name].navigation
            for turns in by_kind.values()
            for turn in turns
        )
        if counted["hits"] + counted["hits_dropped"] < asked:
            raise Trouble(f"{proxy.name}: {asked} pages were asked for, {counted} counted")
    return journals


def visitor_cookie(proxies):
    """A cookie just given to a new visitor. It is asked for anew before each round: one older than a minute would be
    refreshed with every answer."""
    ours = next((proxies[name] for name in TRACKING if name in proxies), None)
    if ours is None:
        return "A" * 92
    ours.thaw()
    _, headers, _ = load.ask(ours.port, CASES["new"])
    return load.own_cookie_in(headers)


def rounds(options, proxies, shop, wrk, say):
    """Rounds of turns. For each case all proxies in turn, first as fast as they can, then at a fixed rate."""
    figures = {name: {case: {"peak": [], "paced": []} for case in options.cases} for name in [*proxies, "direct"]}
    rate = options.rate
    extra = [proxies[name] for name in EXTRA if name in proxies and "record" in proxies]
    for number in range(options.rounds):
        for name in options.cases:
            case = CASES[name]
            say(f"round {number + 1} of {options.rounds}: {case.title}")
            for proxy in proxies.values():
                if case.path in LARGE_PATHS and proxy in extra:
                    continue
                cookie = visitor_cookie(proxies)
                freeze_all(proxies)
                result = load.turn(wrk, proxy, case, cookie, options.seconds, wrk.closed)
                result["rps"] = result["requests"] / result["seconds"]
                figures[proxy.name][name]["peak"].append(result)
            if options.no_latency or case.path in LARGE_PATHS:
                continue
            rate = rate or load.half_of(figures[next(iter(proxies))][name]["peak"][0]["rps"])
            send = lambda port, case, cookie, seconds: wrk.paced(port, case, cookie, seconds, rate)
            freeze_all(proxies)
            direct = send(shop.port, case, visitor_cookie(proxies), options.seconds)
            figures["direct"][name]["paced"].append(direct)
            for proxy in proxies.values():
                if proxy in extra:
                    continue
                cookie = visitor_cookie(proxies)
                freeze_all(proxies)
                figures[proxy.name][name]["paced"].append(
                    load.turn(wrk, proxy, case, cookie, options.seconds, send)
                )
    return {"rate": rate, "figures": figures}


def freeze_all(proxies):
    for proxy in proxies.values():
        proxy.freeze()
