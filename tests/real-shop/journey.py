"""A real shop behind utm-dispatcher: from campaigns to orders, their payments and refunds, and what the reports say.

journey.py BINARY       Django Oscar behind gunicorn, the proxy in front, its private Postgres behind it
journey.py --shop-only  the shop and its visitors alone, without the proxy
"""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path

import chromium
import people
from reckoning import check, expect
from stand import Dispatcher, Failure, Shop, free_port


def check_stripped(shop):
    requests_seen = shop.seen.read_text()
    if "/catalogue/" not in requests_seen:
        raise Failure("the shop has logged no requests")
    if "utm_" in requests_seen.lower():
        raise Failure("utm parameters reached the shop")
    for name in ("fbclid=", "gclid=", "ttclid=", "msclkid="):
        if name not in requests_seen:
            raise Failure(f"{name} did not reach the shop")


def settle(shop, crowd):
    """The back office: all orders are paid, of every third a part goes back. Answers the parts."""
    refunds = {order.number: "120.50" if turn % 3 == 0 else None for turn, order in enumerate(crowd.orders)}
    shop.office("settle", [{"number": number, "refund": part} for number, part in refunds.items()])
    known = shop.office("show", list(refunds))
    for order in crowd.orders:
        payments = {"Paid": str(order.value), **({"Refund": refunds[order.number]} if refunds[order.number] else {})}
        wanted = {"total": str(order.value), "currency": "UAH", "payments": payments}
        expect(f"what the shop knows of order {order.number}", known[order.number], wanted)
    return refunds


def run(binary, with_chromium):
    with tempfile.TemporaryDirectory(prefix="utm-real-shop-") as folder, ExitStack() as stack:
        state = Path(folder)
        state.chmod(0o755)  # the private database may run as another user
        port, stats_port = free_port(), free_port()
        endpoint = f"http://127.0.0.1:{stats_port}/api/v1/orders" if binary else None
        shop = Shop(stack, state, endpoint)
        dispatcher = binary and Dispatcher(stack, state, binary, shop.address, port, stats_port)
        site = f"http://127.0.0.1:{port}" if binary else f"http://{shop.address}"
        crowd = people.all_come(site, dispatcher, with_chromium)
        refunds = settle(shop, crowd)
        print(f"{len(crowd.orders)} orders of {len(crowd.visitors)} visitors, {with_chromium and 3 or 0} in Chromium")
        if dispatcher:
            check_stripped(shop)
            check(dispatcher, crowd, refunds)


def main():
    match sys.argv[1:]:
        case ["--shop-only"]:
            binary = None
        case [binary]:
            pass
        case _:
            sys.exit(__doc__)
    with_chromium = chromium.program() is not None
    if not with_chromium:
        reason = "SKIPPED: the buyers in Chromium, which is not installed (Debian: apt-get install chromium)"
        if os.environ.get("UTM_DISPATCHER_NO_SKIP"):
            sys.exit(f"FAILED: nothing may be left out (UTM_DISPATCHER_NO_SKIP); {reason}")
        print(reason)
    try:
        run(binary, with_chromium)
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")
    print("all well")


main()
