"""Attacks on production kill no process and do not stop the site."""

import re
import shutil
import subprocess
import time

import pytest

from tests.support.load import Load, SlowBodies
from tests.support.project import ROOT, Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("attacks")]

# Pages for the attacks: one that kills its process, and one that receives a file.
VIEWS = """

import os  # noqa: E402
import signal  # noqa: E402
import sys  # noqa: E402


def die(request):
    print("dying", file=sys.stderr, flush=True)
    os.kill(os.getpid(), signal.SIGKILL)


@csrf_exempt
def upload(request):
    return HttpResponse(request.FILES["file"].size)


urlpatterns += [path("die", die), path("upload", upload)]
"""
# Kills the first process of gunicorn.
KILL = """
import os, pathlib
for file in sorted(pathlib.Path("/proc").glob("[0-9]*/cmdline"), key=lambda file: int(file.parts[2])):
    if "bin/gunicorn" in file.read_text() and int(file.parts[2]) != os.getpid():
        os.kill(int(file.parts[2]), 9)
        break
"""
PYTHON = "python:3.14-slim-trixie"
FORM = {
    "Content-Type": "application/x-www-form-urlencoded",
    "Cookie": f"csrftoken={'a' * 32}",
}


@pytest.fixture(scope="module")
def site(bake_once) -> Project:
    """One site in production that all tests of this file attack."""
    slug = Project.unused_slug()
    project = bake_once(project_slug=slug, deployment="compose", use_redis=True)
    project.add_views()
    with open(project.path / "app/config/urls.py", "a", encoding="utf-8") as urls:
        urls.write(VIEWS)
    project.to_production(MAX_BODY_SIZE="1GB", GRACE_PERIOD="15")
    try:
        project.deploy()
        yield project
    finally:
        project.remove_from_engine()


def killed(site: Project) -> list[str]:
    """Return the containers that were restarted, or killed for lack of memory."""
    ids = site.compose("ps", "--all", "--quiet").stdout.split()
    state = "{{.State.OOMKilled}} {{.RestartCount}}"
    states = site.run("docker", "inspect", "--format", f"{{{{.Name}}}} {state}", *ids)
    return [line for line in states.stdout.splitlines() if not line.endswith(" false 0")]


def inside(site: Project, service: str, script: str) -> str:
    """Return the output of a script in the first container of a service."""
    return site.exec(service, "sh", "-ec", script).stdout.strip()


def slowest_but_one_percent(load: Load) -> float:
    """Return how many seconds 99 % of the requests took at most."""
    return sorted(load.progress)[int(len(load.progress) * 0.99)]


def test_slow_clients_do_not_delay_others(site):
    url = f"https://localhost:{site.port}"
    trust = site.trusting()
    with Load(f"{url}/", threads=2, context=trust) as load:
        site.wait_until(lambda: len(load.progress) > 100)
    usual = slowest_but_one_percent(load)
    with (
        SlowBodies(f"{url}/", 100, 100_000, 1, 2, trust, FORM) as trickles,
        SlowBodies(f"{url}/receive", 30, 9_000_000, 100_000, 0.2, trust) as uploads,
    ):
        site.wait_until(lambda: trickles.open == 100 and uploads.open == 30)
        with Load(f"{url}/", threads=2, context=trust) as load:
            site.wait_until(
                lambda: sum(uploads.answers.values()) == 30 and len(load.progress) > 200
            )
        assert trickles.open == 100, trickles.answers
    assert set(load.answers) == {200}, load.answers
    # A machine that is busy with something else is slow without slow clients, too.
    assert slowest_but_one_percent(load) < 0.5 + 4 * usual
    assert uploads.answers == {200: 30}
    assert not killed(site)


def test_a_body_without_progress_is_cut_off(site):
    url = f"https://localhost:{site.port}/receive"
    with SlowBodies(url, 5, 100_000, 1, 3600, site.trusting()) as silent:
        site.wait_until(lambda: sum(silent.answers.values()) == 5)
    # No client believes that its upload arrived.
    assert 200 not in silent.answers, silent.answers


def test_more_large_bodies_of_a_client_than_it_may_keep_on_the_disk_are_refused(site):
    url = f"https://localhost:{site.port}/receive"
    with SlowBodies(url, 12, 20_000_000, 1, 1, site.trusting()) as large:
        site.wait_until(lambda: large.answers[503] == 8 and large.open == 4)
        assert site.request("/receive", "POST", b"x" * 1_000_000).text == "1000000"


def test_a_body_without_a_length_over_http_2_escapes_no_limit(site):
    send = ["curl", "-sk", "--http2", "-T", "-", "-o", "/dev/null", "-w", "%{http_code}"]
    send += [f"https://localhost:{site.port}/receive", "-X"]

    def status(method: str) -> str:
        body = b"x" * 100_000
        done = subprocess.run([*send, method], input=body, capture_output=True, check=False)
        return done.stdout.decode()

    assert status("GET") == "413"
    # Those of the test before may still be counted.
    site.wait_until(lambda: status("POST") == "200")
    # Each waits for the rest of its body; with `.`, curl sends what there is.
    pipes = {"stdin": subprocess.PIPE, "stdout": subprocess.DEVNULL}
    hold = ["." if word == "-" else word for word in send]
    held = []

    def is_full() -> bool:
        # One that waits for long is cut off.
        for _ in range(4 - sum(one.poll() is None for one in held)):
            held.append(subprocess.Popen([*hold, "POST"], **pipes))
            held[-1].stdin.write(b"x")
            held[-1].stdin.flush()
        return status("POST") == "503"

    try:
        site.wait_until(is_full)
    finally:
        for one in held:
            one.kill()
            one.wait()


@pytest.fixture(scope="module")
def elsewhere(site) -> str:
    """A network in which nginx is, too, with addresses that are not private."""
    name = f"{site.stack}_elsewhere"
    label = f"com.docker.compose.project={site.stack}"
    subnet = ("--subnet", "198.51.100.0/24")
    site.run("docker", "network", "create", "--label", label, *subnet, name)
    (nginx,) = site.containers("nginx")
    site.run("docker", "network", "connect", "--alias", "front", name, nginx)
    try:
        yield name
    finally:
        site.run("docker", "network", "disconnect", "--force", name, nginx)
        site.run("docker", "network", "rm", name)


@pytest.mark.parametrize(
    ("kind", "clients", "held"), [("streams", 10, 10), ("readers", 500, 100), ("hellos", 500, 100)]
)
def test_clients_that_hold_what_they_get_take_nothing_from_others(
    site, elsewhere, kind, clients, held
):
    inside(site, "app", "test -e /srv/media/large || truncate -s 10000000 /srv/media/large")
    words = (kind, "front", "8443", str(clients), "3600", "/media/large")
    mount = f"{ROOT}/tests/support/holding.py:/holding.py:ro"
    attack = ("run", "--detach", "--network", elsewhere, "--volume", mount)
    id = site.run("docker", *attack, PYTHON, "python", "-u", "/holding.py", *words).stdout.strip()
    try:
        site.wait_until(lambda: f"\n{held} held" in "\n" + site.run("docker", "logs", id).stdout)
        assert [site.request("/read").status for _ in range(10)] == [200] * 10
    finally:
        site.run("docker", "rm", "--force", id)
    assert not killed(site)


@pytest.mark.parametrize(("kind", "clients"), [("leavers", 700), ("leaving_streams", 40)])
def test_clients_that_leave_before_the_answer_leave_no_work_for_app_behind(
    site, elsewhere, kind, clients
):
    words = (kind, "front", "8443", clients, 0, "/slow?seconds=0.5")
    mount = f"{ROOT}/tests/support/holding.py:/holding.py:ro"
    attack = ("run", "--rm", "--network", elsewhere, "--volume", mount)
    site.run("docker", *attack, PYTHON, "python", "/holding.py", *words)
    # All requests of the attack would take app more than the 15 seconds that nginx waits.
    assert site.request("/read").status == 200


def test_a_flood_of_http_2_streams_ends_no_process(site):
    assert shutil.which("h2load"), "install Debian's package nghttp2-client"
    url = f"https://localhost:{site.port}/"
    attack = ["h2load", "--requests=20000", "--clients=200", "--max-concurrent-streams=100"]
    attack += ["--header=accept-encoding: zstd", "--connection-active-timeout=30s", url]
    printed = subprocess.run(
        attack, capture_output=True, text=True, timeout=120, check=False
    ).stdout
    assert not killed(site), printed

    def answers_at_once() -> bool:
        began = time.monotonic()
        return site.request("/").status == 200 and time.monotonic() - began < 3

    # Requests of the attack may still be running.
    site.wait_until(answers_at_once)
    assert re.search(r"[1-9][0-9]+ 2xx", printed), printed


def test_a_request_that_kills_its_worker_is_not_sent_again(site):
    assert site.request("/die").status == 502
    site.wait_until(lambda: "dying" in site.logs("app"))
    # A retry would come within this time.
    time.sleep(2)
    assert site.logs("app").count("dying") == 1
    assert site.request("/").status == 200


def test_an_upload_larger_than_the_memory_of_app_is_accepted(site):
    body = site.path / "large"
    with open(body, "wb") as file:
        file.truncate(700_000_000)
    site.trusting()
    trusted = site.path / "trusted.crt"
    trusted.write_text(site.authority)
    url = f"https://localhost:{site.port}/upload"
    send = ("curl", "-sS", "--cacert", trusted, "-F", "file=@large", url)
    try:
        assert site.run(*send).stdout == "700000000"
    finally:
        body.unlink()
    assert not killed(site)


def test_only_regular_uploaded_files_are_served(site):
    inside(
        site,
        "app",
        """cd /srv/media && mkdir -p folder .hidden && echo kept > folder/file.txt
        echo secret > /tmp/secret && echo x > .env && echo x > .hidden/file && mkfifo fifo
        for at in etc certificates ops; do ln -s /$at $at; done
        ln -s /etc/passwd passwd && ln -s folder/file.txt inside && ln -s / folder/root
        """,
    )
    try:
        answer = site.request("/media/folder/file.txt")
        assert (answer.status, answer.text) == (200, "kept\n")
        for path in (
            *(
                "certificates/localhost.pem",
                "etc/passwd",
                "ops/",
                "passwd",
                "folder/root/etc/passwd",
            ),
            *(".env", ".hidden/file", "fifo", "inside", "folder", "folder/", "nothing"),
            *("%2e%2e/%2e%2e/etc/passwd", "..%2fetc/passwd", "folder//../../etc/passwd"),
        ):
            status = site.request(f"/media/{path}").status
            assert status in (301, 400, 404), (path, status)
    finally:
        clean = (
            "cd /srv/media && rm -rf folder .hidden .env fifo etc certificates ops passwd inside"
        )
        inside(site, "app", clean)


def test_responses_do_not_name_the_version_of_a_server(site):
    page = site.request("/")
    # Only the owner of the domain can decide on includeSubDomains and preload.
    assert page.headers["Strict-Transport-Security"] == "max-age=3600"
    other = site.request("/", Host="evil.example")
    assert (other.status, other.headers["Server"]) == (421, "nginx")
    for path in ("/nothing", "/media/nothing", "/static/nothing"):
        answer = site.request(path)
        assert (answer.status, answer.headers["Server"]) == (404, "nginx")
        assert "nginx" not in answer.text.lower()
    assert site.request("/static/staticfiles.json").status == 404


def test_the_container_restarts_when_gunicorn_ends(site):
    restarts = "{{.RestartCount}}"
    (before,) = site.inspect("app", restarts)
    # This command ends with the container, so its status does not matter.
    site.exec("app", "python", "-c", KILL, check=False)
    site.wait_until(lambda: site.inspect("app", restarts) == [str(int(before) + 1)])
    site.wait_until(lambda: site.request("/").status == 200)


def test_a_page_of_a_frozen_container_is_given_up(site):
    (container,) = site.containers("app")
    with site.paused(container):
        # The client would wait for 60 seconds.
        assert site.request("/").status == 502
        site.wait_until(lambda: '"app_status":"504"' in site.logs("nginx"))
    site.wait_until(lambda: site.request("/").status == 200)


def test_while_app_is_away_there_is_a_status_and_headers_are_not_logged(site):
    # Files that Django leaves when it is killed during an upload. The newer one may be of another container.
    inside(site, "app", "touch /var/tmp/new.upload && touch -d '2 days ago' /var/tmp/left.upload")
    site.compose("kill", "app")
    try:
        answer = site.request("/", X_Api_Key="kept-secret")
        assert (answer.status, answer.text) == (502, "502\n")
        site.wait_until(lambda: '"status":"502"' in site.logs("nginx"))
    finally:
        site.compose("start", "app")
    site.wait_until(lambda: site.request("/receive", "POST", b"x" * 100_000).text == "100000")
    assert inside(site, "app", "find /var/tmp -name '*.upload'") == "/var/tmp/new.upload"
    assert "kept-secret" not in site.logs("nginx")
