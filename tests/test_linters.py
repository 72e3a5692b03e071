"""Linters and schemas find no mistake in any render."""

import re
import shlex
import subprocess

import pytest

from tests.support.answers import RENDERS
from tests.support.project import ROOT

SCHEMA = "check-jsonschema --builtin-schema vendor."
# Each tool checks the files and folders whose path in a project matches the pattern.
TOOLS = {
    "ruff check": ("ruff check --no-cache", "app|docker|scripts"),
    "ruff format": ("ruff format --no-cache --check", "app|docker|scripts"),
    "hadolint": ("hadolint", r"(docker/.*/)?Dockerfile"),
    "shellcheck": ("shellcheck --external-sources", r".*\.sh"),
    "yamllint": (
        f"yamllint --strict --config-file {ROOT}/tests/yamllint.yaml",
        r".*\.ya?ml",
    ),
    "schema of Compose": (f"{SCHEMA}compose-spec", r"(compose.*|stack)\.yaml"),
    "schema of GitHub": (f"{SCHEMA}github-workflows", r"\.github/workflows/ci\.yml"),
    "schema of Dependabot": (f"{SCHEMA}dependabot", r"\.github/dependabot\.yml"),
    "schema of GitLab": (f"{SCHEMA}gitlab-ci --data-transform gitlab-ci", r"\.gitlab-ci\.yml"),
    "schema of Renovate": (f"{SCHEMA}renovate", r"renovate\.json"),
    "zizmor": ("zizmor --offline --quiet --persona auditor", r"\.github"),
}


@pytest.mark.parametrize(("tool", "pattern"), TOOLS.values(), ids=TOOLS)
def test_the_linter_finds_no_mistake_in_any_render(bake_once, tmp_path, tool, pattern):
    projects = {name: bake_once(**answers) for name, answers in RENDERS.items()}
    # By path and content: what is the same in two projects is checked once.
    paths = {
        (path.relative_to(project.path), path.read_bytes() if path.is_file() else path): path
        for project in projects.values()
        for path in sorted(project.path.rglob("*"))
        if re.fullmatch(pattern, path.relative_to(project.path).as_posix())
    }
    assert paths
    # One process for all projects: most of its time goes into its start.
    process = subprocess.run(
        [*shlex.split(tool), *paths.values()],
        cwd=tmp_path,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
    )
    found = process.stdout
    for name, project in projects.items():
        found = found.replace(str(project.path), f"[{name}]")
    assert process.returncode == 0, f"{tool}: {process.returncode}\n{found}"


def test_djlint_finds_no_mistake_in_the_templates(bake):
    bake().run("djlint", "--check", "--lint", "--profile=django", "--indent=2", "app")


@pytest.mark.parametrize("answers", RENDERS.values(), ids=RENDERS)
def test_every_file_ends_with_one_newline_and_has_no_stray_blanks(bake_once, answers):
    for name, path in bake_once(**answers).files().items():
        content = path.read_bytes()
        assert b"\r" not in content, f"{name} has line endings other than LF"
        assert b"cookiecutter" not in content, f"{name} has words of the template left in it"
        if name.endswith("__init__.py") and not content:
            continue
        assert content.endswith(b"\n") and not content.endswith(b"\n\n"), f"{name} ends badly"
        assert not re.search(rb"[ \t]\n", content), f"{name} has blanks at the end of a line"
        blank_lines = rb"\n\n\n\n" if name.endswith((".py", "Dockerfile")) else rb"\n\n\n"
        assert blank_lines not in content, f"{name} has too many blank lines"
        if name.endswith(".md"):
            lines = content.decode().splitlines()
            longest = max((line for line in lines if not line.startswith(("|", "    "))), key=len)
            assert len(longest) <= 130, f"{name} has a line that conditions made long: {longest}"
