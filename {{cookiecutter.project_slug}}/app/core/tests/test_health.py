from unittest import mock
{% if cookiecutter.use_redis %}
from django.core.cache import cache
{%- endif %}
from django.db import OperationalError, connection
from django.test import SimpleTestCase, TestCase

from core.health import failing


class LiveTests(SimpleTestCase):
    def test_answers_without_the_database(self):
        # A SimpleTestCase fails on any query.
        response = self.client.get("/health/live")

        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json(), {"status": "ok"})
        self.assertIn("no-store", response.headers["Cache-Control"])


class ReadyTests(TestCase):
    def tearDown(self):
        for service in failing.values():
            service[0] = 0

    def test_runs_a_query(self):
        with self.assertNumQueries(1):
            response = self.client.get("/health/ready")

        self.assertEqual(response.status_code, 200)
{%- if cookiecutter.use_redis %}
        self.assertEqual(response.json(), {"status": "ok", "database": "ok", "cache": "ok"})

    def test_a_lost_cache_is_said_and_no_reason_to_stop(self):
        with mock.patch.object(cache, "get", return_value=None), self.assertLogs() as logs:
            for _ in range(2):
                response = self.client.get("/health/ready")

        cause = "what was stored is not found"
        self.assertEqual(logs.output, [f"ERROR:core.health:the cache fails: {cause}"])
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json()["status"], "degraded")
{%- else %}
        self.assertEqual(response.json(), {"status": "ok", "database": "ok"})
{%- endif %}

    def test_answers_whatever_the_host_name_and_without_https(self):
        with self.settings(ALLOWED_HOSTS=["shop.example"], SECURE_SSL_REDIRECT=True):
            for path, status in (("/health/live", 200), ("/health/ready", 200), ("/", 400)):
                response = self.client.get(path, headers={"host": "10.0.0.7"})
                self.assertEqual(response.status_code, status)

    def test_names_the_class_of_the_error_and_no_more(self):
        error = OperationalError('connection to server at "db" failed for user "secret"')
        with mock.patch.object(connection, "cursor", side_effect=error):
            response = self.client.get("/health/ready")

        self.assertEqual(response.status_code, 503)
        self.assertEqual(response.json(), {"status": "unavailable", "database": "OperationalError"})

    def test_logs_when_it_begins_and_when_it_ends(self):
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
