"""The production image."""

import pytest

from tests.support.answers import CHOICES
from tests.support.project import Project

pytestmark = pytest.mark.stack


@pytest.mark.parametrize("driver", CHOICES["postgres_driver"])
def test_the_production_image_has_no_build_tools_and_is_not_root(bake, driver):
    slug = Project.unused_slug()
    project = bake(project_slug=slug, deployment="compose", postgres_driver=driver)
    run = ["docker", "run", "--rm", project.stack]
    try:
        project.run("make", "build")
        assert project.run(*run, "id", "-u").stdout.strip() == "10001"
        for program in ("gcc", "uv", "pytest", "ruff"):
            assert project.run(*run, "which", program, check=False).returncode != 0
        project.run(*run, "python", "-c", f"import {driver.removesuffix('-binary')}")
        assert "home.css" in project.run(*run, "cat", "staticfiles/staticfiles.json").stdout
        refused = project.run(*run, check=False)
        assert refused.returncode != 0 and "SECRET_KEY" in refused.stdout
    finally:
        project.remove_from_engine()
