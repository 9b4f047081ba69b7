"""What the reports have to say, computed from the visitors' own tallies, and what they do say."""

import json
import time
from collections import Counter
from decimal import Decimal

from people import TAGGED
from stand import PATIENCE_SECONDS, Failure

STEPS = ["product_view", "add_to_cart", "initiate_checkout", "purchase"]


class Reckoning:
    """The sums, by the script's own count."""

    def __init__(self, crowd, refunds):
        self.crowd = crowd
        self.sessions = [session for visitor in crowd.visitors for session in visitor.sessions]
        self.values = {order.number: order.value for order in crowd.orders}
        self.refunds = {number: Decimal(part) for number, part in refunds.items() if part}
        self.points = sum(session.points(self.values) for session in self.sessions)

    def net(self, number):
        return self.values[number] - self.refunds.get(number, 0)

    def general(self):
        gross, refunds = sum(self.values.values()), sum(self.refunds.values())
        return {
            "total_sessions": len(self.sessions),
            "unique_visitors": len(self.crowd.visitors),
            "page_views": sum(session.pages for session in self.sessions),
            "total_conversions": sum(bool(session.orders) for session in self.sessions),
            "registrations": sum(session.registrations for session in self.sessions),
            "total_orders": len(self.values),
            "paid_orders": len(self.values),
            "gross_revenue": str(gross),
            "paid_revenue": str(gross),
            "refunds": str(refunds),
            "total_revenue": str(gross - refunds),
            "total_score": self.points,
        }

    def funnel(self):
        """Sessions by the step that they came to; each step follows the one before."""
        tests = [lambda s: True, lambda s: s.viewed, lambda s: s.adds, lambda s: s.checkouts, lambda s: s.orders]
        return {
            step: sum(all(test(session) for test in tests[: n + 1]) for session in self.sessions)
            for n, step in enumerate(["session", *STEPS])
        }

    def campaigns(self):
        """By evidence: sessions, conversions, points of its own sessions; orders and revenue credited to it."""
        rows = {}

        def row(evidence):
            return rows.setdefault(evidence, Counter(revenue=Decimal("0.00")))

        for session in self.sessions:
            row(session.evidence).update(
                sessions=1, conversions=int(bool(session.orders)), total_score=session.points(self.values)
            )
        for order in self.crowd.orders:
            row(order.credit).update(orders=1)
            row(order.credit)["revenue"] += self.net(order.number)
        return {
            evidence: {**dict.fromkeys(FIELDS, 0), **row, "revenue": str(row["revenue"])}
            for evidence, row in rows.items()
        }


FIELDS = ["sessions", "conversions", "orders", "revenue", "total_score"]


def compared(evidence):
    """As reports of campaigns write it: without case, and absent parts named."""
    return tuple(text.lower() if text else "(none)" for text in evidence)


def credited(explained):
    """The evidence that an order is credited to, by the default model; the parts add up to one."""
    rows = [credit for credit in explained["credits"] if credit["model"] == "last_non_direct"]
    return {(row["source"], row["medium"], row["campaign"]): row["credit"] for row in rows}


def expect(what, found, wanted):
    if found != wanted:
        raise Failure(f"{what} is\n  {found!r} instead of\n  {wanted!r}")


def arrived(dispatcher, wanted):
    """`general-stats`, when all has come from the journal to the reports; whose orders are does not matter here."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        general = dispatcher.get("general-stats?period=week")["results"]
        if all(general[name] == wanted[name] for name in wanted if name != "total_score"):
            return general
        if time.monotonic() > deadline:
            return general
        time.sleep(0.2)


def check(dispatcher, crowd, refunds):
    """Compares all of it."""
    reckoning = Reckoning(crowd, refunds)
    general = arrived(dispatcher, reckoning.general())
    second = dispatcher.get(f"orders/{crowd.second_device.number}/explain")["results"]
    expect("the join of the order from a second device", second["join"]["rule"], "customer")
    wanted = reckoning.general()
    found = {name: general[name] for name in wanted}
    print(f"general-stats: {json.dumps(found)}")
    expect("general-stats", found, wanted)

    rows = dispatcher.get(f"funnel?period=week&steps={','.join(STEPS)}")["results"]
    expect("funnel", {row["step"]: row["sessions"] for row in rows}, reckoning.funnel())
    print(f"funnel: {json.dumps(reckoning.funnel())}")

    rows = dispatcher.get("campaigns?period=week&limit=1000")["results"]
    found = {(row["source"], row["medium"], row["campaign"]): {name: row[name] for name in FIELDS} for row in rows}
    wanted = {compared(evidence): numbers for evidence, numbers in reckoning.campaigns().items()}
    for evidence in sorted({*found, *wanted}):
        print(*evidence, json.dumps(found.get(evidence)))
        expect("campaign " + " / ".join(evidence), found.get(evidence), wanted.get(evidence))

    for order in reckoning.crowd.orders:
        explained = dispatcher.get(f"orders/{order.number}/explain")["results"]
        money = {name: explained["order"][name] for name in ("gross", "paid", "net")}
        value = str(order.value)
        expect(f"order {order.number}", money, {"gross": value, "paid": value, "net": str(reckoning.net(order.number))})
        wanted = {TAGGED.get(order.credit, order.credit): 1.0}
        expect(f"credit of order {order.number}", credited(explained), wanted)
    print(f"{len(reckoning.crowd.orders)} orders have their campaigns")
