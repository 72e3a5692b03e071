"""Data moves from development to production, and every storage works there."""

import re

import pytest

pytestmark = pytest.mark.stack


def test_data_moves_from_development_to_production_and_what_it_replaced_is_kept(make_stack):
    project = make_stack(deployment="compose", postgres_version="17", use_redis=True)
    project.up()
    project.sql("CREATE TABLE kept (id int); INSERT INTO kept SELECT generate_series(1, 1000)")
    made = re.search(r"Made (\S+)", project.run("make", "backup").stdout)[1]
    project.compose("down")
    env = project.read(".env")
    project.to_production()
    for name in ("postgres_password", "secret_key"):
        (project.path / "secrets" / name).unlink()
    production_env = project.read(".env")
    (project.path / ".env").write_text(env)
    project.run("make", "secrets")
    (project.path / ".env").write_text(production_env)

    project.compose("up", "--detach", "--wait")
    assert project.request("/").status == 200
    printed = project.run("make", "restore", f"FILE={made}").stdout
    assert project.sql("SELECT count(*) FROM kept") == "1000"

    replaced = re.search(r"kept as the database (\S+)", printed)[1]
    assert (
        project.admin_sql(f"SELECT count(*) FROM pg_database WHERE datname = '{replaced}'") == "1"
    )
    project.name_postgres("18")
    refused = project.run("make", "upgrade-postgres", check=False)
    assert refused.returncode != 0
    assert (
        "Nothing was upgraded: LIVE_DATA in .env does not say where the data is." in refused.stdout
    )


@pytest.mark.parametrize("storage", ["bind_mount", "tmpfs"])
def test_every_storage_works_in_production(make_site, storage):
    site = make_site(postgres_storage=storage, postgres_version="17", use_entrypoint=False)
    assert site.request("/").status == 200
    assert "-pg17" in site.run("make", "backup").stdout

    # A stop without crash recovery at the next start.
    site.compose("stop", "db")
    assert "database system is shut down" in site.logs("db").splitlines()[-1]
    assert site.inspect("db", "{{.State.ExitCode}}") == ["0"]
