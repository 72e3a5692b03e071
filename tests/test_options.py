"""A render has what was chosen and nothing of what was not."""

import re

import pytest

from tests.support.answers import CHOICES, PAIRS, name_of

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
