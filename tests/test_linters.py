"""The real tools find no mistake in any render."""

import re
import shlex
import subprocess

import pytest

from tests.support.answers import RENDERS
from tests.support.project import ROOT

# What finds mistakes in those files and folders of a project that match.
TOOLS = [
    ("ruff check --no-cache", "app|docker|scripts"),
    ("ruff format --no-cache --check", "app|docker|scripts"),
    ("hadolint", r"(docker/.*/)?Dockerfile"),
    ("shellcheck --external-sources", r".*\.sh"),
    (f"yamllint --strict --config-file {ROOT}/tests/yamllint.yaml", r".*\.ya?ml"),
    ("check-jsonschema --builtin-schema vendor.compose-spec", r"compose.*\.yaml"),
    ("check-jsonschema --builtin-schema vendor.github-workflows", r"\.github/workflows/ci\.yml"),
    ("check-jsonschema --builtin-schema vendor.dependabot", r"\.github/dependabot\.yml"),
    (
        "check-jsonschema --builtin-schema vendor.gitlab-ci --data-transform gitlab-ci",
        r"\.gitlab-ci\.yml",
    ),
    ("check-jsonschema --builtin-schema vendor.renovate", r"renovate\.json"),
    ("zizmor --offline --quiet --persona auditor", r"\.github"),
]


def test_no_tool_finds_a_mistake_in_any_of_them(bake_once, tmp_path):
    # One process of each tool for all projects: most of its time goes into its start.
    projects = {name: bake_once(**answers) for name, answers in RENDERS.items()}
    for tool, pattern in TOOLS:
        paths = [
            path
            for project in projects.values()
            for path in sorted(project.path.rglob("*"))
            if re.fullmatch(pattern, path.relative_to(project.path).as_posix())
        ]
        assert paths, pattern
        process = subprocess.run(
            [*shlex.split(tool), *paths],
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


def test_templates_are_clean(bake):
    bake().run("djlint", "--check", "--lint", "--profile=django", "--indent=2", "app")


@pytest.mark.parametrize("answers", RENDERS.values(), ids=RENDERS)
def test_every_pair_of_answers_and_every_preset_is_clean(bake_once, answers):
    project = bake_once(**answers)

    for name, path in project.files().items():
        content = path.read_bytes()
        assert b"\r" not in content, f"{name} has line endings other than LF"
        assert b"cookiecutter" not in content, f"{name} has words of the template left in it"
        if name.endswith("__init__.py") and not content:
            continue
        assert content.endswith(b"\n") and not content.endswith(b"\n\n"), f"{name} ends badly"
        assert not re.search(rb"[ \t]\n", content), f"{name} has blanks at the end of a line"
        blank_lines = rb"\n\n\n\n" if name.endswith((".py", "Dockerfile")) else rb"\n\n\n"
        assert blank_lines not in content, f"{name} has too many blank lines"

    for name in (".github/workflows/ci.yml", ".github/dependabot.yml"):
        assert (project.path / name).exists() == (answers["ci"] == "github")
    for name in (".gitlab-ci.yml", "renovate.json"):
        assert (project.path / name).exists() == (answers["ci"] == "gitlab")
    release = {"slim": "slim-trixie", "alpine": "alpine"}[answers["base_image"]]
    assert f"FROM python:{answers['python_version']}-{release} " in project.read("Dockerfile")
    assert f"postgres:{answers['postgres_version']}-" in project.read("compose.yaml")
    locked = re.findall(r"^([a-z0-9-]+)==([\d.]+)", project.read("requirements.txt"), re.MULTILINE)
    assert answers["postgres_driver"] in dict(locked)
    assert dict(locked)["django"].startswith(answers["django_version"] + ".")
