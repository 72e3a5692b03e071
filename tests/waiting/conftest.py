"""The stack that the tests of the group `outages` share."""

from collections.abc import Iterator

import pytest

from tests.support.project import Project


@pytest.fixture(scope="package")
def stack(bake_once) -> Iterator[Project]:
    """One running default project, for tests that restore what they change."""
    project = bake_once(project_slug=Project.unused_slug())
    project.choose_port()
    project.add_views()
    try:
        project.up()
        yield project
    finally:
        project.remove_from_engine()
