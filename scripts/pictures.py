"""`make pictures`: take the pictures of README.md anew.

The template is rendered in a terminal, its default project is started, and a browser opens the home
page. What the terminal showed becomes an SVG, what the browser showed a PNG: nothing is drawn by
hand. Needs a Docker engine and Chromium.
"""

import io
import tempfile
from pathlib import Path

from playwright.sync_api import Browser
from rich.console import Console
from rich.terminal_theme import SVG_EXPORT_THEME
from rich.text import Text

from tests.support.browser import open_browser, wait_for_settled_addresses
from tests.support.generate import generate_in_terminal
from tests.support.project import ROOT, Project

PICTURES = ROOT / "docs" / "pictures"
TEMPLATE = "gh:org/template"  # as README.md names it
COLUMNS, ROWS = 104, 28
PAGE = {"width": 800, "height": 600}

# Rich's own format loads a font from another host, which no page that shows an SVG as an image does.
SVG = """<svg viewBox="0 0 {width} {height}" xmlns="http://www.w3.org/2000/svg">
<style>
.{unique_id}-matrix {{ font: {char_height}px/{line_height}px monospace }}
.{unique_id}-title {{ font: bold 18px sans-serif }}
{styles}
</style>
<defs>
<clipPath id="{unique_id}-clip-terminal">
<rect width="{terminal_width}" height="{terminal_height}"/>
</clipPath>
{lines}
</defs>
{chrome}
<g transform="translate({terminal_x}, {terminal_y})" clip-path="url(#{unique_id}-clip-terminal)">
{backgrounds}
<g class="{unique_id}-matrix">
{matrix}
</g>
</g>
</svg>
"""


def draw_terminal(shown: str, title: str, file: Path) -> None:
    """Write an SVG of the last screen of a terminal, with its colours."""
    console = Console(
        file=io.StringIO(),
        record=True,
        width=COLUMNS,
        force_terminal=True,
        color_system="truecolor",
    )
    lines = Text.from_ansi(shown.strip("\n")).wrap(console, COLUMNS)
    for line in lines[-ROWS:]:
        console.print(line, no_wrap=True, highlight=False)
    svg = console.export_svg(
        title=title, theme=SVG_EXPORT_THEME, code_format=SVG, unique_id=file.stem
    )
    file.write_text(svg.replace("\u00a0", "&#160;"), encoding="utf-8")


def take_dialogue(folder: Path, pictures: Path) -> Project:
    """Render the template's defaults as a user does, in a terminal; return the project."""
    (folder / "org").mkdir()
    (folder / TEMPLATE.removeprefix("gh:")).symlink_to(ROOT)
    config = folder / "config.yaml"
    # `gh:` leads to this checkout, and no file of the user is read or written.
    config.write_text(f"abbreviations: {{gh: '{folder}/{{0}}'}}\nreplay_dir: '{folder}/replay'\n")
    env = {"COOKIECUTTER_CONFIG": str(config), "COLUMNS": str(COLUMNS), "TERM": "xterm-256color"}
    output = folder / "output"
    output.mkdir()
    shown = generate_in_terminal(output, TEMPLATE, env=env)
    draw_terminal(shown, f"cookiecutter {TEMPLATE}", pictures / "dialogue.svg")
    return Project(output / "my_project")


def take_start(project: Project, pictures: Path) -> None:
    """Start the project, whose image is built, on its own port, 8000, until its home page answers."""
    project.port = 8000
    project.compose("build", "--quiet", timeout=600)
    up = project.start("docker", "compose", "--ansi", "always", "up", env={})
    project.wait_until(lambda: project.get()[0] == 200, 120)
    draw_terminal(up.printed(), "docker compose up", pictures / "start.svg")


def take_home_page(browser: Browser, project: Project, pictures: Path) -> None:
    """Open the home page in light and dark."""
    wait_for_settled_addresses()
    for scheme in ("light", "dark"):
        page = browser.new_page(viewport=PAGE, color_scheme=scheme)
        page.goto(f"http://127.0.0.1:{project.port}/")
        page.screenshot(path=pictures / f"home_{scheme}.png", full_page=True)
        page.close()


def take_pictures(browser: Browser, pictures: Path) -> None:
    """Take all pictures into a folder; leave nothing on the engine."""
    with tempfile.TemporaryDirectory() as name:
        project = take_dialogue(Path(name), pictures)
        try:
            take_start(project, pictures)
            take_home_page(browser, project, pictures)
        finally:
            project.remove_from_engine()


def main() -> None:
    """Take all pictures into docs/pictures."""
    PICTURES.mkdir(parents=True, exist_ok=True)
    with open_browser() as browser:
        take_pictures(browser, PICTURES)
    for file in sorted(PICTURES.iterdir()):
        print(f"{file.relative_to(ROOT)}: {file.stat().st_size // 1000} kB")


if __name__ == "__main__":
    main()
