"""How log lines look."""

import logging
import re

from pythonjsonlogger.json import JsonFormatter as BaseFormatter


class Console(logging.StreamHandler):
    """Hide the keys of password reset links: whoever has one can set the password."""

    def format(self, record):
        """Return the line without such keys, in whatever field or traceback they are."""
        return re.sub(r"(/reset/[^\s/]+/)[^\s/\"']+", r"\1...", super().format(record))


class JsonFormatter(BaseFormatter):
    """Format a record as one line of JSON, with fields of their own for gunicorn's requests."""

    def __init__(self):
        fields = {"levelname": "level", "name": "logger", "message": "message"}
        super().__init__(list(fields), rename_fields=fields, timestamp="time")

    def add_fields(self, log_data, record, message_dict):
        """Add what the base class adds, except Django's request, and gunicorn's values."""
        super().add_fields(log_data, record, message_dict)
        log_data.pop("request", None)
        if record.name == "gunicorn.access":
            # https://gunicorn.org/reference/settings/#access_log_format lists these names.
            values = record.args
            log_data["method"] = values["m"]
            log_data["path"] = values["{raw_uri}e"]
            log_data["status"] = int(values["s"])
            log_data["bytes"] = values["B"]
            log_data["seconds"] = float(values["L"])
            log_data["client"] = values["h"]
            # gunicorn escapes quotation marks for its own format.
            log_data["user_agent"] = values["a"].replace('\\"', '"')
            log_data["referer"] = values["f"].replace('\\"', '"')
