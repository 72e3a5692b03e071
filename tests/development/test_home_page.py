"""The home page in a real browser: on a phone and a desktop, light and dark, and what it shows."""

import pytest
from axe_playwright_python.sync_playwright import Axe
from playwright.sync_api import Page

from tests.support.embedded_postgres import free_port
from tests.support.processes import wait_until
from tests.support.project import Project

pytestmark = [pytest.mark.browser, pytest.mark.postgres]

PRODUCTION = {
    "DEBUG": "false",
    "ALLOWED_HOSTS": "127.0.0.1",
    "SECRET_KEY": "-",
    "SECURE_SSL_REDIRECT": "false",
}
OVERFLOW = "document.documentElement.scrollWidth - document.documentElement.clientWidth"
BACKGROUND = "getComputedStyle(document.documentElement).backgroundColor"


@pytest.fixture(scope="module")
def serve(bake_once, python_for, make_server):
    """Serve a project with these environment variables: serve(DEBUG="true") returns its URL."""
    project: Project = bake_once(project_name="A Shop of Long-Windedness & 'Quotes'")
    python = python_for()
    server = make_server().start()
    running = []

    def started(**environment: str) -> str:
        port = free_port()
        env = server.environment("postgres") | environment
        if environment["DEBUG"] == "false":
            project.run(python, "manage.py", "collectstatic", "--noinput", cwd="app", env=env)
        command = (
            python,
            "-m",
            "gunicorn",
            "config.wsgi",
            "--workers=1",
            f"--bind=127.0.0.1:{port}",
        )
        running.append(project.start(*command, env=env, cwd="app"))
        wait_until(lambda: "Booting worker" in running[-1].printed(), 120, running[-1].printed)
        return f"http://127.0.0.1:{port}/"

    yield started
    for process in running:
        process.process.terminate()
        process.end(60)
    server.stop("immediate")


@pytest.fixture(scope="module")
def sites(serve) -> dict[str, str]:
    """The URL of the project in development, without its database, and in production."""
    return {
        "development": serve(DEBUG="true"),
        "no database": serve(DEBUG="true", POSTGRES_PORT=str(free_port())),
        "production": serve(**PRODUCTION),
    }


@pytest.mark.parametrize("scheme", ["light", "dark"])
@pytest.mark.parametrize("width", [360, 1280])
@pytest.mark.parametrize("site", ["development", "no database", "production"])
def test_fits_every_screen_and_is_accessible(sites, page: Page, site, width, scheme):
    page.set_viewport_size({"width": width, "height": 800})
    page.emulate_media(color_scheme=scheme)
    page.goto(sites[site])

    assert page.evaluate(OVERFLOW) == 0
    red = int(page.evaluate(BACKGROUND).removeprefix("rgb(").partition(",")[0])
    assert (red < 50) == (scheme == "dark")
    found = Axe().run(page)
    assert found.violations_count == 0, found.generate_report()


def test_shows_developers_what_is_running_and_what_to_do_next(sites, page: Page):
    page.goto(sites["development"])
    text = page.inner_text("main")
    for words in ("Django 5.2", "Python 3.", "PostgreSQL 18", "createsuperuser", "startapp"):
        assert words in text.replace("\n", " "), words
    assert "does not answer" not in text
    page.get_by_role("link", name="admin").click()
    page.get_by_label("Username").wait_for()


def test_shows_developers_that_the_database_does_not_answer(sites, page: Page):
    page.goto(sites["no database"])
    assert "PostgreSQL does not answer" in page.inner_text("main").replace("\n", " ")


def test_shows_visitors_nothing_about_versions(sites, page: Page):
    page.goto(sites["production"])
    for words in ("Django 5", "Python 3", "PostgreSQL 1", "DEBUG", "startapp", "manage.py"):
        assert words not in page.content(), words
    page.get_by_role("link", name="Admin").click()
    page.get_by_label("Username").wait_for()
