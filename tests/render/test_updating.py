"""The commands of docs/updating.md bring a project to the newest version, and lose nothing."""

import random
import re
import subprocess

import pytest
import yaml
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.support.project import Project
from tests.support.updating import (
    AUTHOR,
    EDITS_OF_OLDEST,
    OF_OLDEST,
    PAGE,
    answers_of,
    assert_nothing_is_lost,
    commands_of,
    commit,
    edit_oldest,
    join,
    new_project,
    newest_template,
    old_project,
    update,
)

pytestmark = pytest.mark.git

NO_ENGINE = {"make backup": "true"}
# A line that no file has, of which the user wrote any number.
LINES = st.text(st.characters(exclude_categories=["C", "Zl", "Zp"]), max_size=30)


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> str:
    """The address of a clone of this repository, with what is here now."""
    return newest_template(tmp_path_factory.mktemp("newest"))


@pytest.fixture
def project(tmp_path) -> Project:
    """A project with the branch `template` and an edit."""
    project = new_project(tmp_path)
    project.replace("README.md", "## Start", "Our shop is open.\n\n## Start")
    commit(project, "Our own")
    return project


def places(project: Project) -> tuple[object, ...]:
    """Return where the services of development keep their data, the image that reads it, and all volumes."""
    known = yaml.safe_load(project.read("compose.yaml"))
    app, db = known["services"]["app"], known["services"]["db"]
    # Folders of the project are no data of a service.
    mounted = [[one for one in service["volumes"] if one[0] != "."] for service in (app, db)]
    return *mounted, db["image"], known["volumes"]


def test_a_project_of_the_oldest_version_gets_to_the_newest(tmp_path, template):
    project = old_project(tmp_path, template)
    edit_oldest(project)
    commit(project, "Our own")
    env, before = project.read(".env"), places(project)

    printed = join(project, template, answers_of(project))

    edited = {name for name, *_ in EDITS_OF_OLDEST} | {"docs/engines.md"}
    assert all(f" {name} " in printed for name in edited)
    listed = [line for line in printed.splitlines() if " | " in line]
    assert len(listed) == len(edited) + len(list((project.path / "app/orders").rglob("*.py")))
    printed = update(project, template=template, replaced=OF_OLDEST).stdout
    assert_nothing_is_lost(project)
    assert "Made .env" not in printed and ": CHANGELOG.md there says what to do." in printed
    assert project.read(".env") == env and places(project) == before
    # No other secrets stay behind.
    assert not list((project.path / ".git").rglob(".env"))
    # The next update needs no answers.
    update(project, "use_redis=true", template=template, replaced=NO_ENGINE)
    assert_nothing_is_lost(project)
    assert "  use_redis: true\n" in project.read(".template.yaml")
    assert (project.path / "compose.production.yaml").exists()


def test_a_command_that_fails_ends_the_update_and_changes_nothing(tmp_path, project):
    before = project.run("git", "rev-parse", "HEAD", "template").stdout

    # As pasted into a shell, which goes on after a command that fails.
    refused = update(project, "deployment=swarm", replaced=NO_ENGINE, check=False, shell="-c")

    assert refused.returncode != 0 and "Not rendered: deployment 'swarm' needs" in refused.stdout
    assert project.run("git", "rev-parse", "HEAD", "template").stdout == before
    assert project.run("git", "status", "--porcelain").stdout == ""
    again = update(project, "use_redis=true", replaced=NO_ENGINE, check=False, shell="-c")
    assert again.returncode != 0 and "already exists" in again.stdout
    (end,) = re.findall(r"`(git worktree remove --force \S+)`", PAGE.read_text())
    project.run(*end.replace("shop", project.slug).split())
    update(project, "use_redis=true", replaced=NO_ENGINE)
    # The same again is no error.
    update(project, replaced=NO_ENGINE)
    assert "Our shop is open." in project.read("README.md")
    assert "redis-server" in project.read("compose.yaml")


def test_a_project_below_the_top_of_a_repository_is_refused(tmp_path, project):
    project.run("rm", "-rf", ".git")
    above = Project(project.path.parent)
    (above.path / "top.txt").write_text("ours")
    above.run("git", "init", "--quiet")
    commit(above, "All")
    above.run("git", "branch", "template")

    refused = update(project, "use_redis=true", replaced=NO_ENGINE, check=False, shell="-c")

    assert refused.returncode != 0 and "not a git repository" in refused.stdout
    assert above.run("git", "status", "--porcelain").stdout == ""
    assert (above.path / "top.txt").exists() and (project.path / ".env").exists()


def test_a_hook_of_the_project_and_a_global_ignore_do_not_change_what_is_rendered(project):
    hook = project.path / ".git/hooks/pre-commit"
    hook.write_text("#!/bin/sh\nexit 1\n")
    hook.chmod(0o755)
    (project.path / ".git/info/exclude").write_text(".vscode/\n")

    update(project, "use_redis=true", replaced=NO_ENGINE)

    assert (project.path / ".vscode/launch.json").exists()
    assert "Our shop is open." in project.read("README.md")


def test_what_both_have_changed_is_a_conflict_that_git_shows(tmp_path, template):
    project = old_project(tmp_path, template)
    project.replace("app/gunicorn.conf.py", "10_000", "12_000")
    last = "max_requests_jitter = 1_000\n"
    project.replace("app/gunicorn.conf.py", last, f"{last}backlog = 64\n")
    project.replace("app/core/csp.py", '"""', '"""Ours. ')
    project.replace("requirements.txt", "sqlparse==", "# Our own.\nsqlparse==")
    (project.path / ".github/dependabot.yml").unlink()
    commit(project, "Our own")
    before = project.run("git", "rev-parse", "HEAD^{tree}").stdout

    join(project, template, answers_of(project))
    process = update(project, template=template, replaced=OF_OLDEST, check=False)

    assert process.returncode != 0
    assert "CONFLICT (content): Merge conflict in app/gunicorn.conf.py" in process.stdout
    assert "CONFLICT (modify/delete): app/core/csp.py" in process.stdout
    assert "CONFLICT (modify/delete): .github/dependabot.yml" in process.stdout
    assert "backlog = 64" in project.read("app/gunicorn.conf.py")
    assert '"""Ours. ' in project.read("app/core/csp.py")
    # The locks are made anew from the template's side.
    assert "CONFLICT (content): Merge conflict in requirements.txt" in process.stdout
    (side,) = re.findall(r"`(git checkout --theirs) FILE`", PAGE.read_text())
    project.run(*side.split(), "requirements.txt")
    theirs = project.run("git", "show", "template:requirements.txt").stdout
    assert project.read("requirements.txt") == theirs
    project.run("git", "merge", "--abort")
    assert project.run("git", "rev-parse", "HEAD^{tree}").stdout == before


def test_a_clone_updates_with_the_branch_of_the_others(tmp_path, project):
    bare = tmp_path / "bare"
    project.run("git", "clone", "--quiet", "--bare", ".", bare)
    other = Project(tmp_path / "other" / project.slug)
    project.run("git", "clone", "--quiet", bare, other.path)

    update(other, "use_redis=true", replaced=NO_ENGINE)
    other.run("git", "push", "--quiet", "origin", "HEAD", "template")
    # The first one takes both, and goes on from there.
    project.run("git", "pull", "--quiet", bare)
    (fetch,) = re.findall(r"`git fetch origin (\S+)`", PAGE.read_text())
    project.run("git", "fetch", "--quiet", bare, fetch)
    update(project, "use_mailpit=true", replaced=NO_ENGINE)

    for answer in ("use_redis", "use_mailpit"):
        assert f"  {answer}: true\n" in project.read(".template.yaml")
    assert "Our shop is open." in project.read("README.md")
    assert "redis-server" in project.read("compose.yaml")


def test_updates_can_be_picked_where_merges_are_squashed(project):
    words = "git merge template"
    (pick,) = re.findall(r"write `(git [^`]*)` in place of `git merge template`", PAGE.read_text())
    for answer in ("use_redis=true", "use_mailpit=true"):
        update(project, answer, replaced=NO_ENGINE | {words: pick})
        # A squashed merge has no second parent, and other ids.
        project.run("git", "commit", "--quiet", "--amend", "--message", answer, env=AUTHOR)

    assert "Our shop is open." in project.read("README.md")
    assert "mailpit" in project.read("compose.override.yaml")
    assert "redis-server" in project.read("compose.yaml")
    assert project.run("git", "log", "--merges", "--oneline").stdout == ""


def test_a_lost_branch_is_made_again_from_the_answers_of_the_project(tmp_path, template, project):
    project.run("git", "branch", "--delete", "--force", "template")
    version = re.search("_made_by: '(.*)'", project.read(".template.yaml"))[1]
    folder = template.removeprefix("git+file://")
    subprocess.run(["git", "tag", version], cwd=folder, check=True)
    try:
        printed = join(project, template, project.read(".template.yaml"), version)
    finally:
        subprocess.run(["git", "tag", "--delete", version], cwd=folder, check=True)

    assert [line for line in printed.splitlines() if " | " in line] == [" README.md | 2 ++"]
    update(project, "use_redis=true", replaced=NO_ENGINE)
    assert "Our shop is open." in project.read("README.md")
    assert "redis-server" in project.read("compose.yaml")


@pytest.fixture(scope="module")
def merging(tmp_path_factory, template) -> Project:
    """A project of the oldest version, whose branch `template` has the newest one."""
    project = old_project(tmp_path_factory.mktemp("merging"), template)
    project.run("git", "branch", "template")
    (project.path.parent / "answers.yaml").write_text(answers_of(project))
    replaced = OF_OLDEST | {"git merge template": "true"}
    update(project, template=template, replaced=replaced)
    return project


def edit_at_random(project: Project, lines: list[str], chance: random.Random) -> list[str]:
    """Insert each line somewhere into a file, or put it in the place of a line; return the lines."""
    names = project.run("git", "ls-files").stdout.splitlines()
    written = []
    for number, text in enumerate(lines):
        path = project.path / chance.choice(names)
        content = path.read_text(encoding="utf-8").removesuffix("\n").split("\n")
        place = chance.randint(0, len(content))
        written.append(f"line {number} of the user: {text}".rstrip())
        content[place : place + chance.randint(0, 2)] = [written[-1]]
        path.write_text("\n".join(content) + "\n", encoding="utf-8")
    # One may have been put in the place of another.
    return [line for line in written if line in lines_of(project)]


def lines_of(project: Project) -> set[str]:
    """Return all lines of the files that git knows."""
    paths = {project.path / name for name in project.run("git", "ls-files").stdout.splitlines()}
    texts = (path.read_text(encoding="utf-8") for path in paths if path.exists())
    return {line for text in texts for line in text.split("\n")}


def test_an_update_never_loses_a_line_of_the_user(merging):
    (commands,) = commands_of(PAGE, "Update, or change an answer")
    start = merging.run("git", "rev-parse", "HEAD").stdout.strip()
    statuses = set()

    @seed(1)
    @settings(
        max_examples=30, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(st.lists(LINES, min_size=1, max_size=5), st.integers(0, 2**32))
    def check(lines, number):
        merging.run("git", "reset", "--quiet", "--hard", start)
        merging.run("git", "clean", "--quiet", "--force", "-d")
        written = edit_at_random(merging, lines, random.Random(number))
        commit(merging, "Edits")
        process = merging.run(*commands[-1].split(), env=AUTHOR, check=False)
        statuses.add(process.returncode)
        lost = set(written) - lines_of(merging)
        assert not lost, f"{lost}\n{process.stdout}"

    check()
    # The examples include merges with and without conflicts.
    assert statuses == {0, 1}
