"""What goes wrong in a release leaves the site as it was, and says what to do."""

import json
import re
import signal
import subprocess
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress

import pytest

from tests.support.embedded_postgres import free_port
from tests.support.load import Load
from tests.support.processes import Running
from tests.support.project import DEPLOY, Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("release_faults")]

MIGRATION = "app/core/migrations/0002_test.py"


@pytest.fixture
def site(module_site) -> Project:
    """One site that every test of this file releases again."""
    return module_site


def status(url: str) -> int:
    """Return the status of a page, 0 without an answer."""
    with suppress(OSError), urllib.request.urlopen(url) as response:
        return response.status
    return 0


def refused(site: Project, **environment: str) -> str:
    """Release, which has to fail while the site serves; return the last line."""
    process = site.deploy(check=False, **environment)
    assert process.returncode == 1, process.stdout
    last = process.stdout.strip().splitlines()[-1]
    assert last.startswith("Not released: "), process.stdout
    assert site.request("/read").status == 200
    return last


@contextmanager
def migration(site: Project, sql: str) -> Iterator[None]:
    """Let the code have one more migration, and remove it from the code and from the database."""
    (site.path / MIGRATION).write_text(
        "from django.db import migrations\n\n\n"
        "class Migration(migrations.Migration):\n"
        '    dependencies = [("core", "0001_initial")]\n'
        f"    operations = [migrations.RunSQL({sql!r})]\n"
    )
    try:
        yield
    finally:
        (site.path / MIGRATION).unlink()
        site.sql("DELETE FROM django_migrations WHERE name = '0002_test'")


def test_a_migration_that_waits_for_a_lock_lets_pages_be_served_and_names_who_holds_it(site):
    psql = ["docker", "exec", "-i", "-u", "postgres", *site.containers("db"), "psql", "-XAtq"]
    reader = subprocess.Popen(
        [*psql, "-d", site.setting("POSTGRES_DB")],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )
    reader.stdin.write("BEGIN; SELECT pg_backend_pid(); SELECT count(*) FROM django_migrations;\n")
    reader.stdin.flush()
    pid = reader.stdout.readline().strip()
    trust = site.trusting()
    url = f"https://localhost:{site.port}/read"
    # Between the tries, which are what is tested here.
    site.replace("ops/release.py", "time.sleep(10)", "time.sleep(3)")
    with migration(site, "LOCK TABLE django_migrations IN ACCESS EXCLUSIVE MODE"):
        with Load(url, threads=2, context=trust) as load:
            running = site.start(*DEPLOY, env={})
            site.wait_until(lambda: f"migrate waits for session {pid} of " in running.printed())
            seen = len(load.progress)
            # Behind the migration, all pages that read the table wait. It lets them go on.
            site.wait_until(lambda: len(load.progress) > seen + 20)
            assert running.process.poll() is None, running.printed()
            site.wait_until(lambda: running.process.poll() is not None, 120)
        assert set(load.answers) == {200}, load.answers
        last = running.printed().strip().splitlines()[-1]
        assert last.startswith(f"Not released: session {pid} of postgres (idle in transaction for")
        # As the line says.
        command = re.search(r"docker compose exec .*", last)[0]
        site.run("sh", "-c", command.replace("exec -u", "exec -T -u"))
        reader.communicate()
        site.replace("ops/release.py", "time.sleep(3)", "time.sleep(10)")
        assert "Applying core.0002_test... OK" in site.deploy().stdout


def test_a_release_waits_for_a_backup_before_it_migrates(site):
    session = ["exec", "-i", "-u", "postgres", "-e", "PGAPPNAME=pg_dump", *site.containers("db")]
    dump = subprocess.Popen(
        ["docker", *session, "psql", "-XAtq", "-d", site.setting("POSTGRES_DB")],
        stdin=subprocess.PIPE,
        text=True,
    )
    dump.stdin.write("BEGIN; LOCK TABLE core_user IN ACCESS SHARE MODE;\n")
    dump.stdin.flush()
    with migration(site, "LOCK TABLE core_user IN ACCESS EXCLUSIVE MODE"):
        running = site.start(*DEPLOY, env={})
        site.wait_until(lambda: "A backup is being made" in running.printed())
        assert "core.0002" not in running.printed()
        dump.communicate("COMMIT;\n")
        site.wait_until(lambda: running.process.poll() is not None, 120)
        assert "Applying core.0002_test... OK" in running.printed()


@pytest.mark.parametrize("name", ["SIGINT", pytest.param("SIGTERM", marks=pytest.mark.long)])
def test_an_interrupted_migration_ends_with_the_release(site, name):
    def sleeping() -> str:
        return site.admin_sql(
            "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'SELECT pg_sleep(9%'"
        )

    with migration(site, "SELECT pg_sleep(900)"):
        running: Running = site.start(*DEPLOY, env={})
        site.wait_until(lambda: sleeping() == "1")
        running.process.send_signal(getattr(signal, name))
        assert running.end() not in (0, None)
        assert running.printed().strip().splitlines()[-1] == "Not released: it was interrupted."
        # The server notices within a second that the client is away.
        site.wait_until(lambda: sleeping() == "0")
        assert not site.containers("migrate")
        applied = site.sql("SELECT count(*) FROM django_migrations WHERE name = '0002_test'")
        assert applied == "0"
    assert site.request("/read").status == 200


def test_a_setting_that_db_does_not_start_with_is_taken_back(site):
    file = "compose.production.yaml"
    right = site.read(file)
    site.replace(file, 'command: ["postgres"]', 'command: ["postgres", "-c", "misspelt=1"]')
    process = site.deploy(check=False)
    assert process.returncode == 1
    assert 'unrecognized configuration parameter "misspelt"' in process.stdout
    assert "db has its old settings again." in process.stdout
    assert process.stdout.strip().endswith("db-1 does not become healthy, see above")
    site.wait_until(lambda: site.status_over_https("/read") == 200)
    # The next release takes it for a container of this folder.
    label = '{{index .Config.Labels "com.docker.compose.project.working_dir"}}'
    assert site.inspect("db", label) == [str(site.path)]

    # A plain `up` takes the site down with it. A release that has the right settings again repairs that.
    site.compose("up", "--detach", "--no-deps", "db")
    site.wait_until(lambda: site.status_over_https("/read") == 500)
    (site.path / file).write_text(right)
    site.deploy()
    assert site.request("/read").status == 200


def test_another_service_on_the_image_of_app_gets_the_new_code_with_app(site):
    service = (
        "  cron:\n    image: ${COMPOSE_PROJECT_NAME}\n    command: sleep infinity\n    init: true\n"
    )
    site.replace("compose.yaml", "services:\n", f"services:\n{service}\n")
    site.compose("up", "--detach", "--no-deps", "cron")
    (old,) = site.inspect("cron", "{{.Image}}")
    view = "app/core/views.py"
    right = site.read(view)
    (site.path / view).write_text(right + "\n# new\n")
    with migration(site, "SELECT 1 / 0"):
        assert "migrate failed" in refused(site)
    assert site.inspect("cron", "{{.Image}}") == [old]
    site.deploy()
    assert site.inspect("cron", "{{.Image}}") == site.inspect("app", "{{.Image}}") != [old]
    (site.path / view).write_text(right)
    site.replace("compose.yaml", f"services:\n{service}\n", "services:\n")
    site.compose("up", "--detach", "--remove-orphans", "--no-deps", "app")


def test_a_release_that_would_need_too_many_connections_is_refused(site):
    right = site.read(".env")
    (site.path / ".env").write_text(f"{right}GUNICORN_THREADS=30\n")
    last = refused(site)
    (site.path / ".env").write_text(right)
    assert "1 old and 1 new containers of app may need 125 connections, and db allows 97" in last


def test_secrets_with_line_ends_of_windows_are_refused(site):
    secret = site.path / "secrets/secret_key"
    right = secret.read_bytes()
    secret.write_bytes(right.strip() + b"\r\n")
    last = refused(site)
    secret.write_bytes(right)
    assert last.startswith(f"Not released: {secret} has the line ends of Windows.")


def test_a_checkout_that_nginx_cannot_read_is_refused(site):
    script = site.path / "ops/nginx.sh"
    script.chmod(0o700)
    last = refused(site)
    script.chmod(0o755)
    assert last.endswith("nginx cannot read all files in ops/: run chmod -R o+rX ops")


def test_after_down_a_release_makes_a_backup_first_whatever_proxy_the_client_has(site, tmp_path):
    proxy = f"http://127.0.0.1:{free_port()}"
    config = {"proxies": {"default": {"httpProxy": proxy, "httpsProxy": proxy}}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    site.compose("down")
    printed = site.deploy(DOCKER_CONFIG=str(tmp_path)).stdout
    assert 0 < printed.index("Made backups/") < printed.index("Operations to perform")
    assert printed.endswith(f"Released. https://localhost:{site.port}/\n")
    assert "createsuperuser" not in printed
    # The proxy is not in the way of visitors.
    assert any(proxy in one for one in site.inspect("nginx", "{{.Config.Env}}"))
    assert site.request("/read").status == 200
    assert site.inspect("nginx", "{{.State.Health.Status}}") == ["healthy"]


def test_an_image_that_was_built_elsewhere_is_released_without_a_build(site):
    name, port = f"{site.stack}-registry", free_port()
    run = ("docker", "run", "--detach", "--name", name, "--publish", f"127.0.0.1:{port}:5000")
    site.run(*run, "swarm-nodes", "docker-registry", "serve", "/etc/registry.yml")
    image = f"127.0.0.1:{port}/team/shop"
    try:
        page = "app/core/templates/core/home.html"
        site.replace(page, ">Admin<", ">The back office<")
        site.wait_until(lambda: status(f"http://127.0.0.1:{port}/v2/") == 200)
        site.run("make", "push", env={"IMAGE": f"{image}:1.1"})
        site.replace(page, ">The back office<", ">Admin<")
        for suffix in ("", "-backup"):
            site.run("docker", "image", "rm", f"{image}{suffix}:1.1")
        site.compose("build")

        assert "IMAGE is a repository and a tag" in refused(site, IMAGE=image)
        assert "cannot be built or pulled" in refused(site, IMAGE=f"{image}:none")
        printed = site.deploy(IMAGE=f"{image}:1.1").stdout
        assert "Built" not in printed
        assert "The back office" in site.request("/").text
        # The names of the registry are not kept here.
        assert image not in site.run("docker", "image", "ls").stdout
    finally:
        with suppress(AssertionError):
            site.run("docker", "rm", "--force", "--volumes", name)


def test_the_settings_of_development_are_refused(bake_once):
    project = bake_once(deployment="compose")
    process = project.deploy(check=False)
    assert (process.returncode, process.stdout) == (
        1,
        "Not released: this .env is not one of a server. There: cp .env.production.example .env\n",
    )
