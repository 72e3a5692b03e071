"""The tasks of the Makefile."""

import re

import pytest

from tests.support.project import Project

pytestmark = pytest.mark.stack


def contents(project: Project) -> dict[str, bytes]:
    """Return the content of each file of a project, except caches."""
    files = project.files().items()
    return {name: path.read_bytes() for name, path in files if "_cache/" not in name}


@pytest.mark.parametrize(
    "target", ["format", "lint", "check", "test", "migrations", "migrate", "lock", "help"]
)
def test_make_tasks_work_and_change_no_file(stack, target):
    before = contents(stack)

    stack.run("make", target)

    assert contents(stack) == before


@pytest.mark.parametrize("command", ["python manage.py test", "pytest"])
def test_its_own_tests_pass_in_the_container(stack, command):
    printed = stack.compose("run", "--rm", "-T", "app", *command.split()).stdout
    assert re.search(r"^OK$|\d+ passed", printed, re.MULTILINE), printed


@pytest.mark.parametrize("target", ["lint", "migrate", "backup", "backups"])
def test_the_line_that_make_prints_works_in_a_shell(stack, target):
    line = stack.run("make", "--dry-run", target).stdout

    # A command follows it: the line must not end the user's shell.
    process = stack.run("sh", "-c", f"{line.strip()} || exit 1; echo still here")

    assert process.stdout.endswith("still here\n")


def test_a_task_builds_the_image_that_a_fresh_clone_lacks(stack):
    stack.run("docker", "image", "rm", "--force", f"{stack.stack}:development")

    assert "No migrations to apply" in stack.run("make", "migrate").stdout
