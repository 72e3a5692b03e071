"""Addresses of the first app."""

import logging

from django.conf import settings
from django.urls import path

from core import csp, views

urlpatterns = [
    path("", views.home, name="home"),
]
if settings.DEBUG:
    urlpatterns.append(path("csp-report", csp.report))
    for server in ("gunicorn.access", "django.server"):
        logging.getLogger(server).addFilter(csp.is_no_report)
