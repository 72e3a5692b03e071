"""A site on three nodes: it keeps answering while releases, nodes and the database fail."""

import itertools
import re
import time
from contextlib import ExitStack, contextmanager

import pytest

from tests.support.load import Load

pytestmark = pytest.mark.swarm

HOME = "app/core/templates/core/home.html"


@contextmanager
def load(site, *, slow: float = 5):
    """Request pages, POST bodies and pages that take so many seconds; yield the loads."""
    trust = site.trusting()
    url = f"https://localhost:{site.port}"
    loads = (
        Load(f"{url}/read", threads=2, context=trust),
        Load(f"{url}/", threads=1, keep_alive=True, context=trust),
        Load(f"{url}/receive", threads=1, method="POST", context=trust),
        Load(f"{url}/slow?seconds={slow}", threads=2, method="POST", context=trust),
    )
    with ExitStack() as stack:
        for each in loads:
            stack.enter_context(each)
        yield loads


def nothing_was_lost(loads) -> bool:
    """Return whether every request of every load was answered with 200."""
    assert all(set(each.answers) == {200} for each in loads), [each.answers for each in loads]
    return True


def last_line(process) -> str:
    return process.stdout.strip().splitlines()[-1]


def containers(site, *services: str) -> dict[str, set[str]]:
    """Return the ids of the running tasks of each service."""
    listed = {}
    for service in services:
        ps = ("service", "ps", "--quiet", "--filter", "desired-state=running", f"site_{service}")
        listed[service] = set(site.swarm.docker(*ps).split())
    return listed


def released_page(site, title: str) -> None:
    """Change the home page, which makes another image."""
    text = re.sub(r"(?<=>)(Admin|Office \d+)(?=<)", title, site.read(HOME), count=1)
    (site.path / HOME).write_text(text, encoding="utf-8")


def test_the_first_release_migrates_once_and_answers_from_outside(site):
    printed = site.first_release.stdout

    assert printed.endswith("Released.\n")
    assert printed.count("Applying core.0001_initial") == 1
    assert site.sql("SELECT count(*) FROM django_migrations WHERE app = 'core'") == "1"
    assert site.request("/health/ready").status == 200
    assert "<title>" in site.request("/").text
    nodes = [node for node, _ in site.tasks("app")]
    assert len(nodes) == len(set(nodes)) == 2
    assert [node for node, _ in site.tasks("db")] == ["node2"]


def test_secrets_are_files_and_the_database_is_on_a_network_without_internet(site):
    values = [
        (site.path / "secrets" / name).read_text().strip()
        for name in ("secret_key", "postgres_password")
    ]
    names = site.swarm.docker("service", "ls", "--format", "{{.Name}}").split()
    visible = site.swarm.docker("service", "inspect", *names)
    assert not [value for value in values if value in visible]
    internal = ("network", "inspect", "-f", "{{.Internal}}", "site_backend")
    assert site.swarm.docker(*internal) == "true"


def test_traffic_between_the_nodes_is_encrypted(site):
    if not site.swarm.encrypts():
        pytest.skip("this kernel has no rfc4106(gcm(aes)), which encrypted overlays need")
    for network in ("site_frontend", "site_backend"):
        options = site.swarm.docker("network", "inspect", "-f", "{{json .Options}}", network)
        assert '"encrypted"' in options


def test_scaling_under_load_loses_no_request_and_spreads_over_the_nodes(site):
    with load(site, slow=2) as loads:
        for number in (1, 6, 2):
            site.run("make", "scale", f"N={number}")
            nodes = sorted(node for node, _ in site.tasks("app"))
            assert len(nodes) == number
            most = max(nodes.count(node) for node in nodes)
            assert most == -(-number // 3), nodes
    assert nothing_was_lost(loads)
    # The next release keeps the number.
    assert site.setting("APP_REPLICAS") == "2"


def test_a_release_under_load_loses_no_request_and_replaces_only_what_changed(site):
    before = containers(site, "app", "caddy", "db")
    released_page(site, "Office 1")

    with load(site) as loads:
        printed = site.deploy().stdout
        assert "Office 1" in site.request("/").text

    assert printed.endswith("Released.\n") and "Made backups/" in printed
    assert nothing_was_lost(loads)
    after = containers(site, "app", "caddy", "db")
    assert len(after["app"]) == 2 and not after["app"] & before["app"]
    assert (after["caddy"], after["db"]) == (before["caddy"], before["db"])


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        (
            "app/core/health.py",
            "return HEALTH_VIEWS.get",
            "raise OSError\n        return HEALTH_VIEWS.get",
            "the new version of app failed, see above; Swarm went back to the old one.",
        ),
        (
            "app/core/migrations/0001_initial.py",
            "initial = True",
            "initial = True\n    1 / 0",
            "migrate failed, see above; the old containers stay.",
        ),
        (
            "app/config/settings.py",
            "MIDDLEWARE = [",
            "raise OSError\nMIDDLEWARE = [",
            "cannot be built, see above.",
        ),
    ],
    ids=["unhealthy", "does not migrate", "does not build"],
)
def test_a_release_that_fails_leaves_the_old_one_serving(site, file, old, new, reason):
    before = {image for _, image in site.tasks("app")}
    site.replace(file, old, new)
    try:
        with load(site, slow=1) as loads:
            process = site.deploy(check=False)
    finally:
        site.replace(file, new, old)

    assert process.returncode == 1
    assert last_line(process).startswith("Not released: ") and reason in last_line(process)
    assert nothing_was_lost(loads)
    assert {image for _, image in site.tasks("app")} == before


def test_an_image_that_nodes_cannot_pull_leaves_the_old_one_serving(site):
    before = {image for _, image in site.tasks("app")}
    released_page(site, "Office 2")
    refuse = ("OUTPUT", "--protocol=tcp", "--dport=5000", "--jump=REJECT")
    nodes = [site.swarm.nodes[node] for node in ("node2", "node3")]
    for node in nodes:
        site.swarm.outside("exec", node, "iptables", "--insert", *refuse)
    try:
        with load(site, slow=1) as loads:
            process = site.deploy(check=False)
    finally:
        for node in nodes:
            site.swarm.outside("exec", node, "iptables", "--delete", *refuse)
    # Refused by the job `migrate`, or rolled back if that was on the node that has the image.
    assert process.returncode == 1 and last_line(process).startswith("Not released: ")
    assert "No such image" in process.stdout
    assert nothing_was_lost(loads)
    assert {image for _, image in site.tasks("app")} == before


def test_a_registry_that_is_away_stops_the_release_before_anything_changes(site):
    before = containers(site, "app", "caddy", "db")
    released_page(site, "Office 3")
    registry = f"{site.swarm.name}-registry"
    site.swarm.outside("stop", registry)
    try:
        process = site.deploy(check=False)
    finally:
        site.swarm.outside("start", registry)
    assert process.returncode == 1 and "cannot be pushed, see above." in last_line(process)
    assert containers(site, "app", "caddy", "db") == before


def test_rollback_runs_the_image_of_the_release_before(site):
    old = {image for _, image in site.tasks("app")}
    released_page(site, "Office 4")
    site.deploy()
    assert {image for _, image in site.tasks("app")} != old

    with load(site, slow=1) as loads:
        site.run("make", "rollback")
    assert nothing_was_lost(loads)
    assert {image for _, image in site.tasks("app")} == old
    again = site.run("make", "rollback", check=False)
    assert again.returncode != 0 and "Nothing to go back to" in again.stdout


def test_code_that_is_older_than_the_database_is_refused(site):
    before = {image for _, image in site.tasks("app")}
    site.sql(
        "INSERT INTO django_migrations (app, name, applied) VALUES ('core', '0002_later', now())"
    )
    process = site.deploy(check=False)
    assert process.returncode == 1
    assert "migrations that this code does not know: core.0002_later." in process.stdout
    assert "migrate failed, see above" in last_line(process)
    assert {image for _, image in site.tasks("app")} == before
    assert site.deploy(ALLOW_NEWER_DATABASE="1").stdout.endswith("Released.\n")
    site.sql("DELETE FROM django_migrations WHERE name = '0002_later'")


def test_a_second_release_is_refused_and_a_killed_one_does_not_block(site):
    released_page(site, "Office 5")
    deploying = site.start("sh", "scripts/deploy.sh", env={})
    deploying.wait_for("Made backups/", 120)
    second = site.deploy(check=False)
    assert (second.returncode, second.stdout) == (
        1,
        "Not released: another release is running.\n",
    )
    deploying.process.kill()
    deploying.end()
    # What it was just running ends first.
    site.wait_until(lambda: site.deploy(check=False).stdout.endswith("Released.\n"), 60)
    # A lock of another manager, which was lost.
    site.swarm.docker("config", "create", "--label=owner=other:/srv", "site_release", "/etc/hosts")
    refused = site.deploy(check=False)
    assert refused.returncode == 1
    assert "another release is running, in other:/srv since " in last_line(refused)
    assert last_line(refused).endswith("If it was killed: docker config rm site_release")
    site.swarm.docker("config", "rm", "site_release")


def test_a_secret_is_rotated_without_downtime(site):
    names = ("secret", "ls", "--format", "{{.Name}}")
    before = set(site.swarm.docker(*names).split())
    kept = containers(site, "caddy", "db")
    secret = site.path / "secrets" / "email_url"
    secret.write_text("smtp://mail.example\n")

    with load(site) as loads:
        assert site.deploy().stdout.endswith("Released.\n")

    assert nothing_was_lost(loads)
    after = set(site.swarm.docker(*names).split())
    assert len(after - before) == len(before - after) == 1
    for node, _ in site.tasks("app"):
        app = site.container("app", node)
        file = ("exec", app, "cat", "/run/secrets/email_url")
        assert site.swarm.docker(*file, node=node) == "smtp://mail.example"
    assert containers(site, "caddy", "db") == kept


def backups(site) -> list[str]:
    """Return the names that make backups lists."""
    return re.findall(r"backups/\S+", site.run("make", "backups").stdout)


def test_a_backup_and_a_restore_under_load(site):
    site.sql("CREATE TABLE notes (text text)")
    site.sql("INSERT INTO notes VALUES ('kept')")
    with load(site, slow=1) as loads:
        printed = site.run("make", "backup").stdout
    assert nothing_was_lost(loads)
    name = re.search(r"^Made (backups/\S+) ", printed, re.MULTILINE)[1]
    assert name in backups(site)
    site.sql("UPDATE notes SET text = 'lost'")

    with load(site, slow=1) as loads:
        printed = site.run("make", "restore", f"FILE={name}").stdout
    assert f"Restored {name}." in printed
    # For some seconds, all sessions are closed.
    assert all(each.answers[200] > each.answers.total() / 2 for each in loads)
    assert site.sql("SELECT text FROM notes") == "kept"
    replaced = re.search(r"make drop-replaced (DB=\S+)", printed)[1]
    assert "Deleted the database" in site.run("make", "drop-replaced", replaced).stdout
    missing = site.run("make", "restore", "FILE=backups/none", check=False)
    assert missing.returncode != 0 and "there is no backups/none" in missing.stdout
    site.sql("DROP TABLE notes")


def test_an_interrupted_backup_leaves_nothing_and_the_second_is_refused(site):
    before = backups(site)
    # pg_dump waits for this lock.
    site.sql("CREATE TABLE locked (id bigint)")
    lock = "BEGIN; LOCK TABLE locked; SELECT pg_sleep(600)"
    psql = ("psql", "-U", "django", "-d", site.setting("POSTGRES_DB"), "-c", lock)
    db = site.container("db", "node2")
    site.swarm.docker("exec", "--detach", db, *psql, node="node2")
    site.wait_until(lambda: site.sql("SELECT 1 FROM pg_locks WHERE mode = 'AccessExclusiveLock'"))
    jobs = ("service", "ls", "--quiet", "--filter", "name=site_job")
    running = site.start("sh", "scripts/db.sh", "backup", env={})
    running.wait_for("Dumping", 60)
    second = site.run("sh", "scripts/db.sh", "backup", check=False)
    assert second.returncode == 1 and "Another backup is running" in second.stdout
    running.process.terminate()
    assert running.end(60) == 1
    assert "Interrupted" in running.printed()
    assert not site.swarm.docker(*jobs)
    partial = ("exec", db, "ls", "-A", "/backups")
    site.wait_until(lambda: ".partial" not in site.swarm.docker(*partial, node="node2"), 60)
    assert backups(site) == before
    site.sql(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE query LIKE 'BEGIN; LOCK%'"
    )
    site.sql("DROP TABLE locked")


def test_a_killed_database_recovers_and_loses_no_acknowledged_row(site):
    site.sql("CREATE TABLE written (id bigint PRIMARY KEY)")
    acknowledged = []
    numbers = itertools.count()

    def write() -> bool:
        number = next(numbers)
        if site.status_over_https(f"/write?id={number}") == 200:
            acknowledged.append(number)
            return True
        return False

    while len(acknowledged) < 20:
        write()
    site.swarm.docker("kill", site.container("db", "node2"), node="node2")
    site.wait_until(lambda: not write(), 60)
    site.wait_until(lambda: len(acknowledged) > 40 or (write() and False), 120)

    rows = set(map(int, site.sql("SELECT id FROM written").split()))
    assert set(acknowledged) <= rows
    site.sql("DROP TABLE written")


def test_a_lost_node_of_three_managers(site, record_property):
    site.run("make", "scale", "N=6")
    began = time.monotonic()
    with load(site, slow=1) as loads:
        site.swarm.kill("node3")
        try:
            site.wait_until(lambda: [n for n, _ in site.tasks("app")].count("node3") == 0, 120)
            site.wait_until(lambda: len(site.tasks("app")) == 6, 180)
            seconds = time.monotonic() - began
            # Two of three managers are a majority: releases and backups go on.
            released_page(site, "Office 6")
            assert site.deploy().stdout.endswith("Released.\n")
        finally:
            site.swarm.start("node3")
    lost = sum(each.answers.total() - each.answers[200] for each in loads)
    answered = sum(each.answers[200] for each in loads)
    record_property("seconds until all replicas are back", seconds)
    record_property("requests lost", lost)
    print(
        f"node lost: {lost} requests lost, {answered} answered, all replicas after {seconds:.0f} s"
    )
    assert lost < answered / 10, [each.answers for each in loads]

    with load(site, slow=1) as loads:
        site.run("make", "scale", "N=2")
    assert nothing_was_lost(loads)
