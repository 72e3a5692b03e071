"""The stack that the tests of the group `development` share."""

import pytest

from tests.support.project import Project


@pytest.fixture(scope="package")
def stack(bake_once) -> Project:
    """One running default project, for tests that restore what they change."""
    project = bake_once(project_slug=Project.unused_slug())
    project.choose_port()
    try:
        project.printed_at_the_start = project.up()
        # The tests of mistakes add tracebacks to the logs.
        project.logs_of_the_start = project.logs()
        yield project
    finally:
        project.remove_from_engine()
