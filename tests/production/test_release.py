"""A release loses no request, and one that fails leaves the old one serving."""

from collections.abc import Iterator

import pytest

from tests.support.load import Load
from tests.support.production import inside
from tests.support.project import DEPLOY, Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("release")]

# What nginx has when no release is going on.
ALL_CONTAINERS = "server app:8000 resolve max_fails=0;"


@pytest.fixture
def site(module_site) -> Iterator[Project]:
    """One site, whose files are restored after a test that has changed them; the next test releases them."""
    files = {
        path: path.read_bytes()
        for name, path in module_site.files().items()
        if not name.startswith("backups/")
    }
    yield module_site
    for path, text in files.items():
        if path.read_bytes() != text:
            path.write_bytes(text)


def test_200_clients_at_once_get_their_page(site):
    url = f"https://localhost:{site.port}/read"
    with Load(url, threads=200, context=site.trusting()) as load:
        site.wait_until(lambda: sum(load.progress) > 1000, seconds=120)
    assert set(load.answers) == {200}, load.answers
    assert "too many" not in site.logs("db")
    # One connection per thread (two processes of four), the counting one, and some to spare.
    assert (
        int(site.sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'client%'"))
        < 11
    )

    # After a restart of the database, each process reconnects.
    site.compose("restart", "db")
    # Enough requests to reach both processes.
    site.wait_until(lambda: {site.request("/health/ready").status for _ in range(8)} == {200})
    assert site.request("/read").status == 200


def test_a_release_under_load_loses_no_request(site):
    site.replace(".env", "APP_REPLICAS=1", "APP_REPLICAS=2")
    site.compose("up", "--detach", "--wait", "--no-deps", "app")
    url = f"https://localhost:{site.port}"
    trust = site.trusting()
    before = set(site.compose("ps", "--quiet", "app").stdout.split())
    assert len(before) == 2
    site.replace("app/core/templates/core/home.html", ">Admin<", ">The back office<")

    with (
        Load(f"{url}/read", threads=2, context=trust) as fresh,
        Load(f"{url}/", threads=2, keep_alive=True, context=trust) as kept,
        Load(f"{url}/slow?seconds=0.5", threads=2, context=trust) as slow,
        Load(f"{url}/receive", threads=2, method="POST", context=trust) as posted,
    ):
        printed = site.deploy().stdout
        site.wait_until(lambda: "The back office" in site.request("/").text)

    assert "\nReleased. https://" in printed and "Made backups/" in printed
    for load in (fresh, kept, slow, posted):
        assert set(load.answers) == {200} and load.answers[200] > 10, load.answers
    after = set(site.compose("ps", "--all", "--quiet", "app").stdout.split())
    assert len(after) == 2 and not after & before
    # Compose keeps the new containers: they match its configuration.
    site.compose("stop", "app")
    site.compose("start", "app")
    site.compose("up", "--detach", "--wait")
    assert set(site.compose("ps", "--all", "--quiet", "app").stdout.split()) == after


def test_a_release_loses_no_request_in_the_accept_queue(site):
    with open(site.path / ".env", "a", encoding="utf-8") as env:
        env.write("WEB_CONCURRENCY=1\n")
    # One connection at a time: the others wait in the kernel's accept queue.
    site.replace("app/gunicorn.conf.py", "threads =", "worker_connections = 1\nthreads =")
    site.replace("app/core/templates/core/home.html", ">Admin<", ">The office<")
    # A release also works when the old containers are stopped.
    site.compose("stop", "app")
    site.deploy()
    assert "The office" in site.request("/").text
    dangling = ("docker", "image", "ls", "--quiet", "--filter", "dangling=true", "--filter")
    assert not site.run(*dangling, f"label=com.docker.compose.project={site.stack}").stdout
    trust = site.trusting()
    url = f"https://localhost:{site.port}/slow?seconds=0.5"
    with Load(url, threads=5, method="POST", context=trust) as load:
        site.wait_until(lambda: len(load.progress) > 5)
        site.deploy()
    assert set(load.answers) == {200} and load.answers[200] > 10, load.answers


def test_a_release_that_fails_leaves_the_old_one_serving(site):
    before = site.compose("ps", "--quiet", "app").stdout
    image = ("docker", "image", "inspect", "--format", "{{.Id}}", site.stack)
    serving = site.run(*image).stdout
    with Load(f"https://localhost:{site.port}/", threads=4, context=site.trusting()) as load:
        for file, old, new, reason in (
            # Every page of the new release fails.
            ("app/config/health.py", "return VIEWS.get", "raise OSError\n        return VIEWS.get")
            + ("does not become healthy",),
            ("app/config/settings.py", "MIDDLEWARE = [", "raise OSError\nMIDDLEWARE = [")
            + ("an image cannot be built",),
            ("app/core/migrations/0001_initial.py", "initial = True", "initial = True\n    1 / 0")
            + ("the migrations cannot be read",),
        ):
            site.replace(file, old, new)
            process = site.deploy(check=False, DEPLOY_TIMEOUT="5")
            site.replace(file, new, old)
            assert process.returncode == 1
            last = process.stdout.strip().splitlines()[-1]
            assert last.startswith("Not released: ") and reason in last
            assert site.compose("ps", "--all", "--quiet", "app").stdout == before
            # The tag still names the old image, so it also runs after a reboot.
            assert site.run(*image).stdout == serving
    assert set(load.answers) == {200}, load.answers


def test_a_second_release_is_refused_and_a_killed_one_is_repaired(site):
    with Load(f"https://localhost:{site.port}/", threads=2, context=site.trusting()) as load:
        deploying = site.start(*DEPLOY, env={})
        site.wait_until(lambda: len(site.containers("app", "--all")) == 2)
        second = site.deploy(check=False)
        assert (second.returncode, second.stdout) == (
            1,
            "Not released: another release is running.\n",
        )
        # The killed release has left a new container behind.
        deploying.process.kill()
        deploying.end()
        site.wait_until(lambda: site.deploy(check=False).returncode == 0)
    assert set(load.answers) == {200}, load.answers
    assert len(site.compose("ps", "--all", "--quiet", "app").stdout.split()) == 1
    assert inside(site, "nginx", "cat", "/tmp/servers.conf") == ALL_CONTAINERS


def test_no_connection_reaches_an_unhealthy_container(site):
    site.replace(
        "app/config/health.py",
        "return VIEWS.get",
        "raise OSError\n        return VIEWS.get",
    )
    # As nginx does for a new connection: resolve app, then connect.
    ask = "for _ in 1 2 3 4 5 6; do curl -sI http://app:8000/health/live; done"
    # As long as it takes to ask: the release is interrupted then.
    deploying = site.start(*DEPLOY, env={"DEPLOY_TIMEOUT": "300"})
    seen = ""
    while seen.count("200 OK") <= 20 and deploying.process.poll() is None:
        if len(site.compose("ps", "--quiet", "app").stdout.split()) == 2:
            seen += inside(site, "nginx", "sh", "-c", ask, check=False)
    deploying.process.terminate()
    assert deploying.end() != 0
    assert seen.count("200 OK") > 20 and "500 Internal" not in seen, f"{seen}{deploying.printed()}"
