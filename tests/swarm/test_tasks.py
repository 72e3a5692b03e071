"""Tasks on a swarm: a killed worker and a release lose none."""

import pytest

from tests.support.swarm import change_page

pytestmark = [pytest.mark.swarm, pytest.mark.git, pytest.mark.xdist_group("swarm")]


def test_a_killed_worker_and_a_release_lose_no_task(site):
    site.sql("CREATE TABLE done (id serial, note text)")
    ((node, _), *_) = site.tasks("app")
    code = "from core import work\nfor n in range(100): work.record.enqueue(f'task {n}', 0.2)"
    shell = ("python", "manage.py", "shell", "--command", code)
    try:
        site.swarm.docker("exec", site.container("app", node), *shell, node=node)
        site.wait_until(lambda: int(site.sql("SELECT count(*) FROM done")) > 10, 60)
        ((node, old),) = site.tasks("worker")
        site.swarm.docker("kill", site.container("worker", node), node=node)
        change_page(site, "Office 5")
        assert site.deploy().stdout.endswith("Released.\n")
        site.wait_until(lambda: site.sql("SELECT count(DISTINCT note) FROM done") == "100", 120)
        ((_, new),) = site.tasks("worker")
        assert new != old and new == site.tasks("app")[0][1]
        left = "SELECT count(*) FROM django_ox_oxtask WHERE status NOT IN ('SUCCESSFUL')"
        site.wait_until(lambda: site.sql(left) == "0", 60)
    finally:
        site.sql("DROP TABLE done")
