"""Pin every dependency, with hashes, for every combination of answers.

Write templates/locks/, which the rendered requirements*.txt include, and this repository's own
requirements-dev.txt, requirements-bench.txt and tests/packages.txt. A lock covers every Python from
the oldest that its Django supports, so that it also installs on a laptop without Docker. `make lock`
runs this; it needs a package index.
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
OLDEST_PYTHON_OF_TASKS = "3.12"
# The questions that decide which packages a project needs.
LOCKED = ("django_version", "postgres_driver", "use_redis", "media_storage", "use_tasks")
# Answers that need no package, and that no name of a lock has.
NO_PACKAGE = (False, "volume")


def combinations() -> dict[str, dict[str, str | bool]]:
    """Return each combination of answers to these questions, by the name of its lock.

    A name is made of the answers, as in 5.2-psycopg-redis-s3; of a yes, the name of its question.
    """
    questions = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
    choices = [
        [False, True] if isinstance(questions[name], bool) else questions[name] for name in LOCKED
    ]
    found = {}
    for answers in itertools.product(*choices):
        words = [
            name.removeprefix("use_") if answer is True else answer
            for name, answer in zip(LOCKED, answers, strict=True)
            if answer not in NO_PACKAGE
        ]
        found["-".join(words)] = dict(zip(LOCKED, answers, strict=True))
    return found


def compile_lock(source: Path, target: Path, python_version: str, *more: str) -> None:
    """Write target: all packages that source needs; versions that target has stay.

    more: further options of `uv pip compile`.

    Raises subprocess.CalledProcessError if no set of versions satisfies source.
    """
    # In the folder of the source, so that the comments in a lock name files without folders.
    local = source.with_suffix(".txt")
    local.write_bytes(target.read_bytes() if target.exists() else b"")
    # The first lines of a lock show this command: tools that update locks read it. The project's own
    # scripts/lock.sh writes the same.
    command = ["uv", "pip", "compile", "--universal", "--generate-hashes"]
    command += [*more, f"--output-file={local.name}", source.name]
    options = ["--quiet", "--python-version", python_version]
    options += ["--custom-compile-command", " ".join(command), *sys.argv[1:]]
    subprocess.run([*command, *options], cwd=source.parent, check=True)
    if local != target:
        target.write_bytes(local.read_bytes())


def main() -> None:
    """Lock this repository, then render each combination and lock its requirements."""
    compile_lock(ROOT / "requirements-dev.in", ROOT / "requirements-dev.txt", "3.11")
    # In one environment with the former: a package of both has one version.
    same = "--constraint=requirements-dev.txt"
    compile_lock(ROOT / "requirements-bench.in", ROOT / "requirements-bench.txt", "3.11", same)
    packages = ROOT / "tests" / "packages.in"
    # Django comes from the lock of the project into which the packages are installed.
    without = [f"--no-emit-package={name}" for name in ("django", "asgiref", "sqlparse", "tzdata")]
    compile_lock(packages, packages.with_suffix(".txt"), "3.11", *without)
    LOCKS.mkdir(parents=True, exist_ok=True)
    locks = [f"{name}{suffix}.txt" for name in combinations() for suffix in ("", "-dev")]
    for lock in ["build.txt", *locks]:
        (LOCKS / lock).touch()
    for name, answers in combinations().items():
        with tempfile.TemporaryDirectory() as folder:
            project = Path(
                cookiecutter(
                    str(ROOT),
                    no_input=True,
                    accept_hooks=False,
                    output_dir=folder,
                    extra_context=answers,
                )
            )
            oldest = OLDEST_PYTHON[answers["django_version"]]
            if answers["use_tasks"]:
                oldest = max(oldest, OLDEST_PYTHON_OF_TASKS)
            compile_lock(project / "requirements-build.in", LOCKS / "build.txt", oldest)
            compile_lock(project / "requirements.in", LOCKS / f"{name}.txt", oldest)
            compile_lock(project / "requirements-dev.in", LOCKS / f"{name}-dev.txt", oldest)
        print(f"{name}: locked")


if __name__ == "__main__":
    main()
