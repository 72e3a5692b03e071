from unittest import mock

from django.db import OperationalError, connection
from django.test import SimpleTestCase, TestCase


class LiveTests(SimpleTestCase):
    def test_answers_without_the_database(self):
        # A SimpleTestCase fails on any query.
        response = self.client.get("/health/live")

        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json(), {"status": "ok"})
        self.assertIn("no-store", response.headers["Cache-Control"])


class ReadyTests(TestCase):
    def test_runs_a_query(self):
        with self.assertNumQueries(1):
            response = self.client.get("/health/ready")

        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json(), {"status": "ok", "database": "ok"})

    def test_names_the_class_of_the_error_and_no_more(self):
        error = OperationalError('connection to server at "db" failed for user "secret"')
        with mock.patch.object(connection, "cursor", side_effect=error):
            response = self.client.get("/health/ready")

        self.assertEqual(response.status_code, 503)
        self.assertEqual(response.json(), {"status": "unavailable", "database": "OperationalError"})
