"""A real shop behind utm-dispatcher: from campaigns to an order, its payment and its refund, and what the reports say.

journey.py BINARY       Django Oscar behind gunicorn, the proxy in front, its private Postgres behind it
journey.py --shop-only  the shop and its visitors alone, without the proxy
"""

import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager
from decimal import Decimal
from pathlib import Path

import requests

HERE = Path(__file__).resolve().parent
PATIENCE_SECONDS = 60
REFUND = "480.00"


class Failure(Exception):
    """Something is not as promised."""


# --- processes ---


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@contextmanager
def process(name, arguments, log, **options):
    """Runs a program while the block runs; its output goes to `log`."""
    with open(log, "ab") as output:
        child = subprocess.Popen(arguments, stdout=output, stderr=subprocess.STDOUT, **options)
    try:
        yield child
    finally:
        child.send_signal(signal.SIGTERM)
        try:
            code = child.wait(timeout=60)
        except subprocess.TimeoutExpired:
            child.kill()
            child.wait()
            raise Failure(f"{name} did not stop") from None
        if code not in (0, -signal.SIGTERM):
            raise Failure(f"{name} ended with {code}:\n{tail(log)}")


def tail(log, lines=30):
    return "\n".join(Path(log).read_text(errors="replace").splitlines()[-lines:])


def until(what, child, log, question):
    """The first true answer."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while True:
        if answer := question():
            return answer
        if child.poll() is not None or time.monotonic() > deadline:
            raise Failure(f"{what}: not in time\n{tail(log)}")
        time.sleep(0.05)


def answers(url):
    try:
        return requests.get(url, timeout=5).ok
    except requests.ConnectionError:
        return False


class Shop:
    """The Oscar shop with its back office."""

    def __init__(self, stack, state, orders_endpoint):
        self.log = state / "shop.log"
        self.seen = state / "shop-requests.log"
        self.environment = {
            **os.environ,
            "DJANGO_SETTINGS_MODULE": "pottery.settings",
            "POTTERY_STATE": str(state),
            "PYTHONPATH": str(HERE),
            "PYTHONDONTWRITEBYTECODE": "1",
        }
        if orders_endpoint:
            self.environment["UTM_DISPATCHER_ORDERS"] = orders_endpoint
        self.office("set-up")
        self.address = f"127.0.0.1:{free_port()}"
        gunicorn = [sys.executable, "-m", "gunicorn", "pottery.wsgi", "--bind", self.address]
        # Threads keep connections open, as a shop's server behind a proxy does.
        gunicorn += ["--threads", "4", "--keep-alive", "5", "--access-logfile", str(self.seen)]
        gunicorn += ["--access-logformat", "%(r)s", "--no-control-socket"]
        child = stack.enter_context(process("gunicorn", gunicorn, self.log, env=self.environment, cwd=state))
        until("the shop answers", child, self.log, lambda: answers(f"http://{self.address}/"))

    def office(self, *arguments):
        command = [sys.executable, "-m", "pottery.office", *arguments]
        done = subprocess.run(command, env=self.environment, cwd=HERE, capture_output=True, text=True, check=False)
        if done.returncode:
            raise Failure(f"back office, {arguments[0]}:\n{done.stderr}")
        return done.stdout


class Dispatcher:
    """The proxy in front of the shop."""

    def __init__(self, stack, state, binary, shop_address, port, stats_port):
        self.log = state / "dispatcher.log"
        self.stats = f"http://127.0.0.1:{stats_port}"
        config = state / "config.toml"
        config.write_text(
            f"""
            [proxy]
            listen = ["127.0.0.1:{port}"]
            [[upstream]]
            name = "oscar"
            servers = ["http://{shop_address}"]
            [tracking]
            upstream_headers = true
            [database]
            managed = true
            data_dir = "{state}/database"
            [journal]
            dir = "{state}/journal"
            [stats]
            listen = "127.0.0.1:{stats_port}"
            """
        )
        command = [binary, "run", "--config", str(config)]
        child = stack.enter_context(process("utm-dispatcher", command, self.log))
        until("the proxy is ready", child, self.log, lambda: answers(f"{self.stats}/readyz"))

    def get(self, report):
        response = requests.get(f"{self.stats}/api/v1/{report}", timeout=30)
        if not response.ok:
            raise Failure(f"{report} answered {response.status_code}: {response.text}")
        return response.json()["results"]


# --- visitors ---


class Visitor:
    """A person with a browser: real cookies, links followed, forms filled in and sent."""

    def __init__(self, site, agent):
        self.site = site
        self.browser = requests.Session()
        self.browser.headers.update(
            {
                "User-Agent": agent,
                "Accept": "text/html,application/xhtml+xml,*/*;q=0.8",
                "Accept-Language": "uk,en;q=0.7",
                "Sec-Fetch-Mode": "navigate",
                "Sec-Fetch-Dest": "document",
            }
        )
        self.page = None

    def arrive(self, target, referrer=None):
        self.page = None
        return self.open(target, referrer)

    def open(self, target, referrer=None):
        return self._show(self.browser.get(self._absolute(target), headers=self._referrer(referrer), timeout=30))

    def submit(self, action, fields):
        """Sends the form of the open page whose action is `action`, its hidden token included."""
        token = re.search(r'name="csrfmiddlewaretoken" value="([^"]+)"', self.page.text)
        data = {**fields, **({"csrfmiddlewaretoken": token[1]} if token else {})}
        return self._show(
            self.browser.post(self._absolute(action), data, headers=self._referrer(None), timeout=30)
        )

    def link(self, pattern):
        found = re.search(rf'href="([^"]*{pattern}[^"]*)"', self.page.text)
        if not found:
            raise Failure(f"{self.page.url} has no link like {pattern}")
        return found[1]

    def _absolute(self, target):
        return target if target.startswith("http") else self.site + target

    def _referrer(self, referrer):
        referrer = referrer or (self.page and self.page.url)
        return {"Referer": referrer} if referrer else {}

    def _show(self, response):
        if not response.ok:
            raise Failure(f"{response.request.method} {response.url} answered {response.status_code}")
        self.page = response
        return response


IPHONE = (
    "Mozilla/5.0 (iPhone; CPU iPhone OS 18_5 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) "
    "Version/18.5 Mobile/15E148 Safari/604.1"
)
WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)
FACEBOOK = "utm_source=facebook&utm_medium=paid_social&utm_campaign=autumn&utm_content=video&fbclid=IwAR1realShop"
NEWSLETTER = "utm_source=newsletter&utm_medium=email&utm_campaign=new_glazes"
GOOGLE = "utm_source=google&utm_medium=cpc&utm_campaign=brand&gclid=EAIaIQrealShop"


def look_at(visitor, product):
    visitor.open(visitor.link(f"/catalogue/{product}_"))


def add_to_basket(visitor):
    action = re.search(r'action="([^"]*/basket/add/\d+/)"', visitor.page.text)
    if not action:
        raise Failure(f"{visitor.page.url} cannot be added to the basket")
    visitor.submit(action[1], {"quantity": "1"})


def check_out(visitor):
    """An order as a guest; its number."""
    visitor.open("/checkout/")
    visitor.submit("/checkout/", {"username": "buyer@pottery.example", "options": "anonymous"})
    address = {"first_name": "Olha", "last_name": "Buyer", "line1": "1 Kiln Lane", "line4": "Kyiv", "postcode": "01001"}
    visitor.submit("/checkout/shipping-address/", address)
    if "/checkout/preview/" not in visitor.page.url:
        visitor.open("/checkout/preview/")
    thanks = visitor.submit("/checkout/preview/", {"action": "place_order"})
    number = re.search(r"order number is <strong>(\d+)</strong>|Order\s+#?(\d{4,})", thanks.text, re.I)
    if "/thank-you/" not in thanks.url or not number:
        raise Failure(f"the checkout ended at {thanks.url}")
    return number[1] or number[2]


def visit(site):
    """Three people, four visits, one order; its number."""
    buyer = Visitor(site, IPHONE)
    buyer.arrive(f"/?{FACEBOOK}", "https://m.facebook.com/")
    buyer.open("/catalogue/")
    look_at(buyer, "clay-teapot")

    looker = Visitor(site, WINDOWS)
    looker.arrive(f"/catalogue/?{GOOGLE}", "https://www.google.com/")
    look_at(looker, "flower-vase")
    direct = Visitor(site, WINDOWS)
    direct.arrive("/catalogue/")

    buyer.arrive(f"/catalogue/?{NEWSLETTER}")
    look_at(buyer, "clay-teapot")
    add_to_basket(buyer)
    buyer.open("/catalogue/")
    look_at(buyer, "coffee-mug")
    add_to_basket(buyer)
    return check_out(buyer)


# --- what the reports have to say ---


def expect(what, found, wanted):
    if found != wanted:
        raise Failure(f"{what} is {found!r} instead of {wanted!r}")


def by(rows, *names):
    return {tuple(row[name] for name in names): row for row in rows}


def check_reports(dispatcher, number, total, net):
    general = dispatcher.get("general-stats?period=week")
    sources = dispatcher.get("sources?period=week")
    campaigns = dispatcher.get("campaigns?period=week")
    explained = dispatcher.get(f"orders/{number}/explain")
    for name, results in [("general-stats", general), ("sources", sources), ("campaigns", campaigns)]:
        print(f"\n{name}\n{json.dumps(results, indent=2)}")
    print(f"\norders/{number}/explain\n{json.dumps(explained, indent=2)}")

    expect("total_sessions", general["total_sessions"], 4)
    expect("unique_visitors", general["unique_visitors"], 3)
    expect("total_orders", general["total_orders"], 1)
    expect("total_conversions", general["total_conversions"], 1)
    expect("gross_revenue", general["gross_revenue"], total)
    expect("paid_revenue", general["paid_revenue"], total)
    expect("refunds", general["refunds"], REFUND)
    expect("total_revenue", general["total_revenue"], net)

    rows = by(sources, "source")
    expect("sources", sorted(rows), [("(direct)",), ("facebook",), ("google",), ("newsletter",)])
    for (source,), row in rows.items():
        buys = source == "newsletter"
        expect(f"sessions of {source}", row["sessions"], 1)
        expect(f"orders of {source}", row["orders"], 1 if buys else 0)
        expect(f"revenue of {source}", row["revenue"], net if buys else "0.00")

    rows = by(campaigns, "campaign", "source", "medium")
    row = rows.get(("new_glazes", "newsletter", "email"))
    expect("the newsletter's campaign", row and (row["sessions"], row["orders"], row["revenue"]), (1, 1, net))

    credited = [(credit["source"], credit["model"]) for credit in explained["credits"]]
    if ("newsletter", "last_non_direct") not in credited:
        raise Failure(f"the order is not credited to the newsletter: {credited}")
    touched = {touch["utm_source"] for touch in explained["touches"]}
    expect("sources of the buyer's touches", touched, {"facebook", "newsletter"})


def check_stripped(shop):
    requests_seen = shop.seen.read_text()
    if "/catalogue/" not in requests_seen:
        raise Failure("the shop has logged no requests")
    if "utm_" in requests_seen:
        raise Failure("utm parameters reached the shop")
    if "fbclid=" not in requests_seen or "gclid=" not in requests_seen:
        raise Failure("click ids did not reach the shop")


def run(binary):
    with tempfile.TemporaryDirectory(prefix="utm-real-shop-") as folder, ExitStack() as stack:
        state = Path(folder)
        state.chmod(0o755)  # the private database may run as another user
        port, stats_port = free_port(), free_port()
        endpoint = f"http://127.0.0.1:{stats_port}/api/v1/orders" if binary else None
        shop = Shop(stack, state, endpoint)
        dispatcher = binary and Dispatcher(stack, state, binary, shop.address, port, stats_port)
        number = visit(f"http://127.0.0.1:{port}" if binary else f"http://{shop.address}")
        shop.office("paid", number)
        shop.office("refund", number, REFUND)
        known = json.loads(shop.office("show", number))
        net = str(Decimal(known["total"]) - Decimal(REFUND))
        print(f"order {number}: {known['total']} {known['currency']}, {REFUND} of it refunded, {net} left")
        expect("payments in the shop", known["payments"], {"Paid": known["total"], "Refund": REFUND})
        if dispatcher:
            check_stripped(shop)
            wait_for_reports(dispatcher, number, known["total"], net)


def wait_for_reports(dispatcher, number, total, net):
    """Hits take a moment from the journal to the reports."""
    until_all_is_shipped = time.monotonic() + PATIENCE_SECONDS
    while True:
        general = dispatcher.get("general-stats?period=week")
        if (general["total_sessions"], general["refunds"]) == (4, REFUND) or time.monotonic() > until_all_is_shipped:
            break
        time.sleep(0.1)
    check_reports(dispatcher, number, total, net)


def main():
    match sys.argv[1:]:
        case ["--shop-only"]:
            binary = None
        case [binary]:
            pass
        case _:
            sys.exit(__doc__)
    try:
        run(binary)
    except Failure as failure:
        sys.exit(f"FAILED: {failure}")
    print("all well")


main()
