"""The database stops, restarts, is killed or cut off while the site runs."""

import itertools
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("outages")]


@pytest.fixture
def project(stack):
    """The shared stack; no outage may make the engine restart a container."""
    before = stack.restarts()
    yield stack
    assert stack.restarts() == before
    stack.wait_until(lambda: stack.status("/health/ready") == 200)


def test_the_site_recovers_when_the_database_stops_and_starts(project):
    assert project.status("/admin/login/") == 200

    project.compose("stop", "db")
    project.wait_until(lambda: project.status("/health/ready") == 503)
    assert project.status("/health/live") == 200
    assert "does not answer" in project.get("/")[1]

    project.compose("start", "db")
    project.wait_until(lambda: project.status("/health/ready") == 200)
    pages = ["/admin/login/", "/", "/health/ready"] * 20
    assert {project.status(page) for page in pages} == {200}


def test_a_database_restart_between_two_requests_breaks_neither(project):
    # Eight requests at once make each thread of the server open a connection, which it keeps.
    pages = ["/sleep-in-database"] * 8
    with ThreadPoolExecutor(8) as pool:
        assert set(pool.map(lambda page: project.status(page), pages)) == {200}
        project.compose("restart", "db")
        project.up()
        assert set(pool.map(lambda page: project.status(page), pages)) == {200}


def test_no_acknowledged_row_is_lost_when_the_database_is_killed(project):
    project.sql("CREATE TABLE written (id integer PRIMARY KEY)")
    acknowledged, failed = [], []
    over = threading.Event()

    def write_rows(client: int) -> None:
        for number in itertools.count(client * 100_000):
            if over.is_set():
                return
            written = project.status(f"/write?id={number}") == 200
            (acknowledged if written else failed).append(number)

    with ThreadPoolExecutor(200) as pool:
        clients = [pool.submit(write_rows, client) for client in range(200)]
        try:
            project.wait_until(lambda: len(acknowledged) > 300)
            project.compose("kill", "--signal", "SIGKILL", "db")
            project.wait_until(lambda: failed)
            project.compose("start", "db")
        finally:
            over.set()
        for client in clients:
            client.result()
    project.wait_until(lambda: project.status("/health/ready") == 200)

    stored = {int(row) for row in project.sql("SELECT id FROM written").split()}
    assert len(set(acknowledged)) == len(acknowledged)
    assert set(acknowledged) - stored == set()
    project.sql("DROP TABLE written")
    print(f"{len(acknowledged)} rows acknowledged, {len(stored)} stored, 0 lost")


def test_the_site_recovers_when_the_network_to_the_database_was_cut(project):
    network = f"{project.stack}_default"
    (database,) = project.inspect("db", "{{.Id}}")

    project.run("docker", "network", "disconnect", network, database)
    project.wait_until(lambda: project.status("/health/ready") == 503)
    assert project.status("/health/live") == 200

    project.run("docker", "network", "connect", "--alias", "db", network, database)
    project.wait_until(lambda: project.status("/health/ready") == 200)
