"""The Content-Security-Policy in a real browser: no page is blocked, and the recipes work.

The tests read the code of the recipes from docs/csp.md here and docs/development.md of a project, and
add it to the files of the project.
"""

import os
import re
import secrets
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Route

from tests.support.answers import CHOICES, DEFAULTS
from tests.support.embedded_postgres import EmbeddedPostgres, free_port
from tests.support.processes import Running, wait_until
from tests.support.project import ROOT, Project
from tests.support.tiers import PACKAGES

pytestmark = [pytest.mark.browser, pytest.mark.index, pytest.mark.postgres]

# A Django that needs a newer Python than this one runs on the Python of an image.
OLDEST_PYTHON = {"5.2": (3, 11), "6.1": (3, 12)}
DJANGO = [
    pytest.param(django, marks=[pytest.mark.stack] * (sys.version_info < OLDEST_PYTHON[django]))
    for django in CHOICES["django_version"]
]

# What the documentation of each package says to add, and code that uses it.
SETTINGS = """
INSTALLED_APPS += [
    "articles",
    "wagtail.admin", "wagtail.documents", "wagtail.embeds", "wagtail.images", "wagtail.search",
    "wagtail.sites", "wagtail.snippets", "wagtail.users", "wagtail", "modelcluster", "taggit",
    "rest_framework", "drf_spectacular", "drf_spectacular_sidecar",
    "allauth", "allauth.account", "allauth.socialaccount", "allauth.socialaccount.providers.google",
    "debug_toolbar",
]
MIDDLEWARE.append("allauth.account.middleware.AccountMiddleware")
INTERNAL_IPS = ["127.0.0.1"]
DEBUG_TOOLBAR_CONFIG = {"SHOW_COLLAPSED": True}
WAGTAIL_SITE_NAME = PROJECT_NAME
WAGTAILADMIN_BASE_URL = "http://127.0.0.1"
REST_FRAMEWORK = {"DEFAULT_SCHEMA_CLASS": "drf_spectacular.openapi.AutoSchema"}
SPECTACULAR_SETTINGS = {
    "SWAGGER_UI_DIST": "SIDECAR", "SWAGGER_UI_FAVICON_HREF": "SIDECAR", "REDOC_DIST": "SIDECAR",
}
SOCIALACCOUNT_PROVIDERS = {
    "google": {"APP": {"client_id": "us", "secret": "-"}, "AUTHORIZE_URL": "AT/provider"},
}
"""
URLS = """
from debug_toolbar.toolbar import debug_toolbar_urls
from django.http import HttpResponse
from django.shortcuts import render
from django.urls import include
from drf_spectacular.utils import extend_schema
from drf_spectacular.views import SpectacularAPIView
from rest_framework.decorators import api_view
from rest_framework.response import Response
from wagtail import urls as wagtail_urls


@extend_schema(responses=str)
@api_view()
def greeting(request):
    return Response("Hello from the project")


urlpatterns += [
    path("api/greeting/", greeting),
    path("api/schema/", SpectacularAPIView.as_view(), name="schema"),
    path("nonce", lambda request: render(request, "nonce.html")),
    path("provider", lambda request: HttpResponse("<h1>The provider</h1>")),
    path("site/", include(wagtail_urls)),
    *debug_toolbar_urls(),
]
"""
MODELS = """
from django.db import models
from wagtail.fields import RichTextField
from wagtail.models import Page


class Article(Page):
    body = RichTextField()
    day = models.DateField(null=True, blank=True)
    content_panels = [*Page.content_panels, "body", "day"]
"""
ARTICLE = "{% load wagtailcore_tags %}<h1>{{ page.title }}</h1>{{ page.body|richtext }}"
NONCE = '<p></p>{% raw %}<script nonce="{{ NAME }}">document.querySelector("p").innerText = "It ran"</script>'
PREPARE = """
import os
from django.core.management import call_command as call
if os.path.isdir("articles"):
    call("makemigrations", "articles", verbosity=0)
call("migrate", verbosity=0)
call("createsuperuser", interactive=False, username="ada", email="ada@example.org")
"""
PASSWORD = secrets.token_hex(8)
# A page that violates the policy many times, and a page that raises an error.
GREEDY = """

from django.http import HttpResponse  # noqa: E402


def greedy(request):
    wishes = [
        f"<script>{number}</script><img src='http://one.example/{number}.png'>"
        f"<img src='http://{number}.example/'>"
        for number in range(30)
    ]
    return HttpResponse("".join(wishes))


def broken(request):
    raise ValueError("broken on purpose")


urlpatterns += [path("greedy", greedy), path("broken", broken)]
"""


def add(project: Project, name: str, text: str) -> None:
    """Append text to a file of a project; create the file if it is missing."""
    file = project.path / name
    file.parent.mkdir(parents=True, exist_ok=True)
    with open(file, "a", encoding="utf-8") as opened:
        opened.write(text)


def recipes(project: Project, django: str) -> list[tuple[str, str]]:
    """Return each file that the pages tell the reader to create or extend, and its code."""
    page = project.read("docs/development.md").partition("\n## Content-Security-Policy\n")[2]
    text = page.partition("\n## ")[0] + (ROOT / "docs/csp.md").read_text(encoding="utf-8")
    code = r"(?:Create|[Aa]dd to)\s+`(app/[\w./]+)`(?:, with Django ([\d.]+))?:\n\n```\w+\n(.*?)```"
    found = re.findall(code, text, re.DOTALL)
    # Every code block has been found.
    assert len(found) == text.count("```") / 2
    return [(file, code) for file, version, code in found if version in ("", django)]


class Site:
    """A project that runs on the packages in a folder, without an image of its own."""

    def __init__(
        self, project: Project, packages: Path, image: str | None, database: dict[str, str]
    ):
        self.project = project
        self.packages = packages
        self.image = image
        self.database = database
        self.port = project.port = free_port()
        self.url = f"http://127.0.0.1:{self.port}"
        self.running: Running | None = None
        self.names: list[str] = []

    def command(self, *words: str, **environment: str) -> tuple[list[str], dict[str, str]]:
        """Return a command that runs Python in the project, and its environment."""
        environment |= {"PYTHONPATH": str(self.packages), "DJANGO_SUPERUSER_PASSWORD": PASSWORD}
        if not self.image:
            # The next process does not compile all packages again.
            environment["PYTHONDONTWRITEBYTECODE"] = ""
            # -S: without the packages of the environment that runs the tests.
            return [sys.executable, "-S", *words], environment
        self.names.append(f"test_csp_{secrets.token_hex(4)}")
        return [
            *("docker", "run", "--rm", "--init", "--network=host", "--name", self.names[-1]),
            *(
                "--user",
                f"{os.getuid()}:{os.getgid()}",
                "--workdir",
                str(self.project.path / "app"),
            ),
            *(f"--volume={path}:{path}" for path in (self.project.path, self.packages)),
            *(f"--env={name}={value}" for name, value in environment.items()),
            *(self.image, "python", *words),
        ], {}

    def manage(self, *words: str, **environment: str) -> None:
        """Run manage.py."""
        command, env = self.command("manage.py", *words, **self.database, **environment)
        self.project.run(*command, env=env, cwd="app")

    def prepare(self) -> None:
        """Create the tables and a superuser."""
        self.manage("shell", "-v0", "-c", PREPARE, DEBUG="true")

    def start(self, **environment: str) -> None:
        """Start gunicorn; return when it answers."""
        options = ("--workers=1", f"--bind=127.0.0.1:{self.port}")
        environment |= self.database
        command, env = self.command("-m", "gunicorn", "config.wsgi", *options, **environment)
        self.running = self.project.start(*command, env=env, cwd="app")
        wait_until(lambda: self.project.status("/health/ready") == 200, 120, self.running.printed)

    def stop(self) -> None:
        """Stop gunicorn if it runs, without waiting for the connections that browsers keep open."""
        if self.names:
            subprocess.run(["docker", "rm", "-f", *self.names], capture_output=True, check=False)
            self.names.clear()
        if self.running:
            self.running.process.send_signal(signal.SIGINT)
            self.running.end()
            self.running = None


@pytest.fixture(scope="module")
def database_server(make_server) -> Iterator[EmbeddedPostgres]:
    """A running server."""
    server = make_server(version=18).start()
    yield server
    server.stop("immediate")


@pytest.fixture(scope="module")
def make_site(bake_once, database_server, shared_folder):
    """Render a project with a database and all packages: make_site("6.1")."""
    sites = []

    def make(django: str) -> Site:
        answers = {"django_version": django, "project_slug": Project.unused_slug()}
        project = bake_once(**answers)
        in_image = sys.version_info < OLDEST_PYTHON[django]
        version = DEFAULTS["python_version"] if in_image else "{}.{}".format(*sys.version_info)
        folder = shared_folder / f"packages-{django}"
        if not folder.exists():
            lock = project.path / "requirements.txt"
            target = ["--quiet", "--target", folder, "--python-version", version]
            subprocess.run([*PACKAGES, "--requirement", lock, *target], check=True)
        database_server.sql(f"CREATE DATABASE {project.slug}")
        database = database_server.environment(project.slug)
        image = f"python:{version}-slim-trixie" if in_image else None
        sites.append(Site(project, folder, image, database))
        return sites[-1]

    yield make
    for site in sites:
        site.stop()


@pytest.fixture(scope="module", params=DJANGO)
def site(request, make_site) -> Site:
    """A project with all packages, changed as the recipes say."""
    site = make_site(request.param)
    project = site.project
    provider = f"http://localhost:{site.port}"
    add(project, "app/config/settings.py", SETTINGS.replace("AT/", f"{provider}/"))
    add(project, "app/config/urls.py", URLS)
    add(project, "app/articles/__init__.py", "")
    add(project, "app/articles/migrations/__init__.py", "")
    add(project, "app/articles/models.py", MODELS)
    add(project, "app/articles/templates/articles/article.html", ARTICLE)
    [tag] = re.findall(r"`(<script nonce=.*?>)`", project.read("docs/development.md"))
    script = f'{tag}document.querySelector("p").innerText = "It ran"</script>'
    add(project, "app/core/templates/nonce.html", f"<p></p>{script}")
    for name, code in recipes(project, request.param):
        # The provider is this machine under another name, which makes it another origin.
        add(project, name, "\n" + code.replace("https://accounts.google.com", provider))
    site.prepare()
    site.start(DEBUG="true")
    return site


@pytest.fixture(scope="module", params=DJANGO)
def plain_site(request, make_site) -> Site:
    """A project as it is rendered, with the page that violates the policy; it is not started."""
    site = make_site(request.param)
    add(site.project, "app/config/urls.py", GREEDY)
    site.prepare()
    return site


def log_in(page: Page, site: Site) -> None:
    """Log in at the admin."""
    page.goto(site.url + "/admin/")
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(PASSWORD)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Users").first.wait_for()


def test_swagger_ui_shows_an_operation_and_tries_it_out(site, page):
    page.goto(site.url + "/api/swagger/")
    page.get_by_role("button", name="/api/greeting/").first.click()
    page.get_by_role("button", name="Try it out").click()
    page.get_by_role("button", name="Execute").click()
    page.get_by_text("Hello from the project").first.wait_for()


def test_redoc_shows_an_operation_and_finds_it(site, page):
    def logo(route: Route) -> None:
        route.fulfill(
            content_type="image/svg+xml", body="<svg xmlns='http://www.w3.org/2000/svg'/>"
        )

    page.route("https://cdn.redoc.ly/**", logo)
    page.goto(site.url + "/api/redoc/")
    page.get_by_text("/api/greeting/").first.wait_for()
    # Its styles were loaded.
    font = page.locator("h1").first.evaluate("heading => getComputedStyle(heading).fontFamily")
    assert "Montserrat" in font
    page.get_by_placeholder("Search").fill("greeting")
    page.get_by_role("search").get_by_text("greeting").first.wait_for()
    assert page.workers


def test_wagtail_edits_rich_text_and_previews_it(site, page):
    log_in(page, site)
    page.goto(site.url + "/cms/pages/add/articles/article/2/")
    page.get_by_placeholder("Page title*").fill("News")
    page.locator(".public-DraftEditor-content").click()
    page.keyboard.type("Plain ")
    page.keyboard.press("Control+b")
    page.keyboard.type("bold")
    page.locator(".public-DraftEditor-content").get_by_text("bold").wait_for()
    # A script in the page makes the date picker.
    page.locator("[name=day]").click()
    page.locator(".xdsoft_today").locator("visible=true").click()
    assert page.locator("[name=day]").input_value()

    page.get_by_role("button", name="Toggle preview").click()
    preview = page.frame_locator("#w-preview-iframe")
    preview.get_by_role("heading", name="News").wait_for()
    assert preview.locator("b").inner_text() == "bold"


def test_wagtail_shows_an_image_that_is_uploaded(site, page):
    log_in(page, site)
    image = page.screenshot()
    page.goto(site.url + "/cms/images/multiple/add/")
    file = {"name": "page.png", "mimeType": "image/png", "buffer": image}
    page.locator("input[type=file]").set_input_files(files=[file])
    page.get_by_role("button", name="Update").wait_for()


def test_a_login_reaches_its_provider(site, page):
    page.goto(site.url + "/accounts/login/")
    page.get_by_role("link", name="Google").click()
    page.get_by_role("button", name="Continue").click()
    page.get_by_role("heading", name="The provider").wait_for()
    assert page.url.startswith(f"http://localhost:{site.port}/provider?client_id=us")


def test_the_debug_toolbar_opens_its_panels(site, page):
    log_in(page, site)
    page.goto(site.url + "/admin/core/user/")
    page.locator("#djShowToolBarButton").click()
    page.locator("#djdt-SQLPanel a").first.click()
    page.locator("#SQLPanel .djDebugSql").first.wait_for()
    page.locator("#djdt-SettingsPanel a").first.click()
    page.locator("#SettingsPanel").get_by_text("ROOT_URLCONF").wait_for()


def test_a_script_with_the_nonce_runs(site, page):
    page.goto(site.url + "/nonce")
    page.get_by_text("It ran").wait_for()


def test_only_the_urls_of_a_recipe_have_a_looser_policy(site, browser):
    page = browser.new_page()
    loose = {
        path: page.goto(site.url + path).headers["content-security-policy"]
        for path in ("/", "/nonce", "/admin/login/", "/accounts/login/", "/cms/login/")
    }
    for path, policy in loose.items():
        assert ("'unsafe-inline'" in policy) == (path == "/cms/login/"), policy
        assert ("http://localhost" in policy) == (path == "/accounts/login/"), policy
        assert "'sha256" not in policy and "object-src 'none'" in policy, policy


def violations_of(page: Page) -> list[str]:
    """Return a list that grows with each policy violation in the console of a page."""
    found = []

    def add_violation(message) -> None:
        if "Content Security Policy" in message.text:
            found.append(f"{page.url}: {message.text}")

    page.on("console", add_violation)
    return found


PAGES = [
    "/",
    "/admin/",
    "/admin/core/user/",
    "/admin/core/user/1/change/",
    "/admin/core/user/1/password/",
    "/admin/core/user/1/history/",
    "/admin/core/user/1/delete/",
    "/admin/core/user/add/",
    "/admin/password_change/",
    "/missing",
    "/broken",
]


@pytest.mark.parametrize("debug", ["true", "false"])
def test_no_page_of_the_project_itself_is_blocked(plain_site, browser: Browser, debug):
    site = plain_site
    site.stop()
    settings = {"ALLOWED_HOSTS": "127.0.0.1", "SECURE_SSL_REDIRECT": "false", "SECRET_KEY": "-"}
    settings["DEBUG"] = debug
    if debug == "false":
        site.manage("collectstatic", "--noinput", **settings)
    site.start(**settings)
    page = browser.new_page()
    violations = violations_of(page)

    log_in(page, site)
    statuses = {path: page.goto(site.url + path).status for path in PAGES}

    assert violations == []
    assert {path: status for path, status in statuses.items() if status != 200} == {
        "/missing": 404,
        "/broken": 500,
    }
    # The console is where a violation shows.
    page.goto(site.url + "/greedy")
    assert violations
