"""Every lock pins what its project asks for, and installs."""

import itertools
import re

import pytest

from scripts.lock import LOCKS, combinations
from tests.support.answers import CHOICES
from tests.support.project import Project

# Makes the virtual environment of the image equal to each lock, and checks its project. Packages that
# two locks have in common stay, so that they are compiled once; others are links to the cache.
INSTALL = """
set -eu
unset PYTHONDONTWRITEBYTECODE
export UV_LINK_MODE=hardlink
cd /projects
for name in *; do
  case $name in *-psycopg2*) module=psycopg2 ;; *) module=psycopg ;; esac
  uv pip sync --quiet --require-hashes "$name/requirements.txt" "$name/requirements-dev.txt"
  (cd "$name/app" && python -c "$CHECK" "$name" "$module")
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


def groups() -> list[list[str]]:
    """Return the names of the locks of each Django and driver: the smallest first, the largest last."""
    found = itertools.groupby(
        combinations(),
        lambda name: [combinations()[name][key] for key in ("django_version", "postgres_driver")],
    )
    return [list(names) for _, names in found]


def pinned(name: str) -> set[str]:
    """Return what a lock pins on the Pythons of the images, as in django==5.2.1."""
    lock = (LOCKS / f"{name}.txt").read_text(encoding="utf-8")
    pins = re.findall(r"^[a-z]\S+==.*", lock, re.MULTILINE)
    return {pin.split()[0] for pin in pins if "python_full_version < " not in pin}


@pytest.mark.parametrize("names", groups(), ids=lambda names: names[0])
def test_the_largest_lock_of_a_django_and_a_driver_has_all_packages_of_the_others(names):
    """So that the next test installs every package on every Python."""
    assert len(names) == 8
    for name, kind in itertools.product(names, ("", "-dev")):
        assert pinned(f"{name}{kind}") <= pinned(f"{names[-1]}{kind}")


@pytest.mark.stack
@pytest.mark.parametrize("python", CHOICES["python_version"])
def test_locks_install_and_their_projects_pass_the_checks(bake, bake_once, python):
    # Its image has the compiler for psycopg2. The other drivers need nothing of an image.
    project = bake(
        project_slug=Project.unused_slug(), python_version=python, postgres_driver="psycopg2"
    )
    # On a second Python, the packages of all locks.
    names = [group[-1] for group in groups()]
    if python == CHOICES["python_version"][0]:
        # With the other drivers, the smallest and the largest: no option asks which driver it is.
        default = CHOICES["postgres_driver"][0]
        names = [
            name
            for group in groups()
            for name in (
                group
                if combinations()[group[0]]["postgres_driver"] == default
                else (group[0], group[-1])
            )
        ]
    run = ["docker", "run", "--rm", "--env=DEBUG=true", "--env=DATABASE_URL=sqlite://:memory:"]
    run.append(f"--env=CHECK={CHECK}")
    for name in names:
        path = bake_once(**combinations()[name]).path
        run.append(f"--volume={path}:/projects/{name}:ro")
    try:
        project.compose("build")
        image = f"{project.stack}:development"
        printed = project.run(*run, image, "sh", "-c", INSTALL, timeout=600).stdout
    finally:
        project.remove_from_engine()
    checked = {line.split()[0]: line.split()[1:] for line in printed.splitlines()}
    assert checked.keys() == set(names), printed
    for name, (django, version, imported) in checked.items():
        answers = combinations()[name]
        assert django.startswith(f"{answers['django_version']}."), printed
        assert version.startswith(f"{python}."), printed
        assert imported == answers["postgres_driver"].removesuffix("-binary"), printed
