"""The swarm that the tests of this folder share, and the site on it."""

import pytest

from tests.support.project import Project
from tests.support.store import Store
from tests.support.swarm import Swarm, SwarmSite, site_ports


@pytest.fixture(scope="package")
def swarm():
    """Three nodes and a registry."""
    swarm = Swarm(site_ports())
    try:
        swarm.up()
        yield swarm
    finally:
        swarm.down()


@pytest.fixture(scope="package")
def store(swarm, tmp_path_factory):
    """A store for uploads that the nodes reach."""
    with Store(tmp_path_factory.mktemp("store"), host=swarm.gateway()) as store:
        yield store


@pytest.fixture(scope="package")
def site(bake_once, swarm, store) -> SwarmSite:
    """One site on the swarm, for tests that restore what they change."""
    answers = {"deployment": "swarm", "media_storage": "s3"}
    site = SwarmSite(bake_once(project_slug=Project.unused_slug(), **answers).path)
    site.add_views()
    site.to_swarm(swarm, store)
    # A version that fails is noticed in seconds.
    site.replace(
        "stack.yaml",
        "interval: 30s\n      timeout: 10s\n      start_period: 1m\n",
        "interval: 2s\n      timeout: 10s\n      start_period: 10s\n",
    )
    site.replace("stack.yaml", "monitor: 10s", "monitor: 3s")
    if not swarm.encrypts():
        encrypted = '    driver_opts:\n      encrypted: "true"\n'
        site.replace("stack.yaml", encrypted, "")
    site.first_release = site.deploy(check=False)
    assert site.first_release.returncode == 0, f"{site.first_release.stdout}\n{site.logs()}"
    return site
