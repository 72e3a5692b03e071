"""`make demo`: render the default project under build/, start it, say where it is and how to log in.

It runs on Docker Compose if an engine answers, else on an embedded PostgreSQL. The argument `stop`
stops it and keeps the data.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import time
import urllib.error
import urllib.request
from contextlib import suppress
from pathlib import Path

from tests.support.embedded_postgres import EmbeddedPostgres, free_port
from tests.support.engine import engine_answers
from tests.support.project import ROOT

BUILD = ROOT / "build"
PROJECT = BUILD / "my_project"
PIDS = BUILD / "demo.pid"
LOG = BUILD / "demo.log"
PATIENCE = 120  # seconds until the page must have answered
# On 127.0.0.1 only, and DEBUG is on there anyway.
USER = PASSWORD = "demo"


def say(words: str) -> None:
    """Print what is done now, before it is done."""
    print(words, flush=True)


def render() -> None:
    """Render the default project. The hook's last lines name another address, and are not shown."""
    say(f"Rendering the default project into {PROJECT} ...")
    command = ["cookiecutter", ROOT, "--no-input", "--overwrite-if-exists", "--output-dir", BUILD]
    process = subprocess.run(command, capture_output=True, text=True, check=False)
    if process.returncode:
        sys.exit(process.stdout + process.stderr)


def database_folder() -> Path:
    """Return the folder of the embedded server, which build/database names.

    For root, the server runs as `nobody`, who cannot enter a home that only root can: its folder is
    elsewhere then.
    """
    folder = BUILD / "database"
    if os.geteuid() == 0 and not folder.exists():
        folder.unlink(missing_ok=True)
        folder.symlink_to(tempfile.mkdtemp(prefix="demo-", dir="/var/tmp"))
    return folder.resolve()


def make_user(manage: list, **options) -> None:
    """Make a user who may do everything, unless there is one from before."""
    names = ["--noinput", "--username", USER, "--email", f"{USER}@example.org"]
    process = subprocess.run(
        [*manage, "createsuperuser", *names], capture_output=True, text=True, check=False, **options
    )
    if process.returncode and "already taken" not in process.stderr:
        sys.exit(process.stdout + process.stderr)


def report(url: str, where: str) -> None:
    """Say where the demo is, and how to log in and to stop it."""
    say(
        f"\n{url} answers, on {where}.\n"
        f"  folder:  {PROJECT}\n"
        f"  log in:  {url}admin/ as {USER}, with the password {PASSWORD}\n"
        f"  stop it: make demo-stop"
    )


def choose_port() -> int:
    """Return the port in the project's .env; if it is in use, choose another and write it there."""
    env = PROJECT / ".env"
    text = env.read_text(encoding="utf-8")
    port = int(re.search(r"^APP_PORT=(\d+)$", text, re.MULTILINE)[1])
    with socket.socket() as probe:
        if probe.connect_ex(("127.0.0.1", port)) != 0:
            return port
    port = free_port()
    env.write_text(
        re.sub(r"^APP_PORT=.*$", f"APP_PORT={port}", text, flags=re.MULTILINE), encoding="utf-8"
    )
    return port


def wait_for_page(url: str, logs: list[str]) -> None:
    """Return when url answers 200; after PATIENCE seconds print the logs and exit 1."""
    deadline = time.monotonic() + PATIENCE
    while time.monotonic() < deadline:
        with suppress(OSError), urllib.request.urlopen(url, timeout=5) as response:
            if response.status == 200:
                return
        time.sleep(0.1)
    subprocess.run(logs, cwd=PROJECT, check=False)
    sys.exit(f"{url} did not answer 200 within {PATIENCE} seconds; the logs are above.")


def start_on_compose() -> None:
    """Start the stack in the background."""
    compose = ["docker", "compose"]
    say("Building it and starting it on Docker Compose ...")
    subprocess.run([*compose, "down"], cwd=PROJECT, check=True, capture_output=True)
    url = f"http://127.0.0.1:{choose_port()}/"
    if subprocess.run([*compose, "up", "--build", "--detach"], cwd=PROJECT, check=False).returncode:
        subprocess.run([*compose, "logs"], cwd=PROJECT, check=False)
        sys.exit("docker compose up failed; what it printed is above.")
    wait_for_page(url, [*compose, "logs"])
    password = ["-e", f"DJANGO_SUPERUSER_PASSWORD={PASSWORD}"]
    make_user([*compose, "exec", "-T", *password, "app", "python", "manage.py"], cwd=PROJECT)
    report(url, "Docker Compose")


def start_without_engine() -> None:
    """Start gunicorn and an embedded PostgreSQL in the background."""
    stop_processes()
    say("Installing its requirements, because no Docker engine answers here ...")
    python = BUILD / "venv" / "bin" / "python"
    for command in (
        ["venv", "--allow-existing", "venv"],
        ["pip", "install", "--require-hashes", "--python", python]
        + ["-r", PROJECT / "requirements.txt"],
    ):
        subprocess.run(["uv", *command, "--quiet"], cwd=BUILD, check=True)
    say("Starting an embedded PostgreSQL ...")
    server = EmbeddedPostgres(database_folder()).start()
    if not server.sql("SELECT 1 FROM pg_database WHERE datname = 'my_project'"):
        server.sql("CREATE DATABASE my_project")
    port = choose_port()
    environment = server.environment("my_project") | {"DJANGO_SUPERUSER_PASSWORD": PASSWORD}
    run = {"cwd": PROJECT / "app", "env": os.environ | environment}
    say("Applying the migrations and starting the server ...")
    subprocess.run([python, "manage.py", "migrate", "--verbosity", "0"], check=True, **run)
    make_user([python, "manage.py"], **run)
    with open(LOG, "w", encoding="utf-8") as log:
        gunicorn = subprocess.Popen(
            [python, "-m", "gunicorn", "config.wsgi", "--bind", f"127.0.0.1:{port}"],
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=log,
            start_new_session=True,
            **run,
        )
    postmaster = (server.data / "postmaster.pid").read_text(encoding="utf-8").splitlines()[0]
    PIDS.write_text(f"{gunicorn.pid}\n{postmaster}\n", encoding="utf-8")
    url = f"http://127.0.0.1:{port}/"
    wait_for_page(url, ["cat", str(LOG), str(server.log)])
    report(url, "an embedded PostgreSQL")


def stop_processes() -> None:
    """End gunicorn, then PostgreSQL (SIGINT: its fast shutdown), and wait until they are gone."""
    if not PIDS.exists():
        return
    for pid, number in zip(PIDS.read_text().split(), (signal.SIGTERM, signal.SIGINT), strict=True):
        with suppress(ProcessLookupError):
            os.kill(int(pid), number)
            deadline = time.monotonic() + 30
            while time.monotonic() < deadline:
                os.kill(int(pid), 0)
                time.sleep(0.05)
    PIDS.unlink()


def stop() -> None:
    """Stop the demo; its data stays under build/ or in its volume."""
    if PIDS.exists():
        stop_processes()
    elif PROJECT.exists() and engine_answers():
        subprocess.run(["docker", "compose", "down"], cwd=PROJECT, check=True)
    print("The demo is stopped.")


def main() -> None:
    """Start the demo, or stop it if the argument is `stop`."""
    if sys.argv[1:] == ["stop"]:
        return stop()
    render()
    return start_on_compose() if engine_answers() else start_without_engine()


if __name__ == "__main__":
    main()
