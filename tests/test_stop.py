"""The stack stops at once, and running requests finish."""

import time
from concurrent.futures import ThreadPoolExecutor

import pytest

from tests.support.answers import WAITING, name_of

pytestmark = pytest.mark.stack

# Seconds on a busy machine. What ignores SIGTERM takes its whole stop_grace_period.
AT_ONCE = 4


@pytest.mark.parametrize("answers", WAITING, ids=name_of)
def test_stops_at_once_and_lets_requests_finish(make_stack, answers):
    project = make_stack(**answers)
    project.up()

    def stop() -> float:
        start = time.monotonic()
        project.compose("stop", "app")
        return time.monotonic() - start

    assert stop() < AT_ONCE
    assert project.inspect("app", "{{.State.ExitCode}}") == ["0"]
    project.up()
    with ThreadPoolExecutor(1) as pool:
        start = time.monotonic()
        answer = pool.submit(project.get, "/slow?seconds=2", timeout=20)
        time.sleep(0.3)
        stop()
        stopped = time.monotonic() - start
        assert answer.result() == (200, "finished")
    assert stopped < 2 + AT_ONCE


def test_app_stops_while_it_waits(make_stack):
    project = make_stack()
    project.compose("build")
    project.compose("up", "--detach", "--no-deps", "app")
    project.wait_until(lambda: "Waiting for the database" in project.logs("app"))
    start = time.monotonic()
    project.compose("stop", "app")
    assert time.monotonic() - start < AT_ONCE
