"""A default project in use, and docs/updating.md, which adds production to it."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.support.generate import generate
from tests.support.project import ROOT, Project
from tests.support.swarm import UPLOADS

AUTHOR = {
    f"GIT_{who}_{what}": "test@example.org"
    for who in ("AUTHOR", "COMMITTER")
    for what in ("NAME", "EMAIL")
}
MODELS = """from django.db import models


class Order(models.Model):
    note = models.TextField()
    photo = models.FileField()
"""
WRITE = """
from django.core.files.base import ContentFile
from orders.models import Order
Order.objects.create(note="of development", photo=ContentFile(b"an upload", "photo.txt"))
"""
# Files of the template that the user edits below.
EDITED = {
    ".gitignore",
    "README.md",
    "app/config/settings.py",
    "app/config/urls.py",
    "compose.yaml",
    "requirements.in",
}


def commit(project: Project, message: str) -> None:
    """Commit everything."""
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", message, env=AUTHOR)


def new_project(folder: Path, *answers: str, slug: str = "") -> Project:
    """Return a project with the default answers, or others, in its first commit."""
    slug = slug or Project.unused_slug()
    answers = (f"project_slug={slug}", *answers)
    status, printed = generate(folder, *answers)
    assert status == 0, printed
    lines = [f"  {name}: {answer!r}\n" for name, answer in (pair.split("=") for pair in answers)]
    (folder / "answers.yaml").write_text(f"default_context:\n{''.join(lines)}")
    project = Project(folder / slug)
    project.run("git", "init", "--quiet")
    commit(project, "Start")
    return project


def edit(project: Project) -> None:
    """Change what users change: settings, services, requirements, the page, and an app of their own."""
    project.add_views()
    with open(project.path / "app/config/urls.py", "a", encoding="utf-8") as urls:
        urls.write(UPLOADS)
    auth = '    "django.contrib.auth",\n'
    project.replace("app/config/settings.py", auth, f'    "orders",\n{auth}')
    project.replace("app/config/settings.py", 'LANGUAGE_CODE = "en-us"', 'LANGUAGE_CODE = "fr"')
    project.replace("compose.yaml", "stop_grace_period: 35s", "stop_grace_period: 45s")
    project.replace("README.md", "## Start", "Our shop is open.\n\n## Start")
    project.replace("requirements.in", "whitenoise\n", "whitenoise\n# Our own.\nsqlparse\n")
    project.replace(".gitignore", ".venv/\n", ".venv/\n/notes/\n")
    app = project.path / "app/orders"
    (app / "migrations").mkdir(parents=True)
    for name in ("__init__.py", "migrations/__init__.py"):
        (app / name).touch()
    (app / "models.py").write_text(MODELS)


def use(project: Project) -> None:
    """Start a project, edit it while it runs, and write a row with an upload."""
    project.choose_port()
    project.up()
    edit(project)
    project.run("make", "migrations")
    project.up()
    project.run("make", "migrate")
    project.exec("app", "python", "manage.py", "shell", "-c", WRITE)
    assert holds_the_data(project)
    commit(project, "Orders")


def holds_the_data(project: Project) -> bool:
    """Return whether the row is in the database."""
    return project.sql("SELECT note, photo FROM orders_order") == "of development|photo.txt"


def commands_of(page: Path, title: str) -> list[list[str]]:
    """Return the blocks of commands of a section, as they stand there."""
    section = page.read_text(encoding="utf-8").partition(f"## {title}\n")[2].partition("\n## ")[0]
    blocks = re.findall(r"(?:^    .*\n)+", section, re.MULTILINE)
    return [[line.strip() for line in block.splitlines()] for block in blocks]


def add(
    project: Project, *answers: str, check: bool = True, replaced: dict[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Run the commands of docs/updating.md as they stand there, with these answers."""
    commands, _ = commands_of(ROOT / "docs/updating.md", "Add production, or change another answer")
    script = "\n".join(commands).replace("gh:org/template", str(ROOT))
    assert script.count("deployment=compose") == 1
    script = script.replace("deployment=compose", " ".join(answers))
    for old, new in (replaced or {}).items():
        assert old in script
        script = script.replace(old, new)
    script = re.sub(r"\bshop\b", project.slug, script)
    # The defaults are the answers of then: each question is answered with Enter.
    config = project.path.parent / "answers.yaml"
    process = subprocess.run(
        ["sh", "-c", 'yes "" | sh -ex -c "$0"', script],
        cwd=project.path.parent,
        env=os.environ | AUTHOR | {"COOKIECUTTER_CONFIG": str(config)},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        timeout=300,
    )
    assert not check or process.returncode == 0, process.stdout
    return process


def assert_edits_are_there(project: Project) -> None:
    """Fail unless the merge has kept what the user edited, and everything is committed."""
    assert project.run("git", "status", "--porcelain").stdout == ""
    settings = project.read("app/config/settings.py")
    assert '"orders"' in settings and 'LANGUAGE_CODE = "fr"' in settings
    assert "stop_grace_period: 45s" in project.read("compose.yaml")
    assert "Our shop is open." in project.read("README.md")
    assert "# Our own.\nsqlparse\n" in project.read("requirements.in")
    assert "/notes/" in project.read(".gitignore")
    assert project.read("app/orders/models.py") == MODELS


def clone(project: Project, folder: Path) -> Project:
    """Return another clone of a project, with the settings of a server."""
    project.run("git", "clone", "--quiet", ".", folder)
    shutil.copy(folder / ".env.production.example", folder / ".env")
    return Project(folder)
