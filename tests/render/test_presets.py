"""Presets: what they hold, and that each comes up."""

import re
from pathlib import Path

import pytest
import yaml

from tests.support.answers import ANSWERS, DEFAULTS, PRESETS, answers_of
from tests.support.generate import generate
from tests.support.production import assert_lean
from tests.support.project import Project


@pytest.mark.parametrize("preset", PRESETS, ids=lambda path: path.stem)
def test_a_preset_holds_only_answers_that_differ_from_the_defaults(preset):
    text = preset.read_text(encoding="utf-8")
    assert text.startswith("# For ")
    answers = yaml.safe_load(text)["default_context"]
    assert list(answers) == [name for name in ANSWERS if name in answers]
    for name, answer in answers.items():
        assert answer in ANSWERS[name] and answer != DEFAULTS[name], name


def as_parameter(preset: Path):
    """Return a preset as a parameter, with the mark of the image that it needs."""
    marks = [pytest.mark.alpine] if answers_of(preset)["base_image"] == "alpine" else []
    return pytest.param(preset, id=preset.stem, marks=marks)


@pytest.mark.stack
@pytest.mark.parametrize("preset", [as_parameter(preset) for preset in PRESETS])
def test_every_preset_comes_up_and_passes_its_tests(tmp_path, preset):
    slug = Project.unused_slug()
    status, printed = generate(tmp_path, "--config-file", preset, f"project_slug={slug}")
    assert status == 0, printed
    project = Project(tmp_path / slug)
    project.choose_port()
    try:
        project.up()
        assert project.status("/") == 200
        printed = project.run("make", "test").stdout
        assert re.search(r"^OK$", printed, re.MULTILINE), printed
        if (project.path / "compose.production.yaml").exists():
            project.compose("down", "--volumes")
            project.to_production()
            project.deploy()
            assert project.request("/").status == 200
            assert_lean(project, answers_of(preset)["postgres_driver"])
        elif answers_of(preset)["base_image"] == "alpine":
            # The production stage, which `up` does not build.
            project.run("make", "build")
    finally:
        project.remove_from_engine()
