"""A new project comes up, shows its pages, and is reached from this machine only."""

import re
from datetime import UTC, datetime

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("development")]


def test_comes_up_on_an_empty_volume_without_a_restart(stack):
    assert stack.restarts() == 0
    assert stack.inspect("app", "{{.State.Health.Status}}") == ["healthy"]
    assert stack.inspect("db", "{{.State.Health.Status}}") == ["healthy"]
    assert "Traceback" not in stack.logs_of_the_start


def test_the_start_ends_with_the_address_to_open(stack):
    log = [line for line in stack.logs_of_the_start.splitlines() if line.startswith("app-1")]
    assert f"Open http://127.0.0.1:{stack.port}/ " in log[-1], log
    assert "0.0.0.0" not in "".join(log)


def test_the_start_has_no_fatal_errors_but_the_one_that_troubleshooting_explains(stack):
    harmless = "the database system is starting up"
    assert f"## `FATAL: {harmless}`" in stack.read("docs/troubleshooting.md")
    assert set(re.findall(r"FATAL: +(.*)", stack.logs_of_the_start)) <= {harmless}


def test_the_start_looks_for_the_image_in_no_registry_before_it_is_built(stack):
    assert "Warning" not in stack.printed_at_the_start


def test_the_log_has_one_line_for_a_request_and_none_for_what_succeeds_unasked(stack):
    before = len(stack.logs("app").splitlines())
    for path, status in (("/?one", 200), ("/missing", 404), ("/static/missing.css", 404)):
        assert stack.status(path) == status
    assert stack.status("/static/core/home.css") == stack.status("/health/live") == 200
    assert stack.status("/?last") == 200

    stack.wait_until(lambda: "/?last" in stack.logs("app"))
    lines = stack.logs("app").splitlines()[before:]
    for line, path in zip(lines, ["/?one", "/missing", "/static/missing", "/?last"], strict=True):
        assert path in line and len(line) < 100, lines


def test_health_checks_leave_no_line_in_the_logs(stack):
    # PostgreSQL logged each one.
    since = datetime.now(UTC).isoformat()
    starts = "{{range .State.Health.Log}}{{json .Start}} {{end}}"
    stack.wait_until(lambda: stack.inspect("db", starts)[0].split()[-1].strip('"') > since)

    assert "FATAL" not in stack.logs("db", "--since", since)


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
    assert set(re.findall(r'"HostIp":"([^"]+)"', stack.inspect("app", ports)[0])) == {"127.0.0.1"}
    assert "HostIp" not in stack.inspect("db", ports)[0]
