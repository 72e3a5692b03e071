from unittest import mock

import django
from django.conf import settings
from django.db import OperationalError, connection
from django.test import TestCase
from django.urls import reverse
from django.utils.html import escape


class HomeTests(TestCase):
    def test_shows_the_project_and_its_versions(self):
        response = self.client.get(reverse("home"))

        self.assertContains(response, escape(settings.PROJECT_NAME))
        self.assertContains(response, django.get_version())
        self.assertContains(response, connection.display_name)
        self.assertContains(response, "answers")

    def test_says_that_the_database_does_not_answer(self):
        with mock.patch.object(connection, "cursor", side_effect=OperationalError("refused")):
            response = self.client.get(reverse("home"))

        self.assertContains(response, "does not answer")
