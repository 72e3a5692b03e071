"""Cookiecutter as a user runs it, in a process of its own."""

import os
import subprocess
from pathlib import Path

from tests.support.project import ROOT


def generate(folder: Path, *answers: str, env: dict[str, str] | None = None) -> tuple[int, str]:
    """Render the template into folder; return the exit status and what was printed."""
    process = subprocess.run(
        ["cookiecutter", ROOT, "--no-input", "--output-dir", folder, *answers],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COOKIECUTTER_CONFIG": os.devnull} | (env or {}),
    )
    return process.returncode, process.stdout + process.stderr
