"""Oscar's own pages at the root."""

from django.apps import apps
from django.contrib.staticfiles.views import serve
from django.urls import include, path, re_path

urlpatterns = [
    # By the shop itself: nobody else is there to do it.
    re_path(r"^static/(?P<path>.*)$", serve, {"insecure": True}),
    path("i18n/", include("django.conf.urls.i18n")),
    path("", include(apps.get_app_config("oscar").urls[0])),
]
