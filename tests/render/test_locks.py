"""Every lock pins what its project asks for, and installs."""

import re

import pytest

from scripts.lock import LOCKS, combinations
from tests.support.answers import CHOICES
from tests.support.project import Project

# Makes the virtual environment of the image equal to each lock, and checks its project. Packages that
# two locks have in common stay, so that they are compiled once.
INSTALL = """
set -eu
unset PYTHONDONTWRITEBYTECODE
cd /projects
for name in *; do
  uv pip sync --quiet --require-hashes "$name/requirements.txt" "$name/requirements-dev.txt"
  (cd "$name/app" && python -c "$CHECK" "$name" "$MODULE")
done
"""
CHECK = """
import os, sys
import django
from django.core.management import call_command

sys.path.insert(0, os.getcwd())
os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
django.setup()
call_command("check", fail_level="WARNING", stdout=open(os.devnull, "w"))
call_command("makemigrations", check_changes=True, verbosity=0)


driver = __import__(sys.argv[2])
print(sys.argv[1], django.__version__, sys.version.split()[0], driver.__name__, flush=True)
"""


@pytest.mark.parametrize("answers", combinations().values(), ids=combinations())
def test_every_lock_pins_every_requirement_and_has_no_download_address(bake, answers):
    project = bake(**answers)

    for name in ("requirements", "requirements-dev", "requirements-build"):
        lock = project.read(f"{name}.txt")
        assert "://" not in lock
        pins = re.split(r"\n(?=[a-z])", lock.partition(f"{name}.in\n")[2].strip())
        assert all(re.match(r"\S+==\S+ (; [^\\]+ )?\\\n    --hash=sha256:", pin) for pin in pins)
        required = re.findall(r"^([a-z][a-z0-9-]*)", project.read(f"{name}.in"), re.MULTILINE)
        assert set(required) <= {pin.partition("==")[0] for pin in pins}


def test_all_locks_have_the_same_hashes_for_a_version():
    """So that a package that the next test has installed from one lock is that of all."""
    hashes = {}
    for lock in sorted(LOCKS.glob("*.txt")):
        for pin in re.split(r"\n(?=[a-z])", lock.read_text(encoding="utf-8")):
            if package := re.match(r"\S+==\S+", pin):
                found = set(re.findall("--hash=(\\S+)", pin))
                assert found and hashes.setdefault(package[0], found) == found, (
                    lock.name,
                    package[0],
                )


@pytest.mark.stack
@pytest.mark.parametrize("python", CHOICES["python_version"])
@pytest.mark.parametrize("driver", CHOICES["postgres_driver"])
def test_every_lock_installs_and_its_project_passes_the_checks(bake, bake_once, driver, python):
    project = bake(
        project_slug=Project.unused_slug(), python_version=python, postgres_driver=driver
    )
    locks = {
        name: answers
        for name, answers in combinations().items()
        if answers["postgres_driver"] == driver
    }
    module = driver.removesuffix("-binary")
    run = ["docker", "run", "--rm", "--env=DEBUG=true", "--env=DATABASE_URL=sqlite://:memory:"]
    run += [f"--env=CHECK={CHECK}", f"--env=MODULE={module}"]
    for name, answers in locks.items():
        run.append(f"--volume={bake_once(**answers).path}:/projects/{name}:ro")
    try:
        project.compose("build")
        image = f"{project.stack}:development"
        printed = project.run(*run, image, "sh", "-c", INSTALL).stdout
    finally:
        project.remove_from_engine()
    checked = {line.split()[0]: line.split()[1:] for line in printed.splitlines()}
    assert checked.keys() == locks.keys(), printed
    for name, (django, version, imported) in checked.items():
        assert django.startswith(f"{locks[name]['django_version']}."), printed
        assert version.startswith(f"{python}.") and imported == module, printed
