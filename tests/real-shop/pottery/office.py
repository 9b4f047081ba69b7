"""What happens in the shop's back office. python -m pottery.office COMMAND, JSON on standard input and output.

set-up    the tables, a country, the products, customers with a password
settle    [{"number", "refund"}, …]: the order's money came in, and this part of it went back; null = none
show      [number, …]: what the shop itself knows of these orders
"""

import json
import os
import sys
from decimal import Decimal

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "pottery.settings")

import django

django.setup()

from django.contrib.auth import get_user_model
from django.core.management import call_command
from oscar.core.loading import get_class, get_model

from pottery.goods import CUSTOMERS, GOODS, PASSWORD
from pottery.orders import tell


def set_up():
    call_command("migrate", run_syncdb=True, verbosity=0)
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
            product=product, partner=partner, partner_sku=upc, price_currency="UAH", price=price
        )
    for email in CUSTOMERS:
        get_user_model().objects.create_user(email.split("@")[0], email, PASSWORD)
    call_command("rebuild_index", interactive=False, verbosity=0)


def order_of(number):
    return get_model("order", "Order").objects.get(number=number)


def record_payment(number, kind, amount):
    order = order_of(number)
    event_type, _ = get_model("order", "PaymentEventType").objects.get_or_create(name=kind)
    get_class("order.processing", "EventHandler")().create_payment_event(order, event_type, amount, reference=kind)
    return order


def settle():
    for entry in json.load(sys.stdin):
        number, part = entry["number"], entry["refund"]
        order = record_payment(number, "Paid", order_of(number).total_incl_tax)
        tell(order, "paid", value=str(order.total_incl_tax), reference="invoice")
        if part:
            record_payment(number, "Refund", Decimal(part))
            tell(order, "refunded", value=part, reference="refund-1")


def show():
    print(json.dumps({number: known(number) for number in json.load(sys.stdin)}))


def known(number):
    order = order_of(number)
    payments = {event.event_type.name: str(event.amount) for event in order.payment_events.all()}
    return {"total": str(order.total_incl_tax), "currency": order.currency, "payments": payments}


if __name__ == "__main__":
    commands = {"set-up": set_up, "settle": settle, "show": show}
    if len(sys.argv) != 2 or sys.argv[1] not in commands:
        sys.exit(__doc__)
    commands[sys.argv[1]]()
