import io
import json
import logging
import sys

from config.logs import Console, JsonFormatter
from django.test import SimpleTestCase

KEY = "cabc12-0123456789abcdef"


def log(formatter, name, message, *values, **more):
    """Return what the console shows of a record."""
    written = io.StringIO()
    console = Console(written)
    console.setFormatter(formatter)
    record = logging.getLogger(name).makeRecord(
        *(name, logging.ERROR, __file__, 1, message, values, more.pop("exc_info", None)), **more
    )
    console.handle(record)
    return written.getvalue().removesuffix("\n")


class JsonFormatterTests(SimpleTestCase):
    def test_a_record_is_one_line_whatever_its_content(self):
        try:
            raise ValueError('a "quoted"\nvalue')
        except ValueError:
            more = {"exc_info": sys.exc_info(), "extra": {"order": 7, "request": object()}}
            line = log(JsonFormatter(), "shop", "%s\r\n", "café", **more)

        self.assertEqual(len(line.splitlines()), 1)
        entry = json.loads(line)
        self.assertEqual(entry["message"], "café\r\n")
        self.assertEqual((entry["level"], entry["logger"]), ("ERROR", "shop"))
        self.assertEqual(entry["order"], 7)
        self.assertIn('ValueError: a "quoted"', entry["exc_info"])
        self.assertNotIn("request", entry)


class KeysTests(SimpleTestCase):
    def test_keys_of_password_resets_are_in_no_line(self):
        path = f"/admin/reset/MQ/{KEY}/"
        for formatter in logging.Formatter("%(name)s %(message)s"), JsonFormatter():
            for message, value in (
                ("Not Found: %s", path),
                ('"%s" 200 5', f"GET {path} HTTP/1.1"),
                ("Referer: %s", f"https://shop.example{path}?a=b"),
            ):
                line = log(formatter, "django.request", message, value)
                self.assertIn("/admin/reset/MQ/...", line)
                self.assertNotIn(KEY, line)

    def test_keys_of_password_resets_are_in_no_traceback(self):
        try:
            raise ValueError(f"/admin/reset/MQ/{KEY}/")
        except ValueError:
            line = log(logging.Formatter("%(message)s"), "shop", "", exc_info=sys.exc_info())

        self.assertIn("ValueError: /admin/reset/MQ/...", line)

    def test_the_whole_log_goes_through_the_console(self):
        for name in "django.server", "django.request", "gunicorn.access", "gunicorn.error", "shop":
            logger = logging.getLogger(name)
            while logger.propagate and logger.parent:
                self.assertEqual(logger.handlers, [], logger)
                logger = logger.parent
            self.assertIs(logger, logging.getLogger())
            self.assertIn(Console, [type(handler) for handler in logger.handlers])
