"""Backups, restores and the databases of a server."""

import re

from tests.support.project import Project


def backup(project: Project, *words: str) -> str:
    """Make a backup; return its name for restore."""
    printed = project.run("make", "backup", *words).stdout
    return re.search(r"^Made (backups/\S+) \(\S+\)$", printed, re.MULTILINE)[1]


def restore(project: Project, name: str, *words: str, check: bool = True):
    """Restore a backup."""
    return project.run("make", "restore", f"FILE={name}", *words, check=check)


def backups(project: Project) -> list[str]:
    """Return the names in backups/, including unfinished backups."""
    return sorted(
        path.name for path in (project.path / "backups").iterdir() if path.name != ".gitignore"
    )


def databases(project: Project) -> set[str]:
    """Return the server's databases, except its own, with the time cut from replaced ones."""
    names = project.admin_sql("SELECT datname FROM pg_database WHERE NOT datistemplate").split()
    return {re.sub(r"_before_\d{8}_\d{6}$", "_before", name) for name in names} - {"postgres"}


def databases_before(project: Project) -> list[str]:
    """Return the names of the databases that restores have replaced."""
    return project.admin_sql("SELECT datname FROM pg_database WHERE datname ~ '_before_'").split()
