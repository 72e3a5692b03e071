"""Where the data of the database and the uploads are kept. test_development_data.py has the bind mount."""

import pytest

pytestmark = pytest.mark.stack


def test_tmpfs_loses_the_rows_and_compose_yaml_says_so(start_stack):
    project = start_stack(postgres_storage="tmpfs")
    assert project.sql("SHOW fsync") == "off"
    assert project.inspect("db", '{{range .Mounts}}{{if eq .Type "volume"}}x{{end}}{{end}}') == [""]
    assert "deleted when the container stops" in project.read("compose.yaml")
    project.sql("CREATE TABLE gone AS SELECT 1 AS row")
    project.compose("down")
    project.up()
    assert project.sql("SELECT to_regclass('gone') IS NULL") == "t"


@pytest.mark.xdist_group("data")
def test_uploads_are_kept_and_writable_in_production(project):
    run = ("run", "--rm", "-T", "--no-deps", "app", "sh", "-c")
    wrote = project.compose(*run, "echo hello > $MEDIA_ROOT/upload; id -u").stdout
    assert wrote.splitlines()[-1] == "10001"
    # Another container.
    read = "cat $MEDIA_ROOT/upload; rm $MEDIA_ROOT/upload"
    assert project.compose(*run, read).stdout.splitlines()[-1] == "hello"


@pytest.mark.xdist_group("data")
def test_two_servers_never_run_on_the_same_data_in_production(project):
    process = project.compose("run", "--rm", "--no-deps", "db", check=False)
    assert process.returncode != 0
    assert "Another container runs a server on this data" in process.stdout
    assert project.request("/health/ready").status == 200
