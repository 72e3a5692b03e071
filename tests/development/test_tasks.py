"""The tasks of the Makefile."""

import re

import pytest

from tests.support.project import Project

pytestmark = pytest.mark.stack


def contents(project: Project) -> dict[str, bytes]:
    """Return what is in the files of a project, caches aside."""
    files = project.files().items()
    return {name: path.read_bytes() for name, path in files if "_cache/" not in name}


@pytest.mark.parametrize(
    "target", ["format", "lint", "check", "test", "migrations", "migrate", "lock", "help"]
)
def test_make_targets_work(stack, target):
    before = contents(stack)

    stack.run("make", target)

    assert contents(stack) == before


@pytest.mark.parametrize("command", ["python manage.py test", "pytest"])
def test_passes_its_own_tests_inside(stack, command):
    printed = stack.compose("run", "--rm", "-T", "app", *command.split()).stdout
    assert re.search(r"^OK$|\d+ passed", printed, re.MULTILINE), printed


def test_readme_shows_the_line_of_every_make_target(stack):
    readme = stack.read("README.md")
    recipes = re.findall(r"^\t(docker .*)$", stack.read("Makefile"), re.MULTILINE)
    assert len(recipes) > 10
    for recipe in recipes:
        line = recipe.replace("$(CURDIR)", "${PWD}").replace("$$", "$")
        line = re.sub(r' "?\$\(\w+\)"?$', "", line)
        assert line in readme, line
