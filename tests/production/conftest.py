"""The site that the tests of the group `production` share."""

import pytest

from tests.support.project import Project


@pytest.fixture(scope="package")
def site(bake_once) -> Project:
    """One site in production, with Redis, for tests that restore what they change."""
    slug = Project.unused_slug()
    project = bake_once(project_slug=slug, deployment="compose", use_redis=True)
    project.add_views()
    project.to_production(LOG_FORMAT="json")
    (project.path / "secrets" / "email_url").write_text("smtp://mail.example\n")
    try:
        assert "\nReleased. https://" in project.deploy().stdout
        yield project
    finally:
        project.remove_from_engine()
