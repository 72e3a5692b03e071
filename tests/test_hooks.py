"""What the hooks refuse, and what they leave behind."""

import os
import re
import stat
import subprocess
import sys

import pytest
from project import ROOT


def generate(folder, *answers):
    """Run Cookiecutter as a user does; return status and what was printed."""
    process = subprocess.run(
        ["cookiecutter", ROOT, "--no-input", "--output-dir", folder, *answers],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"COOKIECUTTER_CONFIG": os.devnull},
    )
    return process.returncode, process.stdout + process.stderr


@pytest.mark.parametrize(
    ("answer", "suggestion"),
    [
        ("project_slug=My Shop", "my_shop"),
        ("project_slug=3d_shop", "project_3d_shop"),
        ("project_slug=shop_", "shop"),
        ("project_slug=shop__two", "shop_two"),
        ("project_slug=café", "caf"),
        ("project_slug=" + "a" * 64, "a" * 63),
        ("project_slug=postgres", "project_postgres"),
        ("timezone=Paris", "Europe/Paris"),
        ("timezone=europe/paris", "Europe/Paris"),
        ("timezone=Europe/Pariss", "Europe/Paris"),
        ("timezone=nowhere at all", "UTC"),
    ],
)
def test_a_bad_answer_is_one_line_and_its_suggestion_passes(tmp_path, answer, suggestion):
    status, printed = generate(tmp_path, answer)

    name = answer.partition("=")[0]
    errors = [line for line in printed.splitlines() if line.startswith("Not rendered: ")]
    assert status == 1
    assert len(errors) == 1 and name in errors[0] and errors[0].endswith(f"try {suggestion!r}")
    assert list(tmp_path.iterdir()) == []
    assert generate(tmp_path, f"{name}={suggestion}")[0] == 0


def test_all_problems_are_said_at_once(tmp_path):
    status, printed = generate(tmp_path, "project_slug=My Shop", "timezone=Paris")

    assert status == 1
    assert len(re.findall("^Not rendered: ", printed, re.MULTILINE)) == 2


@pytest.mark.parametrize("slug", ["a", "my-shop", "shop2_b-c", "pg_tools", "a" * 63])
def test_good_slugs_pass(bake, slug):
    assert bake(project_slug=slug).slug == slug


def test_env_is_complete_secret_and_the_users_own(bake):
    project = bake()

    env = project.path / ".env"
    assert stat.S_IMODE(env.stat().st_mode) == 0o600
    assert re.fullmatch(r"[0-9a-f]{64}", project.setting("SECRET_KEY"))
    assert re.fullmatch(r"[0-9a-f]{32}", project.setting("POSTGRES_PASSWORD"))
    assert project.setting("HOST_UID") == str(os.getuid())
    assert project.setting("HOST_GID") == str(os.getgid())
    assert os.access(project.path / "app/manage.py", os.X_OK)
    names = re.findall(r"^(\w+)=", project.read(".env.example"), re.MULTILINE)
    assert re.findall(r"^(\w+)=", project.read(".env"), re.MULTILINE) == names


def test_secrets_are_new_each_time_and_in_no_other_file(bake):
    project, other = bake(), bake()

    for name in ("SECRET_KEY", "POSTGRES_PASSWORD"):
        secret = project.setting(name)
        assert secret != other.setting(name)
        holders = [file for file, path in project.files().items() if secret in path.read_text()]
        assert holders == [".env"]


def test_generating_again_keeps_the_env_that_is_there(tmp_path):
    assert generate(tmp_path)[0] == 0
    env = tmp_path / "my_project" / ".env"
    env.write_text("POSTGRES_PASSWORD=the one the volume knows\n")

    status, printed = generate(tmp_path, "--overwrite-if-exists")

    assert status == 0
    assert ".env is already there" in printed
    assert env.read_text() == "POSTGRES_PASSWORD=the one the volume knows\n"


def test_the_end_says_what_to_do_next_in_a_few_lines(tmp_path):
    status, printed = generate(tmp_path)

    assert status == 0
    assert "cd my_project\n  docker compose up\n" in printed
    assert len(printed.strip().splitlines()) <= 12


def test_hooks_need_neither_network_nor_docker_nor_other_packages(tmp_path):
    for hook in ROOT.glob("hooks/*.py"):
        imported = re.findall(r"^(?:import|from) (\w+)", hook.read_text(), re.MULTILINE)
        assert set(imported) <= sys.stdlib_module_names - {"http", "socket", "urllib", "subprocess"}
