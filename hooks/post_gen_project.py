"""Finish the rendered project: make .env, set execute bits, say what to do next.

Standard library only, no network, no Docker. Runs in the folder of the rendered project.
"""

import json
import runpy
import sys
from contextlib import suppress
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
# Folders that hold optional files only and are empty if none was chosen, innermost first.
FOLDERS_OF_OPTIONAL_FILES = [
    "docker/app",
    "docker/caddy",
    "docker/redis",
    "secrets",
    ".github/workflows",
    ".github",
]


def make_env() -> int:
    """Make .env if there is none. Return the exit status."""
    return runpy.run_path("scripts/make_env.py")["main"]()


def make_executable() -> None:
    """Set the execute bits, which Git on Windows or an archive may have lost."""
    scripts = (path for folder in ("docker", "scripts") for path in Path(folder).rglob("*.sh"))
    for path in [Path("app/manage.py"), *scripts]:
        path.chmod(path.stat().st_mode | 0o111)


def remove_empty_folders() -> None:
    """Remove the folders of files that were not chosen, unless the user has files in them."""
    for name in FOLDERS_OF_OPTIONAL_FILES:
        with suppress(OSError):
            Path(name).rmdir()


def closing_words(answers: dict) -> str:
    """Return what was made, what to do next, and a warning for a choice that loses data."""
    slug = answers["project_slug"]
    driver = {"psycopg": "psycopg 3"}.get(answers["postgres_driver"], answers["postgres_driver"])
    django, python = answers["django_version"], answers["python_version"]
    database = f"PostgreSQL {answers['postgres_version']} through {driver}"
    lines = [
        f"Made {slug}: Django {django} on Python {python}, {database}.",
        "",
        "Next:",
        f"  cd {slug}",
        "  docker compose up",
        "  docker compose run --rm app python manage.py createsuperuser",
        "Then open http://127.0.0.1:8000/",
    ]
    if answers["deployment"] == "compose" and answers["postgres_storage"] == "tmpfs":
        lines.append("Warning: production keeps the database in memory, too: a restart deletes it.")
    return "\n".join(lines)


def main() -> int:
    """Return the exit status: if it is not 0, Cookiecutter removes the project."""
    status = make_env()
    if status:
        return status
    make_executable()
    remove_empty_folders()
    print(closing_words(ANSWERS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
