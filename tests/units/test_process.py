"""A command of ops/ takes the programs that it started with it, and an interrupted one never succeeds."""

import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest


@pytest.fixture
def ops_folder(ops) -> Path:
    return Path(ops.__file__).parent


def test_a_closed_terminal_does_not_end_what_speaks(ops_folder, tmp_path):
    main, terminal = os.openpty()
    os.close(main)
    program = f"""from ops import process
process.say("Nobody reads this.")
open({str(tmp_path / "done")!r}, "w").close()"""
    with os.fdopen(terminal, "w") as output:
        command = [sys.executable, "-c", program]
        subprocess.run(command, cwd=ops_folder.parent, stdout=output, stderr=output, check=False)
    assert (tmp_path / "done").exists()


def start(ops_folder: Path, body: str, **options) -> subprocess.Popen[str]:
    """Start a program that uses the package, and wait until it has printed `begun`."""
    program = f"""
import sys
from ops import process

def task():
{textwrap.indent(textwrap.dedent(body), "    ")}

process.main(task, "Nothing was done")
"""
    child = subprocess.Popen(
        [sys.executable, "-c", program],
        cwd=ops_folder.parent,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )
    assert child.stdout is not None and child.stdout.readline() == "begun\n"
    return child


def is_running(pid: int) -> bool:
    try:
        return (
            "Z"
            not in Path(f"/proc/{pid}/stat")
            .read_text(encoding="utf-8")
            .rpartition(")")[2]
            .split()[0]
        )
    except OSError:
        return False


def wait_until_ended(pid: int) -> None:
    deadline = time.monotonic() + 20
    while is_running(pid):
        assert time.monotonic() < deadline, "it still runs"
        time.sleep(0.05)


SLEEP = """
    command = ["sh", "-c", "echo $$ > pid; sleep 300 & echo $! > pid2; {trap}wait"]
    process.say("begun")
    process.run(command)
"""


def test_a_signal_that_comes_while_a_program_starts_ends_that_program(ops_folder, tmp_path):
    body = f"""
        import os, signal, subprocess, time
        from pathlib import Path
        popen, path = subprocess.Popen, Path("{tmp_path}/pid2")

        def start(*words, **options):
            child = popen(*words, **options)
            while not path.exists() or not path.read_text():
                time.sleep(0.02)
            os.kill(os.getpid(), signal.SIGTERM)
            return child

        subprocess.Popen = start
        process.say("begun")
        process.run(["sh", "-c", f"sleep 300 & echo $! > {{path}}; wait"])
    """
    assert start(ops_folder, body).wait(30) == 128 + signal.SIGTERM
    wait_until_ended(int((tmp_path / "pid2").read_text()))


@pytest.mark.parametrize("trap", ["", "trap : TERM; wait; "])
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP, signal.SIGKILL])
def test_whatever_ends_a_command_ends_what_it_started(ops_folder, tmp_path, number, trap):
    body = f'import os\nos.chdir("{tmp_path}")' + SLEEP.replace("{trap}", trap)
    command = start(ops_folder, textwrap.dedent(body.replace("\n    ", "\n")))
    while not (tmp_path / "pid2").exists() or not (tmp_path / "pid2").read_text():
        time.sleep(0.02)
    command.send_signal(number)
    _, errors = command.communicate(timeout=30)
    wait_until_ended(int((tmp_path / "pid").read_text()))
    if number == signal.SIGKILL:
        os.kill(int((tmp_path / "pid2").read_text()), signal.SIGKILL)
        return
    assert command.returncode == 128 + number
    assert errors == "Nothing was done: it was interrupted.\n"
    wait_until_ended(int((tmp_path / "pid2").read_text()))


def test_a_command_ends_with_its_standard_input(ops_folder):
    body = 'process.say("begun")\nprocess.run(["sleep", "300"])'
    command = start(
        ops_folder, body, stdin=subprocess.PIPE, env={**os.environ, "OPS_INPUT_ENDS": "1"}
    )
    assert command.stdin is not None
    command.stdin.close()
    assert command.wait(20) == 128 + signal.SIGTERM


def test_a_program_without_progress_is_named_and_ended(ops_folder):
    body = """
        process.say("begun")
        process.run(["sleep", "300"], step="Copying", total=100, measure=lambda: 7, limit=2)
    """
    command = start(ops_folder, body)
    output, errors = command.communicate(timeout=30)
    assert command.returncode == 1
    assert output.splitlines() == ["Copying: 1 MB of about 1 MB"]
    assert errors == "Nothing was done: Copying hung: no progress for 2 seconds.\n"


def test_a_program_that_fails_is_named_with_its_last_words(ops_folder):
    body = (
        'process.say("begun")\nprocess.run(["sh", "-c", "echo first; echo the reason >&2; exit 3"])'
    )
    _, errors = (command := start(ops_folder, body)).communicate(timeout=30)
    assert (command.returncode, errors) == (1, "Nothing was done: the reason\n")
