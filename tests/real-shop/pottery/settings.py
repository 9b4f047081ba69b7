"""Settings: Oscar's defaults, SQLite, guests may order. What differs per run comes by the environment."""

import os

from oscar.defaults import *  # noqa: F403

SECRET_KEY = "a shop on loopback that lives for a minute"
DEBUG = False
ALLOWED_HOSTS = ["127.0.0.1"]
ROOT_URLCONF = "pottery.urls"
SITE_ID = 1
USE_TZ = True
TIME_ZONE = "UTC"
LANGUAGE_CODE = "en-gb"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
STATIC_URL = "/static/"
MEDIA_URL = "/media/"
MEDIA_ROOT = os.path.join(os.environ["POTTERY_STATE"], "media")
EMAIL_BACKEND = "django.core.mail.backends.dummy.EmailBackend"
DATABASES = {
    "default": {
        "ENGINE": "django.db.backends.sqlite3",
        "NAME": os.path.join(os.environ["POTTERY_STATE"], "shop.sqlite3"),
        "ATOMIC_REQUESTS": True,
        # Who reads first and writes then would be refused while another writes.
        "OPTIONS": {"timeout": 30, "transaction_mode": "IMMEDIATE"},
    }
}
HAYSTACK_CONNECTIONS = {
    "default": {
        "ENGINE": "haystack.backends.whoosh_backend.WhooshEngine",
        "PATH": os.path.join(os.environ["POTTERY_STATE"], "search"),
    }
}

OSCAR_SHOP_NAME = "Made of clay"
OSCAR_ALLOW_ANON_CHECKOUT = True
OSCAR_DEFAULT_CURRENCY = "UAH"
OSCAR_INITIAL_ORDER_STATUS = "Placed"

OSCAR_APPS = """
    oscar.config.Shop analytics checkout address shipping catalogue catalogue.reviews communication partner basket
    payment offer order customer search voucher wishlists dashboard dashboard.reports dashboard.users dashboard.orders
    dashboard.catalogue dashboard.offers dashboard.partners dashboard.pages dashboard.ranges dashboard.reviews
    dashboard.vouchers dashboard.communications dashboard.shipping
""".split()


class _NoMigrations:
    """Tables are made as the models say: a shop that lives for a minute has no history to go through."""

    def __contains__(self, application):
        return True

    def __getitem__(self, application):
        return None


MIGRATION_MODULES = _NoMigrations()


def _application(name):
    """`catalogue.reviews` → CatalogueReviewsConfig, but `dashboard.reviews` → ReviewsDashboardConfig."""
    if name.startswith("oscar."):
        return name
    words = [word.capitalize() for word in name.split(".")]
    if words[0] == "Dashboard":
        words.reverse()
    return f"oscar.apps.{name}.apps.{''.join(words)}Config"


INSTALLED_APPS = [
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "django.contrib.sites",
    "django.contrib.flatpages",
    "pottery.apps.PotteryConfig",
    *map(_application, OSCAR_APPS),
    "widget_tweaks",
    "haystack",
    "treebeard",
    "sorl.thumbnail",
    "django_tables2",
]
MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "oscar.apps.basket.middleware.BasketMiddleware",
]
AUTHENTICATION_BACKENDS = ["oscar.apps.customer.auth_backends.EmailBackend"]
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.template.context_processors.i18n",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
                "oscar.apps.search.context_processors.search_form",
                "oscar.apps.checkout.context_processors.checkout",
                "oscar.apps.communication.notifications.context_processors.notifications",
                "oscar.core.context_processors.metadata",
            ]
        },
    }
]
LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "handlers": {"console": {"class": "logging.StreamHandler"}},
    "root": {"handlers": ["console"], "level": "WARNING"},
}
