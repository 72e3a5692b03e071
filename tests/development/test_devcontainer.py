"""A dev container, which its own command line opens as VS Code does.

What VS Code does with the settings is done here as its extensions do it: with the interpreter, the folder of
the tests and the configuration of the debugger that the project has.
"""

import json
import os
import re
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.support.debugger import Debugger
from tests.support.embedded_postgres import free_port
from tests.support.project import ROOT, Project

pytestmark = [
    pytest.mark.stack,
    pytest.mark.git,
    pytest.mark.devcontainer,
    pytest.mark.xdist_group("devcontainer"),
]

# As root, the files are given to a user that the image does not have.
OWNER = (12345, 23456) if os.getuid() == 0 else (os.getuid(), os.getgid())
HOME = "app/core/templates/core/home.html"
VIEWS = "app/core/views.py"


class Opened(Project):
    """A project that is open in a dev container, and in a clone of its own."""

    def devcontainer(self, command: str, *words: str, check: bool = True) -> str:
        """Run a command of the dev containers' command line; return what it printed."""
        cli = ROOT / "node_modules/.bin/devcontainer"
        return self.run(cli, command, "--workspace-folder", self.path, *words, check=check).stdout

    def open(self) -> None:
        """Open the project in its dev container."""
        assert '"outcome":"success"' in self.devcontainer("up")

    def inside(self, *words: str) -> str:
        """Run a command in the dev container, as its terminal does."""
        return self.devcontainer("exec", *words).strip()

    def configuration(self) -> dict:
        """Return the settings of VS Code, as the dev container has them."""
        printed = self.devcontainer("read-configuration", "--log-format", "json")
        read = json.loads(printed.splitlines()[-1])
        return read["configuration"]["customizations"]["vscode"]

    def git(self, *words: str) -> str:
        """Run git on the host, which may be another user than the owner of the files."""
        who = ("user.name=Ada", "user.email=ada@example.org", "safe.directory=*")
        options = [word for setting in who for word in ("-c", setting)]
        return self.run("git", *options, *words).stdout.strip()


@pytest.fixture(scope="module")
def opened(bake_once) -> Iterator[Opened]:
    """A fresh clone of a project, which is opened for the first time."""
    project = Opened(bake_once(project_slug=Project.unused_slug(), use_devcontainer=True).path)
    project.port, project.debug_port = free_port(), free_port()
    project.replace(".env.example", "APP_PORT=8000", f"APP_PORT={project.port}")
    project.replace(".env.example", "DEBUG_PORT=5678", f"DEBUG_PORT={project.debug_port}")
    project.git("init", "--quiet")
    project.git("add", ".")
    project.git("commit", "--quiet", "--message", "First")
    (project.path / ".env").unlink()
    for path in (project.path, *project.path.rglob("*")):
        os.chown(path, *OWNER)
    try:
        project.open()
        yield project
    finally:
        if (project.path / ".env").exists():
            project.remove_from_engine()


def test_a_fresh_clone_opens_with_the_database_and_the_site(opened):
    made = opened.path / ".env"
    assert (made.stat().st_uid, made.stat().st_gid) == OWNER
    assert opened.setting("HOST_UID") == str(OWNER[0])
    # The database is ready when the dev container is.
    assert "No planned migration" in opened.inside("python", "app/manage.py", "migrate", "--plan")
    opened.wait_until(lambda: "What to do next" in opened.get("/")[1])

    before = made.read_bytes()
    opened.open()
    assert made.read_bytes() == before


def test_git_works_inside_and_has_nothing_to_commit(opened):
    assert opened.inside("git", "status", "--porcelain") == ""
    assert opened.git("status", "--porcelain") == ""

    who = ("-c", "user.name=Grace", "-c", "user.email=grace@example.org")
    opened.inside("sh", "-c", "echo >> README.md")
    opened.inside("git", *who, "commit", "--quiet", "--all", "--message", "From inside")
    assert opened.git("log", "-1", "--format=%an: %s") == "Grace: From inside"
    # ssh refuses a user without a name.
    assert opened.inside("id", "--name", "--user") == ("dev" if OWNER[0] else "root")
    assert "user " in opened.inside("ssh", "-G", "example.org")


def test_the_interpreter_the_tests_and_the_linter_are_where_vs_code_looks(opened):
    vscode = opened.configuration()
    settings = vscode["settings"]
    python, folder = settings["python.defaultInterpreterPath"], settings["python.testing.cwd"]
    folder = folder.replace("${workspaceFolder}", "/workspace")

    pytest_of_vscode = f"cd {folder} && {python} -m pytest --rootdir={folder}"
    collected = opened.inside("sh", "-c", f"{pytest_of_vscode} --collect-only --quiet")
    assert "core/tests/test_views.py::" in collected
    assert settings["python.testing.pytestEnabled"] is True
    assert " passed" in opened.inside("sh", "-c", pytest_of_vscode)
    assert "\nOK" in opened.inside("sh", "-c", "cd app && python manage.py test --noinput")

    # The extension takes the ruff of the interpreter.
    assert "charliermarsh.ruff" in vscode["extensions"]
    opened.inside("sh", "-c", "echo 'import os' > app/core/unused.py")
    try:
        process = opened.compose(
            *("exec", "-T", "-w", "/workspace", "app", python, "-m", "ruff", "check", "."),
            check=False,
        )
        assert process.returncode == 1 and "app/core/unused.py:1:8" in process.stdout
        made = (opened.path / "app/core/unused.py").stat()
        assert (made.st_uid, made.st_gid) == OWNER
    finally:
        (opened.path / "app/core/unused.py").unlink()
    assert opened.inside("ruff", "check", ".").endswith("All checks passed!")
    assert opened.git("status", "--porcelain") == ""


def test_an_edit_on_the_host_shows_on_the_page(opened):
    opened.replace(HOME, "What to do next", "What comes next")
    opened.wait_until(lambda: "What comes next" in opened.get("/")[1])
    opened.replace(HOME, "What comes next", "What to do next")


def test_f5_attaches_the_debugger_to_the_site(opened):
    (configuration, *_) = json.loads(
        opened.read(".vscode/launch.json").replace("${workspaceFolder}", "/workspace")
    )["configurations"]
    # Inside it is this port, whatever the one on the host is.
    assert configuration["connect"] == {"host": "127.0.0.1", "port": 5678}
    lines = opened.read(VIEWS).splitlines()
    line = next(n for n, text in enumerate(lines, 1) if text.startswith("    return render("))

    opened.wait_until(lambda: opened.status("/") == 200)
    with Debugger(opened.debug_port, configuration, {f"/workspace/{VIEWS}": [line]}) as editor:
        editor.wait_for_process()
        visit = threading.Thread(target=opened.get, kwargs={"timeout": 120}, daemon=True)
        visit.start()
        assert editor.wait_for_stop() == (f"/workspace/{VIEWS}", line)
        editor.go_on()
        visit.join(120)


def test_a_stack_that_runs_already_is_opened_as_it_is(opened):
    opened.compose("up", "--detach", "--wait")
    (container,) = opened.inspect("app", "{{.Id}}")
    # Without the labels of the dev container, which would make Compose start a new one.
    assert "devcontainer.local_folder" not in opened.inspect("app", "{{json .Config.Labels}}")[0]

    opened.open()
    assert opened.inspect("app", "{{.Id}}") == [container]
    inside = ("exec", "-T", "-w", "/workspace", "app")
    assert opened.compose(*inside, "git", "status", "--porcelain").stdout == ""
    assert " passed" in opened.compose(*inside, "sh", "-c", "cd app && pytest").stdout


def test_a_project_that_does_not_open_says_why_in_the_log_of_app(opened):
    broken = opened.path / "app/core/migrations/0002_broken.py"
    broken.write_text("raise RuntimeError('not a migration')\n", encoding="utf-8")
    try:
        opened.compose("stop", "app")
        process = subprocess.run(
            [ROOT / "node_modules/.bin/devcontainer", "up", "--workspace-folder", opened.path],
            capture_output=True,
            check=False,
            timeout=120,
        )
        assert process.returncode == 1
        assert re.search(r"RuntimeError: not a migration", opened.logs("app"))
    finally:
        broken.unlink()
    opened.open()
