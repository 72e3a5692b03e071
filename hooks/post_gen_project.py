"""Finish the rendered project: .env with fresh secrets, execute bits, what to do next.

Standard library only, no network, no Docker. Runs in the folder of the rendered project.
"""

import json
import runpy
import sys
from contextlib import suppress
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")
# What the file names of optional files leave behind where they are not chosen, innermost first.
FOLDERS_OF_OPTIONAL_FILES = [
    "docker/app",
    "docker/caddy",
    "docker/redis",
    "secrets",
    ".github/workflows",
    ".github",
]


def make_env() -> int:
    """Make .env where there is none. Return the exit status."""
    return runpy.run_path("scripts/make_env.py")["main"]()


def make_executable() -> None:
    """Set the execute bits, which Git on Windows, or an archive, may have lost."""
    scripts = (path for folder in ("docker", "scripts") for path in Path(folder).rglob("*.sh"))
    for path in [Path("app/manage.py"), *scripts]:
        path.chmod(path.stat().st_mode | 0o111)


def remove_empty_folders() -> None:
    """Remove the folders of files that were not chosen; what a user put there stays."""
    for name in FOLDERS_OF_OPTIONAL_FILES:
        with suppress(OSError):
            Path(name).rmdir()


def warnings(answers: dict) -> list[str]:
    """Return a line for each choice that works and is unwise."""
    found = []
    if answers["deployment"] == "compose" and answers["postgres_driver"] == "psycopg2-binary":
        found.append(
            "psycopg2-binary brings libpq and OpenSSL that no system update reaches: "
            "psycopg2 is the choice for production."
        )
    if answers["deployment"] == "compose" and answers["postgres_storage"] == "tmpfs":
        found.append("the database is in memory, in production too: a restart of it loses all.")
    return found


def closing_words(answers: dict) -> str:
    """Return what was made, what to do next and the warnings; with make_env's line 12 at most."""
    driver = "psycopg 3" if answers["postgres_driver"] == "psycopg" else answers["postgres_driver"]
    django, python = answers["django_version"], answers["python_version"]
    database = f"PostgreSQL {answers['postgres_version']} through {driver}"
    lines = [
        f"Made {answers['project_slug']}: Django {django} on Python {python}, {database}.",
        "",
        "Next:",
        f"  cd {answers['project_slug']}",
        "  docker compose up",
        "  docker compose exec app python manage.py createsuperuser",
        "Then open http://127.0.0.1:8000/",
        *(f"Warning: {warning}" for warning in warnings(answers)),
    ]
    return "\n".join(lines)


def main() -> int:
    """Return the exit status: other than 0, Cookiecutter removes what it rendered."""
    status = make_env()
    if status:
        return status
    make_executable()
    remove_empty_folders()
    print(closing_words(ANSWERS))
    return 0


if __name__ == "__main__":
    sys.exit(main())
