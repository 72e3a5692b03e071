"""The swarm that the tests of the group `swarm` share, and the site on it."""

import re
import shutil
from collections.abc import Iterator

import pytest

from tests.queue.conftest import add_work
from tests.support.project import Project
from tests.support.store import Store
from tests.support.swarm import Swarm, SwarmSite, site_ports
from tests.support.updating import clone, new_project, update, use


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


@pytest.fixture(scope="package")
def development(tmp_path_factory) -> Iterator[Project]:
    """A project in use on this machine. What is not the default comes up here, too."""
    answers = ("postgres_version=17", "use_entrypoint=false")
    project = new_project(tmp_path_factory.mktemp("development"), *answers)
    try:
        use(project)
        yield project
    finally:
        project.remove_from_engine()


@pytest.fixture(scope="package")
def backup_of_development(development) -> str:
    """Add a swarm to the project; return the name of the backup that this makes."""
    answers = ("deployment=swarm", "media_storage=s3", "backup=continuous", "use_redis=true")
    answers += ("use_tasks=true",)
    return re.search(r"Made backups/(\S+)", update(development, *answers).stdout)[1]


@pytest.fixture(scope="package")
def site(development, backup_of_development, swarm, store, tmp_path_factory) -> SwarmSite:
    """The site of this project on the swarm, for tests that restore what they change."""
    copy = clone(development, tmp_path_factory.mktemp("manager") / development.slug)
    site = SwarmSite(copy.path)
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
    add_work(site)
    # What is due is noticed within seconds.
    site.replace("ops/schedule.py", "min(10 * 2", "min(2 * 2")
    # A version that fails is noticed in seconds.
    site.replace(
        "stack.yaml",
        "interval: 30s\n      timeout: 1m\n      start_period: 1m\n",
        "interval: 4s\n      timeout: 1m\n      start_period: 20s\n",
    )
    # Each look starts a Python: with six containers at once, these would take all processors.
    site.replace("stack.yaml", "start_interval: 500ms", "start_interval: 2s")
    site.replace("stack.yaml", "monitor: 10s", "monitor: 3s")
    site.encrypt_if_possible()
    site.first_release = site.deploy(check=False)
    assert site.first_release.returncode == 0, f"{site.first_release.stdout}\n{site.logs()}"
    return site
