"""README.md shows the default project, and what each answer renders, as they are."""

import re
from fnmatch import fnmatch

from tests.support.answers import ANSWERS, DEFAULTS, PRE_GEN
from tests.support.project import ROOT, Project

README = (ROOT / "README.md").read_text(encoding="utf-8")


def size(project: Project) -> tuple[int, int]:
    """Return how many files and lines a project has, without Markdown and locks."""
    counted = [
        path
        for name, path in project.files().items()
        if not name.endswith(".md") and not fnmatch(name, "requirements*.txt")
    ]
    return len(counted), sum(len(path.read_bytes().splitlines()) for path in counted)


def test_the_readme_lists_what_is_in_the_default_project(bake_once):
    files = bake_once().files()
    (tree,) = re.findall(r"^## The project\n\n((?:    .+\n)+)", README, re.MULTILINE)

    patterns = []
    for line in tree.splitlines():
        # A name may be all that begins with it: a folder, or a pattern with *.
        names = re.match(r"    (\S+(?:, \S+)*)  +\S", line).group(1).split(", ")
        patterns += [f"{name}*" if name.endswith("/") else name for name in names]
    for pattern in patterns:
        assert any(fnmatch(name, pattern) for name in files), f"{pattern} is not in the project"
    for name in files:
        assert any(fnmatch(name, pattern) for pattern in patterns), f"{name} is not in the tree"


def test_the_readme_says_how_many_files_and_lines_each_answer_renders(bake_once):
    (table,) = re.findall(r"^\| answers \|.*\n\|---.*\n((?:\|.+\n)+)", README, re.MULTILINE)

    right = []
    for row in table.splitlines():
        answers, what, *_ = row.strip("| ").split(" | ")
        chosen = dict(answer.split("=") for answer in re.findall(r"`(.*?)`", answers))
        files, lines = size(bake_once(**chosen))
        right.append(f"| {answers} | {what} | {files} | {lines:,} |")
    assert table.splitlines() == right, "the right rows are:\n" + "\n".join(right)


def test_the_readme_names_each_answer_that_adds_or_removes_files(bake_once):
    for name, choices in ANSWERS.items():
        for choice in choices[1:]:
            chosen = {name: str(choice).lower()}
            if not PRE_GEN.combination_problems(DEFAULTS | {name: choice}):
                changed = bake_once(**chosen).files().keys() ^ bake_once().files().keys()
                changed = {path for path in changed if not path.endswith(".md")}
                assert not changed or f"`{name}={chosen[name]}`" in README, f"{chosen}: {changed}"
