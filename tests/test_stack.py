"""The stack on a real engine: it comes up, it is worked with, and it keeps what it was given."""

import os
import re
import shutil
import time
from pathlib import Path

import pytest

from tests.support.answers import CHOICES, PRESETS, answers_of, name_of
from tests.support.generate import generate
from tests.support.load import Load
from tests.support.project import Project

pytestmark = pytest.mark.stack


@pytest.fixture(scope="module")
def stack(bake_once) -> Project:
    """One running default project, for the tests that leave it as they found it."""
    project = bake_once(project_slug=Project.unused_slug())
    project.choose_port()
    try:
        project.up()
        yield project
    finally:
        project.remove_from_engine()


def test_comes_up_on_an_empty_volume_without_a_restart(stack):
    assert stack.restarts() == 0
    assert stack.inspect("migrate", "{{.State.ExitCode}}") == ["0"]
    assert stack.inspect("app", "{{.State.Health.Status}}") == ["healthy"]
    assert stack.inspect("db", "{{.State.Health.Status}}") == ["healthy"]
    assert "Traceback" not in stack.logs()


def test_serves_its_pages(stack):
    status, home = stack.get("/")
    assert status == 200
    assert "My Project" in home and "18." in home and "answers" in home
    assert stack.get("/static/core/home.css")[0] == 200
    assert stack.get("/static/admin/css/base.css")[0] == 200
    assert stack.get("/health/live") == (200, '{"status": "ok"}')
    assert stack.get("/health/ready") == (200, '{"status": "ok", "database": "ok"}')


@pytest.mark.browser
def test_a_new_user_sees_the_page_and_uses_the_admin(stack, page):
    user = {"DJANGO_SUPERUSER_PASSWORD": "correct horse"}
    stack.compose(
        *("exec", "-T", "-e", "DJANGO_SUPERUSER_PASSWORD", "app", "python", "manage.py"),
        *("createsuperuser", "--noinput", "--username=ada", "--email=ada@example.org"),
        env=user,
    )
    page.goto(f"http://127.0.0.1:{stack.port}/")
    assert page.get_by_role("heading").inner_text() == "My Project"
    assert page.locator("dl").evaluate("list => getComputedStyle(list).borderTopWidth") == "1px"

    page.get_by_role("link", name="Admin").click()
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(user["DJANGO_SUPERUSER_PASSWORD"])
    page.get_by_role("button", name="Log in").click()

    page.get_by_role("link", name="My Project").wait_for()
    page.get_by_role("link", name="Users").click()
    page.locator("#result_list").get_by_role("link", name="ada").wait_for()


def test_publishes_the_site_on_loopback_and_the_database_nowhere(stack):
    ports = "{{json .NetworkSettings.Ports}}"
    assert re.findall(r'"HostIp":"([^"]+)"', stack.inspect("app", ports)[0]) == ["127.0.0.1"]
    assert "HostIp" not in stack.inspect("db", ports)[0]


def test_200_clients_at_once_get_their_page(stack):
    with Load(f"http://127.0.0.1:{stack.port}/", threads=200) as load:
        stack.wait_until(lambda: sum(load.progress) > 600, seconds=120)
    assert set(load.answers) == {200}, load.answers
    assert "too many" not in stack.logs("db")


def look_at_the_page() -> None:
    """Take the time that a person needs before the next edit: gunicorn looks at files each second."""
    time.sleep(1.5)


def test_an_edit_shows_at_the_next_request(stack):
    template, view = "app/core/templates/core/home.html", "app/core/health.py"
    stack.replace(template, ">Admin<", ">The back office<")
    assert "The back office" in stack.get("/")[1]
    stack.replace(template, ">The back office<", ">Admin<")

    stack.replace(view, '"ok", "database": "ok"', '"ok", "database": "fine"')
    stack.wait_until(lambda: "fine" in stack.get("/health/ready")[1], seconds=10)
    look_at_the_page()
    stack.replace(view, '"ok", "database": "fine"', '"ok", "database": "ok"')
    stack.wait_until(lambda: "fine" not in stack.get("/health/ready")[1], seconds=10)


def test_a_mistake_in_the_code_does_not_take_the_container_down(stack):
    for module in ("app/core/views.py", "app/config/settings.py"):
        stack.replace(module, '"""', 'not python"""')
        try:
            stack.wait_until(lambda: stack.get("/")[0] == 500, seconds=10)
            look_at_the_page()
        finally:
            stack.replace(module, 'not python"""', '"""')
        stack.wait_until(lambda: stack.get("/")[0] == 200, seconds=10)
    assert stack.restarts() == 0


@pytest.mark.parametrize("command", ["python manage.py test", "pytest"])
def test_passes_its_own_tests_inside(stack, command):
    printed = stack.compose("run", "--rm", "-T", "app", *command.split()).stdout
    assert re.search(r"^OK$|\d+ passed", printed, re.MULTILINE), printed


def test_files_made_in_the_container_belong_to_the_user(stack):
    project = Project(stack.path)
    # Somebody whom the image does not know, where this may give files away.
    owner = (12345, 23456) if os.getuid() == 0 else (os.getuid(), os.getgid())
    everything = [project.path, *project.path.rglob("*")]
    for path in everything:
        os.chown(path, *owner)
    (project.path / ".env").rename(project.path / ".env.before")
    project.run("make", "env")
    try:
        env = (project.path / ".env").stat()
        assert (env.st_uid, env.st_gid) == owner
        assert (project.setting("HOST_UID"), project.setting("HOST_GID")) == tuple(map(str, owner))
        project.compose(
            *("run", "--rm", "-T", "--no-deps", "-e", "SKIP_WAIT=1"),
            *("app", "python", "manage.py", "startapp", "shop"),
        )
        made = (project.path / "app/shop/models.py").stat()
        assert (made.st_uid, made.st_gid) == owner
        # A mount inside of another one would have made its folder, for root.
        assert not (project.path / "app/media").exists()
    finally:
        shutil.rmtree(project.path / "app/shop", ignore_errors=True)
        (project.path / ".env.before").replace(project.path / ".env")
        for path in everything:
            if path.exists():
                os.chown(path, os.getuid(), os.getgid())


def contents(project: Project) -> dict[str, bytes]:
    """Return what is in the files of a project, caches aside."""
    files = project.files().items()
    return {name: path.read_bytes() for name, path in files if "_cache/" not in name}


@pytest.mark.parametrize(
    "target", ["format", "lint", "check", "test", "migrations", "migrate", "lock", "help"]
)
def test_make_targets_work(stack, target):
    before = contents(stack)

    stack.run("make", target)

    assert contents(stack) == before


@pytest.mark.parametrize(
    ("ci", "file"), [("github", ".github/workflows/ci.yml"), ("gitlab", ".gitlab-ci.yml")]
)
def test_what_the_pipeline_runs_works(bake, ci, file):
    project = bake(project_slug=Project.unused_slug(), ci=ci, postgres_driver="psycopg")
    os.remove(project.path / ".env")
    commands = re.findall(r"^ *- (?:run: )?(make .*)$", project.read(file), re.MULTILINE)
    assert commands == ["make env", "make lint", "make check", "make test"]
    try:
        project.run("make", "env")
        project.compose("build")
        project.run("make", "build")
        for command in commands:
            project.run(*command.split())

        # Each of them finds what it is there for.
        for command, name, old, new in (
            ("lint", "app/core/views.py", "import platform", "import os, platform"),
            ("check", "app/core/models.py", 'swapped."""', 'swapped."""\n    email = None'),
            ("check", "app/config/settings.py", "SESSION_COOKIE_SECURE = ", ""),
            ("test", "app/core/views.py", "settings.PROJECT_NAME", '"?"'),
        ):
            before = project.read(name)
            project.replace(name, old, new)
            project.run("make", "build")
            assert project.run("make", command, check=False).returncode != 0, (command, name)
            project.replace(name, project.read(name), before)
    finally:
        project.remove_from_engine()


def test_readme_shows_the_line_of_every_make_target(stack):
    readme = stack.read("README.md")
    recipes = re.findall(r"^\t(docker .*)$", stack.read("Makefile"), re.MULTILINE)
    assert len(recipes) > 10
    for recipe in recipes:
        line = recipe.replace("$(CURDIR)", "${PWD}").replace("$$", "$")
        line = re.sub(r' "?\$\(\w+\)"?$', "", line)
        assert line in readme, line


def test_a_fresh_clone_says_what_is_missing_and_how_to_make_it(bake):
    project = bake()
    os.remove(project.path / ".env")

    process = project.compose("up", check=False)

    assert process.returncode != 0
    assert len(process.stdout.strip().splitlines()) == 1
    assert process.stdout.strip().endswith('run "make env", see "A fresh clone" in README.md')
    project.run("make", "env")
    project.compose("config", "--quiet")
    assert "stays as it is" in project.run("make", "env").stdout


VARIANTS = [
    {},
    {"postgres_version": "17", "postgres_driver": "psycopg2", "django_version": "6.1"}
    | {"python_version": "3.13"},
    {"postgres_version": "15", "postgres_driver": "psycopg", "django_version": "6.1"},
]


@pytest.mark.parametrize("answers", VARIANTS, ids=name_of)
def test_every_driver_passes_the_tests_and_keeps_rows_over_down_and_up(start_stack, answers):
    project = start_stack(**answers)
    printed = project.compose("run", "--rm", "-T", "app", "python", "manage.py", "test").stdout
    assert re.search(r"^OK$", printed, re.MULTILINE), printed
    assert f"{answers.get('postgres_version', '18')}." in project.get("/")[1]
    add = "from core.models import User; User.objects.create_user('ada')"
    project.compose("exec", "-T", "app", "python", "manage.py", "shell", "-c", add)

    project.compose("down")
    project.up()

    assert project.sql("SELECT username FROM core_user") == "ada"
    assert project.restarts() == 0
    mounts = '{{range .Mounts}}{{if eq .Type "volume"}}{{.Name}} {{.Destination}}\n{{end}}{{end}}'
    ((volume, destination),) = [line.split() for line in project.inspect("db", mounts)]
    data = project.compose("exec", "-T", "db", "sh", "-c", 'echo "$PGDATA"').stdout.strip()
    assert volume == f"{project.stack}_db_data_{answers.get('postgres_version', '18')}"
    assert data.startswith(destination)


def needing(preset: Path):
    """Return a preset as a parameter, marked by what its base image needs."""
    marks = [pytest.mark.alpine] if answers_of(preset)["base_image"] == "alpine" else []
    return pytest.param(preset, id=preset.stem, marks=marks)


@pytest.mark.parametrize("preset", [needing(preset) for preset in PRESETS])
def test_every_preset_comes_up_and_passes_its_tests(tmp_path, preset):
    slug = Project.unused_slug()
    status, printed = generate(tmp_path, "--config-file", preset, f"project_slug={slug}")
    assert status == 0, printed
    project = Project(tmp_path / slug)
    project.choose_port()
    try:
        project.up()
        assert project.status("/") == 200
        printed = project.run("make", "test").stdout
        assert re.search(r"^OK$", printed, re.MULTILINE), printed
        if (project.path / "compose.production.yaml").exists():
            project.compose("down", "--volumes")
            project.to_production()
            project.deploy()
            assert project.request("/").status == 200
        elif answers_of(preset)["base_image"] == "alpine":
            # The one stage that `up` does not build.
            project.run("make", "build")
    finally:
        project.remove_from_engine()


@pytest.mark.parametrize("python", CHOICES["python_version"])
@pytest.mark.parametrize("django", CHOICES["django_version"])
@pytest.mark.parametrize("driver", CHOICES["postgres_driver"])
@pytest.mark.parametrize("redis", [False, True])
def test_every_lock_installs_and_its_project_is_sound(bake, driver, django, python, redis):
    project = bake(
        project_slug=Project.unused_slug(),
        postgres_driver=driver,
        django_version=django,
        python_version=python,
        use_redis=redis,
    )
    image = f"{project.stack}:development"
    manage = [
        "docker",
        "run",
        "--rm",
        "-e",
        "DEBUG=true",
        "-e",
        "SKIP_WAIT=1",
        image,
        "python",
        "manage.py",
    ]
    try:
        project.compose("build")
        project.run(*manage, "check", "--fail-level", "WARNING")
        project.run(*manage, "makemigrations", "--check")
        versions = project.run(
            *manage,
            "shell",
            "-v0",
            "-c",
            (
                "import django, platform, sys; print(django.__version__, sys.version.split()[0]);"
                f"import {driver.removesuffix('-binary')}"
            ),
        ).stdout.split()
        assert versions[0].startswith(f"{django}.") and versions[1].startswith(f"{python}.")
    finally:
        project.remove_from_engine()


@pytest.mark.parametrize("driver", CHOICES["postgres_driver"])
def test_the_production_image_is_lean_and_not_root(bake, driver):
    project = bake(project_slug=Project.unused_slug(), postgres_driver=driver)
    run = ["docker", "run", "--rm", "-e", "SKIP_WAIT=1", project.stack]
    try:
        project.run("make", "build")
        assert project.run(*run, "id", "-u").stdout.strip() == "10001"
        for program in ("gcc", "uv", "pytest", "ruff"):
            assert project.run(*run, "which", program, check=False).returncode != 0
        project.run(*run, "python", "-c", f"import {driver.removesuffix('-binary')}")
        assert "home.css" in project.run(*run, "cat", "staticfiles.json").stdout
        refused = project.run(*run, check=False)
        assert refused.returncode != 0 and "SECRET_KEY" in refused.stdout
    finally:
        project.remove_from_engine()


def test_a_project_made_without_hooks_starts_after_make_env(tmp_path):
    slug = Project.unused_slug()
    assert generate(tmp_path, "--accept-hooks=no", f"project_slug={slug}")[0] == 0
    project = Project(tmp_path / slug)
    try:
        project.run("make", "env")
        project.choose_port()
        project.up()
        assert project.status("/") == 200
    finally:
        project.remove_from_engine()
