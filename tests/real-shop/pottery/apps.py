"""Connects Oscar's checkout with utm-dispatcher."""

from django.apps import AppConfig


class PotteryConfig(AppConfig):
    """When an order was placed, the proxy is told."""

    name = "pottery"

    def ready(self):
        from oscar.core.loading import get_class

        from pottery.orders import tell_placed

        get_class("checkout.signals", "post_checkout").connect(tell_placed)
