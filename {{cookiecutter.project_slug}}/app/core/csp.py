"""Log what browsers block because of the Content-Security-Policy, in development."""

import json
import logging
import time
from functools import lru_cache

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

MAX_BYTES = 64 * 1024
MAX_LINES = 20
MALFORMED = (ValueError, LookupError, TypeError, RecursionError)

logger = logging.getLogger(__name__)


def keep_reports_out_of_access_logs() -> None:
    """Leave the requests that bring reports out: `report` logs what they say."""
    for name in ("gunicorn.access", "django.server"):
        logging.getLogger(name).addFilter(
            lambda record: "POST /csp-report" not in record.getMessage()
        )


@lru_cache(maxsize=1)
def logged_during(ten_seconds: int) -> set[tuple]:
    """Return what was logged in these ten seconds: one page can send hundreds of reports."""
    return set()


@csrf_exempt  # The browser sends it, without a token.
@require_POST
def report(request: HttpRequest) -> HttpResponse:
    """Log a report: one line for each directive, blocked origin and page."""
    try:
        body = json.loads(request.read(MAX_BYTES))["csp-report"]
        names = ("effective-directive", "blocked-uri", "document-uri")
        directive, blocked, page = (str(body[name]) for name in names)
    except MALFORMED:
        return HttpResponse(status=400)
    logged = logged_during(int(time.monotonic() / 10))
    line = (directive, *blocked.split("/")[:3], page)
    if line not in logged and len(logged) < MAX_LINES:
        logged.add(line)
        # %a turns anything that a client sends into one line of ASCII.
        message = "The browser blocked %.300a by %.50a on %.300a: see docs/csp.md"
        logger.warning(message, blocked, directive, page)
    return HttpResponse(status=204)
