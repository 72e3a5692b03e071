"""The version of the template, its changelog and its tag say the same."""

import re
import subprocess

import pytest

from tests.support.generate import generate
from tests.support.project import ROOT, Project
from tests.support.updating import commands_of, newest_template


def version_of(project: Project) -> str:
    """Return the version of the template that made a project."""
    return re.search("_made_by: '(.*)'", project.read(".template.yaml"))[1]


def test_the_newest_section_of_the_changelog_is_that_of_the_version(bake_once):
    headings = re.findall("^## (.*)$", (ROOT / "CHANGELOG.md").read_text("utf-8"), re.MULTILINE)
    numbers = [tuple(map(int, heading.split("."))) for heading in headings]

    assert version_of(bake_once()) == headings[0]
    assert all(len(number) == 3 for number in numbers)
    assert numbers == sorted(numbers, reverse=True)


def test_a_major_version_says_what_to_do_as_commands():
    text = (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")
    for version in re.findall(r"^## (\d+\.0\.0)$", text, re.MULTILINE):
        assert commands_of(ROOT / "CHANGELOG.md", version)


@pytest.mark.git
def test_a_released_version_does_not_change(bake_once):
    version = version_of(bake_once())
    rendered = ("cookiecutter.json", "hooks", "templates", "{{cookiecutter.project_slug}}")
    git = ["git", "-C", ROOT]
    tags = subprocess.run([*git, "tag"], capture_output=True, text=True, check=True).stdout
    if version in tags.splitlines():
        diff = [*git, "diff", "--stat", version, "--", *rendered]
        changed = subprocess.run(diff, capture_output=True, check=True).stdout
        assert changed == b"", f"{version} is released: raise templates/values/version"


@pytest.mark.git
def test_a_version_is_what_its_tag_names(tmp_path, bake_once):
    template = newest_template(tmp_path)
    version = version_of(bake_once())
    folder = template.removeprefix("git+file://")
    subprocess.run(["git", "tag", "--force", version], cwd=folder, check=True)
    (tmp_path / "template/templates/values/version").write_text("99.0.0")
    commit = [
        "-c",
        "user.name=t",
        "-c",
        "user.email=t@example.org",
        "commit",
        "--quiet",
        "-am",
        "next",
    ]
    subprocess.run(["git", *commit], cwd=folder, check=True)

    for words, expected in ((("--checkout", version), version), ((), "99.0.0")):
        target = tmp_path / expected
        home = {"HOME": str(target)}
        assert generate(target, *words, template=template, env=home)[0] == 0
        assert version_of(Project(target / "my_project")) == expected
