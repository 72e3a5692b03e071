"""The stack that the tests of this folder share."""

import shutil
from collections.abc import Iterator

import pytest

from tests.support.backups import backups
from tests.support.project import Project
from tests.support.rich_database import MORE_ROLES, RICH


@pytest.fixture(scope="package")
def shared(bake_once) -> Iterator[Project]:
    """One stack, db and an app that reads it, for tests that restore what they change."""
    project = bake_once(project_slug=Project.unused_slug())
    project.choose_port()
    project.add_views()
    try:
        project.up()
        project.admin_sql(MORE_ROLES + RICH)
        yield project
    finally:
        project.remove_from_engine()


@pytest.fixture
def project(shared) -> Iterator[Project]:
    """The shared stack; the databases and backups that a test adds are deleted after it."""
    yield shared
    for name in shared.admin_sql(
        "SELECT datname FROM pg_database WHERE datname ~ '_before_|_restoring'"
    ).split():
        shared.admin_sql(f'DROP DATABASE "{name}" WITH (FORCE)', "postgres")
    for name in backups(shared):
        path = shared.path / "backups" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
