from unittest import mock

from django.http import HttpResponse
from django.template import engines
from django.test import Client, TestCase


def page(text):
    """Return a view's `render` that renders this template."""

    def render(request, name, context):
        return HttpResponse(engines["django"].from_string(text).render(context, request))

    return mock.patch("core.views.render", render)


class PagesTests(TestCase):
    def test_a_page_that_does_not_exist_is_in_the_style_of_the_project(self):
        response = self.client.get("/nothing")

        self.assertContains(response, "<h1>Page not found</h1>", status_code=404, html=True)
        self.assertContains(response, "core/home.css", status_code=404)

    def test_an_error_is_in_the_style_of_the_project_and_shows_nothing(self):
        client = Client(raise_request_exception=False)
        with page("{% extends 'secret.html' %}"), self.assertLogs():
            response = client.get("/")

        self.assertContains(response, "<h1>Something went wrong</h1>", status_code=500, html=True)
        self.assertContains(response, "core/home.css", status_code=500)
        self.assertNotContains(response, "secret", status_code=500)

    def test_a_first_page_extends_the_base_template(self):
        with page("{% extends 'base.html' %}{% block main %}<h1>Tea</h1>{% endblock %}"):
            response = self.client.get("/")

        self.assertContains(response, "<h1>Tea</h1>", html=True)
        self.assertContains(response, "core/home.css")
