"""Every lock pins what is asked for, and installs."""

import re

import pytest

from tests.support.answers import CHOICES
from tests.support.project import Project


@pytest.mark.parametrize("django", CHOICES["django_version"])
@pytest.mark.parametrize("driver", CHOICES["postgres_driver"])
@pytest.mark.parametrize("redis", [False, True])
def test_every_lock_pins_what_is_asked_for_and_names_no_address(bake, django, driver, redis):
    project = bake(django_version=django, postgres_driver=driver, use_redis=redis)

    for name in ("requirements", "requirements-dev", "requirements-build"):
        lock = project.read(f"{name}.txt")
        assert "://" not in lock
        pins = re.split(r"\n(?=[a-z])", lock.partition(f"{name}.in\n")[2].strip())
        assert all(re.match(r"\S+==\S+ (; [^\\]+ )?\\\n    --hash=sha256:", pin) for pin in pins)
        asked = re.findall(r"^([a-z][a-z0-9-]*)", project.read(f"{name}.in"), re.MULTILINE)
        assert set(asked) <= {pin.partition("==")[0] for pin in pins}


@pytest.mark.stack
@pytest.mark.parametrize("python", CHOICES["python_version"])
@pytest.mark.parametrize("django", CHOICES["django_version"])
@pytest.mark.parametrize("driver", CHOICES["postgres_driver"])
@pytest.mark.parametrize("redis", [False, True])
def test_every_lock_installs_and_its_project_is_sound(bake, driver, django, python, redis):
    project = bake(
        project_slug=Project.unused_slug(),
        postgres_driver=driver,
        django_version=django,
        python_version=python,
        use_redis=redis,
    )
    image = f"{project.stack}:development"
    manage = [
        "docker",
        "run",
        "--rm",
        "-e",
        "DEBUG=true",
        "-e",
        "SKIP_WAIT=1",
        image,
        "python",
        "manage.py",
    ]
    try:
        project.compose("build")
        project.run(*manage, "check", "--fail-level", "WARNING")
        project.run(*manage, "makemigrations", "--check")
        versions = project.run(
            *manage,
            "shell",
            "-v0",
            "-c",
            (
                "import django, platform, sys; print(django.__version__, sys.version.split()[0]);"
                f"import {driver.removesuffix('-binary')}"
            ),
        ).stdout.split()
        assert versions[0].startswith(f"{django}.") and versions[1].startswith(f"{python}.")
    finally:
        project.remove_from_engine()
