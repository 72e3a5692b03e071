"""Edits show at once, and a mistake does not stop the container."""

import os
import shutil
from datetime import UTC, datetime

import pytest

from tests.support.processes import wait_as_a_person_does
from tests.support.project import Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("development")]


def test_an_edit_shows_within_seconds(stack):
    template, view = "app/core/templates/core/home.html", "app/config/health.py"
    stack.replace(template, "What to do next", "What comes next")
    stack.wait_until(lambda: "What comes next" in stack.get("/")[1])
    stack.replace(template, "What comes next", "What to do next")

    stack.replace(view, '"ok", "database": "ok"', '"ok", "database": "fine"')
    stack.wait_until(lambda: "fine" in stack.get("/health/ready")[1])
    wait_as_a_person_does()
    stack.replace(view, '"ok", "database": "fine"', '"ok", "database": "ok"')
    stack.wait_until(lambda: "fine" not in stack.get("/health/ready")[1])


@pytest.mark.parametrize(
    ("module", "mistake", "shown"),
    [
        ("core/views.py", "import not_there", "ModuleNotFoundError: No module named 'not_there'"),
        ("core/models.py", "not_there", "NameError: name 'not_there' is not defined"),
        ("config/settings.py", "not python at all", "SyntaxError: invalid syntax"),
        # What Django's checks find, not Python.
        ("config/settings.py", "STATICFILES_DIRS = [STATIC_ROOT]", "(staticfiles.E002)"),
    ],
)
def test_a_mistake_is_shown_and_does_not_stop_the_container(stack, module, mistake, shown):
    path = stack.path / "app" / module
    before = path.read_text(encoding="utf-8")
    wait_as_a_person_does()
    start = datetime.now(UTC).isoformat()
    path.write_text(f"{before}\n{mistake}\n", encoding="utf-8")
    try:
        # runserver serves nothing until the mistake is corrected, and the log says what it is.
        stack.wait_until(lambda: shown in stack.logs("--since", start))
        stack.wait_until(lambda: stack.get("/")[0] == 0)
        wait_as_a_person_does()
    finally:
        path.write_text(before, encoding="utf-8")
    stack.wait_until(lambda: stack.get("/")[0] == 200)
    assert stack.restarts() == 0


def test_files_made_in_the_container_belong_to_the_user(stack):
    project = Project(stack.path)
    # As root, give the files to a user that the image does not have.
    owner = (12345, 23456) if os.getuid() == 0 else (os.getuid(), os.getgid())
    everything = [project.path, *project.path.rglob("*")]
    for path in everything:
        os.chown(path, *owner)
    (project.path / ".env").rename(project.path / ".env.before")
    project.run("make", "env")
    try:
        env = (project.path / ".env").stat()
        assert (env.st_uid, env.st_gid) == owner
        assert (project.setting("HOST_UID"), project.setting("HOST_GID")) == tuple(map(str, owner))
        project.compose(
            *("run", "--rm", "-T", "--no-deps"),
            *("app", "python", "manage.py", "startapp", "shop"),
        )
        made = (project.path / "app/shop/models.py").stat()
        assert (made.st_uid, made.st_gid) == owner
        # A mount inside another mount would have made this folder, owned by root.
        assert not (project.path / "app/media").exists()
    finally:
        # The new .env has a name of its own.
        project.remove_from_engine()
        shutil.rmtree(project.path / "app/shop", ignore_errors=True)
        (project.path / ".env.before").replace(project.path / ".env")
        for path in everything:
            if path.exists():
                os.chown(path, os.getuid(), os.getgid())
