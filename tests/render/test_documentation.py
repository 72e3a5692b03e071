"""The documentation of a rendered project is short, its links lead somewhere, its tasks exist."""

import itertools
import re
import subprocess
from collections.abc import Iterator
from urllib.parse import unquote

import pytest

from tests.support.answers import CHOICES, DEFAULTS, PRE_GEN
from tests.support.project import ROOT, Project

# The questions on which the length of README.md depends.
QUESTIONS = ("postgres_storage", "media_storage", "deployment", "backup", "ci")
COMBINATIONS = [
    dict(zip(QUESTIONS, answers, strict=True))
    for answers in itertools.product(*(CHOICES[name] for name in QUESTIONS))
    if not PRE_GEN.combination_problems(DEFAULTS | dict(zip(QUESTIONS, answers, strict=True)))
]
PARAMETERS = ("FILE=backups/a", "DB=a", "TO=19", "N=2", "TIME=2026-11-21 10:00:00")


@pytest.fixture(params=COMBINATIONS, ids=lambda answers: "-".join(map(str, answers.values())))
def project(bake_once, request):
    return bake_once(**request.param)


def documents(project: Project) -> dict:
    """Return the text of each Markdown file of a project, by its path."""
    return {
        path: path.read_text(encoding="utf-8")
        for name, path in project.files().items()
        if name.endswith(".md")
    }


def anchor(heading: str) -> str:
    """Return the anchor that GitHub and GitLab give to a heading."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


def tasks(project: Project) -> list[str]:
    """Return the tasks that `make help` lists."""
    return re.findall(r"^  ([a-z-]+) ", project.run("make", "help").stdout, re.MULTILINE)


def test_the_readme_has_at_most_a_hundred_lines(project):
    assert len(project.read("README.md").splitlines()) <= 100


def test_the_instructions_for_assistants_have_at_most_forty_lines(project):
    for text in (project.read("AGENTS.md"), (ROOT / "AGENTS.md").read_text(encoding="utf-8")):
        assert len(text.splitlines()) <= 40


def test_the_readme_links_to_every_document_and_no_link_is_broken(project):
    texts = documents(project)
    for path, text in texts.items():
        for target in re.findall(r"\]\((?!http)(.*?)\)", text):
            name, _, fragment = target.partition("#")
            linked = (path.parent / name).resolve() if name else path
            assert linked in texts, f"{path.name}: {target}"
            headings = re.findall(r"^#+ (.*)$", texts[linked], re.MULTILINE)
            assert not fragment or fragment in map(anchor, headings), f"{path.name}: {target}"
    readme = project.read("README.md")
    for path in texts:
        name = path.relative_to(project.path).as_posix()
        assert name == "README.md" or f"({name})" in readme, name


def test_messages_refer_to_documents_and_headings_that_exist(project):
    for name, path in project.files().items():
        text = path.read_text(encoding="utf-8")
        for heading, document in re.findall(r'"([\w -]+)" in ([\w/]+\.md)', text):
            assert f"# {heading}\n" in project.read(document), f"{name}: {heading} in {document}"
        for document in re.findall(r"see ((?:docs|ops)/\w+\.md)", text, re.IGNORECASE):
            assert (project.path / document).exists(), f"{name}: {document}"


def test_every_task_that_the_documentation_names_exists(project):
    existing = tasks(project)
    for path, text in documents(project).items():
        for task in re.findall(r"(?:`|^    |&& )make ([a-z][a-z-]*)", text, re.MULTILINE):
            assert task in existing, f"{path.name}: make {task}"


# What the tasks run, by the text of their files, which many combinations share.
CHECKED: dict[str, set[str]] = {}


def run_by_tasks(project: Project) -> set[str]:
    """Return the files that the tasks of a project run, after a look at the command of each task."""
    files = [project.path / name for name in ("Makefile", "production.mk")]
    text = "".join(path.read_text(encoding="utf-8") for path in files if path.exists())
    if text not in CHECKED:
        CHECKED[text] = set(look_at_commands(project))
    return CHECKED[text]


def look_at_commands(project: Project) -> Iterator[str]:
    """Fail unless make prints the command of each task, and a shell takes it; yield the files that they run."""
    for task in tasks(project):
        if task == "help":
            continue
        # SERVER is what a server has.
        printed = "".join(
            project.run("make", "--dry-run", task, *PARAMETERS, *server).stdout
            for server in ((), ("SERVER=yes",))
        )
        assert printed, task
        for line in printed.replace("\\\n", "").splitlines():
            # No `exec`, which would end the shell that it is pasted into, and no other program.
            line = re.sub(r"^(\w+=\S+ +)+", "", line)
            assert line.startswith(("docker ", "python3 ", "sh ")), f"{task}: {line}"
            subprocess.run(["sh", "-n", "-c", line], check=True)
            if script := re.match(r"sh (\S+)|python3 .*-m (\S+)", line):
                yield script[1] or f"{script[2].replace('.', '/')}.py"


def test_make_prints_the_command_of_each_task_and_a_shell_takes_it(project):
    names = run_by_tasks(project)
    assert names
    for name in names:
        assert (project.path / name).is_file(), name


def test_the_readme_tells_readers_without_make_where_the_commands_are(project):
    readme = project.read("README.md")
    assert "`make -n TASK`" in readme and "`Makefile`" in readme
    # Needed before anything else, so the line itself is there.
    (line,) = re.findall(r"^\t(docker run .*make_env.py)", project.read("Makefile"), re.MULTILINE)
    assert line.replace("$$", "$") in readme


def test_no_link_in_the_repository_is_broken_and_every_decision_is_listed():
    pages = [*ROOT.glob("*.md"), *ROOT.glob("docs/**/*.md"), *ROOT.glob("benchmarks/*.md")]
    link = r"""(?:\]\(|^\[\w+\]: |(?:src|srcset)=")(?!http)([^)\s"#]+)"""
    for page in pages:
        for target in re.findall(link, page.read_text(encoding="utf-8"), re.MULTILINE):
            assert (page.parent / unquote(target)).exists(), f"{page.name}: {target}"
    index = (ROOT / "docs/decisions/README.md").read_text(encoding="utf-8")
    for record in (ROOT / "docs/decisions").glob("[!R]*.md"):
        assert f"({record.name})" in index, record.name
