"""What happens in the shop's back office. python -m pottery.office COMMAND …

set-up                 the tables, a country, the products
paid NUMBER            the order's money came in
refund NUMBER AMOUNT   a part of it went back
show NUMBER            what the shop itself knows of the order, as JSON
"""

import json
import os
import sys
from decimal import Decimal

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pottery.settings")

import django

django.setup()

from django.core.management import call_command
from oscar.core.loading import get_class, get_model

from pottery.orders import tell

GOODS = [("TEAPOT", "Clay teapot", 1499), ("MUG", "Coffee mug", 380), ("VASE", "Flower vase", 980)]


def set_up():
    call_command("migrate", verbosity=0)
    get_model("address", "Country").objects.create(
        iso_3166_1_a2="UA", printable_name="Ukraine", name="Ukraine", is_shipping_country=True
    )
    kind = get_model("catalogue", "ProductClass").objects.create(
        name="Pottery", requires_shipping=True, track_stock=False
    )
    partner = get_model("partner", "Partner").objects.create(name="Workshop")
    for upc, title, price in GOODS:
        product = get_model("catalogue", "Product").objects.create(
            structure="standalone", product_class=kind, upc=upc, title=title, is_public=True
        )
        get_model("partner", "StockRecord").objects.create(
            product=product, partner=partner, partner_sku=upc, price_currency="UAH", price=Decimal(price)
        )
    call_command("rebuild_index", interactive=False, verbosity=0)


def order_of(number):
    return get_model("order", "Order").objects.get(number=number)


def record_payment(number, kind, amount):
    order = order_of(number)
    event_type, _ = get_model("order", "PaymentEventType").objects.get_or_create(name=kind)
    get_class("order.processing", "EventHandler")().create_payment_event(order, event_type, amount, reference=kind)
    return order


def paid(number):
    order = record_payment(number, "Paid", order_of(number).total_incl_tax)
    tell(order, "paid", value=str(order.total_incl_tax), reference="invoice")


def refund(number, amount):
    order = record_payment(number, "Refund", Decimal(amount))
    tell(order, "refunded", value=amount, reference="refund-1")


def show(number):
    order = order_of(number)
    payments = {event.event_type.name: str(event.amount) for event in order.payment_events.all()}
    print(json.dumps({"total": str(order.total_incl_tax), "currency": order.currency, "payments": payments}))


if __name__ == "__main__":
    command, *arguments = sys.argv[1:] or ["help"]
    commands = {"set-up": set_up, "paid": paid, "refund": refund, "show": show}
    if command not in commands:
        sys.exit(__doc__)
    commands[command](*arguments)
