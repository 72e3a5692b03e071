import platform
from unittest import mock

from django.conf import settings
from django.db import OperationalError, connection
from django.test import SimpleTestCase, TestCase
from django.urls import reverse
from django.utils.html import escape


class HomeTests(TestCase):
    def test_shows_developers_the_versions(self):
        with self.settings(DEBUG=True):
            response = self.client.get(reverse("home"))

        self.assertContains(response, escape(settings.PROJECT_NAME))
        self.assertContains(response, platform.python_version())
        self.assertNotContains(response, "does not answer")

    def test_shows_developers_that_the_database_does_not_answer(self):
        error = OperationalError("refused")
        with self.settings(DEBUG=True), mock.patch.object(connection, "cursor", side_effect=error):
            response = self.client.get(reverse("home"))

        self.assertContains(response, "does not answer")

    def test_shows_visitors_no_versions(self):
        response = self.client.get(reverse("home"))

        self.assertContains(response, escape(settings.PROJECT_NAME))
        self.assertNotContains(response, platform.python_version())


class LiveTests(SimpleTestCase):
    def test_needs_no_database(self):
        # A SimpleTestCase fails on any query.
        self.assertEqual(self.client.get("/health/live").status_code, 200)


class ReadyTests(TestCase):
    def test_runs_a_query(self):
        with self.assertNumQueries(1):
            self.assertEqual(self.client.get("/health/ready").status_code, 200)

    def test_says_that_the_database_fails_but_not_why(self):
        error = OperationalError('connection to server at "db" failed for user "secret"')
        with mock.patch.object(connection, "cursor", side_effect=error), self.assertLogs():
            response = self.client.get("/health/ready")

        self.assertEqual(response.status_code, 503)
        self.assertEqual(response.json(), {"status": "unavailable", "database": "OperationalError"})

    def test_answers_any_host_name_without_https(self):
        https = self.settings(ALLOWED_HOSTS=["shop.example"], SECURE_SSL_REDIRECT=True)
        with https, self.assertLogs("django.security"):
            for path, status in (("/health/live", 200), ("/health/ready", 200), ("/", 400)):
                response = self.client.get(path, headers={"host": "10.0.0.7"})
                self.assertEqual(response.status_code, status)
