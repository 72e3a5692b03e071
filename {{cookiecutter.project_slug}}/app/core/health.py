"""Health checks: /health/live says that the process answers, /health/ready that the database does.

A load balancer sends requests only to containers that are ready. An orchestrator restarts those that
are not alive, which would not help while the database is down.
"""

import logging
from collections.abc import Callable
from mmap import mmap
{% if cookiecutter.use_redis %}
from django.core.cache import cache
{%- endif %}
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache

log = logging.getLogger(__name__)

# One byte for each service, 1 while it fails. gunicorn's processes share this memory, because gunicorn
# loads this module before it forks. So a change is logged once, and not once by each process.
{%- if cookiecutter.use_redis %}
failing = {"database": mmap(-1, 1), "cache": mmap(-1, 1)}
{%- else %}
failing = {"database": mmap(-1, 1)}
{%- endif %}


def log_change(service: str, cause: str = "") -> None:
    """Log that a service fails (with a cause) or answers again, if that has changed."""
    if bool(failing[service][0]) == bool(cause):
        return
    failing[service][0] = bool(cause)
    if cause:
        log.error("the %s fails: %s", service, cause)
    else:
        log.warning("the %s answers again", service)


def describe(error: Error) -> str:
    """Return an error as one line without the password."""
    message = str(error)
    if password := connection.settings_dict["PASSWORD"]:
        message = message.replace(password, "***")
    return f"{type(error).__name__}: {' '.join(message.split())}"


@never_cache
def live(request: HttpRequest) -> JsonResponse:
    """Answer 200: the process is alive."""
    return JsonResponse({"status": "ok"})


@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 if the database answers a query, else 503 and the class of the error."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        log_change("database", describe(error))
        # Without the message, which may name hosts and users: that is for the log only.
        body = {"status": "unavailable", "database": type(error).__name__}
        response = JsonResponse(body, status=503)
        # Otherwise Django would log each of these responses.
        response._has_been_logged = True
        return response
    log_change("database")
{%- if cookiecutter.use_redis %}
    cache.set("health", "ok", timeout=60)
    if cache.get("health") != "ok":
        log_change("cache", "a value that was just stored is missing")
        # Still 200, because the site works without its cache.
        return JsonResponse({"status": "degraded", "database": "ok", "cache": "unavailable"})
    log_change("cache")
    return JsonResponse({"status": "ok", "database": "ok", "cache": "ok"})
{%- else %}
    return JsonResponse({"status": "ok", "database": "ok"})
{%- endif %}


HEALTH_VIEWS = {"/health/live": live, "/health/ready": ready}


class HealthMiddleware:
    """Answer health checks before Django checks the host name or redirects to HTTPS."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return HEALTH_VIEWS.get(request.path_info, self.get_response)(request)
