"""Any choice of answers renders a clean project: what the real tools say of it."""

import itertools
import json
import re
import subprocess

import pytest
from project import ROOT

QUESTIONS = json.loads((ROOT / "cookiecutter.json").read_text(encoding="utf-8"))
CHOICES = {
    name: choices
    for name, choices in QUESTIONS.items()
    if isinstance(choices, list) and not name.startswith("_")
}
WAITING = [
    {"use_wait_for_db": command, "use_entrypoint": script}
    for command in (True, False)
    for script in (True, False)
]
VERSIONS = ("django_version", "python_version", "postgres_version", "postgres_driver")
# Every combination of the versions and the driver; the other answers vary along with them, so that
# each comes up with each version. Then each way of waiting with each driver.
COMBINATIONS = [
    dict(zip(VERSIONS, answers, strict=True))
    | WAITING[(number + number // 12) % 4]
    | {"postgres_storage": CHOICES["postgres_storage"][(number + number // 3) % 3]}
    for number, answers in enumerate(itertools.product(*(CHOICES[name] for name in VERSIONS)))
] + [
    {"postgres_driver": driver} | waiting
    for driver in CHOICES["postgres_driver"]
    for waiting in WAITING
]
DEFAULTS = {name: choices[0] for name, choices in CHOICES.items()}


def name_of(answers: dict) -> str:
    """Return a short name of some answers for the list of tests."""
    ways = {True: "+", False: "-"}
    return (
        " ".join(
            f"{ways[answer]}{name[4:]}" if answer in ways else answer
            for name, answer in answers.items()
        )
        or "defaults"
    )


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


@pytest.mark.parametrize("answers", COMBINATIONS, ids=name_of)
def test_every_combination_is_clean(bake, answers):
    project = bake(**answers)
    answers = DEFAULTS | answers

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

    project.run("ruff", "check", "--no-cache", "app", "docker")
    project.run("ruff", "format", "--no-cache", "--check", "app", "docker")
    project.run("hadolint", "Dockerfile")
    project.run("shellcheck", *(name for name in project.files() if name.endswith(".sh")))
    project.run("yamllint", "--strict", "--config-file", ROOT / "tests/yamllint.yaml", ".")
    compose_files = [name for name in project.files() if re.fullmatch(r"compose.*\.yaml", name)]
    project.run("check-jsonschema", "--builtin-schema", "vendor.compose-spec", *compose_files)
    assert f"python:{answers['python_version']}-" in project.read("Dockerfile")
    assert f"postgres:{answers['postgres_version']}-" in project.read("compose.yaml")
    locked = re.findall(r"^([a-z0-9-]+)==([\d.]+)", project.read("requirements.txt"), re.MULTILINE)
    assert answers["postgres_driver"] in dict(locked)
    assert dict(locked)["django"].startswith(answers["django_version"] + ".")


@pytest.mark.parametrize("answers", WAITING, ids=name_of)
def test_nothing_is_said_of_what_was_not_chosen(bake, answers):
    project = bake(**answers)

    text = "".join(path.read_text() for path in project.files().values())
    assert ("manage.py wait_for_db" in text) == answers["use_wait_for_db"]
    assert ("docker/entrypoint.sh" in text) == answers["use_entrypoint"]
    assert ("SKIP_WAIT" in text) == answers["use_entrypoint"]
    assert (project.path / "app/core/management").exists() == answers["use_wait_for_db"]


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


@pytest.mark.parametrize(
    "name", ["Sparks & Co", 'Say "hi"', "It's", "back\\slash", "$HOME #1", "Café ☕ 🎉", "100 %d"]
)
def test_text_comes_through_as_it_was_typed(bake, name):
    project = bake(project_name=name, project_slug="text", description=f"On {name}")

    namespace = {}
    settings = project.read("app/config/settings.py")
    exec("\n".join(re.findall(r"^PROJECT_.*", settings, re.MULTILINE)), namespace)  # noqa: S102
    assert namespace["PROJECT_NAME"] == name
    assert namespace["PROJECT_DESCRIPTION"] == f"On {name}"
    assert project.read("README.md").startswith(f"# {name}\n")
    project.run("python", "-m", "compileall", "-q", "app")


def test_a_long_name_leaves_room_for_the_names_derived_from_it(bake):
    # PostgreSQL allows 63 characters; Django's tests put test_ before the name of the database.
    project = bake(project_slug="a" * 63)
    assert len("test_" + project.setting("POSTGRES_DB")) <= 63


@pytest.mark.parametrize("django", CHOICES["django_version"])
@pytest.mark.parametrize("driver", CHOICES["postgres_driver"])
def test_every_lock_pins_what_is_asked_for_and_names_no_address(bake, django, driver):
    project = bake(django_version=django, postgres_driver=driver)

    for name in ("requirements", "requirements-dev", "requirements-build"):
        lock = project.read(f"{name}.txt")
        assert "://" not in lock
        pins = re.split(r"\n(?=[a-z])", lock.partition("make lock\n")[2].strip())
        assert all(re.match(r"\S+==\S+ (; [^\\]+ )?\\\n    --hash=sha256:", pin) for pin in pins)
        asked = re.findall(r"^([a-z][a-z0-9-]*)", project.read(f"{name}.in"), re.MULTILINE)
        assert set(asked) <= {pin.partition("==")[0] for pin in pins}


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
