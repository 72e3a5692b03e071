"""Production on a swarm is added to a project in use, and gets its rows and uploads."""

import re

import pytest

from tests.support.adding import (
    add,
    assert_edits_are_there,
    clone,
    holds_the_data,
    new_project,
    use,
)
from tests.support.swarm import SwarmSite, unpack, uploaded

pytestmark = [pytest.mark.swarm, pytest.mark.git, pytest.mark.xdist_group("swarm")]


@pytest.fixture
def development(tmp_path):
    """A default project in use, except that the nodes have the image of PostgreSQL 17."""
    project = new_project(tmp_path / "development", "postgres_version=17")
    try:
        use(project)
        yield project
    finally:
        project.remove_from_engine()


def test_a_swarm_is_added_and_gets_the_data_of_development(development, swarm, store, tmp_path):
    printed = add(development, "deployment=swarm", "media_storage=s3").stdout
    name = re.search(r"Made backups/(\S+)", printed)[1]

    # Development goes on.
    assert_edits_are_there(development)
    development.run("make", "env")
    development.up("--build")
    assert holds_the_data(development)
    assert '"an upload"' in development.get("/uploaded?name=photo.txt")[1]

    # Its uploads go into the bucket.
    env = development.read(".env")
    settings = store.settings() | {
        "S3_SECRET_KEY": store.secret,
        "AWS_CA_BUNDLE": "/app/authority.pem",
    }
    with open(development.path / ".env", "a", encoding="utf-8") as file:
        file.writelines(f"{name}={value}\n" for name, value in settings.items())
    (development.path / "app/authority.pem").write_bytes(store.authority.read_bytes())
    (line,) = re.findall(
        r"^    (docker .* /media)$", development.read("docs/uploads.md"), re.MULTILINE
    )
    assert "photo.txt" in development.run(*line.split()).stdout
    assert "photo.txt" in store.names()
    (development.path / ".env").write_text(env)

    site = clone(development, tmp_path / "manager" / development.slug)
    site = SwarmSite(site.path)
    site.stack_name = "added"
    site.to_swarm(swarm, store, swarm.ports[2:], APP_REPLICAS="1")
    site.encrypt_if_possible()
    try:
        released = site.deploy(check=False)
        assert released.returncode == 0, f"{released.stdout}\n{site.logs()}"
        tar = f"tar -C {development.path}/backups -c {name} > {name}.tar"
        site.run("sh", "-c", tar)
        unpack(site, name, site.db_node)
        assert (
            f"Restored backups/{name}."
            in site.run("make", "restore", f"FILE=backups/{name}").stdout
        )
        assert holds_the_data(site)
        assert uploaded(site, "photo.txt")["text"] == "an upload"
        assert holds_the_data(development)
    finally:
        swarm.docker("stack", "rm", site.stack_name, check=False)
