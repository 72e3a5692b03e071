"""Health checks: /health/live says that the process answers, /health/ready that the database does.

A load balancer sends requests only to containers that are ready. An orchestrator restarts those that
are not alive, which would not help while the database is down.
"""

import logging

{% if cookiecutter.use_redis -%}
from django.core.cache import cache
{% endif -%}
from django.db import Error, connection
from django.http import JsonResponse
from django.utils.log import log_response
from django.views.decorators.cache import never_cache

log = logging.getLogger(__name__)


@never_cache
def live(request):
    """Answer 200: the process is alive."""
    return JsonResponse({"status": "ok"})


@never_cache
def ready(request):
    """Answer 200 if the database answers a query, else 503 and the class of the error."""
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error as error:
        name = type(error).__name__
        response = JsonResponse({"status": "unavailable", "database": name}, status=503)
        # The message, which may name hosts and users, is for the log only, in one line.
        cause = " ".join(str(error).split())
        if password := connection.settings_dict["PASSWORD"]:
            cause = cause.replace(password, "***")
        text = "The database fails: %s: %s"
        # With this, Django does not log the response once more, and mails nothing to ADMINS.
        log_response(text, name, cause, response=response, request=request, logger=log)
        return response
{%- if cookiecutter.use_redis %}
    cache.set("health", "ok", timeout=60)
    if cache.get("health") != "ok":
        log.error("The cache fails: a value that was just stored is missing")
        # The status is 200, because the site works without its cache.
        return JsonResponse({"status": "degraded", "database": "ok", "cache": "unavailable"})
    return JsonResponse({"status": "ok", "database": "ok", "cache": "ok"})
{%- else %}
    return JsonResponse({"status": "ok", "database": "ok"})
{%- endif %}


VIEWS = {"/health/live": live, "/health/ready": ready}


def health_middleware(get_response):
    """Answer health checks before Django checks the host name or redirects to HTTPS."""

    def middleware(request):
        return VIEWS.get(request.path_info, get_response)(request)

    return middleware
