"""A new project comes up, shows its pages, and is reached from this machine only."""

import re

import pytest

from tests.support.load import Load

pytestmark = pytest.mark.stack


def test_comes_up_on_an_empty_volume_without_a_restart(stack):
    assert stack.restarts() == 0
    assert stack.inspect("migrate", "{{.State.ExitCode}}") == ["0"]
    assert stack.inspect("app", "{{.State.Health.Status}}") == ["healthy"]
    assert stack.inspect("db", "{{.State.Health.Status}}") == ["healthy"]
    assert "Traceback" not in stack.logs_of_the_start


def test_serves_its_pages(stack):
    status, home = stack.get("/")
    assert status == 200
    assert "My Project" in home and "18." in home and "does not answer" not in home
    assert stack.get("/static/core/home.css")[0] == 200
    assert stack.get("/static/admin/css/base.css")[0] == 200
    assert stack.get("/health/live") == (200, '{"status": "ok"}')
    assert stack.get("/health/ready") == (200, '{"status": "ok", "database": "ok"}')


@pytest.mark.browser
def test_a_new_user_sees_the_page_and_uses_the_admin(stack, page):
    user = {"DJANGO_SUPERUSER_PASSWORD": "correct horse"}
    stack.compose(
        *("exec", "-T", "-e", "DJANGO_SUPERUSER_PASSWORD", "app", "python", "manage.py"),
        *("createsuperuser", "--noinput", "--username=ada", "--email=ada@example.org"),
        env=user,
    )
    page.goto(f"http://127.0.0.1:{stack.port}/")
    assert page.get_by_role("heading", level=1).inner_text() == "My Project"
    assert page.locator("main").evaluate("main => getComputedStyle(main).borderTopWidth") == "4px"

    page.get_by_role("link", name="Admin").click()
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(user["DJANGO_SUPERUSER_PASSWORD"])
    page.get_by_role("button", name="Log in").click()

    page.get_by_role("link", name="My Project").wait_for()
    page.get_by_role("link", name="Users").click()
    page.locator("#result_list").get_by_role("link", name="ada").wait_for()


def test_publishes_the_site_on_loopback_and_the_database_nowhere(stack):
    ports = "{{json .NetworkSettings.Ports}}"
    assert re.findall(r'"HostIp":"([^"]+)"', stack.inspect("app", ports)[0]) == ["127.0.0.1"]
    assert "HostIp" not in stack.inspect("db", ports)[0]


def test_200_clients_at_once_get_their_page(stack):
    with Load(f"http://127.0.0.1:{stack.port}/", threads=200) as load:
        stack.wait_until(lambda: sum(load.progress) > 600, seconds=120)
    assert set(load.answers) == {200}, load.answers
    assert "too many" not in stack.logs("db")
