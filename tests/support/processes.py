"""Processes that run beside a test: wait for them, read what they print, end them."""

import codecs
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
    """Return when the condition holds; after so many seconds, fail with an explanation.

    They are many more than a quiet machine needs, so that the load of the machine makes no test fail.
    """
    start = time.monotonic()
    while True:
        asked = time.monotonic()
        if condition():
            return
        now = time.monotonic()
        if now - start > seconds:
            raise AssertionError(f"not within {seconds} s\n{explain()}")
        # To ask docker again and again takes a whole processor from what is waited for.
        time.sleep(max(0.05, (now - asked) / (1 if now - start > 5 else 3)))


def wait_as_a_person_does() -> None:
    """Wait as long as a person does before the next edit: gunicorn checks files once a second.

    On a machine that is busy with other things it does so less often.
    """
    busy = os.getloadavg()[0] / os.cpu_count() / 2
    time.sleep(1.5 * min(4, max(1, busy)))


def messages_to_clients(log: str) -> str:
    """Return the part of a PostgreSQL log that begins when the server is ready over TCP.

    Before that, the image starts a temporary server on the Unix socket, to initialise the data. No
    client of the stack receives the messages of that server, such as a FATAL to a session it ends.
    """
    opened = log.partition("listening on IPv4 address")[2]
    _, ready, messages = opened.partition("ready to accept connections")
    assert ready, f"the server never became ready over TCP\n{log}"
    return messages


class Running:
    """A running command and its output so far."""

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
        """Return the output so far."""
        # Not with seek(): the command writes where this file stands.
        file = self.file.fileno()
        output = os.pread(file, os.fstat(file).st_size, 0)
        return output.decode(errors="replace").replace("\r\n", "\n")

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Return when the output contains the text."""
        wait_until(lambda: text in self.printed(), seconds, self.printed)

    def end(self, seconds: float = 120) -> int:
        """Return the exit status when the command ends; kill it when it does not."""
        try:
            return self.process.wait(seconds)
        except subprocess.TimeoutExpired:
            self.process.kill()
            raise AssertionError(f"still running after {seconds} s\n{self.printed()}") from None


class InTerminal:
    """A command in a terminal of its own, and what the terminal shows.

    Ctrl-C goes to all foreground processes of the command; closing the terminal sends SIGHUP.
    """

    def __init__(self, command: list[str], cwd: Path):
        self.pid, self.terminal = pty.fork()
        if self.pid == 0:
            os.chdir(cwd)
            os.execvp(command[0], command)
        self.shown = ""
        # A read may end in the middle of a character.
        self.decoder = codecs.getincrementaldecoder("utf-8")()
        self.status: int | None = None

    def read(self) -> str:
        """Return what the terminal has shown so far."""
        while select.select([self.terminal], [], [], 0)[0]:
            try:
                self.shown += self.decoder.decode(os.read(self.terminal, 100_000))
            except OSError:  # the other side has closed it
                break
        return self.shown

    def wait_for(self, text: str, seconds: float = 120) -> None:
        """Return when the terminal has shown the text."""
        wait_until(lambda: text in self.read(), seconds, self.read)

    def type(self, text: str) -> None:
        """Type a text; Enter is \\n."""
        os.write(self.terminal, text.encode())

    def press_ctrl_c(self) -> None:
        """Press Ctrl-C."""
        self.type("\x03")

    def close(self) -> None:
        """Close the terminal, as closing its window does."""
        os.close(self.terminal)

    def end(self, seconds: float = 120) -> int:
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
