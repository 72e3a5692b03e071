"""The Docker engine of this machine."""

import shutil
import subprocess


def engine_answers() -> bool:
    """Return whether a Docker engine and Compose can be used here."""
    return shutil.which("docker") is not None and all(
        subprocess.run(["docker", *words], capture_output=True, check=False).returncode == 0
        for words in (["info"], ["compose", "version"])
    )
