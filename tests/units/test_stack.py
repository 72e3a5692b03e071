"""What a release on a swarm makes of files, and of what the engine prints."""

import os
from types import ModuleType

import pytest

CONFIG = """version: "3.13"
services:
  app:
    command:
      - |
        first $PID

        last
    environment:
      db: not a service
  db:
    image: db
networks:
  backend:
    internal: true
  db: {}
"""


@pytest.fixture(scope="module")
def ops(import_ops) -> ModuleType:
    """The package of a project on a swarm."""
    return import_ops(deployment="swarm", media_storage="s3", use_redis=True)


def test_only_the_chosen_services_are_deployed_with_all_that_is_no_service(ops):
    text = ops.stack.only(CONFIG, "app")
    assert text == CONFIG.replace("  db:\n    image: db\n", "").replace("$", "$$")
    assert ops.stack.only(CONFIG, "app", "db") == CONFIG.replace("$", "$$")
    names = ops.stack.only(CONFIG, "db").splitlines()
    assert "  app:" not in names and "    image: db" in names and "networks:" in names


def test_a_version_is_that_of_names_and_contents(ops, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for folder in ("app/core/__pycache__", "app/.ruff_cache", "app/staticfiles"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "app/core/views.py").write_text("one")
    (tmp_path / "Dockerfile").write_text("FROM scratch")
    before = ops.stack.version("app", "Dockerfile")
    ignored = ("core/__pycache__/views.pyc", ".ruff_cache/x", "staticfiles/x.css", "db.sqlite3")
    for name in ignored:
        (tmp_path / "app" / name).write_text("changed")
    assert ops.stack.version("app", "Dockerfile") == before
    assert ops.stack.version("app") != before

    (tmp_path / "app/core/db.sqlite3").write_text("part of the code")
    added = ops.stack.version("app", "Dockerfile")
    (tmp_path / "app/core/views.py").write_text("two")
    changed = ops.stack.version("app", "Dockerfile")
    (tmp_path / "app/core/views.py").rename(tmp_path / "app/core/pages.py")
    assert len({before, added, changed, ops.stack.version("app", "Dockerfile")}) == 4


@pytest.mark.parametrize("number", ["", "0", "100", "02", "-1", "1.5", "two", "4\n"])
def test_a_number_of_containers_is_from_1_to_99(ops, number):
    ops.stack.check_number("1", "N")
    ops.stack.check_number("99", "N")
    with pytest.raises(ops.process.Refused, match="not '"):
        ops.stack.check_number(number, "N is a whole number")


def test_values_of_env_are_taken_as_they_are(ops, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ops.process.Refused, match="a manager of the swarm"):
        ops.swarm.settings()
    (tmp_path / ".env").write_bytes(b'# X=1\nSTACK=shop\nA=\'$x "y"  #z\nlow=1\nB=caf\xe9\nC=')
    assert ops.swarm.settings() == {
        "STACK": "shop",
        "A": '\'$x "y"  #z',
        "B": "caf\udce9",
        "C": "",
    }


@pytest.mark.parametrize("value", ["'example.org'", '"example.org"'])
def test_a_value_in_quotes_is_refused(ops, tmp_path, monkeypatch, value):
    monkeypatch.chdir(tmp_path)
    (tmp_path / ".env").write_text(f"STACK=shop\nDOMAIN={value}\n")
    with pytest.raises(ops.process.Refused, match="is in quotes"):
        ops.swarm.settings()


def test_a_file_that_cannot_be_written_stays_and_leaves_no_other(ops, tmp_path, monkeypatch):
    env = tmp_path / ".env"
    env.write_text("STACK=shop\n")

    def no_space(_: object) -> None:
        raise OSError(28, os.strerror(28))

    monkeypatch.setattr(ops.backups, "flush", no_space)
    with pytest.raises(OSError, match="No space left"):
        ops.backups.replace(env, "STACK=other\n")
    assert env.read_text() == "STACK=shop\n"
    assert list(tmp_path.iterdir()) == [env]


def test_the_database_may_move_only_where_the_shell_says_so(ops, monkeypatch):
    answers = {"info": '{"Swarm": {"NodeID": "a", "ControlAvailable": true}}', "node": ""}
    monkeypatch.setattr(ops.stack, "docker", lambda *words: answers[words[0]])
    names = dict.fromkeys((*ops.stack.REQUIRED, "STACK"), "x")
    monkeypatch.setattr(ops.swarm, "settings", lambda: names | {"MOVE_DB": "1"})
    for exported, is_moving in (({}, False), ({"MOVE_DB": "1"}, True)):
        monkeypatch.setattr(os, "environ", exported)
        assert ops.stack.Stack().is_moving == is_moving


@pytest.mark.parametrize(("has", "refused"), [(4_000_000_000, True), (8_000_000_000, False)])
def test_a_database_larger_than_its_node_is_refused(ops, monkeypatch, has, refused):
    config = 'services:\n  db:\n    reservations:\n      memory: "4294967296"\n'
    monkeypatch.setattr(ops.stack, "docker", lambda *words: config if words[0] == "stack" else "")
    node = {"Description": {"Resources": {"MemoryBytes": has}}}
    monkeypatch.setattr(ops.swarm, "node", {"a": node}.__getitem__)
    monkeypatch.setattr(os, "environ", {"DB_NODE": "a", "BACKUP_IMAGE": "b", "NGINX_IMAGE": "n"})
    release = object.__new__(ops.stack.Release)
    release.has_db = True
    if not refused:
        return release.check_settings()
    says = "DB_MEMORY is 4295 MB, and the node with the label db has 4000 MB."
    with pytest.raises(ops.process.Refused, match=says):
        release.check_settings()


def test_processors_that_are_no_number_are_refused_before_anything_changes(ops, monkeypatch):
    monkeypatch.setattr(ops.stack.Stack, "__init__", lambda _: None)
    monkeypatch.setattr(os, "environ", {"DOMAIN": "x", "APP_CPUS": ".5", "DB_CPUS": "two"})
    says = "DB_CPUS in .env is a number of processors, such as 1.5, not 'two'."
    with pytest.raises(ops.process.Refused, match=says):
        ops.stack.Release()
