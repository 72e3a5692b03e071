"""The production image. That of psycopg2, which is compiled, is in the test of the preset `production`."""

import pytest

from tests.support.production import assert_lean
from tests.support.project import Project


@pytest.mark.stack
def test_the_production_image_has_no_build_tools_and_is_not_root(bake):
    slug = Project.unused_slug()
    project = bake(project_slug=slug, deployment="compose", postgres_driver="psycopg")
    try:
        project.run("make", "build")
        assert_lean(project, "psycopg")
    finally:
        project.remove_from_engine()
