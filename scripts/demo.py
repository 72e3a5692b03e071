"""`make demo`: render the default project under build/, start it, print its URL.

It runs on Docker Compose if an engine answers, else on an embedded PostgreSQL. The argument `stop`
stops it and keeps the data.
"""

import os
import re
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from contextlib import suppress

from cookiecutter.main import cookiecutter

from tests.support.embedded_postgres import EmbeddedPostgres, free_port
from tests.support.engine import engine_answers
from tests.support.project import ROOT

BUILD = ROOT / "build"
PROJECT = BUILD / "my_project"
PIDS = BUILD / "demo.pid"
LOG = BUILD / "demo.log"
PATIENCE = 120  # seconds until the page must have answered


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
    subprocess.run([*compose, "down"], cwd=PROJECT, check=True, capture_output=True)
    url = f"http://127.0.0.1:{choose_port()}/"
    if subprocess.run([*compose, "up", "--build", "--detach"], cwd=PROJECT, check=False).returncode:
        subprocess.run([*compose, "logs"], cwd=PROJECT, check=False)
        sys.exit("docker compose up failed; what it printed is above.")
    wait_for_page(url, [*compose, "logs"])
    print(f"\n{url} answers, on Docker Compose. Stop it with: make demo-stop")


def start_without_engine() -> None:
    """Start gunicorn and an embedded PostgreSQL in the background."""
    stop_processes()
    python = BUILD / "venv" / "bin" / "python"
    for command in (
        ["venv", "--allow-existing", "venv"],
        ["pip", "install", "--require-hashes", "--python", python]
        + ["-r", PROJECT / "requirements.txt"],
    ):
        subprocess.run(["uv", *command, "--quiet"], cwd=BUILD, check=True)
    server = EmbeddedPostgres(BUILD / "postgres").start()
    if not server.sql("SELECT 1 FROM pg_database WHERE datname = 'my_project'"):
        server.sql("CREATE DATABASE my_project")
    port = choose_port()
    run = {"cwd": PROJECT / "app", "env": os.environ | server.environment("my_project")}
    subprocess.run([python, "manage.py", "migrate", "--verbosity", "0"], check=True, **run)
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
    print(
        f"{url} answers, on an embedded PostgreSQL (no Docker engine answers here).\n"
        "Stop it with: make demo-stop"
    )


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
    cookiecutter(str(ROOT), no_input=True, overwrite_if_exists=True, output_dir=str(BUILD))
    return start_on_compose() if engine_answers() else start_without_engine()


if __name__ == "__main__":
    main()
