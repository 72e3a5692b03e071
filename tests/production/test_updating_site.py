"""A project of the oldest version in use is updated to the newest, in development and in production."""

import pytest

from tests.support.project import ROOT
from tests.support.updating import (
    MIGRATION,
    OF_OLDEST,
    WRITE,
    answers_of,
    assert_nothing_is_lost,
    clone,
    commands_of,
    commit,
    edit_oldest,
    holds_the_data,
    join,
    newest_template,
    old_project,
    update,
)

pytestmark = [pytest.mark.git, pytest.mark.stack]


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> str:
    """The address of a clone of this repository, with what is here now."""
    return newest_template(tmp_path_factory.mktemp("newest"))


@pytest.fixture
def projects():
    """An empty list: what a test adds to it is removed from the engine."""
    projects = []
    yield projects
    for project in projects:
        project.remove_from_engine()


def steps(kind: str) -> list[str]:
    """Return what the changelog says that a user of the oldest version has to do."""
    development, production = commands_of(ROOT / "CHANGELOG.md", "1.0.0")
    return {"development": development, "production": production}[kind]


@pytest.mark.long
def test_development_goes_on_after_an_update(tmp_path, template, projects):
    project = old_project(tmp_path, template)
    projects.append(project)
    project.choose_port()
    edit_oldest(project)
    project.up("--build")
    project.run("make", "migrations")
    project.run("make", "migrate")
    project.exec("app", "python", "manage.py", "shell", "-c", WRITE)
    assert holds_the_data(project)
    commit(project, "Our own")
    before = project.read(".env")

    join(project, template, answers_of(project))
    printed = update(project, template=template, replaced=without(OF_OLDEST, "make backup")).stdout

    assert "Made backups/" in printed
    assert_nothing_is_lost(project)
    # The lock that a merge leaves behind is made anew, before the image is.
    project.run("make", "lock")
    assert "\nsqlparse==" in project.read("requirements.txt")
    for line in steps("development"):
        project.run("sh", "-ec", line.replace("up --build", "up --build --detach --wait"))
    assert project.read(".env").startswith(before)
    assert holds_the_data(project)
    assert '"an upload"' in project.get("/uploaded?name=photo.txt")[1]
    assert project.status("/") == 200
    project.run("make", "check")


def without(replaced: dict[str, str], name: str) -> dict[str, str]:
    """Return a copy of a dictionary without one name."""
    return {key: value for key, value in replaced.items() if key != name}


@pytest.mark.long
def test_a_site_is_updated_while_it_runs(tmp_path, template, projects):
    project = old_project(tmp_path, template)
    edit_oldest(project)
    # Made here, where no engine runs it.
    migration = project.path / "app/orders/migrations/0001_initial.py"
    migration.write_text(MIGRATION)
    commit(project, "Our own")
    site = clone(project, tmp_path / "server" / project.slug)
    projects.append(site)
    site.to_production()
    # The oldest version has no ops/, and says no address.
    assert "\nReleased.\n" in site.run("make", "deploy", timeout=900).stdout
    site.exec("app", "python", "manage.py", "shell", "-c", WRITE)
    assert holds_the_data(site)

    join(project, template, answers_of(project))
    update(project, template=template, replaced=OF_OLDEST)
    for line in steps("production"):
        printed = site.run("sh", "-ec", line).stdout
    assert "\nReleased. https://" in printed

    # nginx is in the place of Caddy.
    assert not site.containers("caddy", "--all")
    named = ("docker", "volume", "ls", "--quiet", "--filter", f"name={site.stack}_caddy")
    assert not site.run(*named).stdout
    assert holds_the_data(site)
    assert site.status_over_https("/") == 200
    assert "an upload" in site.request("/uploaded?name=photo.txt").text
