"""Every lock pins what its project asks for, and installs."""

import re

import pytest

from scripts.lock import combinations
from tests.support.answers import CHOICES
from tests.support.project import Project

LOCKS = pytest.mark.parametrize("answers", combinations().values(), ids=combinations())
# The packages for S3 are the same with every driver, so that those locks are installed with one.
INSTALLED = {
    name: answers
    for name, answers in combinations().items()
    if answers["media_storage"] == "volume" or "psycopg-redis" in name
}


@LOCKS
def test_every_lock_pins_every_requirement_and_has_no_download_address(bake, answers):
    project = bake(**answers)

    for name in ("requirements", "requirements-dev", "requirements-build"):
        lock = project.read(f"{name}.txt")
        assert "://" not in lock
        pins = re.split(r"\n(?=[a-z])", lock.partition(f"{name}.in\n")[2].strip())
        assert all(re.match(r"\S+==\S+ (; [^\\]+ )?\\\n    --hash=sha256:", pin) for pin in pins)
        required = re.findall(r"^([a-z][a-z0-9-]*)", project.read(f"{name}.in"), re.MULTILINE)
        assert set(required) <= {pin.partition("==")[0] for pin in pins}


@pytest.mark.stack
@pytest.mark.parametrize("python", CHOICES["python_version"])
@pytest.mark.parametrize("answers", INSTALLED.values(), ids=INSTALLED)
def test_every_lock_installs_and_its_project_passes_the_checks(bake, answers, python):
    project = bake(project_slug=Project.unused_slug(), python_version=python, **answers)
    image = f"{project.stack}:development"
    run = ("docker", "run", "--rm", "-e", "DEBUG=true", image)
    manage = (*run, "python", "manage.py")
    module = answers["postgres_driver"].removesuffix("-binary")
    script = "import django, sys; print(django.__version__, sys.version.split()[0]);"
    try:
        project.compose("build")
        project.run(*manage, "check", "--fail-level", "WARNING")
        project.run(*manage, "makemigrations", "--check")
        printed = project.run(*manage, "shell", "-v0", "-c", f"{script} import {module}").stdout
        installed = printed.split()
        assert installed[0].startswith(f"{answers['django_version']}.")
        assert installed[1].startswith(f"{python}.")
    finally:
        project.remove_from_engine()
