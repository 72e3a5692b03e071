"""Logs as JSON, an object a line, for a collector: LOG_FORMAT=json."""

import json
import logging
import re
from datetime import UTC, datetime

from django.http import HttpRequest
from gunicorn.glogging import Logger


class JsonFormatter(logging.Formatter):
    """Write a record as an object, with `fields` of the record beside the usual ones."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line: every control character in it is escaped."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        # Django's own lines about a request; runserver's have a socket of that name.
        if isinstance(request := getattr(record, "request", None), HttpRequest):
            entry["client"] = request.META.get("REMOTE_ADDR")
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class GunicornLogger(Logger):
    """gunicorn's own log and its access log, without the keys of links that set a password."""

    def access(self, resp, req, environ, request_time) -> None:
        """Log a request as gunicorn does."""
        uri = re.sub(r"(/reset/[^/]+/)[^/]+", r"\1...", environ["RAW_URI"])
        self.log_access(resp, req, environ | {"RAW_URI": uri}, request_time)

    log_access = Logger.access


class GunicornJsonLogger(GunicornLogger):
    """The same as JSON."""

    def setup(self, cfg) -> None:
        """Set up gunicorn's handlers, then give them the format."""
        super().setup(cfg)
        for handler in [*self.error_log.handlers, *self.access_log.handlers]:
            handler.setFormatter(JsonFormatter())

    def log_access(self, resp, req, environ, request_time) -> None:
        """Log a request; `seconds` is from its first byte read to the last one answered."""
        status = int(resp.status.split()[0])
        fields = {
            "method": environ["REQUEST_METHOD"],
            "path": environ["RAW_URI"],
            "status": status,
            "bytes": resp.sent,
            "seconds": request_time.total_seconds(),
            "client": environ.get("REMOTE_ADDR"),
            "user_agent": environ.get("HTTP_USER_AGENT"),
            "referer": environ.get("HTTP_REFERER"),
        }
        line = f"{fields['method']} {fields['path']} {status}"
        self.access_log.info("%s", line, extra={"fields": fields})
