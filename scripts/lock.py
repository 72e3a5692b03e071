"""Pin every dependency, with hashes, for every combination of answers.

Writes templates/locks/, which the rendered requirements*.txt include, and this repository's own
requirements-dev.txt. A lock covers every Python from the oldest that its Django runs on, so that
it also installs on a laptop without Docker. Run by `make lock`; needs the package index.
"""

import itertools
import json
import subprocess
import sys
import tempfile
from pathlib import Path

from cookiecutter.main import cookiecutter

ROOT = Path(__file__).resolve().parent.parent
LOCKS = ROOT / "templates" / "locks"
OLDEST_PYTHON = {"5.2": "3.11", "6.1": "3.12"}


def compile_lock(source: Path, target: Path, python_version: str) -> None:
    """Write target, the whole closure of source, with the versions that target already names.

    Raises subprocess.CalledProcessError where nothing satisfies the source.
    """
    command = ["uv", "pip", "compile", "--quiet", "--universal", "--generate-hashes"]
    command += ["--python-version", python_version, "--custom-compile-command", "make lock"]
    command += sys.argv[1:]
    # In the folder of the source: the notes in a lock then name files, not folders.
    local = source.with_suffix(".txt")
    local.write_bytes(target.read_bytes() if target.exists() else b"")
    subprocess.run(
        [*command, "--output-file", local.name, source.name], cwd=source.parent, check=True
    )
    if local != target:
        target.write_bytes(local.read_bytes())


def main() -> None:
    """Lock this repository, then render each combination and lock what it asks for."""
    compile_lock(ROOT / "requirements-dev.in", ROOT / "requirements-dev.txt", "3.11")
    LOCKS.mkdir(parents=True, exist_ok=True)
    questions = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    for name in (
        "build.txt",
        *(
            f"{django}-{driver}{suffix}.txt"
            for django, driver in itertools.product(
                questions["django_version"], questions["postgres_driver"]
            )
            for suffix in ("", "-dev")
        ),
    ):
        (LOCKS / name).touch()
    for django, driver in itertools.product(
        questions["django_version"], questions["postgres_driver"]
    ):
        with tempfile.TemporaryDirectory() as folder:
            project = Path(
                cookiecutter(
                    str(ROOT),
                    no_input=True,
                    accept_hooks=False,
                    output_dir=folder,
                    extra_context={"django_version": django, "postgres_driver": driver},
                )
            )
            oldest = OLDEST_PYTHON[django]
            compile_lock(project / "requirements-build.in", LOCKS / "build.txt", oldest)
            compile_lock(project / "requirements.in", LOCKS / f"{django}-{driver}.txt", oldest)
            compile_lock(
                project / "requirements-dev.in", LOCKS / f"{django}-{driver}-dev.txt", oldest
            )
            print(f"Django {django}, {driver}: locked")


if __name__ == "__main__":
    main()
