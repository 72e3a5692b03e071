"""The tasks of the Makefile."""

import re

import pytest

from tests.support.project import Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("development")]


def contents(project: Project) -> dict[str, bytes]:
    """Return the content of each file of a project, except caches."""
    files = project.files().items()
    return {name: path.read_bytes() for name, path in files if "_cache/" not in name}


@pytest.mark.parametrize(
    "target", ["format", "lint", "check", "migrations", "migrate", "lock", "help"]
)
def test_make_tasks_work_and_change_no_file(stack, target):
    before = contents(stack)

    stack.run("make", target)

    assert contents(stack) == before


def test_a_green_run_of_the_tests_prints_no_traceback(stack):
    before = contents(stack)

    printed = stack.run("make", "test").stdout

    assert "\nOK" in printed and "Traceback" not in printed, printed
    assert contents(stack) == before


def test_the_tests_pass_whatever_debug_is(stack):
    stack.replace(".env", "DEBUG=true", "DEBUG=false")
    try:
        stack.run("make", "test")
    finally:
        stack.replace(".env", "DEBUG=false", "DEBUG=true")


def test_make_passes_arguments_to_the_tests_which_run_in_parallel(stack):
    arguments = "core.tests --parallel 2 --verbosity 2 --durations 1"

    printed = stack.run("make", "test", f"ARGS={arguments}").stdout

    assert "Cloning test database" in printed and "Slowest test durations" in printed, printed


@pytest.mark.parametrize(
    ("name", "right", "wrong", "cause"),
    [
        (
            "app/core/models.py",
            "from django.contrib.auth.models",
            "from django.nowhere",
            "'django.nowhere'",
        ),
        (".env", "POSTGRES_PASSWORD=", "POSTGRES_PASSWORD=not", "wrong password"),
    ],
)
def test_the_tests_that_cannot_start_say_why_at_their_end(stack, name, right, wrong, cause):
    before = stack.read(name)
    stack.replace(name, right, wrong)
    try:
        printed = stack.run("make", "test", check=False).stdout
        assert cause in "".join(printed.splitlines(keepends=True)[-4:]), printed
    finally:
        (stack.path / name).write_text(before, encoding="utf-8")
        stack.run("make", "ready")
        stack.wait_until(lambda: stack.status("/health/ready") == 200)


def test_a_database_that_killed_tests_have_left_is_no_obstacle(stack):
    stack.admin_sql(f"CREATE DATABASE test_{stack.slug} OWNER django", "postgres")

    stack.run("make", "test")


@pytest.mark.parametrize("target", ["lint", "backup"])
def test_the_line_that_make_prints_works_in_a_shell(stack, target):
    line = stack.run("make", "--dry-run", target).stdout

    # A command follows it: the line must not end the user's shell.
    process = stack.run("sh", "-c", f"{line.strip()} || exit 1; echo still here")

    assert process.stdout.endswith("still here\n")


def test_a_task_builds_the_image_that_a_fresh_clone_lacks(stack):
    stack.run("docker", "image", "rm", "--force", f"{stack.stack}:development")

    assert "No migrations to apply" in stack.run("make", "migrate").stdout


def test_make_check_finds_what_would_fail_in_production_in_the_code_that_is_there_now(stack):
    # Like the first run of this task, long ago.
    stack.run("make", "build")
    stack.replace(".env", "DEBUG=true", "GREETING=Hello\nDEBUG=true")
    for name, mistake, said in (
        ("app/config/settings.py", "SECURE_CONTENT_TYPE_NOSNIFF = False", "security.W006"),
        ("app/config/settings.py", 'GREETING = env("GREETING")', "Set the GREETING environment"),
        ("app/core/templates/core/home.html", "{% static 'core/mising.css' %}")
        + ("core/templates/core/home.html: there is no static file core/mising.css",),
    ):
        before = stack.read(name)
        (stack.path / name).write_text(f"{before}{mistake}\n", encoding="utf-8")
        process = stack.run("make", "check", check=False)
        (stack.path / name).write_text(before, encoding="utf-8")
        assert process.returncode != 0 and said in process.stdout, process.stdout
    stack.replace(".env", "GREETING=Hello\n", "")
    stack.wait_until(lambda: stack.status("/") == 200)


@pytest.mark.parametrize(
    ("target", "name", "right", "wrong"),
    [
        ("lint", "app/core/views.py", "import platform", "import os, platform"),
        ("check", "app/core/models.py", "(AbstractUser):", "(AbstractUser):\n    email = None"),
        ("check", "app/config/settings.py", "SESSION_COOKIE_SECURE = ", ""),
        ("test", "app/core/views.py", "settings.PROJECT_NAME", '"?"'),
    ],
)
def test_each_task_of_the_pipeline_finds_its_mistakes(stack, target, name, right, wrong):
    before = stack.read(name)
    stack.replace(name, right, wrong)
    try:
        assert stack.run("make", target, check=False).returncode != 0
    finally:
        (stack.path / name).write_text(before, encoding="utf-8")
        stack.wait_until(lambda: stack.status("/") == 200)


def test_make_shell_opens_a_shell_that_has_the_models(stack):
    shell = stack.in_terminal("make", "shell")
    shell.wait_for(">>> ")
    shell.type("print(User.__module__ + '.py')\n")
    shell.wait_for("core.models.py")
    shell.type("exit()\n")

    assert shell.end() == 0


def test_pytest_keeps_the_database_of_its_tests_and_uses_it_again(stack):
    kept = f"SELECT oid FROM pg_database WHERE datname = 'test_{stack.slug}'"
    pytest_again = ("run", "--rm", "-T", "app", "pytest", "--reuse-db", "core/tests/test_users.py")
    try:
        assert " passed" in stack.compose(*pytest_again).stdout
        database = stack.admin_sql(kept)
        assert " passed" in stack.compose(*pytest_again).stdout
        assert database and stack.admin_sql(kept) == database
    finally:
        stack.admin_sql(f"DROP DATABASE IF EXISTS test_{stack.slug}", "postgres")


def test_pytest_runs_in_processes_and_shows_what_no_test_has_run(stack):
    before = contents(stack)
    try:
        run = ("run", "--rm", "-T", "app", "pytest", "-n", "auto", "--cov")
        printed = stack.compose(*run).stdout
        assert re.search(r"^\d+ workers \[", printed, re.MULTILINE), printed
        assert re.search(r"\d+ passed", printed), printed
        assert re.search(r"^core/views\.py +\d+ +\d+ +\d+%$", printed, re.MULTILINE), printed
    finally:
        (stack.path / "app/.coverage").unlink(missing_ok=True)
    assert contents(stack) == before


def test_a_watch_builds_and_starts_a_new_image_when_a_requirement_changes(stack):
    before, image = stack.read("requirements-dev.txt"), stack.inspect("app", "{{.Image}}")
    watching = stack.start("docker", "compose", "watch", "--no-up", env={})
    try:
        watching.wait_for("Watch enabled")
        (stack.path / "requirements-dev.txt").write_text(f"{before}# changed\n", encoding="utf-8")
        stack.wait_until(lambda: stack.inspect("app", "{{.Image}}") not in ([], image))
        stack.wait_until(lambda: stack.status("/") == 200)
    finally:
        watching.process.terminate()
        watching.end(60)
        (stack.path / "requirements-dev.txt").write_text(before, encoding="utf-8")
        health = "{{.State.Health.Status}}"
        stack.wait_until(lambda: stack.inspect("app", health) == ["healthy"])
