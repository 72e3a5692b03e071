import json
from unittest import mock

from core import csp
from django.test import RequestFactory, SimpleTestCase


class ReportTests(SimpleTestCase):
    def setUp(self):
        self.enterContext(mock.patch.object(csp, "logged_during", return_value=set()))

    def send(self, body, **found):
        report = {"effective-directive": "img-src", "document-uri": "http://127.0.0.1/", **found}
        body = body or json.dumps({"csp-report": report})
        return csp.report(RequestFactory().post("/csp-report", body, "application/csp-report"))

    def test_a_report_is_logged_in_one_line(self):
        with self.assertLogs("core.csp") as logs:
            response = self.send(None, **{"blocked-uri": "https://cdn.example/\nERROR forged"})

        self.assertEqual(response.status_code, 204)
        line = logs.records[0].getMessage()
        self.assertEqual(len(line.splitlines()), 1)
        for part in ("img-src", "https://cdn.example/", "http://127.0.0.1/", "docs/csp.md"):
            self.assertIn(part, line)

    def test_each_source_is_logged_once_and_the_number_of_lines_is_limited(self):
        with self.assertLogs("core.csp") as logs:
            for number in range(200):
                self.send(None, **{"blocked-uri": f"https://cdn.example/{number}.png"})
            self.assertEqual(len(logs.records), 1)
            for number in range(200):
                self.send(None, **{"blocked-uri": f"https://{number}.example/"})

        self.assertEqual(len(logs.records), csp.MAX_LINES)

    def test_invalid_reports_are_refused(self):
        for body in ("{", "[]", "{}", '{"csp-report": 1}', "[" * 50_000):
            with self.subTest(body[:20]), self.assertNoLogs("core.csp"):
                self.assertEqual(self.send(body).status_code, 400)

    def test_a_report_that_is_too_long_is_refused_unread(self):
        found = {"blocked-uri": "inline", "padding": "x" * csp.MAX_BYTES}

        self.assertEqual(self.send(None, **found).status_code, 400)
