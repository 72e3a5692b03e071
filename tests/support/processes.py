"""Processes that run beside a test: wait for them, read what they print, end them."""

import os
import pty
import select
import subprocess
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path


def wait_until(condition: Callable[[], object], seconds: float, explain: Callable[[], str]) -> None:
    """Return when condition holds; fail with an explanation when it has not after so many seconds."""
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s\n{explain()}")
        time.sleep(0.02)


def messages_to_clients(log: str) -> str:
    """Return what a PostgreSQL server says from when it is ready for clients over TCP.

    Before that, the image starts the server once on its socket only, to initialise it. What that
    server says, such as a FATAL to a session that it ends, no client of the stack is told.
    """
    opened = log.partition("listening on IPv4 address")[2]
    _, ready, said = opened.partition("ready to accept connections")
    assert ready, f"the server never became ready over TCP\n{log}"
    return said


class Running:
    """A command that runs, and what it has printed so far."""

    def __init__(self, command: list[str], cwd: Path, env: dict[str, str]):
        self.file = tempfile.TemporaryFile("w+")  # noqa: SIM115
        self.process = subprocess.Popen(
            command,
            cwd=cwd,
            env=env,
            text=True,
            stdin=subprocess.DEVNULL,
            stdout=self.file,
            stderr=subprocess.STDOUT,
        )

    def printed(self) -> str:
        """Return all that was printed until now."""
        self.file.seek(0)
        return self.file.read()

    def wait_for(self, text: str, seconds: float = 30) -> None:
        """Return when the text was printed."""
        wait_until(lambda: text in self.printed(), seconds, self.printed)

    def end(self, seconds: float = 30) -> int:
        """Return the exit status when the command ends; kill it when it does not."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"still running after {seconds} s\n{self.printed()}") from None


class InTerminal:
    """A command that runs in a terminal of its own, and what that shows.

    Ctrl-C there goes to all of the command's foreground processes; a closed terminal hangs up.
    """

    def __init__(self, command: list[str], cwd: Path):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execvp(command[0], command)
        self.shown = ""
        self.status: int | None = None

    def read(self) -> str:
        """Return all that was shown until now."""
        while select.select([self.terminal], [], [], 0)[0]:
            try:
                self.shown += os.read(self.terminal, 100_000).decode()
            except OSError:  # closed by the other side
                break
        return self.shown

    def wait_for(self, text: str, seconds: float = 60) -> None:
        """Return when the text was shown."""
        wait_until(lambda: text in self.read(), seconds, self.read)

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C."""
        os.write(self.terminal, b"\x03")

    def close(self) -> None:
        """Close the terminal, as somebody who closes its window."""
        os.close(self.terminal)

    def end(self, seconds: float = 60) -> int:
        """Return the exit status when the command has ended."""

        def ended() -> bool:
            with suppress(OSError):
                self.read()
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                self.status = os.waitstatus_to_exitcode(status)
                self.read()
            return bool(pid)

        wait_until(ended, seconds, lambda: self.shown)
        return self.status
