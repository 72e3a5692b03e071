"""The home page."""

{% if cookiecutter.use_mailpit %}import os
{% endif %}import platform

import django
from django.conf import settings
from django.core.checks import run_checks
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
{%- if cookiecutter.use_tasks %}
from django_ox.models import OxTask
{%- endif %}


def database_version() -> str | None:
    """Return the version of the database server, such as "18.1", or None if it does not answer."""
    try:
        # get_database_version() alone does not notice that the server is gone.
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return ".".join(str(number) for number in connection.get_database_version())
    except Error:
        return None


{% if cookiecutter.use_tasks %}def describe_tasks() -> str | None:
    """Return how many tasks wait and have failed, and whether a worker runs; None as above."""
    try:
        waiting = OxTask.objects.filter(status="READY").count()
        failed = OxTask.objects.filter(status__in=["FAILED", "LOST"]).count()
        worker = ""
        if connection.vendor == "postgresql":
            with connection.cursor() as cursor:
                # compose.yaml gives the connections of a worker this name.
                cursor.execute("SELECT FROM pg_stat_activity WHERE application_name = 'worker'")
                worker = "; a worker runs" if cursor.rowcount else "; no worker runs"
        return f"{waiting} waiting, {failed} failed{worker}"
    except Error:
        return None


{% endif %}def home(request: HttpRequest) -> HttpResponse:
    """Show visitors the project, and developers (DEBUG) what is running and what to do next."""
    context = {"project_name": settings.PROJECT_NAME}
    if settings.DEBUG:
        context["versions"] = {
            "Django": django.get_version(),
            "Python": platform.python_version(),
            connection.display_name: database_version(),
{%- if cookiecutter.use_tasks %}
            "Tasks": describe_tasks(),
{%- endif %}
        }
{%- if cookiecutter.use_mailpit %}
        context["mailpit_url"] = os.environ.get("MAILPIT_URL")
{%- endif %}
        context["warnings"] = run_checks(tags=["data"])
    return render(request, "core/home.html", context)
