"""The requests: what a browser sends, and which kinds of visit are measured."""

from dataclasses import dataclass

HOST = "www.shop.example"
TAGS = (
    "utm_source=facebook&utm_medium=paid_social&utm_campaign=autumn_sale_2026"
    "&fbclid=IwAR0uYx1kq9ZrW3bT7cVd5nLmPqSfGhJkXzAeRtYuIoWqEdCvBnM&id=1"
)

# Fifteen fields besides Cookie.
NAVIGATION = {
    "Host": HOST,
    "Connection": "keep-alive",
    "Cache-Control": "max-age=0",
    "sec-ch-ua": '"Chromium";v="128", "Not;A=Brand";v="24", "Google Chrome";v="128"',
    "sec-ch-ua-mobile": "?0",
    "sec-ch-ua-platform": '"Windows"',
    "Upgrade-Insecure-Requests": "1",
    "User-Agent": "Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) "
    "Chrome/128.0.0.0 Safari/537.36",
    "Accept": "text/html,application/xhtml+xml,application/xml;q=0.9,image/avif,image/webp,*/*;q=0.8",
    "Sec-Fetch-Site": "cross-site",
    "Sec-Fetch-Mode": "navigate",
    "Sec-Fetch-User": "?1",
    "Sec-Fetch-Dest": "document",
    "Accept-Encoding": "gzip, deflate, br, zstd",
    "Accept-Language": "uk-UA,uk;q=0.9,en-US;q=0.8,en;q=0.7",
}
SUBRESOURCE = NAVIGATION | {
    "Accept": "text/css,*/*;q=0.1",
    "Sec-Fetch-Site": "same-origin",
    "Sec-Fetch-Mode": "no-cors",
    "Sec-Fetch-Dest": "style",
}
# 400 bytes.
COOKIES = (
    "sessionid=1f0c5d2b7a9e4c6d8b3f2a1e0d9c8b7a; csrftoken=Zk3mQ8vT1xW7yR5nB2cD9fG4hJ6kL0pS; "
    "_ga=GA1.1.1234567890.1700000000; _ga_ABCDEF1234=GS1.1.1700000000.3.1.1700000123.0.0.0; "
    "_fbp=fb.1.1700000000000.1234567890; cart=eyJpdGVtcyI6W3siaWQiOjEsInF0eSI6Mn1dfQ; currency=UAH; lang=uk; "
    "seen=1042,77,3190,556,18,2044; consent="
).ljust(400, "y")

PAGE, ASSET, LARGE, HUGE = "/catalogue.html", "/app.css", "/large.html", "/huge.html"
FILES = {PAGE: 700, ASSET: 700, LARGE: 32 << 10, HUGE: 1 << 20}


@dataclass(frozen=True)
class Case:
    """One kind of request, sent over and over."""

    name: str
    title: str
    path: str
    navigation: bool = True
    known: bool = True

    @property
    def target(self):
        return f"{self.path}?{TAGS}" if self.navigation else f"{self.path}?v=20261122"

    def headers(self, own_cookie):
        """The fields; a known visitor sends our cookie too, to every proxy the same."""
        cookie = f"{COOKIES}; _utmd={own_cookie}" if self.known and own_cookie else COOKIES
        return (NAVIGATION if self.navigation else SUBRESOURCE) | {"Cookie": cookie}


CASES = {
    case.name: case
    for case in (
        Case("asset", "asset, 700 bytes (no hit)", ASSET, navigation=False),
        Case("known", "page view of a known visitor", PAGE),
        Case("new", "first page view of a tagged visitor", PAGE, known=False),
        Case("large", "page view of a known visitor, 32 KiB", LARGE),
        Case("huge", "page view of a known visitor, 1 MiB", HUGE),
    )
}
