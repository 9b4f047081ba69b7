"""Who comes to the shop, from where, and what they do there: twenty orders, and some who only look.

Each has the evidence, (source, medium, campaign), by which the reports have to know their sessions, and each order that
by which it has to be credited.
"""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from urllib.parse import quote, quote_plus

import requests

import chromium
from pottery.goods import CUSTOMERS, PASSWORD, PRICES
from visitors import Client

DIRECT = ("(direct)", None, None)
FACEBOOK = ("facebook", "paid_social", "autumn")
GOOGLE = ("google", "cpc", "brand")
NEWSLETTER = ("newsletter", "email", "new_glazes")
PHONE = "+380671234567"


def tags(evidence, **more):
    names = ("utm_source", "utm_medium", "utm_campaign")
    pairs = {**{name: text for name, text in zip(names, evidence) if text}, **more}
    return "&".join(f"{name}={quote_plus(text)}" for name, text in pairs.items())


# Evidence, address of the landing, referrer: of those who come by one link and buy.
BY_ONE_LINK = [
    (("google", "cpc", None), "/catalogue/?gclid=EAIaIQ-only", "https://www.google.com/"),
    (("facebook", "social", None), "/?fbclid=IwAR-only", "https://l.facebook.com/"),
    (("tiktok", "paid_social", None), "/catalogue/?ttclid=E.C.P-only", None),
    (("bing", "cpc", None), "/catalogue/?msclkid=0f1e2d-only", None),
    (("google", "organic", None), "/catalogue/", "https://www.google.com/"),
    (("chatgpt", "ai", None), "/catalogue/", "https://chatgpt.com/"),
    (("blog.example", "referral", None), "/catalogue/", "https://blog.example/ten-teapots"),
    (("instagram", "social", "осінній розпродаж"), "/?" + tags(("instagram", "social", "осінній розпродаж")), None),
    (("telegram", "post", "20%|Київ & Львів"), "/?" + tags(("telegram", "post", "20%|Київ & Львів")), None),
    # Names in any case, a source under another name, the second of two since the first is empty.
    (("instagram", "cpc", "Stories_A"), "/?UTM_Source=IG&Utm_Medium=cpc&utm_campaign=&utm_campaign=Stories_A", None),
    # The shop redirects to the address with a slash, without the query.
    (("affiliate", "partner", "slash"), "/catalogue?" + tags(("affiliate", "partner", "slash")), None),
]


# As it was tagged, where lists know it by another name.
TAGGED = {("instagram", "cpc", "Stories_A"): ("IG", "cpc", "Stories_A")}


@dataclass
class Order:
    """What was ordered, and the evidence by which it has to be credited."""

    number: str
    goods: list
    credit: tuple

    @property
    def value(self):
        return sum(PRICES[product] for product in self.goods)


@dataclass
class Crowd:
    """All that happened. Several people write to it at a time."""

    visitors: list = field(default_factory=list)
    orders: list = field(default_factory=list)
    second_device: Order | None = None
    lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, visitor, *orders):
        with self.lock:
            self.visitors.append(visitor)
            self.orders.extend(orders)


def basket(turn):
    """Something else for each."""
    goods = list(PRICES)
    return [goods[turn % 3]] if turn % 2 else [goods[turn % 3], goods[(turn + 1) % 3]]


def buyer_at(turn):
    return f"buyer-{turn}@pottery.example"


def fill_basket(visitor, goods):
    for product in goods:
        visitor.open_catalogue()
        visitor.look_at(product)
        visitor.add_to_basket()


# --- in Chromium ---


def in_chromium(site, crowd):
    """Three people with a real browser; the second logs in on the way."""
    cyrillic = ("instagram", "paid_social", "глечики_зима")
    landings = [
        (FACEBOOK, f"/?{tags(FACEBOOK, utm_content='video', fbclid='IwAR1real')}", "https://m.facebook.com/"),
        (GOOGLE, f"/catalogue/?{tags(GOOGLE, gclid='EAIaIQreal')}", "https://www.google.com/"),
        (cyrillic, f"/catalogue/?utm_source=instagram&utm_medium=paid_social&utm_campaign={quote(cyrillic[2])}", None),
    ]
    with chromium.browser() as browser:
        for turn, (evidence, landing, referrer) in enumerate(landings):
            visitor = chromium.Chromium(site, browser)
            visitor.begin_session(evidence)
            visitor.arrive(landing, referrer)
            goods = basket(turn)
            fill_basket(visitor, goods)
            if turn == 1:
                visitor.log_in(CUSTOMERS[0], PASSWORD)
            number = visitor.check_out(f"chromium-{turn}@pottery.example")
            visitor.close()
            crowd.add(visitor, Order(number, goods, evidence))


# --- with a plain client ---


def by_one_link(site, crowd, turn):
    evidence, landing, referrer = BY_ONE_LINK[turn]
    visitor = Client(site)
    visitor.begin_session(evidence)
    visitor.arrive(landing, referrer)
    goods = basket(turn)
    fill_basket(visitor, goods)
    # Every third leaves a telephone number: of these the shop tells, too.
    number = visitor.check_out(buyer_at(turn), phone=f"+3805012345{turn:02}" if turn % 3 == 0 else None)
    crowd.add(visitor, Order(number, goods, evidence))


def by_the_last_of_two(site, crowd):
    visitor = Client(site)
    visitor.begin_session(FACEBOOK)
    visitor.arrive(f"/?{tags(FACEBOOK, fbclid='IwAR2first')}", "https://m.facebook.com/")
    visitor.look_at("clay-teapot")
    visitor.begin_session(NEWSLETTER)
    visitor.arrive(f"/catalogue/?{tags(NEWSLETTER)}")
    goods = ["clay-teapot", "coffee-mug"]
    fill_basket(visitor, goods)
    crowd.add(visitor, Order(visitor.check_out("twice@pottery.example"), goods, NEWSLETTER))


def logs_in_at_the_checkout(site, crowd):
    visitor = Client(site)
    visitor.begin_session(NEWSLETTER)
    visitor.arrive(f"/catalogue/?{tags(NEWSLETTER)}")
    fill_basket(visitor, ["flower-vase"])
    number = visitor.check_out(CUSTOMERS[1], password=PASSWORD)
    crowd.add(visitor, Order(number, ["flower-vase"], NEWSLETTER))


def comes_back_from_the_bank(site, crowd):
    """Whoever returns from a payment page is sent by nobody, and reloads what thanks them."""
    visitor = Client(site)
    visitor.begin_session(GOOGLE)
    visitor.arrive(f"/?{tags(GOOGLE, gclid='EAIaIQ-bank')}", "https://www.google.com/")
    fill_basket(visitor, ["coffee-mug"])
    number = visitor.check_out("careful@pottery.example", detour="https://www.liqpay.ua/")
    visitor.reload()
    visitor.reload()
    crowd.add(visitor, Order(number, ["coffee-mug"], GOOGLE))


def on_two_devices(site, crowd):
    """The second one denies being known. The telephone number is the same, so that its order is the first one's visitor's."""
    phone = Client(site)
    phone.begin_session(FACEBOOK)
    phone.arrive(f"/?{tags(FACEBOOK, fbclid='IwAR3phone')}", "https://m.facebook.com/")
    fill_basket(phone, ["flower-vase"])
    first = Order(phone.check_out("anna@pottery.example", phone=PHONE), ["flower-vase"], FACEBOOK)
    laptop = Client(site, denies=True)
    laptop.begin_session(DIRECT)
    laptop.arrive("/catalogue/")
    fill_basket(laptop, ["clay-teapot"])
    second = Order(laptop.check_out("anna.at.work@pottery.example", phone=PHONE), ["clay-teapot"], FACEBOOK)
    phone.ordered(second.number)
    crowd.add(phone, first, second)
    crowd.second_device = second


def pays_another_day(site, crowd, dispatcher):
    """The order is placed in a session that came by no link, after the one that did has ended."""
    visitor = Client(site)
    visitor.begin_session(NEWSLETTER)
    visitor.arrive(f"/catalogue/?{tags(NEWSLETTER)}")
    visitor.look_at("clay-teapot")
    if dispatcher:
        dispatcher.end_sessions_after("1s")
        time.sleep(1.5)
        visitor.begin_session(DIRECT)
    visitor.arrive("/catalogue/")
    if dispatcher:
        dispatcher.end_sessions_after("30m")
    fill_basket(visitor, ["clay-teapot"])
    number = visitor.check_out("patient@pottery.example")
    crowd.add(visitor, Order(number, ["clay-teapot"], NEWSLETTER))


# --- who do not buy ---


def lookers(site, crowd):
    """Each goes a step further than the one before."""
    for steps in range(5):
        visitor = Client(site)
        visitor.begin_session(FACEBOOK)
        visitor.arrive(f"/?{tags(FACEBOOK, fbclid=f'IwAR-looker-{steps}')}", "https://m.facebook.com/")
        if steps >= 1:
            visitor.open("/search/?q=teapot")
        if steps >= 2:
            visitor.look_at("clay-teapot")
        if steps >= 3:
            visitor.add_to_basket()
        if steps >= 4:
            visitor.register("looker@pottery.example", "wheel-and-slip-0990")
            visitor.begin_checkout()
        crowd.add(visitor)


def nobody(site):
    """A crawler, and pages that a browser fetches ahead: they count as nothing."""
    crawler = {"User-Agent": "Mozilla/5.0 (compatible; Googlebot/2.1; +http://www.google.com/bot.html)"}
    ahead = {"User-Agent": Client(site).browser.headers["User-Agent"], "Accept": "text/html", "Sec-Purpose": "prefetch"}
    for fields in (crawler, {**ahead, "Accept-Language": "uk", "Sec-Fetch-Mode": "navigate"}):
        for path in ("/catalogue/", f"/catalogue/?{tags(FACEBOOK)}"):
            requests.get(site + path, headers=fields, timeout=30).raise_for_status()


def all_come(site, dispatcher, with_chromium):
    """Answers all that happened."""
    crowd = Crowd()
    with ThreadPoolExecutor(max_workers=4) as pool:
        tasks = [pool.submit(in_chromium, site, crowd)] if with_chromium else []
        tasks += [pool.submit(by_one_link, site, crowd, turn) for turn in range(len(BY_ONE_LINK))]
        several = (by_the_last_of_two, logs_in_at_the_checkout, comes_back_from_the_bank, on_two_devices, lookers)
        tasks += [pool.submit(task, site, crowd) for task in several]
        nobody(site)
        for task in tasks:
            task.result()
    # Alone, because it changes when sessions end.
    pays_another_day(site, crowd, dispatcher)
    return crowd
