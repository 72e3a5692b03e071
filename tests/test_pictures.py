"""The pictures of README.md: `make pictures` takes them again, and they show the real output."""

import re
import struct
from pathlib import Path
from xml.etree import ElementTree

import pytest

from scripts.pictures import PAGE, PICTURES, take_dialogue, take_pictures
from tests.support.project import ROOT

PLOTS = ROOT / "benchmarks" / "plots"


@pytest.fixture(scope="module")
def taken(browser, tmp_path_factory) -> Path:
    """A folder with pictures that were taken now."""
    folder = tmp_path_factory.mktemp("pictures")
    take_pictures(browser, folder)
    return folder


def text_of(svg: Path) -> str:
    """Return the text that an SVG shows."""
    root = ElementTree.fromstring(svg.read_text(encoding="utf-8"))
    return "\n".join("".join(element.itertext()) for element in root.iter()).replace("\xa0", " ")


@pytest.mark.browser
@pytest.mark.stack
@pytest.mark.parametrize(
    ("picture", "shown"),
    [
        ("dialogue.svg", ["cookiecutter gh:org/template", "Choose from", "Made my_project"]),
        ("start.svg", ["docker compose up", "app-1", "Open http://127.0.0.1:8000/"]),
    ],
)
def test_the_terminal_shows_what_the_commands_print(taken, picture, shown):
    text = text_of(taken / picture)
    for words in shown:
        assert words in text, text


@pytest.mark.browser
@pytest.mark.stack
def test_the_browser_shows_the_home_page_in_light_and_dark(taken):
    light, dark = ((taken / f"home_{scheme}.png").read_bytes() for scheme in ("light", "dark"))
    assert light != dark
    for png in (light, dark):
        width, height = struct.unpack(">II", png[16:24])
        assert width == PAGE["width"] and height >= PAGE["height"]


@pytest.mark.browser
@pytest.mark.stack
def test_the_committed_pictures_are_those_that_are_taken(taken):
    assert {path.name for path in taken.iterdir()} == {path.name for path in PICTURES.iterdir()}


def test_the_committed_dialogue_asks_the_questions_of_today(tmp_path):
    (tmp_path / "folder").mkdir()
    take_dialogue(tmp_path / "folder", tmp_path)

    shown = text_of(tmp_path / "dialogue.svg")
    assert text_of(PICTURES / "dialogue.svg") == shown, "run make pictures"


def test_pictures_are_small_and_the_documentation_shows_each():
    pictures = [*PICTURES.iterdir(), *PLOTS.glob("*")]
    assert sum(path.stat().st_size for path in pictures) < 310_000
    texts = (ROOT / "README.md").read_text() + (ROOT / "benchmarks/README.md").read_text()
    for path in pictures:
        assert f"/{path.name}" in texts, path.name


def test_pictures_name_no_other_host_and_no_path_of_a_machine():
    for path in [*PICTURES.glob("*.svg"), *PLOTS.glob("*.svg")]:
        text = path.read_text(encoding="utf-8")
        hosts = set(re.findall(r"https?://([^/:\"<\s]+)", text)) - {"www.w3.org"}
        assert hosts <= {"127.0.0.1", "0.0.0.0"}, f"{path.name}: {hosts}"
        assert not re.search(r"/(?:tmp|home|root|work)/", text), path.name
