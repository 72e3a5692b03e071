"""Finish the rendered project: make .env, set execute bits, say what to do next.

Standard library only, no network, no Docker. Runs in the folder of the rendered project.
"""

import json
import os
import re
import sys
from contextlib import suppress
from pathlib import Path

ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")


def complete_env() -> str | None:
    """Make .env, or add what it lacks. Return what went wrong, or None."""
    # Otherwise, Python would make a folder for its bytecode in the project.
    sys.dont_write_bytecode = True
    sys.path.insert(0, "scripts")
    import make_env

    problem = make_env.main()
    if not problem:
        example, env = (Path(name).read_bytes() for name in (".env.example", ".env"))
        if b"\nLIVE_DATA=" in example and b"\nLIVE_DATA=" not in env:
            print(
                "Run `make env`: it looks for the data of this project, and adds LIVE_DATA to .env."
            )
    return problem


def make_executable() -> None:
    """Set the execute bits, which Git on Windows or an archive may have lost."""
    scripts = (
        path for folder in ("docker", "ops", "scripts") for path in Path(folder).rglob("*.sh")
    )
    for path in [Path("app/manage.py"), *scripts]:
        path.chmod(path.stat().st_mode | 0o111)


def remove_empty_folders() -> None:
    """Remove the template's folders of which no file was chosen, unless the user has files in them.

    Cookiecutter was started in PWD, to which the path of a local template is relative.
    """
    here = os.environ.get("PWD", "")
    template = Path(
        here, ANSWERS.get("_repo_dir", ""), r"{% raw %}{{cookiecutter.project_slug}}{% endraw %}"
    )
    for folder, _, _ in os.walk(template, topdown=False):
        with suppress(OSError):
            os.rmdir(os.path.relpath(folder, template))


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
        "and in a second terminal, in the same folder:",
        "  docker compose run --rm app python manage.py createsuperuser",
        "Then open http://127.0.0.1:8000/",
    ]
    if answers["deployment"] == "compose" and answers["postgres_storage"] == "tmpfs":
        lines.append("Warning: production keeps the database in memory, too: a restart deletes it.")
    return "\n".join(lines)


def update_words(answers: dict) -> str:
    """Return which version of the template this is, and from which one it is an update."""
    template = Path(".template.yaml").read_text(encoding="utf-8")
    now = re.search("_made_by: '(.*)'", template)[1]
    before = answers["_made_by"] or "an older version"
    if now == before:
        return f"Rendered with the template {now}, as before."
    return f"Rendered with the template {now}, after {before}: CHANGELOG.md there says what to do."


def main() -> str | None:
    """Return what went wrong, or None: if it is not None, Cookiecutter removes the project."""
    # In a worktree, .git is a file. docs/updating.md renders there, and nothing runs there.
    if Path(".git").is_file() and not Path(".env").exists():
        make_executable()
        remove_empty_folders()
        print(update_words(ANSWERS))
        return None
    problem = complete_env()
    if problem:
        return problem
    make_executable()
    remove_empty_folders()
    print(closing_words(ANSWERS))
    return None


if __name__ == "__main__":
    sys.exit(main())
