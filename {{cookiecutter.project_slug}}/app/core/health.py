"""Two questions that machines ask: is the process alive, and can it do its work?

A load balancer sends requests to a container that is ready; an orchestrator restarts one that is
not alive. A database that is down makes every container unready and no container dead.
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

# A byte for each service, 1 while it fails. gunicorn loads this before it forks: its processes share
# the bytes, so that one of them logs a change, whichever is asked.
{%- if cookiecutter.use_redis %}
failing = {"database": mmap(-1, 1), "cache": mmap(-1, 1)}
{%- else %}
failing = {"database": mmap(-1, 1)}
{%- endif %}


def log_change(service: str, cause: str = "") -> None:
    """Log that a service fails, or without a cause that it answers, where it did not before."""
    if bool(failing[service][0]) == bool(cause):
        return
    failing[service][0] = bool(cause)
    if cause:
        log.error("the %s fails: %s", service, cause)
    else:
        log.warning("the %s answers again", service)


def describe(error: Error) -> str:
    """Return an error as one line, in which the password would be hidden."""
    message = str(error)
    if password := connection.settings_dict["PASSWORD"]:
        message = message.replace(password, "***")
    return f"{type(error).__name__}: {' '.join(message.split())}"


@never_cache
def live(request: HttpRequest) -> JsonResponse:
    """Answer 200 as long as the process answers at all."""
    return JsonResponse({"status": "ok"})


@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """Answer 200 where a query gets through to the database, else 503 and the error's class."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        log_change("database", describe(error))
        # The message may name hosts and users: it goes to the log, not out here.
        body = {"status": "unavailable", "database": type(error).__name__}
        response = JsonResponse(body, status=503)
        # Or Django would log each of these answers.
        response._has_been_logged = True
        return response
    log_change("database")
{%- if cookiecutter.use_redis %}
    cache.set("health", "ok", timeout=60)
    if cache.get("health") != "ok":
        log_change("cache", "what was stored is not found")
        # Still 200: the site works without its cache.
        return JsonResponse({"status": "degraded", "database": "ok", "cache": "unavailable"})
    log_change("cache")
    return JsonResponse({"status": "ok", "database": "ok", "cache": "ok"})
{%- else %}
    return JsonResponse({"status": "ok", "database": "ok"})
{%- endif %}


ADDRESSES = {"/health/live": live, "/health/ready": ready}


class HealthMiddleware:
    """Answer these addresses before anything looks at the host name or redirects to HTTPS."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]):
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return ADDRESSES.get(request.path_info, self.get_response)(request)
