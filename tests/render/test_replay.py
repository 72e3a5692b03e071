"""A replay file of Cookiecutter that was edited renders what its answers say."""

import json
import os
import subprocess
from pathlib import Path

import pytest

from tests.support.generate import generate
from tests.support.project import ROOT, Project

# The templates and the hook run on the Python of whoever renders a project.
pytestmark = pytest.mark.every_python


def replay(folder: Path, **edited: str) -> tuple[int, str]:
    """Generate, edit the replay file, generate from it; return the exit status and the output."""
    home = {"HOME": str(folder), "COOKIECUTTER_CONFIG": os.devnull}
    assert generate(folder / "first", env=home)[0] == 0
    (file,) = (folder / ".cookiecutter_replay").glob("*.json")
    answers = json.loads(file.read_text())
    answers["cookiecutter"] |= edited
    edited_file = folder / "edited.json"
    edited_file.write_text(json.dumps(answers))
    process = subprocess.run(
        ["cookiecutter", ROOT, "--replay-file", edited_file, "--output-dir", folder / "second"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | home,
    )
    return process.returncode, process.stdout + process.stderr


def test_an_edited_answer_reaches_every_file(tmp_path):
    edited = {"postgres_version": "17", "python_version": "3.13", "project_slug": "corner-shop"}
    status, printed = replay(tmp_path, **edited)

    assert status == 0, printed
    project = Project(tmp_path / "second" / "corner-shop")
    assert "- db_data_17:/var/lib/postgresql/data\n" in project.read("compose.yaml")
    assert "FROM python:3.13-slim-trixie " in project.read("Dockerfile")
    assert project.setting("POSTGRES_DB") == "corner_shop"


def test_an_edited_slug_is_checked(tmp_path):
    status, printed = replay(tmp_path, project_slug="My-Shop")

    assert status == 1 and "try 'my_shop'" in printed
    assert not list((tmp_path / "second").iterdir())
