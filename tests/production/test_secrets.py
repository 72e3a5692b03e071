"""Secrets are files, and what is missing or wrong is one line."""

import pytest

from tests.support.production import SERVICES, inside

pytestmark = pytest.mark.stack


@pytest.mark.xdist_group("production")
def test_secrets_are_in_files_and_nowhere_else(site):
    values = [
        (site.path / "secrets" / name).read_text().strip()
        for name in ("secret_key", "postgres_password", "redis_password", "backup_key")
    ]
    ids = site.compose("ps", "--all", "--quiet").stdout.split()
    visible = site.run("docker", "inspect", *ids).stdout
    visible += site.run("docker", "history", "--no-trunc", site.stack).stdout
    visible += site.compose("config").stdout + site.logs()
    for service in SERVICES:
        visible += inside(site, service, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert not [value for value in values if value in visible]
    (folder,) = {(site.path / "secrets").stat().st_mode & 0o777}
    assert folder == 0o700


@pytest.mark.git
def test_make_secrets_makes_what_is_missing_and_overwrites_nothing(make_stack):
    project = make_stack(deployment="compose")
    env = project.read(".env")
    (project.path / "secrets" / "secret_key").write_text("mine\n")

    printed = project.run("make", "secrets").stdout

    assert "secrets/secret_key stays as it is." in printed
    assert project.read("secrets/secret_key") == "mine\n"
    # The owner of the site fills this one in.
    assert (project.path / "secrets" / "email_url").stat().st_mode & 0o777 == 0o644
    # The database here was initialised with the password of development.
    assert project.read("secrets/postgres_password").strip() == project.setting("POSTGRES_PASSWORD")
    assert project.read(".env") == env
    assert project.run("git", "init", "-q").returncode == 0
    assert "secrets/secret_key" not in project.run("git", "status", "--short", "-uall").stdout


@pytest.mark.xdist_group("production")
def test_a_wrong_password_names_its_secret_file(site):
    secret = site.path / "secrets" / "postgres_password"
    right = secret.read_text()
    # The entrypoint waits before this command.
    run = ("run", "--rm", "--no-deps", "app", "python", "manage.py", "migrate", "--check")
    try:
        secret.unlink()
        secret.write_text("another\n")
        process = site.compose(*run, check=False)
        assert process.returncode == 1
        (line,) = [line for line in process.stdout.splitlines() if "wrong password" in line]
        assert "secrets/postgres_password" in line
    finally:
        secret.write_text(right)
    site.compose(*run)


@pytest.mark.xdist_group("production")
@pytest.mark.parametrize("command", [["gunicorn", "config.wsgi"], ["python", "manage.py", "check"]])
def test_missing_settings_are_reported_in_one_line(site, command):
    run = ["docker", "run", "--rm", site.stack, *command]
    process = site.run(*run, check=False)
    needed = "SECRET_KEY, ALLOWED_HOSTS, DATABASE_URL or POSTGRES_HOST"
    lines = [line for line in process.stdout.splitlines() if " [INFO] " not in line]
    assert process.returncode == 1
    assert lines == [f"With DEBUG off, set {needed}: see docs/troubleshooting.md."]

    run[3:3] = ["--env", "SECRET_KEY_FILE=/run/secrets/none"]
    process = site.run(*run, check=False)
    assert process.returncode == 1
    assert "SECRET_KEY_FILE cannot be read" in process.stdout.splitlines()[-1]
    assert "Traceback" not in process.stdout


def test_a_release_reports_what_is_missing_before_anything_starts(make_stack):
    project = make_stack(deployment="compose")
    project.to_production()
    (project.path / "secrets" / "secret_key").unlink()
    assert "secrets/secret_key" in project.deploy(check=False).stdout.splitlines()[-1]

    project.run("make", "secrets")
    for domain in (
        "https://localhost",
        "a b",
        "shop_1.example",
        "*.example",
        "localhost:99",
        "a,b",
    ):
        project.replace(".env", "DOMAIN=localhost", f"DOMAIN={domain}")
        process = project.deploy(check=False)
        assert process.returncode == 1
        reason = f"DOMAIN in .env is a host name, such as shop.example, not '{domain}'."
        assert process.stdout.splitlines()[-1].endswith(reason), process.stdout
        project.replace(".env", f"DOMAIN={domain}", "DOMAIN=localhost")
    project.replace(".env", "DOMAIN=localhost", "DOMAIN=")
    process = project.deploy(check=False)
    assert process.returncode == 1
    assert ".env.production.example" in process.stdout.splitlines()[-1]
    assert project.compose("ps", "--all", "--quiet", env={"DOMAIN": "x"}).stdout == ""
