"""Generating again over a project, and updating it, loses nothing of the user."""

import hashlib
import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.support.answers import ANSWERS
from tests.support.generate import generate
from tests.support.project import ROOT, Project
from tests.support.updating import newest_template

# A commit of this repository from before production was added: projects were made from it.
OLDER = "78aeb17"
# Every option, and the last answer to each question, under which most options are missing.
MOST = [
    f"{name}={True in answers or answers[0]}"
    for name, answers in ANSWERS.items()
    if name != "deployment"
] + ["deployment=compose"]
# Continuous backups are for production.
LEAST = [
    f"{name}={True not in answers and answers[-1]}"
    for name, answers in ANSWERS.items()
    if name not in ("deployment", "backup")
] + ["deployment=none"]
AUTHOR = ["-c", "user.name=Test", "-c", "user.email=test@example.org"]


def digests(folder: Path) -> dict[str, str]:
    """Return a digest of each file of a folder, by its path."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.rglob("*")
        if path.is_file()
    }


@pytest.fixture
def used(tmp_path) -> Project:
    """A project in use, with the user's own files, settings, secrets and backups."""
    assert generate(tmp_path, *MOST)[0] == 0
    project = Project(tmp_path / "my_project")
    project.run("python", "scripts/make_secrets.py")
    # Each line has a value of the user's.
    env = project.read(".env").replace("DEBUG=true", "DEBUG=false # mine\nMINE=1")
    for name, text in {
        ".env": re.sub("POSTGRES_PASSWORD=.*", "POSTGRES_PASSWORD=the one the volume knows", env),
        "app/shop/models.py": "# mine\n",
        "app/core/management/commands/mine.py": "# mine\n",
        "backups/a.dump": "rows\n",
        "media/photo.jpg": "pixels\n",
        ".github/CODEOWNERS": "* @mine\n",
        "ops/mine.conf": "# mine\n",
    }.items():
        (project.path / name).parent.mkdir(parents=True, exist_ok=True)
        (project.path / name).write_text(text)
    return project


@pytest.mark.parametrize("answers", [MOST, LEAST], ids=["same", "least"])
def test_generating_again_keeps_the_users_files(tmp_path, used, answers):
    before = digests(used.path)

    status, printed = generate(tmp_path, "--overwrite-if-exists", *answers)

    assert status == 0, printed
    after = digests(used.path)
    assert before.keys() <= after.keys()
    changed = {name for name in before if after[name] != before[name]}
    if answers == LEAST:
        # The template's own files follow the new answers.
        assert "README.md" in changed
        assert not changed & {".env", "secrets/secret_key", "backups/a.dump", "app/shop/models.py"}
    else:
        assert not changed


@pytest.mark.parametrize("answers", [MOST, LEAST], ids=["same", "least"])
def test_generating_again_can_keep_every_existing_file(tmp_path, used, answers):
    used.replace("README.md", "## Start", "## Mine")
    used.replace("app/core/static/core/home.css", ":root", "/* mine */\n:root")
    before = digests(used.path)

    words = ("--overwrite-if-exists", "--skip-if-file-exists")
    status, printed = generate(tmp_path, *words, *answers)

    assert status == 0, printed
    after = digests(used.path)
    assert {name: after.get(name) for name in before} == before


def test_a_refused_answer_changes_no_existing_file(tmp_path, used):
    before = digests(tmp_path)

    for words in (
        ["timezone=Paris"],
        ["description="],
        ["project_name= x", "project_slug=my_project"],
    ):
        status, printed = generate(tmp_path, "--overwrite-if-exists", *words)
        assert status == 1 and "Not rendered: " in printed
        assert digests(tmp_path) == before
    status, printed = generate(tmp_path)
    assert status == 1 and "already exists" in printed
    assert digests(tmp_path) == before


@pytest.mark.every_python
def test_without_hooks_make_env_completes_the_project(tmp_path, python_for):
    status, _ = generate(tmp_path, "--accept-hooks=no")
    assert status == 0
    project = Project(tmp_path / "my_project")
    assert not (project.path / ".env").exists()
    assert "scripts/make_env.py" in project.read("README.md").partition("### A fresh clone")[2]

    # What `make env` runs, in a container or here.
    assert "Made .env" in project.run("python", "scripts/make_env.py").stdout
    project.run(python_for(), "manage.py", "check", cwd="app")


def test_the_same_answers_render_the_same_bytes(tmp_path):
    first, second = (digests(Path(generate_in(tmp_path / name, *MOST))) for name in ("one", "two"))
    assert first.pop(".env") != second.pop(".env")
    assert first == second


def generate_in(folder: Path, *answers: str) -> Path:
    """Generate a project in a new folder; return the project's folder."""
    folder.mkdir()
    assert generate(folder, *answers)[0] == 0
    return folder / "my_project"


@pytest.fixture
def template(tmp_path) -> Path:
    """A clone of this repository, with the files that are here now as its last commit."""
    return Path(newest_template(tmp_path).removeprefix("git+file://"))


@pytest.mark.git
def test_cruft_update_brings_the_templates_changes_and_keeps_the_users(
    tmp_path, template, python_for
):
    config = {"COOKIECUTTER_CONFIG": os.devnull}
    made = subprocess.run(
        ["cruft", "create", template, "--checkout", OLDER, "--no-input", "--skip", ".env"],
        cwd=tmp_path,
        env=os.environ | config,
        capture_output=True,
        text=True,
        check=False,
    )
    assert made.returncode == 0, made.stdout + made.stderr
    project = Project(tmp_path / "my_project")
    commit = ["git", *AUTHOR, "commit", "--quiet", "--all", "--message"]

    project.run("git", "init", "--quiet")
    project.run("git", "add", "--all")
    project.run(*commit, "as generated")
    (project.path / "app/shop").mkdir()
    (project.path / "app/shop/__init__.py").touch()
    # Not beside a line that the template has changed since.
    auth = '    "django.contrib.auth",\n'
    project.replace("app/config/settings.py", auth, f'{auth}    "shop",\n')
    project.replace("README.md", "## Start", "Our shop is open.\n\n## Start")
    project.run("git", "add", "--all")
    project.run(*commit, "our own")
    env = project.read(".env")

    assert project.run("cruft", "check", check=False, env=config).returncode == 1
    assert "Our shop is open." in project.run("cruft", "diff", env=config).stdout
    # The older commit did not ask for it.
    answers = '{"deployment": "compose"}'
    words = ("--skip-apply-ask", "--variables-to-update", answers)
    printed = project.run("cruft", "update", *words, env=config).stdout

    assert "error" not in printed.lower() and not list(project.path.rglob("*.rej")), printed
    assert project.read(".env") == env
    settings = project.read("app/config/settings.py")
    assert '"shop"' in settings and "config.health.health_middleware" in settings
    readme = project.read("README.md")
    assert "Our shop is open." in readme and "make deploy" in readme
    assert (project.path / "compose.production.yaml").exists()
    assert project.run("cruft", "check", env=config).returncode == 0
    project.run(python_for(), "manage.py", "check", cwd="app", env={"DEBUG": "true"})


def test_generating_again_keeps_what_env_has(tmp_path):
    assert generate(tmp_path)[0] == 0
    env = tmp_path / "my_project" / ".env"
    env.write_text("POSTGRES_PASSWORD=the one the volume knows\n")

    assert generate(tmp_path, "--overwrite-if-exists")[0] == 0
    text = env.read_text()
    assert text.startswith("POSTGRES_PASSWORD=the one the volume knows\n\n")

    status, printed = generate(tmp_path, "--overwrite-if-exists")
    assert status == 0 and ".env stays as it is." in printed
    assert env.read_text() == text


def test_generating_again_keeps_empty_folders_of_the_user(tmp_path):
    assert generate(tmp_path, "use_entrypoint=false")[0] == 0
    project = tmp_path / "my_project"
    assert not (project / "docker").exists()
    (project / "app/shop/management").mkdir(parents=True)

    assert generate(tmp_path, "use_entrypoint=false", "--overwrite-if-exists")[0] == 0

    assert (project / "app/shop/management").is_dir()
    assert not (project / "docker").exists()


def test_a_template_at_a_relative_path_leaves_no_empty_folder(tmp_path):
    command = f'cd "{ROOT}" && cookiecutter . --no-input --output-dir "$0"'
    environment = os.environ | {"COOKIECUTTER_CONFIG": os.devnull}
    subprocess.run(
        ["sh", "-c", command, tmp_path], check=True, capture_output=True, env=environment
    )

    folders = [path for path in tmp_path.rglob("*") if path.is_dir()]
    assert not [folder for folder in folders if not any(folder.iterdir())]


@pytest.mark.stack
def test_a_project_made_without_hooks_starts_after_make_env_whatever_the_checkout_made_of_it(
    tmp_path,
):
    slug = Project.unused_slug()
    assert generate(tmp_path, "--accept-hooks=no", f"project_slug={slug}")[0] == 0
    project = Project(tmp_path / slug)
    # Only its owner can read it, and its script has CRLF and no execute bit.
    for path in [project.path, *project.path.rglob("*")]:
        path.chmod(path.stat().st_mode & ~0o077)
    script = project.path / "docker/app/entrypoint.sh"
    script.write_bytes(script.read_bytes().replace(b"\n", b"\r\n"))
    script.chmod(0o600)
    try:
        project.run("make", "env")
        project.choose_port()
        project.up()
        assert project.status("/") == 200
        # The production image runs as another user than the one who owns the files.
        project.run("make", "build")
        project.run("make", "check")
    finally:
        project.remove_from_engine()
