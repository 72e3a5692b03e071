"""A project has what was chosen, and nothing of what was not."""

import re

import pytest

from tests.support.answers import ANSWERS, CHOICES, PAIRS, RENDERS, name_of

# The words of an answer are in a project if the answer was chosen, and nowhere in it if not. A
# question that starts with use_ and is not listed has one: the rest of its name.
WORDS = {
    ("use_wait_for_db", True): ["manage.py wait_for_db"],
    ("use_entrypoint", True): ["docker/app/entrypoint.sh"],
    ("base_image", "alpine"): ["alpine"],
    ("base_image", "slim"): ["slim-trixie", "useradd"],
    ("media_storage", "volume"): ["/srv/media"],
    ("media_storage", "s3"): ["boto3", "s3_bucket", "docs/uploads.md"],
    ("deployment", "compose"): ["compose.production.yaml"],
    ("deployment", "swarm"): ["stack.yaml", "swarm", "make scale", "make rollback", "overlay"],
    # Of both.
    ("deployment", ("compose", "swarm")): ["certbot", "nginx", "make deploy", "make secrets"],
    ("backup", "continuous"): [
        *("ops/wal.py", "ops/moment.py", "ops/archive.py", "ops/offsite_log.py", "restore-to"),
        *("continuous", "recovery_window"),
        *("max_slot_wal_keep_size", "backup_synchronous", "fetch_log"),
    ],
    ("use_tasks", True): [
        "django_ox",
        "ox_worker",
        "watchfiles",
        "docs/tasks.md",
        "core/tasks.py",
        "core/mail.py",
    ],
    ("ci", "github"): ["workflows/ci.yml", "dependabot.yml"],
    ("ci", "gitlab"): ["gitlab", "renovate.json"],
}
for name in ANSWERS:
    if name.startswith("use_"):
        WORDS.setdefault((name, True), [name.removeprefix("use_")])


@pytest.mark.parametrize("answers", PAIRS, ids=name_of)
def test_a_project_names_nothing_that_was_not_chosen(bake_once, answers):
    files = bake_once(**answers).files()
    # The list of all answers, which the next update reads.
    del files[".template.yaml"]

    text = "\n".join([*files, *(path.read_text().lower() for path in files.values())])
    for (question, answer), words in WORDS.items():
        for word in words:
            chosen = answers[question] in (answer if isinstance(answer, tuple) else (answer,))
            assert (word in text or word.lower() in text) == chosen, word


@pytest.mark.parametrize(
    "answers", [{"deployment": "compose"}, {"deployment": "swarm", "media_storage": "s3"}]
)
def test_development_is_the_same_with_production(bake_once, answers):
    project, without = bake_once(**answers), bake_once(**answers | {"deployment": "none"})

    for name in ("compose.yaml", "compose.override.yaml", "scripts/data.sh"):
        assert project.read(name) == without.read(name)


@pytest.mark.parametrize("answers", PAIRS, ids=name_of)
def test_no_folder_is_left_empty_by_an_answer(bake_once, answers):
    project = bake_once(**answers)

    folders = [path for path in project.path.rglob("*") if path.is_dir()]
    assert not [folder for folder in folders if not list(folder.iterdir())]


@pytest.mark.parametrize("answers", RENDERS.values(), ids=RENDERS)
def test_images_and_locks_are_of_the_chosen_versions(bake_once, answers):
    project = bake_once(**answers)

    release = {"slim": "slim-trixie", "alpine": "alpine"}[answers["base_image"]]
    assert f"FROM python:{answers['python_version']}-{release} " in project.read("Dockerfile")
    assert f"postgres:{answers['postgres_version']}-" in project.read("compose.yaml")
    locked = re.findall(r"^([a-z0-9-]+)==([\d.]+)", project.read("requirements.txt"), re.MULTILINE)
    assert answers["postgres_driver"] in dict(locked)
    assert dict(locked)["django"].startswith(answers["django_version"] + ".")


def test_tasks_do_not_promise_to_keep_data_that_is_in_memory(bake):
    for storage in CHOICES["postgres_storage"]:
        project = bake(postgres_storage=storage)
        for name in ("Makefile", "README.md"):
            promised = "the data stays" in project.read(name)
            assert promised == (storage != "tmpfs"), f"{name} with {storage}"


def test_the_volume_is_mounted_where_each_major_version_keeps_its_data(bake):
    # PostgreSQL 18 moved its volume. With a wrong mount, the data is lost with the container.
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


def test_a_long_slug_leaves_room_for_the_names_derived_from_it(bake):
    # PostgreSQL allows 63 characters; Django's tests put test_ before the name of the database.
    project = bake(project_slug="a" * 63)
    assert len("test_" + project.setting("POSTGRES_DB")) <= 63
