"""Pages of the first app."""

import platform

import django
from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def database_version() -> str | None:
    """Return the version of the database server, such as "18.1", or None if it does not answer."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
        return ".".join(str(number) for number in connection.get_database_version())
    except Error:
        return None


def home(request: HttpRequest) -> HttpResponse:
    """Show what the project runs on: a first page to replace with one of your own."""
    return render(
        request,
        "core/home.html",
        {
            "project_name": settings.PROJECT_NAME,
            "django_version": django.get_version(),
            "python_version": platform.python_version(),
            "database_name": connection.display_name,
            "database_version": database_version(),
        },
    )
