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
    "ruff check": ("ruff check --no-cache", "app|docker|ops|scripts"),
    "ruff format": ("ruff format --no-cache --check", "app|docker|ops|scripts"),
    "hadolint": ("hadolint", r"(.*/)?Dockerfile"),
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
    if tool.endswith("compose-spec"):
        # `!reset` is Compose's own, and no part of the schema.
        for number, (key, path) in enumerate(paths.items()):
            paths[key] = tmp_path / f"{number}.yaml"
            paths[key].write_text(path.read_text().replace("!reset ", ""))
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


def test_the_types_of_ops_are_right_for_the_oldest_python_of_a_server(bake_once, tmp_path):
    checked = set()
    for name, answers in RENDERS.items():
        project = bake_once(**answers)
        modules = {path.name: path.read_text() for path in sorted(project.path.glob("ops/*.py"))}
        if not modules or str(modules) in checked:
            continue
        checked.add(str(modules))
        command = ["mypy", "--strict", "--python-version=3.9", f"--cache-dir={tmp_path}"]
        process = project.run(*command, "--package=ops", check=False)
        assert process.returncode == 0, f"[{name}] {process.stdout}"
    assert checked


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
