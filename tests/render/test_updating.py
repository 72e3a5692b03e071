"""The commands of docs/updating.md bring a project to the newest version, and lose nothing."""

import pytest

from tests.support.updating import (
    EDITS_OF_OLDEST,
    OF_OLDEST,
    answers_of,
    assert_nothing_is_lost,
    commit,
    edit_oldest,
    join,
    newest_template,
    old_project,
    update,
)

pytestmark = pytest.mark.git

@pytest.fixture(scope="module")
def template(tmp_path_factory) -> str:
    """The address of a clone of this repository, with what is here now."""
    return newest_template(tmp_path_factory.mktemp("newest"))


def test_a_project_of_the_oldest_version_gets_to_the_newest(tmp_path, template):
    project = old_project(tmp_path, template)
    edit_oldest(project)
    commit(project, "Our own")
    env = project.read(".env")

    printed = join(project, template, answers_of(project))

    edited = {name for name, *_ in EDITS_OF_OLDEST} | {"docs/engines.md"}
    assert all(f" {name} " in printed for name in edited)
    listed = [line for line in printed.splitlines() if " | " in line]
    assert len(listed) == len(edited) + len(list((project.path / "app/orders").rglob("*.py")))
    update(project, template=template, replaced=OF_OLDEST)
    assert_nothing_is_lost(project)
    assert project.read(".env") == env
    # No other secrets stay behind.
    assert [path.name for path in (project.path / ".git").rglob(".env")] == []
    # The next update needs no answers.
    update(project, "use_redis=true", template=template, replaced={"make backup": "true"})
    assert_nothing_is_lost(project)
    assert "  use_redis: true\n" in project.read(".template.yaml")
    assert (project.path / "compose.production.yaml").exists()
