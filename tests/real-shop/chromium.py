"""People with a real browser: Chromium without a screen, steered over its DevTools protocol."""

import shutil
from contextlib import contextmanager
from urllib.parse import urlsplit

from playwright.sync_api import sync_playwright

from stand import Failure
from visitors import ADDRESS, Visitor, order_number

PATIENCE_MS = 20_000
# Nothing but this machine is asked: pages name files of others.
ARGUMENTS = [
    "--no-sandbox",
    "--disable-dev-shm-usage",
    "--disable-background-networking",
    "--disable-quic",
    "--host-resolver-rules=MAP * ~NOTFOUND, EXCLUDE 127.0.0.1",
]


def program():
    """Where Chromium is, if it is installed."""
    return next(filter(None, map(shutil.which, ["chromium", "chromium-browser", "google-chrome"])), None)


@contextmanager
def browser():
    with sync_playwright() as playwright:
        chromium = playwright.chromium.launch(executable_path=program(), args=ARGUMENTS)
        try:
            yield chromium
        finally:
            chromium.close()


class Chromium(Visitor):
    """A person in a profile of their own. The methods are those of `Client`."""

    def __init__(self, site, chromium):
        super().__init__()
        self.site = site
        # It would call itself HeadlessChrome, which is a robot's name.
        agent = (
            "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) "
            f"Chrome/{chromium.version.split('.')[0]}.0.0.0 Safari/537.36"
        )
        self.profile = chromium.new_context(user_agent=agent, locale="uk-UA")
        self.page = self.profile.new_page()
        self.page.set_default_timeout(PATIENCE_MS)
        self.page.on("response", self._answered)

    def close(self):
        self.profile.close()

    def arrive(self, target, referrer=None):
        self.page.goto(self.site + target, referer=referrer)

    def look_at(self, product):
        self._click(f'.product_pod h3 a[href*="/catalogue/{product}_"]')

    def open_catalogue(self):
        self._click('.header .h1 a')

    def add_to_basket(self):
        self._click("#add_to_basket_form button[type=submit]")

    def log_in(self, email, password):
        self._click("#login_link")
        self.page.fill("#id_login-username", email)
        self.page.fill("#id_login-password", password)
        self._click("button[name=login_submit]")

    def check_out(self, email):
        self._click('button[onclick*="/basket/"]:visible')
        self._click('a[href="/checkout/"]:visible')
        if urlsplit(self.page.url).path == "/checkout/":
            self.page.fill("#id_username", email)
            self.page.check("input[name=options][value=anonymous]")
            self._click('form:has(#id_username) button[type=submit]')
        for name, value in ADDRESS.items():
            self.page.fill(f"#new_shipping_address [name={name}]", value)
        self._click("#new_shipping_address button[type=submit]")
        self._click("#view_preview")
        self._click("#place-order")
        if urlsplit(self.page.url).path != "/checkout/thank-you/":
            raise Failure(f"the checkout ended at {self.page.url}")
        return self.ordered(order_number(self.page.content()))

    def _click(self, selector):
        """Clicks the first such element, which leads to another page."""
        with self.page.expect_navigation(wait_until="load"):
            self.page.locator(selector).first.click()

    def _answered(self, response):
        request = response.request
        if request.is_navigation_request() and request.frame == self.page.main_frame:
            fields = response.headers
            is_html = fields.get("content-type", "").startswith("text/html")
            self.saw(request.method, response.url, response.status, is_html, fields.get("location"))
