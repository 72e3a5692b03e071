"""The questions of cookiecutter.json, and the sets of answers that the tests render."""

import json
import sys
import types
from pathlib import Path

import yaml
from allpairspy import AllPairs

from tests.support.project import ROOT

QUESTIONS = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
# Every question that is not free text, with its possible answers; the first one is the default.
ANSWERS = {
    name: default if isinstance(default, list) else [default, not default]
    for name, default in QUESTIONS.items()
    if isinstance(default, (list, bool)) and not name.startswith("_")
}
CHOICES = {name: answers for name, answers in ANSWERS.items() if True not in answers}
DEFAULTS = {name: choices[0] for name, choices in ANSWERS.items()}
# The four ways in which a project can wait for its database.
WAITING = [
    {"use_wait_for_db": command, "use_entrypoint": script}
    for command in (True, False)
    for script in (True, False)
]
# The hook that refuses answers.
PRE_GEN = types.ModuleType("pre_gen_project")
source = (ROOT / "hooks/pre_gen_project.py").read_text(encoding="utf-8")
exec(source.replace("{{ cookiecutter | tojson }}", "{}"), PRE_GEN.__dict__)  # noqa: S102


def is_possible(answers: list) -> bool:
    """Return whether the first answers are accepted, with the defaults for the others."""
    return not PRE_GEN.combination_problems(DEFAULTS | dict(zip(ANSWERS, answers, strict=False)))


# Every pair of answers to two questions that is possible is in at least one of these.
PAIRS = [
    dict(zip(ANSWERS, answers, strict=True))
    for answers in AllPairs(ANSWERS.values(), filter_func=is_possible)
]
PRESETS = sorted(ROOT.glob("presets/*.yaml"))

# psycopg2 from source needs a compiler and libpq's headers: the stack tests build it in the image.
DRIVERS_WITH_WHEELS = [driver for driver in CHOICES["postgres_driver"] if driver != "psycopg2"]
# Django 6.1 needs Python 3.12.
DJANGO_ON_THIS_PYTHON = [
    version
    for version in CHOICES["django_version"]
    if version == "5.2" or sys.version_info >= (3, 12)
]
# So does the queue of tasks.
TASKS_ON_THIS_PYTHON = sys.version_info >= (3, 12)


def name_of(answers: dict) -> str:
    """Return a short name of some answers for the list of tests."""
    signs = {True: "+", False: "-"}
    return (
        " ".join(
            f"{signs[answer]}{name[4:]}" if answer in signs else answer
            for name, answer in answers.items()
        )
        or "defaults"
    )


def answers_of(preset: Path) -> dict:
    """Return the defaults, with the answers of a preset in their place."""
    answers = yaml.safe_load(preset.read_text(encoding="utf-8"))["default_context"]
    return DEFAULTS | answers


# Every pair and every preset, by name.
RENDERS = {name_of(answers): answers for answers in PAIRS} | {
    preset.stem: answers_of(preset) for preset in PRESETS
}
