"""Breakpoints in an editor, which attaches with the configuration that the project has for it."""

import json
import threading
from collections.abc import Iterator

import pytest

from tests.support.debugger import Debugger
from tests.support.embedded_postgres import free_port
from tests.support.processes import wait_as_a_person_does, wait_until
from tests.support.project import Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("development")]

VIEWS = "app/core/views.py"
LINE = "    return render(request"


def configurations(project: Project) -> list[dict]:
    """Return what .vscode/launch.json has, as VS Code reads it."""
    text = project.read(".vscode/launch.json").replace("${workspaceFolder}", str(project.path))
    return json.loads(text)["configurations"]


def line_of(project: Project, text: str) -> int:
    """Return the number of the line of the views that begins with a text."""
    lines = project.read(VIEWS).splitlines()
    return next(number for number, line in enumerate(lines, 1) if line.startswith(text))


def attach(project: Project, port: int) -> Debugger:
    """Attach as an editor does, with a breakpoint in the view of the home page."""
    breakpoints = {str(project.path / VIEWS): [line_of(project, LINE)]}
    return Debugger(port, configurations(project)[0], breakpoints)


class Visit(threading.Thread):
    """A visit of the home page, which lasts until the debugger lets it go on."""

    def __init__(self, project: Project):
        super().__init__(daemon=True)
        self.project = project
        self.start()

    def run(self) -> None:
        """Load the page."""
        self.answer = self.project.get("/", timeout=120)

    def status(self) -> int:
        """Return the status of the page when it has been loaded."""
        self.join(120)
        return self.answer[0]


def test_make_test_waits_for_an_editor(stack):
    port = free_port()
    running = stack.start("make", "test", f"DEBUG_PORT={port}", env={})
    editors = []

    def attached() -> bool:
        try:
            editors.append(attach(stack, port))
        except ConnectionError:
            assert running.process.poll() is None, running.printed()
        return bool(editors)

    wait_until(attached, 120, running.printed)
    (editor,) = editors
    with editor:
        assert editor.wait_for_stop() == (str(stack.path / VIEWS), line_of(stack, LINE))
        assert editor.value("context['project_name']") == "'My Project'"
        assert "Ran " not in running.printed()
    # Without the editor, the tests go on to their end.
    assert running.end() == 0, running.printed()
    assert "\nOK\n" in running.printed()


def test_the_tests_wait_for_no_editor_where_the_shell_exports_the_port_of_the_site(stack):
    printed = stack.run("make", "test", env={"DEBUG_PORT": str(free_port())}).stdout

    assert "\nOK\n" in printed, printed


def test_nothing_listens_without_a_port(stack):
    connect = "import socket; socket.create_connection(('127.0.0.1', 5678))"
    process = stack.exec("app", "python", "-c", connect, check=False)
    assert "ConnectionRefusedError" in process.stdout
    assert "debugpy" not in stack.compose("top", "app").stdout


def restart(project: Project, port: str) -> None:
    """Start app with a DEBUG_PORT in .env."""
    project.replace(".env", f"\nDEBUG_PORT={project.setting('DEBUG_PORT')}", f"\nDEBUG_PORT={port}")
    project.up("app")


@pytest.fixture(scope="module")
def debugged(stack) -> Iterator[Project]:
    """The stack with a debugger on a port, which is `debug_port`."""
    stack.debug_port = free_port()
    restart(stack, str(stack.debug_port))
    yield stack
    restart(stack, "")


def edit(project: Project, before: str, name: str, line: str = "") -> None:
    """Write the views with another name of the project, and a line before the one of the breakpoint."""
    wait_as_a_person_does()
    text = before.replace("settings.PROJECT_NAME", f'"{name}"').replace(LINE, f"{line}{LINE}")
    (project.path / VIEWS).write_text(text, encoding="utf-8")


def restore(project: Project, before: str) -> None:
    """Write the views as they were; return when the server has started again with them."""
    wait_as_a_person_does()
    (project.path / VIEWS).write_text(before, encoding="utf-8")
    project.wait_until(lambda: "My Project" in project.get("/")[1])


def stop_and_go_on(project: Project, editor: Debugger, name: str) -> None:
    """Visit the home page, which stops at the breakpoint."""
    # With an editor, a process that a reload has started waits until the editor is attached to it.
    editor.wait_for_process()
    project.wait_until(lambda: project.status("/health/ready") == 200)
    visit = Visit(project)
    assert editor.wait_for_stop() == (str(project.path / VIEWS), line_of(project, LINE))
    assert editor.value("context['project_name']") == f"'{name}'"
    editor.go_on()
    assert visit.status() == 200


def test_an_editor_stops_at_a_line_reads_a_variable_and_stays_attached_after_a_reload(debugged):
    before = debugged.read(VIEWS)
    try:
        with attach(debugged, debugged.debug_port) as editor:
            stop_and_go_on(debugged, editor, "My Project")
            for name in ("Edited", "Edited again"):
                edit(debugged, before, name)
                stop_and_go_on(debugged, editor, name)
        # Without the editor, nothing stops.
        assert debugged.status("/") == 200
    finally:
        restore(debugged, before)


def test_breakpoint_stops_in_the_editor_and_nowhere_without_one(debugged):
    before = debugged.read(VIEWS)
    edit(debugged, before, "Edited", "    breakpoint()\n")
    try:
        debugged.wait_until(lambda: "Edited" in debugged.get("/")[1])
        with Debugger(debugged.debug_port, configurations(debugged)[0], {}) as editor:
            editor.wait_for_process()
            visit = Visit(debugged)
            file, line = editor.wait_for_stop()
            assert file == str(debugged.path / VIEWS)
            assert line_of(debugged, "    breakpoint()") <= line <= line_of(debugged, LINE)
            editor.go_on()
            assert visit.status() == 200
    finally:
        restore(debugged, before)


def test_the_debugger_is_on_this_machine_only(debugged):
    (bindings,) = debugged.inspect("app", "{{json .NetworkSettings.Ports}}")
    published = json.loads(bindings)["5678/tcp"]
    assert published == [{"HostIp": "127.0.0.1", "HostPort": str(debugged.debug_port)}]
