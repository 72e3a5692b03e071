"""The side of the server: what it writes into .env, and how it ends."""

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.support.processes import Running, wait_until


@pytest.fixture
def env(tmp_path, monkeypatch):
    """An .env in a folder of its own."""
    monkeypatch.chdir(tmp_path)
    path = tmp_path / ".env"
    path.write_text("# A comment\nLIVE_DATA=\nDOMAIN=example.org\n")
    path.chmod(0o640)
    return path


def test_settings_are_written_at_once_and_the_rest_stays(ops, env):
    ops.settings.set_settings(LIVE_DATA="db_data_18", UPGRADING_TO="db_data_19")
    assert env.read_text() == (
        "# A comment\nLIVE_DATA=db_data_18\nDOMAIN=example.org\nUPGRADING_TO=db_data_19\n"
    )
    ops.settings.set_settings(UPGRADING_TO=None)
    assert "UPGRADING_TO" not in env.read_text()
    assert ops.settings.setting("LIVE_DATA") == "db_data_18"
    assert ops.settings.setting("UPGRADING_TO") == ""
    assert env.stat().st_mode & 0o777 == 0o640
    assert [path.name for path in env.parent.iterdir()] == [".env"]


def test_settings_in_quotes_and_in_another_encoding_are_read(ops, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    before = b'# caf\xe9\nLIVE_DATA="db_data_17"\n'
    Path(".env").write_bytes(before)

    assert ops.settings.setting("LIVE_DATA") == "db_data_17"
    ops.settings.set_settings(UPGRADING_TO="db_data_18")
    assert Path(".env").read_bytes() == before + b"UPGRADING_TO=db_data_18\n"


def test_an_exported_name_of_another_project_is_refused(ops, env, monkeypatch):
    monkeypatch.setenv("COMPOSE_PROJECT_NAME", "other")
    env.write_text("COMPOSE_PROJECT_NAME=shop\n")
    says = "COMPOSE_PROJECT_NAME is other in this shell, shop in .env: unset COMPOSE_PROJECT_NAME"
    with pytest.raises(ops.process.Refused, match=says):
        ops.compose.config()


def test_an_upgrade_that_goes_back_starts_the_site_whatever_fails(ops, env, monkeypatch, capsys):
    commands = []

    def docker(*words: str) -> str:
        commands.append(" ".join(words))
        if words[-1] != "start":
            raise ops.process.Failed("docker", 1, "no space left on device")
        return ""

    monkeypatch.setattr(ops.upgrade, "docker", docker)
    monkeypatch.setattr(ops.process, "ignore_signals", lambda: None)
    work = object.__new__(ops.upgrade.Upgrade)
    work.project, work.is_stopped = "shop", True
    work.live, work.target = "db_data_17", "db_data_18"
    ops.settings.set_settings(UPGRADING_TO="other")

    work.undo()

    assert commands[-1] == "compose --project-directory . --file .released.json start"
    said = capsys.readouterr().out
    assert "Not all is as it was: no space left on device" in said
    assert said.endswith("The site is on db_data_17, as it was.\n")


def test_an_upgrade_that_cannot_start_the_site_says_so(ops, env, monkeypatch, capsys):
    def docker(*_: str) -> str:
        raise ops.process.Failed("docker", 1, 'service "db" has no container to start')

    monkeypatch.setattr(ops.upgrade, "docker", docker)
    monkeypatch.setattr(ops.process, "ignore_signals", lambda: None)
    work = object.__new__(ops.upgrade.Upgrade)
    work.project, work.live, work.target, work.is_stopped = "shop", "db_data_17", "db_data_18", True

    work.undo()

    reason = '(service "db" has no container to start)'
    last = (
        f"The site is stopped, with its data in db_data_17 {reason}. Run this again to move it.\n"
    )
    assert capsys.readouterr().out.endswith(last)


def test_of_two_equal_settings_the_last_one_counts_and_one_is_left(ops, env):
    env.write_bytes(b"N=1\r\nOTHER=\x0c\r\nN=2\r\n")
    assert ops.settings.setting("N") == "2"
    ops.settings.set_settings(N="3")
    assert env.read_bytes() == b"N=3\nOTHER=\x0c\n"


def test_a_dump_that_waits_for_a_lock_does_not_count_as_hung(ops, tmp_path, monkeypatch):
    limits = []

    class Server:
        def run(self, command, *, limit, **_):
            assert "--lock-wait-timeout=3600s" in command
            limits.append(limit)

    monkeypatch.setattr(ops.process, "run", lambda *_, **__: "")
    monkeypatch.setenv("LOCK_TIMEOUT", "3600")
    about = {"postgres": "18.1", "database": "shop", "bytes": 1}
    ops.backup.dump(Server(), about, tmp_path)
    assert limits > [3600]


def test_of_two_restores_one_puts_uploads_back(ops, tmp_path, monkeypatch):
    monkeypatch.setattr(ops.backups, "FOLDER", tmp_path)
    began = []
    monkeypatch.setattr(ops.uploads, "put_back_alone", began.append)
    refused = pytest.raises(ops.process.Refused, match="another restore is putting uploads back")
    with ops.process.locked(tmp_path, ""), refused:
        ops.uploads.put_back([])
    assert began == []
    ops.uploads.put_back([])
    assert began == [[]]


def test_a_time_limit_that_is_no_number_is_refused(ops, monkeypatch):
    monkeypatch.setenv("DEPLOY_TIMEOUT", "2m")
    with pytest.raises(ops.process.Refused, match="a number of seconds, not '2m'"):
        ops.settings.deploy_timeout()


def test_a_place_without_a_version_is_refused(ops):
    assert ops.upgrade.version("db_data_18") == 18
    with pytest.raises(ops.process.Refused, match="such as db_data_18, not 'mydata'"):
        ops.upgrade.version("mydata")


# Stands for docker: a program in a container that ends with its input. It says something when its caller waits for it.
DOCKER = """#!/bin/sh
case $1 in
  compose) echo '{"name": "site", "services": {"backup": {"image": "shop-backup"}}}' ;;
  ps) echo container ;;
  inspect) echo '[{"Mounts": [{"Destination": "/ops"}]}]' ;;
  exec) sleep 0.5; echo begun; cat > /dev/null; echo 'No backup was made: it was interrupted.'; exit 0 ;;
esac
"""


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM", "SIGHUP"])
def test_an_interrupted_command_never_succeeds_whatever_docker_returns(bake_once, tmp_path, name):
    project = bake_once(deployment="compose", backup="continuous")
    (tmp_path / "docker").write_text(DOCKER)
    (tmp_path / "docker").chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    running = Running([sys.executable, "-B", "-m", "ops.host", "backup"], project.path, env)
    running.wait_for("begun", 30)
    began = time.monotonic()
    running.process.send_signal(getattr(signal, name))
    assert running.end(30) == 128 + getattr(signal, name)
    assert time.monotonic() - began < 20
    assert running.printed().splitlines() == [
        "begun",
        "No backup was made: it was interrupted.",
        "Interrupted.",
    ]


# What Docker has begun goes on after this program, and would then meet what undoes it.
COMPLETE = """
import os, sys
from ops import compose, process
process.main(lambda: compose.complete("compose", "up", lock=os.open(".", os.O_RDONLY)), "Not released")
"""


def test_an_interrupted_release_first_lets_docker_complete_what_it_does(bake_once, tmp_path):
    project = bake_once(deployment="compose", backup="continuous")
    script = f"#!/bin/sh\necho > {tmp_path}/begun\nsleep 2\necho > {tmp_path}/done\n"
    (tmp_path / "docker").write_text(script)
    (tmp_path / "docker").chmod(0o755)
    env = os.environ | {"PATH": f"{tmp_path}:{os.environ['PATH']}"}
    running = Running([sys.executable, "-B", "-c", COMPLETE], project.path, env)
    wait_until((tmp_path / "begun").exists, 30, running.printed)
    running.process.send_signal(signal.SIGINT)
    assert running.end(30) == 128 + signal.SIGINT
    assert (tmp_path / "done").exists()


def test_a_setpriv_without_the_option_is_not_used(ops, tmp_path, monkeypatch):
    (tmp_path / "busybox").write_text("#!/bin/sh\nexit 1\n")
    (tmp_path / "busybox").chmod(0o755)
    (tmp_path / "setpriv").symlink_to("busybox")
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    assert ops.process.run(["echo", "hello"]) == "hello\n"


def test_a_name_that_is_no_text_is_printed(ops):
    script = "import os; from ops.process import main, say; main(lambda: say(os.fsdecode(b'caf\\xe9')), '')"
    folder = Path(ops.__file__).parents[1]
    process = subprocess.run(
        [sys.executable, "-B", "-c", script], cwd=folder, capture_output=True, check=True
    )
    assert process.stdout == b"caf\\udce9\n"


def test_a_task_that_does_not_exist_is_one_line(bake_once):
    project = bake_once(deployment="compose", backup="continuous")
    process = subprocess.run(
        [sys.executable, "-B", "-m", "ops.host", "bakcup"],
        cwd=project.path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert (process.returncode, process.stderr) == (
        1,
        "Not done: there is no task 'bakcup': make help lists them.\n",
    )


@pytest.mark.parametrize("version", [None, "3.8"])
def test_a_server_without_a_python_that_is_new_enough_is_told_in_one_line(
    bake_once, tmp_path, version
):
    for program in ("grep", "make", "sh"):
        (tmp_path / program).symlink_to(shutil.which(program))
    if version:
        # What any Python does with the check that finds it too old.
        (tmp_path / "python3").write_text(f"#!{tmp_path}/sh\n# {version}\nexit 1\n")
        (tmp_path / "python3").chmod(0o755)
    project = bake_once(deployment="compose")
    process = project.run("make", "backups", env={"PATH": str(tmp_path)}, check=False)
    assert process.returncode != 0
    assert process.stdout.splitlines()[0].startswith("This task needs python3, 3.9 or newer")
