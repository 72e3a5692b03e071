"""Answers that cannot work are refused with a suggestion that works."""

import importlib.util
import re
import runpy
import types
import zoneinfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.support.generate import generate
from tests.support.project import ROOT

# The hook that refuses them runs on the Python of whoever renders a project.
pytestmark = pytest.mark.every_python


@pytest.fixture(scope="module")
def pre_gen(tmp_path_factory):
    """The functions of the hook that checks the answers, loaded once."""
    source = (ROOT / "hooks" / "pre_gen_project.py").read_text(encoding="utf-8")
    path = tmp_path_factory.mktemp("hook") / "pre_gen_project.py"
    path.write_text(source.replace("{{ cookiecutter | tojson }}", "{}"), encoding="utf-8")
    return types.SimpleNamespace(**runpy.run_path(str(path)))


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
        ("timezone=US/Eastern", "America/New_York"),
        ("timezone=Japan", "Asia/Tokyo"),
        ("timezone=europe/kiev", "Europe/Kyiv"),
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
def test_a_bad_answer_prints_one_line_and_its_suggestion_is_accepted(
    bake, tmp_path, answer, suggestion
):
    folder = tmp_path / "empty"
    folder.mkdir()
    status, printed = generate(folder, answer)

    name = answer.partition("=")[0]
    errors = [line for line in printed.splitlines() if line.startswith("Not rendered: ")]
    assert status == 1
    assert len(errors) == 1 and name in errors[0] and errors[0].endswith(f"try {suggestion!r}")
    assert list(folder.iterdir()) == []
    bake(**{name: suggestion})


def test_all_problems_are_printed_at_once(tmp_path):
    status, printed = generate(tmp_path, "project_slug=My Shop", "timezone=Paris")

    assert status == 1
    assert len(re.findall("^Not rendered: ", printed, re.MULTILINE)) == 2


@pytest.mark.parametrize("slug", ["a", "my-shop", "shop2_b-c", "pg_tools", "a" * 63])
def test_good_slugs_are_accepted(bake, slug):
    assert bake(project_slug=slug).slug == slug


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
        (" a", "starts or ends with a space"),
        ("a\u00a0", "starts or ends with a space"),
    ],
)
def test_empty_invisible_and_template_text_is_refused(pre_gen, text, reason):
    for problem in (pre_gen.name_problem(text), pre_gen.description_problem(text)):
        assert reason in problem and len(problem.splitlines()) == 1


def test_joiners_in_words_and_emoji_and_new_characters_are_accepted(pre_gen):
    for text in ("\U0001fae8", "👩‍👩‍👧", "🏴󠁧󠁢󠁳󠁣󠁴󠁿", "می‌خواهم", "❤️"):
        assert pre_gen.name_problem(text) is None


@given(text=st.text(st.characters(), max_size=400))
@settings(
    max_examples=500,
    deadline=None,
    derandomize=True,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)
def test_every_suggestion_is_accepted_and_every_problem_is_one_line(pre_gen, text):
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
def test_a_reserved_slug_is_refused_with_a_suggestion_that_is_accepted(pre_gen, slug):
    assert pre_gen.slug_problem(slug).endswith(f"try 'project_{slug}'")
    assert pre_gen.slug_problem(f"project_{slug}") is None


def test_every_time_zone_that_is_accepted_is_one_that_python_knows(pre_gen):
    known, replaced = pre_gen.time_zones()
    assert {"Europe/Amsterdam", "America/Nuuk", "Etc/GMT+5", "UTC"} <= known
    assert known <= zoneinfo.available_timezones()
    assert set(replaced.values()) <= known and not replaced.keys() & known
    # A name in another case is suggested, so each of these is found.
    for old, current in {"Asia/Calcutta": "Asia/Kolkata", "PRC": "Asia/Shanghai"}.items():
        assert pre_gen.timezone_problem(old).endswith(f"try {current!r}")


def test_without_time_zone_data_a_zone_is_checked_by_its_form(pre_gen, monkeypatch):
    monkeypatch.setattr(zoneinfo, "TZPATH", ())
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert pre_gen.timezone_problem("Europe/Paris") is None
    assert pre_gen.timezone_problem('"; import os') is not None


def test_a_terminal_without_unicode_gets_escapes_in_place_of_characters(tmp_path):
    encoding = {"PYTHONIOENCODING": "ascii", "PYTHONOPTIMIZE": "2"}
    status, printed = generate(tmp_path, "timezone=Café ☕", env=encoding)
    assert status == 1
    (line,) = [line for line in printed.splitlines() if line.startswith("Not rendered: ")]
    assert "Caf\\xe9 \\u2615" in line and "UnicodeEncodeError" not in printed


@pytest.mark.parametrize("answer", ["deployment=none", "postgres_storage=tmpfs"])
def test_continuous_backups_need_data_that_is_kept(tmp_path, answer):
    status, printed = generate(tmp_path, "backup=continuous", "deployment=compose", answer)

    (line,) = [line for line in printed.splitlines() if line.startswith("Not rendered: ")]
    assert line.startswith(f"Not rendered: backup 'continuous' does not go with {answer}: ")
    assert status == 1 and not list(tmp_path.iterdir())
