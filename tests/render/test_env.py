"""What `make env` and the hook write into .env, and what they leave as it is."""

import os
import re
import signal
import stat

import pytest

from tests.support.generate import generate
from tests.support.project import Project

# A file that its user has edited, without the last line break.
EDITED = """# mine
DEBUG=true
POSTGRES_PASSWORD='the one the volume knows'

SECRET_KEY=caf\udce9 \r
COMPOSE_PROJECT_NAME=my_project-abc123
export POSTGRES_USER=me"""


def write_env(project: Project, text: str) -> None:
    """Replace the text of .env."""
    data = text.encode(errors="surrogateescape")
    (project.path / ".env").write_bytes(data)
    (project.path / ".env").chmod(0o600)


def make_env(project: Project, *places: str) -> str:
    """Run what `make env` runs in a container; return what it printed."""
    return project.run("python", "scripts/make_env.py", *places).stdout


@pytest.mark.every_python
def test_make_env_adds_what_is_missing_with_its_comment_and_changes_nothing_else(bake):
    project = bake(use_redis=True)
    env = project.path / ".env"
    write_env(project, EDITED)
    env.chmod(0o640)
    if os.getuid() == 0:
        os.chown(env, 1234, 1234)
    before = env.stat()

    printed = make_env(project)

    missing = "ALLOWED_HOSTS, POSTGRES_DB, REDIS_PASSWORD, LIVE_DATA, APP_PORT, DEBUG_PORT, HOST_UID, HOST_GID"
    assert printed == f"Added {missing} to .env.\n"
    text = env.read_bytes().decode(errors="surrogateescape")
    assert text.startswith(EDITED + "\n\n# Host names this site answers to")
    assert re.search(r"\n\nREDIS_PASSWORD=[0-9a-f]{32}\n", text)
    assert "# for `docker compose up --scale app=3`.\nAPP_PORT=8000\n" in text
    after = env.stat()
    assert (after.st_mode, after.st_uid) == (before.st_mode, before.st_uid)
    assert make_env(project) == ".env stays as it is.\n"
    assert env.read_bytes().decode(errors="surrogateescape") == text
    assert not (project.path / ".env.new").exists()


@pytest.mark.every_python
def test_an_answer_that_needs_a_new_line_in_env_adds_it(tmp_path):
    assert generate(tmp_path)[0] == 0
    project = Project(tmp_path / "my_project")
    before = project.read(".env")

    status, printed = generate(tmp_path, "--overwrite-if-exists", "use_redis=true")

    assert status == 0 and "Added REDIS_PASSWORD to .env." in printed
    after = project.read(".env")
    assert after.startswith(before)
    assert re.fullmatch(r"\nREDIS_PASSWORD=[0-9a-f]{32}\n", after.removeprefix(before))


# Runs make_env.py, which is interrupted when it calls this method of its path.
INTERRUPTED = """
import os, pathlib, runpy, signal, sys
setattr(pathlib.Path, sys.argv[1], lambda *_: os.kill(os.getpid(), signal.SIGKILL))
runpy.run_path("scripts/make_env.py")["main"]()
"""


@pytest.mark.every_python
@pytest.mark.parametrize("moment", ["chmod", "replace"])
@pytest.mark.parametrize("before", [EDITED, None], ids=["existing", "new"])
def test_a_kill_leaves_env_as_it_was(bake, moment, before):
    project = bake()
    env = project.path / ".env"
    env.unlink()
    if before:
        write_env(project, before)

    killed = project.run("python", "-c", INTERRUPTED, moment, check=False)

    assert killed.returncode == -signal.SIGKILL
    assert before == (env.read_bytes().decode(errors="surrogateescape") if before else None)
    assert env.exists() == bool(before)
    (left,) = project.path.glob(".env.new")
    assert stat.S_IMODE(left.stat().st_mode) == 0o600
    assert left.name in project.read(".gitignore").splitlines()
    make_env(project)
    assert b"HOST_GID=" in env.read_bytes() and not left.exists()


@pytest.mark.every_python
def test_an_env_without_a_name_keeps_the_volumes_that_it_has(bake):
    project = bake()
    write_env(project, "DEBUG=true\n")
    make_env(project)
    assert project.stack == "my_project"


@pytest.mark.every_python
def test_the_env_of_a_server_is_left_alone(bake):
    project = bake(deployment="compose")
    production = project.read(".env.production.example")
    write_env(project, production)
    assert make_env(project) == ".env stays as it is.\n"
    assert project.read(".env") == production


@pytest.mark.every_python
@pytest.mark.parametrize(
    ("storage", "places", "live"),
    [
        ("named_volume", [], "db_data_18"),
        # Only a volume of another version that stands alone is live; after an upgrade, the old one stays.
        ("named_volume", ["NAME_db_data_17"], "db_data_17"),
        ("named_volume", ["NAME_db_data_17", "NAME_db_data_18"], "db_data_18"),
        ("named_volume", ["NAME2_db_data_17", "shop_db_data_16"], "db_data_18"),
        ("bind_mount", [], "postgres_data/18"),
        ("bind_mount", ["postgres_data/17"], "postgres_data/17"),
        ("bind_mount", ["NAME_db_data_18"], "db_data_18"),
    ],
)
def test_env_records_which_data_are_live(bake, storage, places, live):
    project = bake(postgres_storage=storage)
    name = project.stack
    assert project.setting("LIVE_DATA") == {"named_volume": "db_data_18"}.get(
        storage, "postgres_data/18"
    )
    project.replace(".env", f"LIVE_DATA={project.setting('LIVE_DATA')}\n", "")

    make_env(project, *(place.replace("NAME", name) for place in places))

    assert project.setting("LIVE_DATA") == live


@pytest.mark.every_python
def test_an_env_that_cannot_be_written_is_one_line(tmp_path):
    assert generate(tmp_path)[0] == 0
    project = Project(tmp_path / "my_project")
    (project.path / ".env").unlink()
    (project.path / ".env").mkdir()

    process = project.run("python", "scripts/make_env.py", check=False)
    status, printed = generate(tmp_path, "--overwrite-if-exists")

    assert process.stdout == ".env cannot be written: Is a directory.\n"
    assert process.returncode == status == 1
    assert process.stdout in printed and "IsADirectory" not in printed


@pytest.mark.every_python
def test_data_in_memory_are_not_recorded(bake):
    project = bake(postgres_storage="tmpfs")
    assert "LIVE_DATA" not in project.read(".env") + project.read("scripts/make_env.py")


@pytest.mark.every_python
def test_the_hook_guesses_nothing_about_the_data_of_a_living_project(tmp_path):
    assert generate(tmp_path)[0] == 0
    project = Project(tmp_path / "my_project")
    project.replace(".env", "LIVE_DATA=db_data_18\n", "")

    status, printed = generate(tmp_path, "--overwrite-if-exists", "postgres_version=17")

    assert status == 0 and "Run `make env`" in printed
    assert "LIVE_DATA" not in project.read(".env")
    make_env(project)
    assert "Run `make env`" not in generate(tmp_path, "--overwrite-if-exists")[1]


@pytest.mark.stack
def test_make_env_finds_the_volume_of_the_project_and_tells_it_from_those_of_clones(bake):
    project = bake(project_slug=Project.unused_slug())
    own, other = f"{project.stack}_db_data_17", f"{project.slug}-ffffff_db_data_18"
    project.replace(".env", "LIVE_DATA=db_data_18\n", "")
    try:
        for volume in (own, other):
            project.run("docker", "volume", "create", volume)
        printed = project.run("make", "env").stdout
        assert "Added LIVE_DATA to .env." in printed
        assert project.setting("LIVE_DATA") == "db_data_17"
        assert re.findall(r"^Another clone .*: (.*)$", printed, re.MULTILINE) == [other]
    finally:
        project.run("docker", "volume", "rm", own, other)
