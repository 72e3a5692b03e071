"""Any answers render a project that works, or are refused with one line for each problem.

The tests pass the answers as if a user had typed them: Cookiecutter would render answers from the
command line as templates.
"""

import ast
import json
import os
import subprocess
import tempfile
import tomllib
from collections.abc import Callable, Iterator
from html.parser import HTMLParser
from pathlib import Path
from unittest import mock

import pytest
import yaml
from cookiecutter.exceptions import FailedHookException
from cookiecutter.main import cookiecutter
from hypothesis import HealthCheck, given, seed, settings
from hypothesis import strategies as st

from tests.support.answers import ANSWERS, TASKS_ON_THIS_PYTHON
from tests.support.project import ROOT, Project

TRAPS = [
    *('"', "'", "\\", "$", "${X}", "$X", "#", "%", "{{", "{%", "{{ cookiecutter }}", "a\nb"),
    *(
        "-",
        "-x",
        "=",
        "=1+1",
        "🎉",
        "👩‍👩‍👧",
        "🏴󠁧󠁢󠁳󠁣󠁴󠁿",
        "ร้านค้า",
        "가게",
        "ﬁne",
        "class",
        "json",
        "django",
    ),
    *("test", "site", "None", "null", "true", "yes", "on", "con", "Postgres", "1e5", "@", "`x`"),
    *("a" * 64, "a" * 300, "é" * 300, '"' * 60, "x y " * 30, "", " ", "\t", " a", "a ", "a\u202eb"),
    *(
        "a\ufeffb",
        "a\ufffeb",
        "a\u2028b",
        "<script>alert(1)</script>",
        "&amp;",
        "*/",
        "'''",
        '"""',
        "\x00",
        "\x1b[31m",
    ),
    *("}}", "%}", "#}", "a: b", "- a", "[a](b)", "|", ">", "!reset", "C:\\new\\table", "\ud800"),
    *("a/b", "../a", "/a", ".", "..", "a\\b"),
]
# Mostly ordinary text, and some that no person writes.
WORDS = st.text(
    st.characters(exclude_categories=["C", "Z"], include_characters=" "), min_size=1, max_size=35
).map(str.strip)
MARKS = st.lists(
    st.sampled_from([*"ab \"'\\$#%{}<>&:-[]`!|é🎉\u200d\n", "<b>", "&lt;", "${X}", '"""', "\\n"]),
    max_size=12,
).map("".join)
TEXT = st.one_of(WORDS, WORDS, WORDS, MARKS.map(str.strip), st.text(), st.sampled_from(TRAPS))
SLUG = st.from_regex(r"[a-z][a-z0-9]{,20}([_-][a-z0-9]{1,20}){,2}", fullmatch=True)
ANY_ANSWERS = st.fixed_dictionaries(
    {name: st.sampled_from(choices) for name, choices in ANSWERS.items()}
    | {"project_name": TEXT, "description": TEXT},
    optional={
        "project_slug": st.one_of(SLUG, SLUG, SLUG, TEXT),
        "timezone": st.sampled_from(["UTC", "Europe/Paris", "Asia/Kolkata", "paris"]),
    },
)
# Checks projects: runs Django's checks and prints the home page. It forks a process for each project
# after it has imported Django, which saves half of the time. It reads a line [folder, output file] and
# writes the exit status.
CHECK = """
import json, os, signal, sys, traceback
import django.contrib.admin.sites, django.core.servers.basehttp, django.db.backends.sqlite3.base
import django.template.loader_tags, django.test, django.views.debug
from django.core.management import call_command

def check_project():
    os.environ["DJANGO_SETTINGS_MODULE"] = "config.settings"
    django.setup()
    call_command("check", fail_level="WARNING", stdout=open(os.devnull, "w"))
    response = django.test.Client(headers={"host": "localhost"}).get("/")
    assert response.status_code == 200, response.content
    sys.stdout.buffer.write(response.content)

for line in sys.stdin:
    folder, file = json.loads(line)
    child = os.fork()
    if not child:
        status = 1
        try:
            signal.alarm(60)
            os.chdir(folder)
            output = os.open(file, os.O_WRONLY | os.O_CREAT)
            os.dup2(output, 1), os.dup2(output, 2)
            check_project()
            status = 0
        except BaseException:
            traceback.print_exc()
        sys.stdout.flush()
        os._exit(status)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""
Check = Callable[[Project], str]


class Texts(HTMLParser):
    """The texts of the elements of a page, by tag, as a browser shows them."""

    def __init__(self, page: str):
        super().__init__(convert_charrefs=True)
        self.of: dict[str, list[str]] = {}
        self.open: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attributes: list) -> None:
        self.open.append(tag)
        self.of.setdefault(tag, []).append("")

    def handle_endtag(self, tag: str) -> None:
        self.open.pop()

    def handle_data(self, data: str) -> None:
        if self.open:
            self.of[self.open[-1]][-1] += data


def generate_typed(answers: dict[str, object], folder: Path) -> Path:
    """Generate a project from typed answers; return its folder.

    Raises FailedHookException if the answers are refused.
    """

    def typed(name: str, default: object, *rest: object) -> object:
        return answers.get(name, default)

    def chosen(name: str, choices: list, *rest: object) -> object:
        return answers.get(name, choices[0])

    with (
        mock.patch("cookiecutter.prompt.read_user_variable", typed),
        mock.patch("cookiecutter.prompt.read_user_choice", chosen),
        mock.patch("cookiecutter.prompt.read_user_yes_no", typed),
    ):
        config = {"replay_dir": str(folder / "replay"), "cookiecutters_dir": str(folder / "none")}
        made = cookiecutter(str(ROOT), output_dir=str(folder / "out"), default_config=config)
    return Path(made)


def works_or_is_refused(check_project: Check, capfd, answers: dict[str, object]) -> str:
    """Generate a project and check it; return "works" or "refused"."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "out").mkdir()
        capfd.readouterr()
        try:
            project = Project(generate_typed(answers, folder))
        except FailedHookException:
            errors = [line for line in capfd.readouterr().err.splitlines() if line.strip()]
            errors = [line for line in errors if not line.startswith("ERROR: Stopping generation")]
            assert errors and all(line.startswith("Not rendered: ") for line in errors), errors
            assert all(line.isprintable() or "\\" in line for line in errors), errors
            assert list((folder / "out").iterdir()) == []
            return "refused"
        assert_renders_the_answers(project, check_project, answers)
        return "works"


class ComposeLoader(yaml.SafeLoader):
    """Also reads the tag with which a Compose file removes what another one says."""


ComposeLoader.add_constructor("!reset", lambda *_: None)


def assert_renders_the_answers(
    project: Project, check_project: Check, answers: dict[str, object]
) -> None:
    """Parse every file of a project, and find the texts of the answers in the README and the page."""
    for name, path in project.files().items():
        text = path.read_text(encoding="utf-8")
        if name.endswith(".py"):
            ast.parse(text, name)
        elif name.endswith((".yaml", ".yml")):
            list(yaml.load_all(text, ComposeLoader))
        elif name.endswith(".toml"):
            tomllib.loads(text)
        elif name.endswith(".json"):
            json.loads(text)
        elif name.startswith(".env"):
            lines = [line for line in text.splitlines() if line and not line.startswith("#")]
            assert all(line.partition("=")[0].isidentifier() for line in lines), name
            assert not any(set(line) & set("$'\"\\ ") for line in lines), name
    compose = yaml.safe_load(project.read("compose.yaml"))
    assert compose["name"] == project.slug
    readme = project.read("README.md").splitlines()
    assert readme[0] == f"# {answers['project_name']}"
    assert readme[2] == answers["description"]
    if answers["django_version"] != "5.2" or answers["use_tasks"] > TASKS_ON_THIS_PYTHON:
        return  # needs a newer Python than this may be; the stack tests cover it
    page = check_project(project)
    texts = Texts(page).of
    # Browsers ignore the blanks around a title.
    assert [title.strip() for title in texts["title"]] == [answers["project_name"]]
    assert texts["h1"] == [answers["project_name"]]
    assert texts["p"][0] == answers["description"]


@pytest.fixture(scope="session")
def check_project(python_for) -> Iterator[Check]:
    """Return a function that checks a project and returns its home page."""
    # With the packages of every option.
    every_option = {name: True for name, answers in ANSWERS.items() if True in answers}
    every_option["use_tasks"] = TASKS_ON_THIS_PYTHON
    process = subprocess.Popen(
        [python_for(**every_option), "-c", CHECK],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
        env=os.environ | {"DEBUG": "true"},
    )

    def home_page(project: Project) -> str:
        output = project.path.parent.parent / "output"
        process.stdin.write(json.dumps([str(project.path / "app"), str(output)]) + "\n")
        process.stdin.flush()
        status = process.stdout.readline().strip()
        printed = output.read_text(encoding="utf-8")
        assert status == "0", f"{status}\n{printed}"
        return printed

    with process:
        yield home_page
        process.stdin.close()


@pytest.mark.parametrize("trap", TRAPS, ids=ascii)
@pytest.mark.parametrize("question", ["project_name", "project_slug", "description"])
def test_text_that_often_breaks_templates_works_or_is_refused(check_project, capfd, question, trap):
    answers = {name: choices[0] for name, choices in ANSWERS.items()}
    texts = {"project_name": "Shop", "description": "It sells.", question: trap}
    works_or_is_refused(check_project, capfd, answers | texts)


# Several parts, so that processes of xdist can share the work.
@pytest.mark.parametrize(
    "part", [0, 1, *(pytest.param(part, marks=pytest.mark.long) for part in (2, 3))]
)
def test_any_answer_works_or_is_refused(check_project, capfd, part):
    seen = {"works": 0, "refused": 0}

    @seed(part)
    @settings(
        max_examples=80, deadline=None, database=None, suppress_health_check=list(HealthCheck)
    )
    @given(ANY_ANSWERS)
    def check(answers):
        seen[works_or_is_refused(check_project, capfd, answers)] += 1

    check()
    # The examples include both outcomes.
    assert min(seen.values()) > 5, seen
