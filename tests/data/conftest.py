"""The site in production that the tests of the group `data` share."""

import shutil
from collections.abc import Iterator

import pytest

from tests.support.backups import backups
from tests.support.project import Project
from tests.support.rich_database import MORE_ROLES, RICH

# Only the tests make backups.
QUIET = """services:
  backup: {command: [sleep, infinity], healthcheck: {test: ["CMD", "true"]}}
  drill: {command: [sleep, infinity]}
"""


@pytest.fixture(scope="package")
def shared(bake_once) -> Iterator[Project]:
    """One site, for tests that restore what they change."""
    project = bake_once(project_slug=Project.unused_slug(), deployment="compose", ci="none")
    project.add_views()
    project.to_production(COMPOSE_FILE="compose.yaml:compose.production.yaml:compose.quiet.yaml")
    (project.path / "compose.quiet.yaml").write_text(QUIET)
    try:
        project.deploy()
        project.admin_sql(MORE_ROLES + RICH)
        yield project
    finally:
        project.remove_from_engine()


@pytest.fixture
def project(shared) -> Iterator[Project]:
    """The shared site; the databases and backups that a test adds are deleted after it."""
    yield shared
    for name in shared.admin_sql(
        "SELECT datname FROM pg_database WHERE datname ~ '_before_|_restoring'"
    ).splitlines():
        shared.admin_sql(f'DROP DATABASE "{name}" WITH (FORCE)', "postgres")
    for name in backups(shared):
        path = shared.path / "backups" / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
