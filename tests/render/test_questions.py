"""Every question is asked, explained and listed in the README."""

import re

import pytest

from tests.support.answers import CHOICES, QUESTIONS
from tests.support.generate import generate, generate_in_terminal
from tests.support.project import ROOT


def test_every_question_has_a_prompt_and_every_choice_an_explanation():
    prompts = QUESTIONS["__prompts__"]
    asked = [name for name in QUESTIONS if not name.startswith("_")]
    assert list(prompts) == asked
    for name, choices in CHOICES.items():
        assert list(prompts[name]) == ["__prompt__", *choices]


def test_the_readme_lists_every_question_with_its_choices_in_order():
    table = re.findall(r"^\| `(\w+)` \| (.*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    rows = [(name, re.findall(r"`(.*?)`", choices)) for name, choices in table]
    asked = {name: answer for name, answer in QUESTIONS.items() if not name.startswith("_")}
    assert [name for name, _ in rows[: len(asked)]] == list(asked)
    for name, choices in rows[: len(asked)]:
        if isinstance(asked[name], bool):
            assert choices == [str(asked[name]).lower(), str(not asked[name]).lower()]
        elif isinstance(asked[name], list):
            assert choices == asked[name]


PROMPTS = QUESTIONS["__prompts__"]


def in_a_terminal(folder, typed: dict[int, str] | None = None) -> str:
    """Generate a project in a terminal, return what it showed, without colours."""
    shown = generate_in_terminal(folder, typed=typed, env={"COLUMNS": "200"})
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", shown)


def test_a_terminal_shows_every_question_in_order_and_in_full(tmp_path):
    shown = in_a_terminal(tmp_path)

    position = 0
    for number, (name, prompt) in enumerate(PROMPTS.items(), 1):
        lines = [prompt] if isinstance(prompt, str) else list(prompt.values())
        for line in lines:
            # Rich reads text in square brackets as a style and would not print it.
            found = shown.find(line, position)
            assert found >= 0, f"{name}: {line!r} is not in\n{shown}"
            position = found
        assert f"[{number}/{len(PROMPTS)}] " in shown
    assert (tmp_path / "my_project" / ".env").exists()


def test_text_questions_come_before_choices():
    kinds = [isinstance(QUESTIONS[name], str) for name in PROMPTS]
    assert kinds == sorted(kinds, reverse=True)


@pytest.mark.parametrize("name", ["Shop [beta]", "[red]Shop[/red]", "The {{ shop }}"])
def test_markup_in_a_name_is_kept_and_template_syntax_is_refused(tmp_path, name):
    shown = in_a_terminal(tmp_path, {1: name})

    if "{{" in name:
        assert "Not rendered: project_name" in shown and not list(tmp_path.iterdir())
    else:
        (project,) = tmp_path.iterdir()
        assert (project / "README.md").read_text().startswith(f"# {name}\n")


def test_production_is_an_answer_that_is_not_chosen_by_default():
    assert CHOICES["deployment"] == ["none", "compose", "swarm"]
    assert "added later" in PROMPTS["deployment"]["__prompt__"]


@pytest.mark.parametrize(
    ("answers", "warnings"),
    [
        ({}, []),
        ({"postgres_storage": "tmpfs", "deployment": "compose"}, ["in memory"]),
        ({"postgres_storage": "tmpfs"}, []),
        ({"postgres_driver": "psycopg"}, []),
    ],
)
def test_the_last_lines_say_what_was_rendered_what_is_next_and_what_is_unwise(
    tmp_path, answers, warnings
):
    status, printed = generate(tmp_path, *(f"{name}={answer}" for name, answer in answers.items()))

    assert status == 0
    lines = printed.strip().splitlines()
    assert len(lines) <= 12 and "\x1b" not in printed
    assert lines[1].startswith("Made my_project: Django 5.2 on Python 3.14, PostgreSQL 18 ")
    assert "  cd my_project\n  docker compose up\n" in printed
    printed_warnings = [line for line in lines if line.startswith("Warning: ")]
    assert len(printed_warnings) == len(warnings)
    assert all(warning in line for warning, line in zip(warnings, printed_warnings, strict=True))
