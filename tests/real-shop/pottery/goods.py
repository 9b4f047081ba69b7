"""What the shop sells and who has a password there: known to the shop and to its visitors."""

from decimal import Decimal

# Article number, title, price.
GOODS = [
    ("TEAPOT", "Clay teapot", Decimal("1499.00")),
    ("MUG", "Coffee mug", Decimal("380.00")),
    ("VASE", "Flower vase", Decimal("980.50")),
]
# By the words of their addresses.
PRICES = {title.lower().replace(" ", "-"): price for _, title, price in GOODS}

CUSTOMERS = ["olha@pottery.example", "taras@pottery.example"]
PASSWORD = "kiln-and-glaze-1250"
