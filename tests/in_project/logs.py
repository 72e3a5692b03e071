import json
import logging
import sys
from unittest import skipIf

from django.test import SimpleTestCase


@skipIf(sys.platform == "win32", "gunicorn is for POSIX systems")
class JsonFormatterTests(SimpleTestCase):
    def test_a_record_is_one_line_whatever_its_content(self):
        from config.logs import JsonFormatter

        try:
            raise ValueError('a "quoted"\nvalue')
        except ValueError:
            record = logging.getLogger("shop").makeRecord(
                *("shop", logging.ERROR, __file__, 1, "%s\r\n", ("café",), sys.exc_info()),
                extra={"fields": {"order": 7}},
            )
        line = JsonFormatter().format(record)

        self.assertEqual(len(line.splitlines()), 1)
        entry = json.loads(line)
        self.assertEqual(entry["message"], "café\r\n")
        self.assertEqual(entry["level"], "ERROR")
        self.assertEqual(entry["order"], 7)
        self.assertIn('ValueError: a "quoted"', entry["exception"])
