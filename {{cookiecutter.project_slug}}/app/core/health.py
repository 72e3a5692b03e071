"""Two questions that machines ask: is the process alive, and can it do its work?

A load balancer sends requests to a container that is ready; an orchestrator restarts one that is
not alive. A database that is down makes every container unready and no container dead.
"""

from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
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
    return JsonResponse({"status": "ok", "database": "ok"})
