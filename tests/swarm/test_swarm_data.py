"""What ops/swarm.md says about moving a site: to the swarm, to another node, PostgreSQL or server.

The commands that are no task of make are those of the document.
"""

import datetime
import re
import shutil

import pytest

from tests.support.backups import backup
from tests.support.swarm import (
    SwarmSite,
    containers,
    documented,
    last_line,
    unpack,
)

pytestmark = [pytest.mark.swarm, pytest.mark.git, pytest.mark.xdist_group("swarm")]


def new_site(site: SwarmSite, store, name: str, tmp_path, **settings: str) -> SwarmSite:
    """Return a second site with the same files, set up and not released."""
    other = SwarmSite(tmp_path / site.slug)
    shutil.copytree(site.path, other.path)
    other.stack_name = name
    other.to_swarm(site.swarm, store, site.swarm.ports[2:], APP_REPLICAS="1", **settings)
    return other


@pytest.mark.long
def test_a_new_password_of_the_database(site):
    secret = site.path / "secrets/postgres_password"
    number = len(site.swarm.docker("secret", "ls", "--quiet").split())
    host = [f"{name}={value}" for name, value in site.swarm.host(site.db_node).items()]
    command = documented(site, "\\password")
    terminal = super(SwarmSite, site).in_terminal("env", *host, "sh", "-c", command)
    for prompt in ("Enter new password", "Enter it again"):
        terminal.wait_for(prompt)
        terminal.type("new-password\n")
    assert terminal.end() == 0, terminal.shown
    secret.chmod(0o600)
    secret.write_text("new-password\n")

    assert site.deploy().stdout.endswith("Released.\n")

    site.wait_until(lambda: site.status_over_https("/read") == 200, 30)
    assert len(site.swarm.docker("secret", "ls", "--quiet").split()) == number


@pytest.mark.long
def test_the_database_moves_to_another_node_and_to_a_newer_postgres(site):
    site.sql("CREATE TABLE kept AS SELECT 7 AS number")
    before = containers(site, "app", "nginx", "db")
    name = backup(site).removeprefix("backups/")
    command = documented(site, "tar -C /backups -c").replace("NAME", name)
    site.run("sh", "-c", command, env=site.swarm.host("node2"))
    unpack(site, name, "node3")
    site.wait_until(lambda: "until now" in site.run("make", "restore-to", check=False).stdout, 60)
    moment = f"{datetime.datetime.now(datetime.UTC):%Y-%m-%d %H:%M:%S}"
    # A quarter of an hour later.
    forget = ("python3", "-c", "from ops import offsite; offsite.remember(log=0)")
    site.swarm.docker("exec", site.container("backup", "node2"), *forget, node="node2")

    def is_copied() -> bool:
        copied = re.search(r"off-site\tthe log up to (.*)", site.run("make", "backups").stdout)
        return bool(copied) and copied[1] > moment

    site.wait_until(is_copied, 60)
    inspect = ("service", "inspect", "--format", "{{.Spec.TaskTemplate.ContainerSpec.Image}}")
    old_image = site.swarm.docker(*inspect, f"{site.stack_name}_backup").strip()

    assert [process.wait() for process in site.swarm.loading("postgres:18-trixie")] == [0, 0]
    # Neither a label that moves nor another volume loses sight of the data.
    site.replace("ops/Dockerfile", "postgres:17", "postgres:18")
    site.replace("stack.yaml", "/var/lib/postgresql/data", "/var/lib/postgresql")
    site.replace("stack.yaml", "db_data_17", "db_data_18")
    refused = site.deploy(check=False)
    assert refused.returncode == 1 and '"Upgrade PostgreSQL" in ops' in last_line(refused)
    site.swarm.docker("node", "update", "--label-rm", "db", "node2")
    site.swarm.docker("node", "update", "--label-add", "db=true", "node3")
    refused = site.deploy(check=False)
    assert refused.returncode == 1 and '"Move the database to another' in last_line(refused)
    assert containers(site, "app", "nginx", "db") == before

    assert site.deploy(MOVE_DB="1").stdout.endswith("Released.\n")
    assert site.run("make", "restore", f"FILE=backups/{name}").returncode == 0
    assert site.deploy().stdout.endswith("Released.\n")

    assert site.db_node == "node3"
    assert site.sql("SHOW server_version").startswith("18.")
    assert site.sql("SELECT number FROM kept") == "7"
    site.wait_until(lambda: site.status_over_https("/read") == 200, 30)
    # The log of the old node comes from off-site, and its own version replays it.
    fetch = documented(site, "ops.offsite_log fetch")
    fetched = site.run("sh", "-c", fetch, env=site.swarm.host("node3")).stdout
    said = site.run("make", "restore-to").stdout
    ends = re.findall(r" to (\S+ \S+) UTC, of PostgreSQL 17", said)
    assert ends, f"{fetched}{said}"
    moment = ends[-1]
    refused = site.run("make", "restore-to", f"TIME={moment}", check=False)
    assert "this moment is of PostgreSQL 17, and the programs here are of 18" in refused.stdout
    site.sql("UPDATE kept SET number = 8")
    block = site.read("ops/backups.md").rpartition("\n    docker run ")[2]
    command = f"docker run {block.partition(' 10:00:00')[0]}".replace("\\\n", "")
    command = command.replace("2026-11-21", f"{moment}'").replace("IMAGE", old_image)
    command = command.replace(f"{site.slug}_backups", f"{site.stack_name}_backups")
    site.run("sh", "-c", command, env=site.swarm.host("node3"))
    site.run("make", "restore", "FILE=backups/moment")
    assert site.sql("SELECT number FROM kept") == "7"
    # The old data is where it was.
    assert "site_db_data_17" in site.swarm.docker("volume", "ls", node="node2")


@pytest.mark.long
def test_a_site_with_a_managed_database_has_no_service_for_one(site, store, tmp_path):
    server = f"{site.swarm.name}-managed"
    settings = ("--env=POSTGRES_PASSWORD=secret", "--env=POSTGRES_DB=shop")
    site.swarm.outside(
        *("run", "--detach", "--name", server, "--network", site.swarm.name),
        *(*settings, "postgres:18-trixie"),
    )
    try:
        address = "{{range .NetworkSettings.Networks}}{{.IPAddress}}{{end}}"
        host = site.swarm.outside("inspect", "--format", address, server)
        url = f"postgres://postgres:secret@{host}/shop"
        other = new_site(site, store, "managed", tmp_path, DATABASE_URL=url)
        # No node needs the label.
        site.swarm.docker("node", "update", "--label-rm", "db", site.db_node)
        process = other.deploy(check=False)
        assert process.returncode == 0, f"{process.stdout}\n{other.logs()}"

        assert other.request("/read").status == 200
        names = other.swarm.docker("service", "ls", "--format", "{{.Name}}").split()
        assert "managed_app" in names and "managed_db" not in names
        refused = other.run("make", "backup", check=False)
        assert refused.returncode != 0
        assert "The database is a managed one, DATABASE_URL in .env" in refused.stdout
    finally:
        site.swarm.docker("node", "update", "--label-add", "db=true", site.db_node)
        site.swarm.docker("stack", "rm", "managed", check=False)
        site.swarm.outside("rm", "--force", "--volumes", server)
