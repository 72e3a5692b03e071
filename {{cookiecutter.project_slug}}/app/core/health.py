"""Two questions that machines ask: is the process alive, and can it do its work?

A load balancer sends requests to a container that is ready; an orchestrator restarts one that is
not alive. A database that is down makes every container unready and no container dead.
"""

from collections.abc import Callable
{% if cookiecutter.use_redis %}
from django.core.cache import cache
{%- endif %}
from django.db import Error, connection
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views.decorators.cache import never_cache


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
        # The message may name hosts and users: it goes to the log of the database, not out here.
        return JsonResponse({"status": "unavailable", "database": type(error).__name__}, status=503)
{%- if cookiecutter.use_redis %}
    cache.set("health", "ok", timeout=60)
    if cache.get("health") != "ok":
        # Still 200: the site works without its cache.
        return JsonResponse({"status": "degraded", "database": "ok", "cache": "unavailable"})
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
