from unittest import mock, skipUnless

from django.conf import settings
from django.core.cache import cache
from django.db import OperationalError, connection
from django.test import SimpleTestCase, TestCase

# What is in the code, because without a REDIS_HOST the cache is in memory.
WITH_CACHE = "The cache fails" in (settings.BASE_DIR / "config/health.py").read_text(
    encoding="utf-8"
)


class LiveTests(SimpleTestCase):
    def test_is_never_cached(self):
        response = self.client.get("/health/live")

        self.assertEqual(response.json(), {"status": "ok"})
        self.assertIn("no-store", response.headers["Cache-Control"])


class ReadyTests(TestCase):
    def test_names_each_service(self):
        services = {"database": "ok"} | ({"cache": "ok"} if WITH_CACHE else {})

        self.assertEqual(self.client.get("/health/ready").json(), {"status": "ok"} | services)

    @skipUnless(WITH_CACHE, "no cache")
    def test_a_lost_cache_is_logged_and_degrades_the_site(self):
        with mock.patch.object(cache, "get", return_value=None), self.assertLogs() as logs:
            response = self.client.get("/health/ready")

        cause = "a value that was just stored is missing"
        self.assertEqual(logs.output, [f"ERROR:config.health:The cache fails: {cause}"])
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json()["status"], "degraded")

    def test_the_cause_of_a_failure_is_one_line_without_the_password(self):
        error = OperationalError("connection failed:\n\tpassword hunter2 is wrong")
        password = mock.patch.dict(connection.settings_dict, {"PASSWORD": "hunter2"})
        failing = mock.patch.object(connection, "cursor", side_effect=error)
        with self.assertLogs() as logs, password, failing:
            self.client.get("/health/ready")

        cause = "OperationalError: connection failed: password *** is wrong"
        self.assertEqual(logs.output, [f"ERROR:config.health:The database fails: {cause}"])
        # A traceback every few seconds would hide everything else.
        self.assertIsNone(logs.records[0].exc_info)
