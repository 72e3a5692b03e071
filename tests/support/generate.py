"""Cookiecutter as a user runs it, in a process of its own."""

import os
import pty
import re
import select
import subprocess
import time
from pathlib import Path

from tests.support.project import ROOT


def generate(
    folder: Path, *answers: str, env: dict[str, str] | None = None, template: str = str(ROOT)
) -> tuple[int, str]:
    """Render the template into folder; return the exit status and what was printed."""
    process = subprocess.run(
        ["cookiecutter", template, "--no-input", "--output-dir", folder, *answers],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COOKIECUTTER_CONFIG": os.devnull} | (env or {}),
    )
    return process.returncode, process.stdout + process.stderr


def generate_in_terminal(
    folder: Path,
    template: str = str(ROOT),
    typed: dict[int, str] | None = None,
    env: dict[str, str] | None = None,
) -> str:
    """Render the template in a terminal; return what it showed, with its colours.

    Each question is answered with the Enter key, or with the text typed at its number.
    """
    terminal, end = pty.openpty()
    process = subprocess.Popen(
        ["cookiecutter", template, "--output-dir", folder],
        stdin=end,
        stdout=end,
        stderr=end,
        env=os.environ | {"COOKIECUTTER_CONFIG": os.devnull, "TERM": "xterm"} | (env or {}),
    )
    os.close(end)
    shown = b""
    asked = 0
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if select.select([terminal], [], [], 0.1)[0]:
            try:
                shown += os.read(terminal, 100_000)
            except OSError:  # the other side has closed it
                break
        # Each question ends with its default in brackets, and a colon.
        waiting = re.findall(rb"\)(?:\x1b\[[0-9;]*m)*:(?!\S)", shown)
        if len(waiting) > asked:
            asked += 1
            os.write(terminal, ((typed or {}).get(asked, "") + "\n").encode())
    process.wait(10)
    os.close(terminal)
    return shown.decode().replace("\r\n", "\n")
