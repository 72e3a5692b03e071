"""The hooks: what they need, and the .env that they make."""

import ast
import os
import re
import runpy
import stat
import sys
import types

import pytest
from cookiecutter.generate import generate_context
from cookiecutter.prompt import prompt_for_config
from cookiecutter.utils import create_env_with_context

from tests.support.project import ROOT

# They run on the Python of whoever renders a project.
pytestmark = pytest.mark.every_python


@pytest.fixture
def hook(tmp_path):
    """Render a hook as Cookiecutter does and import it: hook("pre_gen_project").problems(...)."""

    def load(name: str, **answers: object) -> types.SimpleNamespace:
        context = generate_context(ROOT / "cookiecutter.json")
        context["cookiecutter"] = prompt_for_config(context, no_input=True) | answers
        environment = create_env_with_context(context)
        source = (ROOT / "hooks" / f"{name}.py").read_text(encoding="utf-8")
        path = tmp_path / f"{name}.py"
        path.write_text(environment.from_string(source).render(**context), encoding="utf-8")
        return types.SimpleNamespace(**runpy.run_path(str(path)))

    return load


def test_answers_reach_a_hook_as_data(hook):
    text = "'\"\"\"\\ \n ''' {{ é 🎉 \ud800 </script>"
    for name in ("pre_gen_project", "post_gen_project"):
        assert hook(name, description=text).ANSWERS["description"] == text


def test_the_defaults_have_no_problem(hook):
    loaded = hook("pre_gen_project")
    assert loaded.problems(loaded.ANSWERS) == []


def test_the_last_lines_name_what_was_rendered(hook):
    loaded = hook("post_gen_project")
    words = loaded.closing_words(loaded.ANSWERS | {"postgres_driver": "psycopg"})
    assert "through psycopg 3." in words and "Warning" not in words
    first, second = words.split("in a second terminal")
    assert first.index("  cd my_project\n") < first.index("  docker compose up\n")
    command = "  docker compose run --rm app python manage.py createsuperuser\n"
    assert second.index(command) < second.index("http://127.0.0.1:8000/")


def test_hooks_use_no_assert_which_optimised_python_leaves_out():
    for path in ROOT.glob("hooks/*.py"):
        tree = ast.parse(path.read_text(encoding="utf-8"))
        assert not [node for node in ast.walk(tree) if isinstance(node, ast.Assert)]


def test_hooks_need_neither_network_nor_docker_nor_other_packages(tmp_path):
    for hook in ROOT.glob("hooks/*.py"):
        imported = re.findall(r"^(?:import|from) (\w+)", hook.read_text(), re.MULTILINE)
        assert set(imported) <= sys.stdlib_module_names - {"http", "socket", "urllib", "subprocess"}


def test_env_is_complete_and_readable_by_its_owner_only(bake):
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


def test_secrets_are_new_in_each_render_and_in_no_other_file(bake):
    project, other = bake(), bake()

    for name in ("SECRET_KEY", "POSTGRES_PASSWORD"):
        secret = project.setting(name)
        assert secret != other.setting(name)
        holders = [file for file, path in project.files().items() if secret in path.read_text()]
        assert holders == [".env"]
