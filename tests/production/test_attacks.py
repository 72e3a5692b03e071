"""Attacks on production kill no process and do not stop the site."""

import re
import shutil
import subprocess
import time

import pytest

from tests.support.load import Load, SlowBodies
from tests.support.project import Project

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
# Kills the first other process whose command line contains PROGRAM.
KILL = """
import os, pathlib
for file in sorted(pathlib.Path("/proc").glob("[0-9]*/cmdline"), key=lambda file: int(file.parts[2])):
    if "PROGRAM" in file.read_text() and int(file.parts[2]) != os.getpid():
        os.kill(int(file.parts[2]), 9)
        break
"""
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
    project.to_production(MAX_BODY_SIZE="1GB")
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


def test_a_body_that_takes_too_long_is_cut_off(site):
    def set_timeout(old: str, new: str) -> None:
        site.replace(".env", f"BODY_TIMEOUT={old}", f"BODY_TIMEOUT={new}")
        site.compose("up", "--detach")
        site.compose("restart", "caddy")
        site.wait_until(lambda: site.status_over_https("/") == 200)

    url = f"https://localhost:{site.port}/receive"
    set_timeout("5m", "3s")
    try:
        with SlowBodies(url, 5, 100_000, 1, 0.5, site.trusting()) as slow:
            site.wait_until(lambda: sum(slow.answers.values()) == 5)
    finally:
        set_timeout("3s", "5m")
    # The connections end without a status, so no client believes that its upload arrived.
    assert not {key for key in slow.answers if isinstance(key, int)}, slow.answers


def test_more_large_bodies_than_the_disk_has_room_for_are_refused(site):
    url = f"https://localhost:{site.port}/receive"
    with SlowBodies(url, 12, 20_000_000, 1, 1, site.trusting()) as large:
        site.wait_until(lambda: large.answers[503] == 4 and large.open == 8)
        assert site.request("/receive", "POST", b"x" * 1_000_000).text == "1000000"


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
    trusted = site.path / "root.crt"
    trusted.write_text(inside(site, "caddy", "cat /data/caddy/pki/authorities/local/root.crt"))
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
        for at in etc data config; do ln -s /$at $at; done
        ln -s /etc/passwd passwd && ln -s folder/file.txt inside && ln -s / folder/root
        """,
    )
    try:
        answer = site.request("/media/folder/file.txt")
        assert (answer.status, answer.text) == (200, "kept\n")
        certificate = "caddy/pki/authorities/local/root.key"
        for path in (
            *(f"data/{certificate}", "etc/passwd", "config/", "passwd", "folder/root/etc/passwd"),
            *(".env", ".hidden/file", "fifo", "inside", "folder", "folder/", "nothing"),
            *("%2e%2e/%2e%2e/etc/passwd", "..%2fetc/passwd", "folder//../../etc/passwd"),
        ):
            status = site.request(f"/media/{path}").status
            assert status in (301, 400, 404), (path, status)
        # The process that serves uploads has no access to the keys.
        assert "caddy_data" not in site.inspect("app", "{{json .HostConfig.Binds}}")[0]
    finally:
        clean = "cd /srv/media && rm -rf folder .hidden .env fifo etc data config passwd inside"
        inside(site, "app", clean)


def test_responses_do_not_name_the_servers(site):
    page = site.request("/")
    # Only the owner of the domain can decide on includeSubDomains and preload.
    assert page.headers["Strict-Transport-Security"] == "max-age=3600"
    assert f'h3=":{site.port}"' in page.headers["Alt-Svc"]
    other = site.request("/", Host="evil.example")
    assert (other.status, other.headers["Server"]) == (421, None)
    for path in ("/nothing", "/media/nothing", "/static/nothing"):
        answer = site.request(path)
        assert (answer.status, answer.headers["Server"]) == (404, None)
        assert "nginx" not in answer.text.lower()
    assert site.request("/static/staticfiles.json").status == 404


@pytest.mark.parametrize("program", ["nginx: master", "bin/gunicorn"])
def test_the_container_restarts_when_a_server_in_it_ends(site, program):
    kill = KILL.replace("PROGRAM", program)
    restarts = "{{.RestartCount}}"
    (before,) = site.inspect("app", restarts)
    # This command ends with the container, so its status does not matter.
    site.exec("app", "python", "-c", kill, check=False)
    site.wait_until(lambda: site.inspect("app", restarts) == [str(int(before) + 1)])
    assert site.request("/").status == 200


def test_a_request_waits_for_app_to_restart_and_its_headers_are_not_logged(site):
    # A file that Django leaves when it is killed during an upload.
    inside(site, "app", "touch /var/tmp/left.upload")
    site.compose("kill", "app")
    try:
        answer = site.request("/", X_Api_Key="kept-secret")
        assert (answer.status, answer.text) == (502, "")
    finally:
        site.compose("start", "app")
    # While app starts, a request waits and then succeeds.
    assert site.request("/receive", "POST", b"x" * 100_000).text == "100000"
    assert inside(site, "app", "find /var/tmp -name '*.upload'") == ""
    log = site.logs("caddy")
    assert "http.log.error" in log
    assert "kept-secret" not in log
