"""The next update reads the answers of a project from its .template.yaml."""

import json
import os
import re

import pytest
import yaml
from cookiecutter.config import get_user_config
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config
from cookiecutter.utils import create_env_with_context
from hypothesis import assume, example, given, settings
from hypothesis import strategies as st
from jinja2 import FileSystemLoader

from tests.render.test_any_answer import TEXT, TRAPS
from tests.support.answers import ANSWERS, DEFAULTS, PRE_GEN, QUESTIONS
from tests.support.generate import generate
from tests.support.project import ROOT, Project

FILE = ".template.yaml"
# What means something else in YAML without quotes, or ends a text in quotes.
ODD = 'It\'s "5.2": #1, \\ %d & <b> 🎉 가게 {1} null'
PUBLIC = [name for name in QUESTIONS if not name.startswith("_")]


def written(answers: dict) -> str:
    """Return the file that a project with these answers has."""
    context = generate_context(str(ROOT / "cookiecutter.json"), extra_context=answers)
    context["cookiecutter"] |= prompt_for_config(context, no_input=True)
    environment = create_env_with_context(context)
    environment.loader = FileSystemLoader(
        [ROOT / "{{cookiecutter.project_slug}}", ROOT / "templates"]
    )
    return environment.get_template(FILE).render(**context)


# The second is in no text that YAML can hold.
@example(answers=DEFAULTS | {"project_name": ODD, "description": ODD})
@example(answers=DEFAULTS | {"project_name": "Shop", "description": "a\ufffeb"})
@settings(max_examples=40, deadline=None, database=None)
@given(
    st.fixed_dictionaries(
        {name: st.sampled_from(choices) for name, choices in ANSWERS.items()}
        | {"project_name": TEXT, "description": st.one_of(TEXT, st.sampled_from(TRAPS))}
    )
)
def test_cookiecutter_reads_the_answers_that_the_file_has(tmp_path_factory, answers):
    assume(not PRE_GEN.name_problem(answers["project_name"]))
    assume(not PRE_GEN.description_problem(answers["description"]))
    file = tmp_path_factory.mktemp("answers") / FILE
    file.write_text(written(answers), encoding="utf-8")

    config = get_user_config(str(file))
    context = generate_context(
        str(ROOT / "cookiecutter.json"), default_context=config["default_context"]
    )
    read = prompt_for_config(context, no_input=True)

    assert {name: read[name] for name in answers} == answers
    assert (read["_made_by"], read["_complete"]) != ("", False)
    assert yaml.safe_load(file.read_text(encoding="utf-8"))["default_context"].keys() == {
        *("_made_by", "_complete"),
        *PUBLIC,
    }


def test_a_project_is_the_same_when_it_is_generated_from_its_answers(tmp_path):
    answers = ("postgres_version=16", "use_redis=true", "use_entrypoint=false")
    texts = (f"project_name={ODD}", "project_slug=shop", f"description={ODD}")
    assert generate(tmp_path / "first", *texts, *answers)[0] == 0
    first = Project(tmp_path / "first/shop")

    status, printed = generate(tmp_path / "second", "--config-file", first.path / FILE)

    assert status == 0, printed
    second = Project(tmp_path / "second/shop")
    assert first.files().keys() == second.files().keys()
    assert all(first.read(name) == second.read(name) for name in first.files() if name != ".env")
    # Secrets, private values and the place of the template are not in it.
    text = first.read(FILE)
    assert not re.search("__|_dir|_template:", text) and str(ROOT) not in text
    assert all(first.setting(name) not in text for name in ("SECRET_KEY", "POSTGRES_PASSWORD"))
    # Other answers on the command line come first.
    words = ("--config-file", first.path / FILE, "postgres_version=17")
    assert generate(tmp_path / "third", *words)[0] == 0
    assert "  postgres_version: '17'\n" in Project(tmp_path / "third/shop").read(FILE)


def test_a_new_question_gets_its_default_and_an_old_one_is_ignored(tmp_path):
    assert generate(tmp_path / "first", "project_slug=shop", "ci=none")[0] == 0
    text = Project(tmp_path / "first/shop").read(FILE)
    file = tmp_path / "answers.yaml"
    file.write_text(text.replace("  use_redis: false\n", "  use_celery: true\n"))
    assert file.read_text() != text

    status, printed = generate(tmp_path / "second", "--config-file", file)

    assert status == 0, printed
    assert Project(tmp_path / "second/shop").read(FILE) == text


def test_an_answer_that_is_not_offered_any_more_is_refused(tmp_path):
    assert generate(tmp_path / "first", "project_slug=shop", "deployment=compose")[0] == 0
    text = Project(tmp_path / "first/shop").read(FILE)
    file = tmp_path / "answers.yaml"
    file.write_text(text.replace("python_version: '3.14'", "python_version: '3.9'"))
    assert file.read_text() != text

    status, printed = generate(tmp_path / "second", "--config-file", file)

    assert status == 1 and not list((tmp_path / "second").iterdir())
    # Cookiecutter would leave out the answers below this one, too: deployment is one of them.
    assert "3.9 provided for choice variable python_version" in printed
    assert "Not rendered: an answer in the configuration file is not offered any more" in printed


@pytest.mark.every_python
def test_the_file_is_there_without_hooks(tmp_path):
    assert generate(tmp_path, "--accept-hooks=no")[0] == 0
    answers = yaml.safe_load(Project(tmp_path / "my_project").read(FILE))["default_context"]
    assert json.loads(json.dumps(answers))["project_slug"] == "my_project"
    assert os.path.exists(tmp_path / "my_project/.env") is False
