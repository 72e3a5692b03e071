"""Production on a swarm is added to a project in use, and gets its rows and uploads."""

import re

import pytest

from tests.support.swarm import unpack, uploaded
from tests.support.updating import assert_edits_are_there, holds_the_data

pytestmark = [pytest.mark.swarm, pytest.mark.git, pytest.mark.xdist_group("swarm")]


def test_a_swarm_is_added_and_gets_the_data_of_development(
    development, backup_of_development, site, store
):
    name = backup_of_development
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

    tar = f"tar -C {development.path}/backups -c {name} > {name}.tar"
    site.run("sh", "-c", tar)
    unpack(site, name, site.db_node)
    restored = site.run("make", "restore", f"FILE=backups/{name}").stdout
    assert f"Restored backups/{name}." in restored
    assert holds_the_data(site)
    assert uploaded(site, "photo.txt")["text"] == "an upload"
    assert holds_the_data(development)
    development.compose("stop")
