"""What the Content-Security-Policy blocks, in the log of development."""

import json
import logging
import time
from functools import lru_cache

from django.http import HttpRequest, HttpResponse
from django.views.decorators.csrf import csrf_exempt
from django.views.decorators.http import require_POST

MAX_BYTES = 64 * 1024
MAX_LINES = 20
NO_REPORT = (ValueError, LookupError, TypeError, RecursionError)

logger = logging.getLogger(__name__)


def is_no_report(record: logging.LogRecord) -> bool:
    """Return whether a line of a server's log is about something else than a report."""
    return "POST /csp-report" not in record.getMessage()


@lru_cache(maxsize=1)
def said_since(ten_seconds: int) -> set[tuple]:
    """Return what was said in these ten seconds: a page can report hundreds at once."""
    return set()


@csrf_exempt  # The browser itself sends it.
@require_POST
def report(request: HttpRequest) -> HttpResponse:
    """Log a browser's report of what it blocked: a line for each directive, source and page."""
    try:
        found = json.loads(request.read(MAX_BYTES))["csp-report"]
        directive, blocked, page = (
            str(found[name]) for name in ("effective-directive", "blocked-uri", "document-uri")
        )
    except NO_REPORT:
        return HttpResponse(status=400)
    said = said_since(int(time.monotonic() / 10))
    line = (directive, *blocked.split("/")[:3], page)
    if line not in said and len(said) < MAX_LINES:
        said.add(line)
        # %a: whatever a client sends, it is one line of ASCII.
        message = "The browser blocked %.300a by %.50a on %.300a: see docs/csp.md"
        logger.warning(message, blocked, directive, page)
    return HttpResponse(status=204)
