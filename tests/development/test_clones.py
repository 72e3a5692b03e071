"""A fresh clone, and several clones and production on one engine."""

import os
import shutil
from pathlib import Path

import pytest

from tests.support.project import Project

pytestmark = pytest.mark.stack


def test_a_fresh_clone_reports_what_is_missing_and_how_to_make_it(bake):
    project = bake()
    os.remove(project.path / ".env")

    process = project.compose("up", check=False)

    assert process.returncode != 0
    assert len(process.stdout.strip().splitlines()) == 1
    assert process.stdout.strip().endswith(": run make env")
    project.run("make", "env")
    project.compose("config", "--quiet")
    assert "stays as it is" in project.run("make", "env").stdout


def clone(project: Project, folder: Path) -> Project:
    """Copy the files of a project that git has, and make its .env."""
    ignored = shutil.ignore_patterns(".env", "backups", "__pycache__")
    shutil.copytree(project.path, folder / project.slug, ignore=ignored)
    (folder / project.slug / "backups").mkdir()
    other = Project(folder / project.slug)
    printed = other.run("make", "env").stdout
    assert f"Another clone has a database here: {project.stack}_db_data_18" in printed
    other.choose_port()
    return other


def rows(project: Project) -> str:
    """Return the rows of the project's table."""
    return project.sql("SELECT whose FROM mine")


def test_two_clones_and_production_share_nothing(make_stack, tmp_path):
    first = make_stack(deployment="compose")
    first.up()
    second = clone(first, tmp_path / "second")
    production = clone(first, tmp_path / "production")
    try:
        second.up()
        production.to_production()
        production.deploy()
        everybody = {"first": first, "second": second, "production": production}
        assert len({project.stack for project in everybody.values()}) == 3
        for whose, project in everybody.items():
            project.sql(f"CREATE TABLE mine AS SELECT '{whose}' AS whose")
        for whose, project in everybody.items():
            assert rows(project) == whose

        # A copy that includes .env has the same stack name.
        shutil.copytree(production.path, tmp_path / "copy")
        refused = Project(tmp_path / "copy").deploy(check=False)
        assert refused.returncode == 1
        taken = f"{production.path} is {production.stack} already."
        assert taken in refused.stdout
        upgrade = ("make", "upgrade-postgres")
        refused = Project(tmp_path / "copy").run(*upgrade, check=False)
        assert refused.returncode != 0 and taken in refused.stdout

        # Commands of one clone do not affect the others.
        second.run("make", "build")
        second.replace("app/core/templates/core/home.html", "What to do next", "Second")
        second.compose("up", "--detach", "--wait", "--force-recreate", "--build")
        backup = second.run("make", "backup").stdout.split("Made ")[1].split()[0]
        second.run("make", "restore", f"FILE={backup}")
        # Not --rmi all: it would also take the image of PostgreSQL if that has a second name.
        second.compose("down", "--volumes")
        second.run("docker", "image", "rm", "--force", f"{second.stack}:development", second.stack)
        assert rows(first) == "first" and rows(production) == "production"
        assert first.status("/") == 200 and "Second" not in first.get("/")[1]
        assert production.request("/").status == 200
        # As a closed terminal leaves the container of `make shell`.
        first.compose("run", "--detach", "app", "sleep", "600")
        first.run("make", "down")
        mine = ("--all", "--quiet", "--filter", f"label=com.docker.compose.project={first.stack}")
        assert first.run("docker", "ps", *mine).stdout == ""
        assert production.request("/").status == 200

        # A project that is moved or renamed keeps its data.
        moved = Project(shutil.move(first.path, tmp_path / "renamed"))
        moved.port = first.port
        first.path = moved.path
        moved.up()
        assert rows(moved) == "first" and moved.status("/") == 200
    finally:
        second.remove_from_engine()
        production.remove_from_engine()


def test_an_env_without_a_stack_name_keeps_the_old_name(make_stack):
    project = make_stack()
    name = project.stack
    project.replace(".env", f"COMPOSE_PROJECT_NAME={name}\n", "")
    assert f"name: {project.slug}\n" in project.compose("config").stdout
    project.replace(".env", "DEBUG=true", f"COMPOSE_PROJECT_NAME={name}\nDEBUG=true")
