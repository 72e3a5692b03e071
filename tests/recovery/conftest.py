"""What the tests of copies and of uploads share."""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.project import Project


@pytest.fixture(scope="module")
def image(bake_once) -> Iterator[tuple[str, Path]]:
    """The image of backup, and the package that runs in it."""
    folder = bake_once(deployment="compose", backup="continuous").path / "ops"
    name = Project.unused_slug()
    subprocess.run(
        ["docker", "build", "--quiet", "--tag", name, folder], check=True, capture_output=True
    )
    yield name, folder
    subprocess.run(["docker", "image", "rm", name], check=True, capture_output=True)
