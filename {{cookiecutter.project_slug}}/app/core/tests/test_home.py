import platform
from unittest import mock

from django.conf import settings
from django.db import OperationalError, connection
from django.test import TestCase
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
