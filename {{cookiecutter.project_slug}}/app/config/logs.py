"""gunicorn's access log without password reset keys, and all logs as JSON with LOG_FORMAT=json."""

import json
import logging
import os
import re
from datetime import UTC, datetime

from django.http import HttpRequest
from gunicorn.glogging import Logger


class JsonFormatter(logging.Formatter):
    """Format a record as a JSON object in one line, with its `fields` as members."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; JSON escapes every control character."""
        entry = {
            "time": datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds"),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        # Django adds the request to its records; in those of runserver, it is a socket.
        if isinstance(request := getattr(record, "request", None), HttpRequest):
            entry["client"] = request.META.get("REMOTE_ADDR")
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, default=str)


class GunicornLogger(Logger):
    """gunicorn's logger, as JSON if that is set, without the keys of password reset links."""

    as_json = os.environ.get("LOG_FORMAT") == "json"

    def setup(self, cfg) -> None:
        """Set the format of gunicorn's handlers."""
        super().setup(cfg)
        if self.as_json:
            for handler in [*self.error_log.handlers, *self.access_log.handlers]:
                handler.setFormatter(JsonFormatter())

    def access(self, resp, req, environ, request_time) -> None:
        """Log a request; `seconds` runs from its first byte to the last byte of the response."""
        path = re.sub(r"(/reset/[^/]+/)[^/]+", r"\1...", environ["RAW_URI"])
        if not self.as_json:
            super().access(resp, req, environ | {"RAW_URI": path}, request_time)
            return
        fields = {
            "method": environ["REQUEST_METHOD"],
            "path": path,
            "status": int(resp.status.split()[0]),
            "bytes": resp.sent,
            "seconds": request_time.total_seconds(),
            "client": environ.get("REMOTE_ADDR"),
            "user_agent": environ.get("HTTP_USER_AGENT"),
            "referer": environ.get("HTTP_REFERER"),
        }
        self.access_log.info("{method} {path} {status}".format(**fields), extra={"fields": fields})
