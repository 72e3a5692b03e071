"""A project in use, and docs/updating.md, whose commands bring it to other answers and newer versions."""

import os
import re
import shutil
import subprocess
from pathlib import Path

from tests.support.generate import generate
from tests.support.project import ROOT, Project
from tests.support.swarm import UPLOADS

PAGE = ROOT / "docs/updating.md"
# The oldest commit whose projects are updated by the commands of the page.
OLDEST = "2f1379c"
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
URLS = f"""from config.urls import urlpatterns
from django.urls import path
from django.views.decorators.csrf import csrf_exempt
{UPLOADS}"""
MIGRATION = """from django.db import migrations, models


class Migration(migrations.Migration):
    initial = True
    dependencies = []
    operations = [
        migrations.CreateModel(
            "Order",
            [
                ("id", models.BigAutoField(primary_key=True)),
                ("note", models.TextField()),
                ("photo", models.FileField(upload_to="")),
            ],
        )
    ]
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


# What a user of the oldest version has edited in it: the file, a text in it, and what it became.
EDITS_OF_OLDEST = [
    (".editorconfig", "indent_style = space", "indent_style = space\n# Our own."),
    (".env.example", "APP_PORT=8000", "# Ours is 8100.\nAPP_PORT=8000"),
    (".gitignore", ".venv/\n", ".venv/\n/notes/\n"),
    ("README.md", "## Start", "Our shop is open.\n\n## Start"),
    ("app/config/settings.py", 'LANGUAGE_CODE = "en-us"', 'LANGUAGE_CODE = "fr"'),
    (
        "app/config/settings.py",
        '    "django.contrib.auth",\n',
        '    "orders",\n    "django.contrib.auth",\n',
    ),
    (
        "app/core/admin.py",
        "from django.contrib import admin\n",
        "from django.contrib import admin  # ours\n",
    ),
    ("app/config/settings.py", '"config.urls"', '"orders.urls"'),
    (".dockerignore", "app/staticfiles\n", "app/staticfiles\n/ours\n"),
    ("app/pyproject.toml", "[tool.ruff.lint]\n", "[tool.ruff.lint]\n# ours\n"),
    ("compose.yaml", "start_period: 1m\n", "start_period: 90s\n"),
    ("compose.production.yaml", "max-size: 20m", "max-size: 25m"),
    ("requirements.in", "django-csp\n", "django-csp\n# Our own.\nsqlparse\n"),
]


# A backup of what does not run is left out, and the first time the answers are in another file.
OF_OLDEST = {"make backup": "true", "--config-file .template.yaml": "--config-file ../answers.yaml"}


def answers_of(project: Project) -> str:
    """Return the file of answers that the page describes, for a project of the oldest version."""
    return f"default_context:\n  project_slug: {project.slug}\n  deployment: compose\n"


def commit(project: Project, message: str) -> None:
    """Commit everything."""
    project.run("git", "add", "--all")
    project.run("git", "commit", "--quiet", "--message", message, env=AUTHOR)


def edit_oldest(project: Project) -> None:
    """Change a dozen files of a project of the oldest version, delete one, and add an app."""
    for name, old, new in EDITS_OF_OLDEST:
        project.replace(name, old, new)
    (project.path / "docs/engines.md").unlink()
    add_app(project)
    (project.path / "app/orders/urls.py").write_text(URLS)


def new_project(folder: Path, *answers: str, slug: str = "") -> Project:
    """Return a project with the default answers, or others, in its first commit."""
    slug = slug or Project.unused_slug()
    answers = (f"project_slug={slug}", *answers)
    status, printed = generate(folder, *answers)
    assert status == 0, printed
    project = Project(folder / slug)
    project.run("git", "init", "--quiet")
    commit(project, "Start")
    project.run("git", "branch", "template")
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
    add_app(project)


def add_app(project: Project) -> None:
    """Add an app of the user's own, with a model that has an upload."""
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
    return [[line.removeprefix("    ") for line in block.splitlines()] for block in blocks]


def run_page(
    project: Project,
    commands: list[str],
    replaced: dict[str, str] | None = None,
    check: bool = True,
    shell: str = "-ec",
) -> subprocess.CompletedProcess[str]:
    """Run commands of docs/updating.md as they stand there; replaced is what the page leaves open."""
    script = "\n".join(commands) + "\n"
    for old, new in (replaced or {}).items():
        assert old in script, f"{old} is not in:\n{script}"
        script = script.replace(old, new)
    script = script.replace(".git/update/shop", f".git/update/{project.slug}")
    # Each test has copies of its own of the template and of what Cookiecutter was told last.
    script = f'cookiecutter() {{ HOME={project.path.parent} command cookiecutter "$@"; }}\n{script}'
    return project.run("sh", shell, script, env=AUTHOR, check=check)


def update(
    project: Project,
    *answers: str,
    template: str = str(ROOT),
    check: bool = True,
    replaced: dict[str, str] | None = None,
    shell: str = "-ec",
) -> subprocess.CompletedProcess[str]:
    """Update a project, with these answers in place of its own."""
    (commands,) = commands_of(PAGE, "Update, or change an answer")
    source = " ".join([template, *answers])
    replaced = {"gh:org/template": source} | (replaced or {})
    return run_page(project, commands, replaced, check, shell)


def join(project: Project, template: str, answers: str, version: str = OLDEST) -> str:
    """Give a project the branch that it lacks; return what the page's commands print."""
    example, render, merge = commands_of(PAGE, "A project without the branch")
    assert example[0] == "default_context:" and "  deployment: compose" in example
    (project.path.parent / "answers.yaml").write_text(answers, encoding="utf-8")
    replaced = {"gh:org/template": template, OLDEST: version}
    return run_page(project, render + merge, replaced).stdout


def newest_template(folder: Path) -> str:
    """Clone this repository, with the files that are here now as its last commit; return its address."""
    clone = folder / "template"
    subprocess.run(["git", "clone", "--quiet", ROOT, clone], check=True)
    listing = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    listed = subprocess.run(listing, cwd=ROOT, capture_output=True, text=True, check=True).stdout
    names = set(listed.split("\0")) - {""}
    for name in names:
        (clone / name).unlink(missing_ok=True)
        if (ROOT / name).exists():
            (clone / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(ROOT / name, clone / name)
    for command in (["add", "--all"], ["commit", "--quiet", "--allow-empty", "--message=now"]):
        subprocess.run(["git", *command], cwd=clone, check=True, env=os.environ | AUTHOR)
    # Cookiecutter recognises no file:// without it.
    return f"git+file://{clone}"


def old_project(folder: Path, template: str, *answers: str, version: str = OLDEST) -> Project:
    """Return a project of an old version, in its first commit and without the branch `template`."""
    slug = Project.unused_slug()
    words = ("--checkout", version, f"project_slug={slug}", *answers)
    status, printed = generate(folder, *words, env={"HOME": str(folder)}, template=template)
    assert status == 0, printed
    project = Project(folder / slug)
    project.run("git", "init", "--quiet")
    commit(project, "Start")
    return project


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


def assert_nothing_is_lost(project: Project) -> None:
    """Fail unless the user's edits, files and deletions are there, and all is committed."""
    assert project.run("git", "status", "--porcelain").stdout == ""
    for name, _, new in EDITS_OF_OLDEST:
        assert all(line in project.read(name) for line in new.splitlines()), name
    assert project.read("app/orders/models.py") == MODELS
    assert project.read("app/orders/urls.py") == URLS
    assert not (project.path / "docs/engines.md").exists()
