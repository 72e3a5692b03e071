from unittest import mock, skipUnless

from core.health import failing
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test import SimpleTestCase, TestCase


class LiveTests(SimpleTestCase):
    def test_is_never_cached(self):
        response = self.client.get("/health/live")

        self.assertEqual(response.json(), {"status": "ok"})
        self.assertIn("no-store", response.headers["Cache-Control"])


class ReadyTests(TestCase):
    def setUp(self):
        for service in failing.values():
            service[0] = 0

    def test_names_each_service(self):
        services = dict.fromkeys(failing, "ok")

        self.assertEqual(self.client.get("/health/ready").json(), {"status": "ok"} | services)

    @skipUnless("cache" in failing, "no cache")
    def test_a_lost_cache_is_logged_once_and_degrades_the_site(self):
        with mock.patch.object(cache, "get", return_value=None), self.assertLogs() as logs:
            for _ in range(2):
                response = self.client.get("/health/ready")

        cause = "a value that was just stored is missing"
        self.assertEqual(logs.output, [f"ERROR:core.health:the cache fails: {cause}"])
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json()["status"], "degraded")

    def test_the_start_and_the_end_of_a_failure_are_logged(self):
        error = OperationalError("connection failed:\n\tpassword hunter2 is wrong")
        settings = mock.patch.dict(connection.settings_dict, {"PASSWORD": "hunter2"})
        with self.assertLogs() as logs, settings:
            for _ in range(2):
                with mock.patch.object(connection, "cursor", side_effect=error):
                    self.client.get("/health/ready")
                    self.client.get("/health/ready")
                self.client.get("/health/ready")
                self.client.get("/health/ready")

        cause = "OperationalError: connection failed: password *** is wrong"
        change = [
            f"ERROR:core.health:the database fails: {cause}",
            "WARNING:core.health:the database answers again",
        ]
        self.assertEqual(logs.output, change * 2)
