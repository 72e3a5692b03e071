"""Production is added to a project in use, and data moves from development to production and back."""

import re
import shutil

import pytest

from tests.support.backups import backup, restore
from tests.support.swarm import uploaded
from tests.support.updating import (
    AUTHOR,
    EDITED,
    assert_edits_are_there,
    clone,
    commit,
    edit,
    holds_the_data,
    new_project,
    update,
    use,
)

# The engine is not needed to merge: a backup of what does not run is left out.
WITHOUT_ENGINE = {"make backup": "true"}


@pytest.fixture
def edited(tmp_path):
    """A project that is edited and not started."""
    project = new_project(tmp_path)
    edit(project)
    commit(project, "Orders")
    return project


@pytest.mark.git
@pytest.mark.parametrize(
    "answers",
    [
        ("deployment=compose",),
        ("deployment=swarm", "media_storage=s3"),
        ("use_redis=true",),
    ],
    ids=" ".join,
)
def test_a_changed_answer_keeps_what_the_user_edited(edited, answers):
    env = edited.read(".env")

    printed = update(edited, *answers, replaced=WITHOUT_ENGINE).stdout

    assert "Made .env" not in printed
    assert_edits_are_there(edited)
    assert edited.read(".env") == env
    wanted = new_project(edited.path.parent / "new", *answers, slug=edited.slug)
    names = {name for name in wanted.files() if not name.startswith(".git/")}
    have = {name for name in edited.files() if not name.startswith((".git/", "app/orders/"))}
    assert have == names
    assert all(edited.read(name) == wanted.read(name) for name in names - EDITED - {".env"})
    if "use_redis=true" in answers:
        assert "REDIS_PASSWORD" in edited.run("python", "scripts/make_env.py").stdout


@pytest.mark.git
def test_a_conflict_is_shown_and_can_be_undone(edited):
    script = "docker/app/entrypoint.sh"
    edited.replace(script, "set -eu", "set -eu  # ours")
    settings = "app/gunicorn.conf.py"
    edited.replace(settings, '"GUNICORN_THREADS") or 4', '"GUNICORN_THREADS") or 8')
    commit(edited, "Our own")
    before = edited.run("git", "rev-parse", "HEAD").stdout

    process = update(
        *(edited, "deployment=compose", "use_entrypoint=false"),
        check=False,
        replaced=WITHOUT_ENGINE,
    )

    assert process.returncode != 0
    assert f"CONFLICT (modify/delete): {script}" in process.stdout
    assert f"CONFLICT (content): Merge conflict in {settings}" in process.stdout
    assert "or 8" in edited.read(settings) and "ours" in edited.read(script)
    edited.run("git", "merge", "--abort", env=AUTHOR)
    assert edited.run("git", "rev-parse", "HEAD").stdout == before
    assert edited.run("git", "status", "--porcelain").stdout == ""


@pytest.fixture
def projects(tmp_path):
    """An empty list: what a test adds to it is removed from the engine."""
    projects = []
    yield projects
    for project in projects:
        project.remove_from_engine()


@pytest.mark.git
@pytest.mark.stack
def test_production_is_added_and_data_moves_there_and_back(tmp_path, projects):
    development = new_project(tmp_path / "development")
    projects.append(development)
    use(development)
    volumes = ("docker", "volume", "ls", "--quiet", "--filter", f"name={development.stack}_db")
    before = development.run(*volumes).stdout

    made = re.search(r"Made (backups/\S+)", update(development, "deployment=compose").stdout)[1]

    # Development goes on.
    assert_edits_are_there(development)
    development.run("make", "env")
    development.up("--build")
    assert development.run(*volumes).stdout == before != ""
    assert holds_the_data(development)
    assert '"an upload"' in development.get("/uploaded?name=photo.txt")[1]

    # Production on the same engine.
    site = clone(development, tmp_path / "server" / development.slug)
    site.to_production()
    projects.append(site)
    assert "\nReleased. https://" in site.deploy().stdout
    shutil.copytree(development.path / made, site.path / made)
    assert f"Restored {made}" in restore(site, made).stdout
    assert holds_the_data(site)
    owners = "SELECT DISTINCT tableowner FROM pg_tables WHERE schemaname = 'public'"
    assert site.admin_sql(owners) == "django"
    assert uploaded(site, "photo.txt")["text"] == "an upload"
    assert "\nReleased. https://" in site.deploy().stdout
    assert development.get("/uploaded?name=photo.txt")[0] == 200

    # A developer looks at its data.
    site.sql("INSERT INTO orders_order (note, photo) VALUES ('of production', 'photo.txt')")
    name = backup(site)
    (development.path / "media/photo.txt").unlink()
    shutil.copytree(site.path / name, development.path / name)
    restore(development, name)
    notes = development.sql("SELECT note FROM orders_order ORDER BY id")
    assert notes == "of development\nof production"
    assert '"an upload"' in development.get("/uploaded?name=photo.txt")[1]
