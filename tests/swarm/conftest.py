"""The swarm that the tests of the group `swarm` share, and the site on it."""

import shutil

import pytest

from tests.support.project import Project
from tests.support.store import Store
from tests.support.swarm import UPLOADS, Swarm, SwarmSite, site_ports

# What is not the default comes up here, too; the database begins with 17 and is upgraded.
ANSWERS = {
    "backup": "continuous",
    "media_storage": "s3",
    "postgres_version": "17",
    "use_redis": True,
    "use_entrypoint": False,
}


@pytest.fixture(scope="package")
def swarm():
    """Three nodes and a registry."""
    swarm = Swarm((*site_ports(), *site_ports()))
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


def add_pages(project: Project) -> None:
    """Add the URLs that only these tests use."""
    project.add_views()
    with open(project.path / "app/config/urls.py", "a", encoding="utf-8") as urls:
        urls.write(UPLOADS)


@pytest.fixture(scope="package")
def site(bake_once, swarm, store) -> SwarmSite:
    """One site on the swarm, for tests that restore what they change."""
    slug = Project.unused_slug()
    site = SwarmSite(bake_once(project_slug=slug, deployment="swarm", **ANSWERS).path)
    add_pages(site)
    site.to_swarm(
        *(swarm, store, swarm.ports[:2]),
        BACKUP_REPOSITORY=f"s3:{store.url}/{store.bucket.name}/backups",
        BACKUP_ACCESS_KEY=store.key,
        BACKUP_CA_FILE="/ops/authority.pem",
    )
    (site.path / "secrets/backup_secret_key").write_text(f"{store.secret}\n")
    # As ops/backups.md says.
    shutil.copy(store.authority, site.path / "ops/authority.pem")
    with open(site.path / "ops/Dockerfile", "a", encoding="utf-8") as dockerfile:
        dockerfile.write("COPY authority.pem /ops/\n")
    # A version that fails is noticed in seconds.
    site.replace(
        "stack.yaml",
        "interval: 30s\n      timeout: 10s\n      start_period: 1m\n",
        "interval: 2s\n      timeout: 10s\n      start_period: 10s\n",
    )
    site.replace("stack.yaml", "monitor: 10s", "monitor: 3s")
    site.encrypt_if_possible()
    site.first_release = site.deploy(check=False)
    assert site.first_release.returncode == 0, f"{site.first_release.stdout}\n{site.logs()}"
    return site


@pytest.fixture
def old_host(bake_once, site, store) -> Project:
    """The same project on one host, this machine, set up and not started."""
    project = bake_once(project_slug=site.slug, deployment="compose", **ANSWERS)
    add_pages(project)
    for file in (site.path / "secrets").iterdir():
        (project.path / "secrets" / file.name).write_bytes(file.read_bytes())
    project.to_production(**store.settings(), AWS_CA_BUNDLE="/app/authority.pem")
    yield project
    project.remove_from_engine()
