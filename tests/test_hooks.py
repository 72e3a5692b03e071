"""What the hooks refuse, and what they leave behind."""

import ast
import os
import re
import runpy
import stat
import sys
import types
import zoneinfo

import pytest
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config
from cookiecutter.utils import create_env_with_context
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.generate import generate
from tests.support.project import ROOT


@pytest.mark.parametrize(
    ("answer", "suggestion"),
    [
        ("project_slug=My Shop", "my_shop"),
        ("project_slug=3d_shop", "project_3d_shop"),
        ("project_slug=shop_", "shop"),
        ("project_slug=shop__two", "shop_two"),
        ("project_slug=café", "caf"),
        ("project_slug=" + "a" * 64, "a" * 63),
        ("project_slug=postgres", "project_postgres"),
        ("timezone=Paris", "Europe/Paris"),
        ("timezone=europe/paris", "Europe/Paris"),
        ("timezone=Europe/Pariss", "Europe/Paris"),
        ("timezone=nowhere at all", "UTC"),
        ("project_slug=" + "b" * 300, "b" * 63),
        ("project_slug=", "project"),
        ("project_slug=../shop", "shop"),
        ("project_slug=nul", "project_nul"),
        ("project_name= Shop", "Shop"),
        ("project_name=" + "Shop " * 20 + "!", ("Shop " * 16).strip()),
        ("description=Two\nlines", "Two lines"),
        ("description=", "A Django project."),
    ],
)
def test_a_bad_answer_is_one_line_and_its_suggestion_passes(tmp_path, answer, suggestion):
    status, printed = generate(tmp_path, answer)

    name = answer.partition("=")[0]
    errors = [line for line in printed.splitlines() if line.startswith("Not rendered: ")]
    assert status == 1
    assert len(errors) == 1 and name in errors[0] and errors[0].endswith(f"try {suggestion!r}")
    assert list(tmp_path.iterdir()) == []
    assert generate(tmp_path, f"{name}={suggestion}")[0] == 0


def test_all_problems_are_said_at_once(tmp_path):
    status, printed = generate(tmp_path, "project_slug=My Shop", "timezone=Paris")

    assert status == 1
    assert len(re.findall("^Not rendered: ", printed, re.MULTILINE)) == 2


@pytest.mark.parametrize("slug", ["a", "my-shop", "shop2_b-c", "pg_tools", "a" * 63])
def test_good_slugs_pass(bake, slug):
    assert bake(project_slug=slug).slug == slug


def test_env_is_complete_secret_and_the_users_own(bake):
    project = bake()

    env = project.path / ".env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}", project.setting("SECRET_KEY"))
    assert re.fullmatch(r"[0-9a-f]{32}", project.setting("POSTGRES_PASSWORD"))
    assert project.setting("HOST_UID") == str(os.getuid())
    assert project.setting("HOST_GID") == str(os.getgid())
    assert os.access(project.path / "app/manage.py", os.X_OK)
    names = re.findall(r"^(\w+)=", project.read(".env.example"), re.MULTILINE)
    assert re.findall(r"^(\w+)=", project.read(".env"), re.MULTILINE) == names


def test_secrets_are_new_each_time_and_in_no_other_file(bake):
    project, other = bake(), bake()

    for name in ("SECRET_KEY", "POSTGRES_PASSWORD"):
        secret = project.setting(name)
        assert secret != other.setting(name)
        holders = [file for file, path in project.files().items() if secret in path.read_text()]
        assert holders == [".env"]


def test_generating_again_keeps_the_env_that_is_there(tmp_path):
    assert generate(tmp_path)[0] == 0
    env = tmp_path / "my_project" / ".env"
    env.write_text("POSTGRES_PASSWORD=the one the volume knows\n")

    status, printed = generate(tmp_path, "--overwrite-if-exists")

    assert status == 0
    assert ".env is already there" in printed
    assert env.read_text() == "POSTGRES_PASSWORD=the one the volume knows\n"


@pytest.fixture
def hook(tmp_path):
    """Render a hook as Cookiecutter does and import it: hook("pre_gen_project").problems(...)."""

    def load(name: str, **answers: object) -> types.SimpleNamespace:
        context = generate_context(ROOT / "cookiecutter.json")
        context["cookiecutter"] = prompt_for_config(context, no_input=True) | answers
        environment = create_env_with_context(context)
        source = (ROOT / "hooks" / f"{name}.py").read_text(encoding="utf-8")
        path = tmp_path / f"{name}.py"
        path.write_text(environment.from_string(source).render(**context), encoding="utf-8")
        return types.SimpleNamespace(**runpy.run_path(str(path)))

    return load


@pytest.fixture(scope="module")
def pre_gen(tmp_path_factory):
    """The functions of the hook that refuses, loaded once."""
    source = (ROOT / "hooks" / "pre_gen_project.py").read_text(encoding="utf-8")
    path = tmp_path_factory.mktemp("hook") / "pre_gen_project.py"
    path.write_text(source.replace("{{ cookiecutter | tojson }}", "{}"), encoding="utf-8")
    return types.SimpleNamespace(**runpy.run_path(str(path)))


def test_answers_enter_a_hook_as_data(hook):
    text = "'\"\"\"\\ \n ''' {{ é 🎉 \ud800 </script>"
    for name in ("pre_gen_project", "post_gen_project"):
        assert hook(name, description=text).ANSWERS["description"] == text


def test_the_defaults_have_no_problem(hook):
    loaded = hook("pre_gen_project")
    assert loaded.problems(loaded.ANSWERS) == []


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        ("", "is empty"),
        (" \t", "is empty"),
        ("a\nb", "U+000A"),
        ("a\x1b[31mb", "U+001B"),
        ("a\u202eb", "U+202E"),
        ("\ufeffa", "U+FEFF"),
        ("a{{b", "template"),
        ("a{%b", "template"),
        ("a{#b", "template"),
        (" a", "starts or ends with a blank"),
        ("a\u00a0", "starts or ends with a blank"),
    ],
)
def test_a_text_that_cannot_be_taken(pre_gen, text, reason):
    for problem in (pre_gen.name_problem(text), pre_gen.description_problem(text)):
        assert reason in problem and len(problem.splitlines()) == 1


def test_what_joins_letters_and_emoji_is_not_hidden_nor_is_what_is_new(pre_gen):
    for text in ("\U0001fae8", "👩‍👩‍👧", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "می‌خواهم", "❤️"):
        assert pre_gen.name_problem(text) is None


@given(text=st.text(st.characters(), max_size=400))
@settings(
    max_examples=500,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_suggestion_passes_and_every_problem_is_one_line(pre_gen, text):
    for name, problem_of, suggest in (
        ("project_name", pre_gen.name_problem, pre_gen.suggest_name),
        ("project_slug", pre_gen.slug_problem, pre_gen.suggest_slug),
        ("description", pre_gen.description_problem, lambda text: pre_gen.suggest_text(text, "A")),
    ):
        assert problem_of(suggest(text)) is None
        problem = problem_of(text)
        if problem:
            assert problem.startswith(f"{name} ") and ": try " in problem
            assert len(problem.splitlines()) == 1
    assert "try '" in (pre_gen.timezone_problem(text) or "try 'nothing'")


@pytest.mark.parametrize(
    "slug", ["con", "nul", "com1", "lpt9", "postgres", "template1", "redis", "scratch"]
)
def test_a_slug_that_somebody_else_has_is_refused_with_one_that_passes(pre_gen, slug):
    assert pre_gen.slug_problem(slug).endswith(f"try 'project_{slug}'")
    assert pre_gen.slug_problem(f"project_{slug}") is None


def test_without_time_zone_data_what_looks_like_a_name_passes(pre_gen, monkeypatch):
    monkeypatch.setattr(zoneinfo, "available_timezones", set)
    assert pre_gen.timezone_problem("Europe/Paris") is None
    assert pre_gen.timezone_problem('"; import os') is not None


def test_a_terminal_that_cannot_show_a_letter_gets_its_number(tmp_path):
    encoding = {"PYTHONIOENCODING": "ascii", "PYTHONOPTIMIZE": "2"}
    status, printed = generate(tmp_path, "timezone=Café ☕", env=encoding)
    assert status == 1
    (line,) = [line for line in printed.splitlines() if line.startswith("Not rendered: ")]
    assert "Caf\\xe9 \\u2615" in line and "UnicodeEncodeError" not in printed


def test_the_end_names_what_was_made(hook):
    loaded = hook("post_gen_project")
    words = loaded.closing_words(loaded.ANSWERS | {"postgres_driver": "psycopg"})
    assert "through psycopg 3." in words and "Warning" not in words


def test_hooks_are_code_that_python_never_leaves_out():
    for path in ROOT.glob("hooks/*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def test_hooks_need_neither_network_nor_docker_nor_other_packages(tmp_path):
    for hook in ROOT.glob("hooks/*.py"):
        imported = re.findall(r"^(?:import|from) (\w+)", hook.read_text(), re.MULTILINE)
        assert set(imported) <= sys.stdlib_module_names - {"http", "socket", "urllib", "subprocess"}
