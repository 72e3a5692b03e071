"""What each kind of change costs in a release, and what interrupts a release."""

import os
import re
import signal
import socket
import ssl
import subprocess
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import pytest

from tests.support.load import Load, SlowBodies
from tests.support.processes import Running
from tests.support.production import plain
from tests.support.project import DEPLOY, Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("release_changes")]

# What nginx has when no release is going on, and when one has sent requests to the new containers.
ALL_CONTAINERS = "server app:8000 resolve max_fails=0;"


@pytest.fixture
def site(module_site) -> Project:
    """One site that every test of this file releases again."""
    return module_site


def release(site: Project, *command: str, pauses: bool = False, **environment: str) -> str:
    """Release under load, by a command that may do more; return the output. Fail if a request is lost, unless it pauses."""
    url = f"https://localhost:{site.port}"
    trust = site.trusting()
    loads = (
        Load(f"{url}/read", threads=2, context=trust),
        Load(f"{url}/", threads=2, keep_alive=True, context=trust),
        Load(f"{url}/receive", threads=2, method="POST", context=trust),
    )
    with loads[0], loads[1], loads[2]:
        printed = site.run(*(command or DEPLOY), env=environment).stdout
        # Some more requests to the new release.
        seen = sum(len(load.progress) for load in loads)
        site.wait_until(lambda: sum(len(load.progress) for load in loads) > seen + 20)
    answers = sum((load.answers for load in loads), Counter())
    assert pauses or set(answers) == {200}, f"{answers}\n{printed}"
    assert all(load.answers[200] > 10 for load in loads), answers
    assert "\nReleased. https://" in printed
    return printed


def settle(site: Project) -> None:
    """Fail unless the next `up`, the next release and a restart of nginx work."""
    site.compose("up", "--detach", "--wait")
    site.wait_until(lambda: {site.request("/").status for _ in range(6)} == {200})
    assert len(site.compose("ps", "--all", "--quiet", "app").stdout.split()) == 1
    assert "\nReleased. https://" in site.deploy().stdout
    site.compose("restart", "nginx")
    site.wait_until(lambda: site.status_over_https("/") == 200)
    assert len(site.compose("ps", "--all", "--quiet", "app").stdout.split()) == 1
    assert containers_of_nginx(site) == ALL_CONTAINERS


# What changes, and where it shows: in a file, and a header of a page.
CHANGES = {
    "code": ("app/config/urls.py", '"finished"', 'headers={"X-New": "code"}')
    + ("/slow?seconds=0", "X-New", "code"),
    "env of app": (".env", "SECONDS=3600", "SECONDS=7200")
    + ("/", "Strict-Transport-Security", "max-age=7200"),
    "nginx.conf": ("ops/nginx.conf", '"camera=()', '"midi=(), camera=()')
    + ("/", "Permissions-Policy")
    + ("midi=(), camera=(), geolocation=(), microphone=(), payment=(), usb=()",),
}


def test_a_change_is_released_without_a_pause_while_uploads_go_on(site):
    names = tuple(CHANGES)
    for file, old, new, *_ in map(CHANGES.get, names):
        site.replace(file, old, new)

    def shows() -> bool:
        shown = [CHANGES[name][3:] for name in names]
        return all(site.request(path).headers[header] == value for path, header, value in shown)

    url = f"https://localhost:{site.port}/receive"
    with (
        SlowBodies(url, 3, 2_000_000, 2_000, 0.4, site.trusting()) as uploads,
        ThreadPoolExecutor() as threads,
    ):
        site.wait_until(lambda: uploads.open == 3)
        releasing = threads.submit(release, site)
        site.wait_until(lambda: shows() or releasing.done())
        # The release waits for the uploads, while others get the new pages. Let them end.
        assert uploads.open == 3 and not releasing.done()
        uploads.interval = 0
        releasing.result()
        site.wait_until(lambda: sum(uploads.answers.values()) == 3)
    assert uploads.answers == {200: 3}
    assert shows()
    # A restart starts the release, as a reboot would.
    site.compose("restart", "nginx", "app")
    site.wait_until(lambda: site.status_over_https("/") == 200)
    assert shows()


def test_the_password_of_the_database_is_renewed_without_a_pause(site):
    manual = (
        site.read("ops/README.md")
        .split("\n## Renew the password of the database\n")[1]
        .split("\n## ")[0]
    )
    commands = re.findall("^    (.*)$", manual, re.MULTILINE)
    old = site.read("secrets/postgres_password").strip()
    release(site, "sh", "-ec", "\n".join(commands))
    new = site.read("secrets/postgres_password").strip()
    assert new != old

    def connect(password: str) -> str:
        psql = f"PGPASSWORD={password} psql -h 127.0.0.1 -U django -c 'SELECT 42' {site.setting('POSTGRES_DB')} 2>&1"
        return site.exec("db", "sh", "-c", psql, check=False).stdout

    assert "password authentication failed" in connect(old)
    assert "42" in connect(new)


def receive_at(site: Project, domain: str, size: int) -> int:
    """Return the status of a POST of so many bytes to a domain of the site, whose certificate is for that domain."""
    read = ("openssl", "x509", "-in", f"/certificates/{domain}.pem")
    trust = ssl.create_default_context(cadata=site.exec("nginx", *read).stdout)
    head = f"POST /receive HTTP/1.1\r\nHost: {domain}:{site.port}\r\nContent-Length: {size}\r\n\r\n"
    with (
        socket.create_connection(("localhost", site.port)) as connection,
        trust.wrap_socket(connection, server_hostname=domain) as tls,
    ):
        tls.sendall(head.encode())
        # Of a body that is too large, not even the beginning is awaited.
        with suppress(OSError):
            tls.sendall(b"x" * size)
        return int(tls.recv(1000).split()[1])


def test_the_largest_body_and_the_domain_change(site):
    assert site.request("/receive", "POST", b"x" * 2_000_000).status == 200
    right = site.read(".env")
    site.replace(".env", "MAX_BODY_SIZE=10MB", "MAX_BODY_SIZE=1MB")
    site.replace(".env", "DOMAIN=localhost", "DOMAIN=other.localhost")
    try:
        assert "nginx restarts with its new settings" in site.deploy().stdout
        assert plain(site, "/", Host="localhost").status == 421
        there = plain(site, "/", Host="other.localhost").headers["Location"]
        assert there == f"https://other.localhost:{site.port}/"
        assert receive_at(site, "other.localhost", 500_000) == 200
        assert receive_at(site, "other.localhost", 2_000_000) == 413
    finally:
        (site.path / ".env").write_text(right, encoding="utf-8")
        # A plain `up` changes them, too.
        site.compose("up", "--detach", "--wait")
    site.wait_until(lambda: site.request("/receive", "POST", b"x" * 2_000_000).status == 200)
    assert site.request("/").status == 200


def test_a_pause_is_announced_and_comes_after_the_backup_and_other_containers_keep_running(site):
    site.replace("compose.yaml", "shm_size: 256mb", "shm_size: 192mb")
    site.replace(".env", "NGINX_MEMORY=1g", "NGINX_MEMORY=896m")
    job = site.compose("run", "--detach", "--no-deps", "app", "sleep", "600").stdout.split()[-1]
    site.compose("run", "--no-deps", "migrate", "true")
    try:
        # What a user has exported for other work does not matter.
        printed = release(site, pauses=True, COMPOSE_PROGRESS="json", COMPOSE_ANSI="always")
        running = ("docker", "inspect", "--format", "{{.State.Running}}", job)
        assert site.run(*running).stdout.strip() == "true"
    finally:
        label = f"label=com.docker.compose.project={site.stack}"
        oneoffs = ("--filter", label, "--filter", "label=com.docker.compose.oneoff=True")
        ids = site.run("docker", "ps", "--all", "--quiet", *oneoffs).stdout.split()
        site.run("docker", "rm", "--force", *ids)
    assert 0 < printed.index("Made backups/") < printed.index("db restarts with its new settings")
    assert "nginx restarts with its new settings" in printed
    assert site.inspect("db", "{{.HostConfig.ShmSize}}") == [str(192 * 1024**2)]
    assert site.inspect("nginx", "{{.HostConfig.Memory}}") == [str(896 * 1024**2)]


def test_a_changed_network_is_refused_with_the_commands_that_make_it_anew(site):
    before, path = site.containers("app"), site.path / "compose.production.yaml"
    released = path.read_text()

    def refused() -> None:
        printed = site.deploy(check=False).stdout
        says = "the network frontend has changed. With a pause: docker compose down && make deploy"
        assert f"Not released: {says}" in printed, printed
        assert site.request("/").status == 200

    site.replace(path.name, "\n  frontend:\n", "\n  frontend:\n    enable_ipv6: true\n")
    refused()
    refused()
    assert site.containers("app") == before
    # Made anew, and taken back before a release.
    site.compose("up", "--detach", "--force-recreate")
    site.wait_until(lambda: site.status_over_https("/") == 200)
    path.write_text(released)
    refused()

    site.compose("down")
    assert "\nReleased. https://" in site.deploy().stdout
    assert site.request("/").status == 200


def test_a_refused_configuration_never_starts(site):
    for file, old, new in (
        ("ops/nginx.conf", "gzip on;", "gzip on"),
        (".env", "MAX_BODY_SIZE=", "MAX_BODY_SIZE=x"),
        (".env", "GRACE_PERIOD=60", "GRACE_PERIOD=0"),
        (".env", "DOMAIN=localhost", "DOMAIN=https://localhost/"),
        (
            "compose.production.yaml",
            "\n  frontend:\n",
            "\n  frontend:\n    enable_ipv4: false\n    enable_ipv6: true\n",
        ),
    ):
        right = site.read(file)
        site.replace(file, old, new)
        process = site.deploy(check=False)
        assert process.returncode == 1
        assert process.stdout.splitlines()[-1].startswith("Not released: "), process.stdout
        if file == "ops/nginx.conf":
            # Of the others, a restart reads nothing.
            site.compose("restart", "nginx", "app")
        site.wait_until(lambda: site.status_over_https("/") == 200)
        (site.path / file).write_text(right, encoding="utf-8")


def deploying(site: Project) -> Running:
    """Start a release in a process group of its own, as a terminal does."""
    return site.start("setsid", *DEPLOY, env={})


def containers_of_nginx(site: Project) -> str:
    """Return what nginx sends requests to."""
    return site.exec("nginx", "cat", "/tmp/servers.conf", check=False).stdout.strip()


def switches(site: Project) -> bool:
    """Return whether only the new containers get requests, while old ones still answer what they have."""
    return "app" not in containers_of_nginx(site)


MOMENTS = {
    "switching": lambda site, deploying: switches(site),
}


@pytest.mark.parametrize(
    ("name", "moment"),
    [
        pytest.param("SIGINT", "switching", marks=pytest.mark.long),
        ("SIGKILL", "switching"),
    ],
)
def test_an_interrupted_release_leaves_nothing_behind(site, name, moment):
    url = f"https://localhost:{site.port}"
    with Load(f"{url}/slow?seconds=5", threads=2, context=site.trusting()) as load:
        running = deploying(site)
        site.wait_until(
            lambda: MOMENTS[moment](site, running) or running.process.poll() is not None
        )
        assert running.process.poll() is None, running.printed()
        os.killpg(running.process.pid, getattr(signal, name))
        running.end()
        # At least one request that has begun after that.
        seen = len(load.progress)
        site.wait_until(lambda: len(load.progress) > seen + 2)
    assert set(load.answers) == {200}, load.answers
    settle(site)


def test_a_port_in_use_is_reported_before_anything_changes(site):
    right = site.read(".env")
    with socket.create_server(("0.0.0.0", 0)) as other:
        port = other.getsockname()[1]
        site.replace(".env", f"HTTP_PORT={site.setting('HTTP_PORT')}", f"HTTP_PORT={port}")
        process = site.deploy(check=False)
    (site.path / ".env").write_text(right, encoding="utf-8")
    assert process.returncode == 1
    assert f"Not released: port {port} is in use." in process.stdout
    assert site.request("/").status == 200


@pytest.mark.long
def test_a_release_completes_when_its_output_is_closed(site):
    memory = int(site.inspect("nginx", "{{.HostConfig.Memory}}")[0]) // 1024**2
    env = re.sub("NGINX_MEMORY=.*", f"NGINX_MEMORY={memory - 32}m", site.read(".env"))
    (site.path / ".env").write_text(env, encoding="utf-8")
    url = f"https://localhost:{site.port}/slow?seconds=5"
    with Load(url, threads=2, context=site.trusting()):
        # As in `make deploy | tee log` after Ctrl-C.
        process = subprocess.Popen(
            DEPLOY,
            cwd=site.path,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        site.wait_until(lambda: switches(site))
        process.stdout.close()
        assert process.wait(timeout=120) == 0
    assert site.inspect("nginx", "{{.HostConfig.Memory}}") == [str((memory - 32) * 1024**2)]


def test_an_older_commit_names_the_migrations_that_it_lacks(site):
    migration = site.path / "app/core/migrations/0002_required.py"
    migration.write_text(
        "from django.db import migrations, models\n\n\n"
        "class Migration(migrations.Migration):\n"
        '    dependencies = [("core", "0001_initial")]\n'
        '    operations = [migrations.AddField("User", "required", models.TextField(default="x"))]\n'
    )
    printed = site.deploy().stdout
    assert 0 < printed.index("Made backups/") < printed.index("Applying core.0002_required")
    # A row that a squashed migration left behind is older than the newest known one.
    site.sql(
        "INSERT INTO django_migrations (app, name, applied, id) VALUES ('core', 'old', now(), 0)"
    )
    migration.unlink()
    process = site.deploy(check=False)
    assert process.returncode == 1
    (line,) = [line for line in process.stdout.splitlines() if line.startswith("Not released")]
    assert "core.0002_required" in line and "ALLOW_NEWER_DATABASE=1" in line
    assert "core.old" not in line
    assert "\nReleased. https://" in site.deploy(ALLOW_NEWER_DATABASE="1").stdout
