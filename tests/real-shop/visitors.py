"""People with browsers in the shop, and the script's own tally of what they did there."""

import re
import time
from dataclasses import dataclass, field
from urllib.parse import urljoin, urlsplit

import requests

from stand import Failure

WINDOWS = (
    "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/141.0.0.0 Safari/537.36"
)
ADDRESS = {"first_name": "Olha", "last_name": "Buyer", "line1": "1 Kiln Lane", "line4": "Kyiv", "postcode": "01001"}
HALF_HOUR_SECONDS = 1800
LONGEST_VISIT_SECONDS = 90


@dataclass
class Session:
    """What happened in one session, by what the visitor's own browser got."""

    evidence: tuple
    pages: int = 0
    viewed: set = field(default_factory=set)
    adds: int = 0
    checkouts: int = 0
    searches: int = 0
    registrations: int = 0
    orders: list = field(default_factory=list)

    def points(self, values):
        """By README: a product counts once in half an hour, an order once with its value."""
        ordered = sum(100 + int(values[number] // 100) for number in self.orders)
        actions = 3 * len(self.viewed) + 10 * self.adds + 20 * self.checkouts + 2 * self.searches
        return self.pages + actions + ordered


class Visitor:
    """A person: sessions and what is in them. Subclasses are the browsers."""

    def __init__(self):
        self.sessions = []

    def begin_session(self, evidence):
        """What comes now belongs to a new session, of (source, medium, campaign)."""
        # Products are counted once in half an hour of the clock: no visit may lie in two.
        left = HALF_HOUR_SECONDS - time.time() % HALF_HOUR_SECONDS
        if left < LONGEST_VISIT_SECONDS:
            time.sleep(left + 0.1)
        self.sessions.append(Session(evidence))

    def saw(self, method, url, status, is_html, location):
        """One request that the browser made for a page."""
        session, path, query = self.sessions[-1], urlsplit(url).path, urlsplit(url).query
        if method == "GET" and status == 200 and is_html:
            session.pages += 1
            if product := re.fullmatch(r"/catalogue/[^/]+_(\d+)/", path):
                session.viewed.add(product[1])
            session.searches += path == "/search/" and "q=" in query
        if path == "/checkout/" and method == "GET":
            session.checkouts += status == 200 or urlsplit(location or "").path == "/checkout/shipping-address/"
        if path.startswith("/basket/add/") and method == "POST":
            session.adds += status == 302

    def ordered(self, number):
        self.sessions[-1].orders.append(number)
        return number


class Client(Visitor):
    """A plain HTTP client that does as browsers do: cookies, referrers, Sec-Fetch fields, the files of pages."""

    def __init__(self, site, denies=False):
        super().__init__()
        self.site = site
        self.browser = requests.Session()
        self.browser.headers.update({"User-Agent": WINDOWS, "Accept-Language": "uk,en;q=0.7"})
        if denies:
            self.browser.headers["Sec-GPC"] = "1"
        self.loaded = set()
        self.page = None

    def arrive(self, target, referrer=None):
        """Comes from elsewhere."""
        self.page = None
        self.open(target, referrer)

    def open(self, target, referrer=None):
        self._request("GET", target, referrer)

    def open_catalogue(self):
        self.open("/catalogue/")

    def reload(self):
        self._request("GET", self.page.url)

    def look_at(self, product):
        self.open(self._found(rf'href="([^"]*/catalogue/{product}_\d+/)"'))

    def add_to_basket(self):
        self._submit(self._found(r'action="([^"]*/basket/add/\d+/)"'), {"quantity": "1"})

    def log_in(self, email, password):
        self.open("/accounts/login/")
        form = {"login-username": email, "login-password": password, "login-redirect_url": "/catalogue/"}
        self._submit("/accounts/login/", {**form, "login_submit": "Log In"})
        self._expect_page("/catalogue/")

    def register(self, email, password):
        self.open("/accounts/login/")
        form = {"registration-email": email, "registration-redirect_url": "/catalogue/"}
        form |= {"registration-password1": password, "registration-password2": password}
        self._submit("/accounts/login/", {**form, "registration_submit": "Register"})
        self._expect_page("/catalogue/")
        self.sessions[-1].registrations += 1

    def begin_checkout(self):
        self.open("/checkout/")

    def check_out(self, email, phone=None, password=None, detour=None):
        """An order; its number. With a password the gateway is passed by logging in."""
        self.begin_checkout()
        if self.page.url.endswith("/checkout/"):
            gateway = {"options": "existing", "password": password} if password else {"options": "anonymous"}
            self._submit("/checkout/", {"username": email, **gateway})
        self._expect_page("/checkout/shipping-address/")
        self._submit("/checkout/shipping-address/", {**ADDRESS, "phone_number": phone or ""})
        if detour:
            self.arrive("/checkout/preview/", detour)
        elif "/checkout/preview/" not in self.page.url:
            self.open("/checkout/preview/")
        self._submit("/checkout/preview/", {"action": "place_order"})
        self._expect_page("/checkout/thank-you/")
        return self.ordered(order_number(self.page.text))

    def _submit(self, action, fields):
        """Sends the form of the open page whose action is `action`, its hidden token included."""
        token = self._found(r'name="csrfmiddlewaretoken" value="([^"]+)"')
        self._request("POST", action, data={**fields, "csrfmiddlewaretoken": token})

    def _request(self, method, target, referrer=None, data=None):
        referrer = referrer or (self.page and self.page.url)
        headers = {
            "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8",
            "Sec-Fetch-Mode": "navigate",
            "Sec-Fetch-Dest": "document",
            "Sec-Fetch-User": "?1",
            "Sec-Fetch-Site": self._relation(referrer),
            "Upgrade-Insecure-Requests": "1",
            **({"Referer": referrer} if referrer else {}),
            **({"Origin": self.site} if method == "POST" else {}),
        }
        page = self.browser.request(method, urljoin(self.site, target), data=data, headers=headers, timeout=60)
        for answer in [*page.history, page]:
            is_html = answer.headers.get("Content-Type", "").startswith("text/html")
            location = answer.headers.get("Location")
            self.saw(answer.request.method, answer.url, answer.status_code, is_html, location)
        if not page.ok:
            raise Failure(f"{method} {page.url} answered {page.status_code}")
        self.page = page
        self._load_files()

    def _relation(self, referrer):
        if not referrer:
            return "none"
        return "same-origin" if referrer.startswith(self.site) else "cross-site"

    def _load_files(self):
        """Styles and scripts of the page, each once."""
        links = re.findall(r'<(?:link [^>]*href|script [^>]*src|img [^>]*src)="(/[^"]+)"', self.page.text)
        for link in dict.fromkeys(links):
            if link not in self.loaded:
                self.loaded.add(link)
                fields = {"Accept": "*/*", "Sec-Fetch-Mode": "no-cors", "Sec-Fetch-Site": "same-origin"}
                fields |= {"Sec-Fetch-Dest": "script" if link.endswith(".js") else "style", "Referer": self.page.url}
                self.browser.get(self.site + link, headers=fields, timeout=60)

    def _found(self, pattern):
        found = re.search(pattern, self.page.text)
        if not found:
            raise Failure(f"{self.page.url} has nothing like {pattern}")
        return found[1]

    def _expect_page(self, path):
        if urlsplit(self.page.url).path != path:
            raise Failure(f"{path} was to come, and it is {self.page.url}")


def order_number(page):
    number = re.search(r"order number is\s*<strong>(\d+)</strong>", page)
    if not number:
        raise Failure("the thank-you page names no order")
    return number[1]
