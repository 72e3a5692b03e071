"""Production on a real engine: used over HTTPS, attacked, released under load."""

import http.client
import json
import re
import socket
import ssl
import time

import pytest

from tests.support.load import Load
from tests.support.mail_server import MailServer
from tests.support.project import Project

pytestmark = pytest.mark.stack

SERVICES = ("caddy", "app", "db", "redis")


@pytest.fixture(scope="module")
def site(bake_once) -> Project:
    """One site in production, with Redis, for the tests that leave it as they found it."""
    project = bake_once(project_slug=Project.unused_slug(), use_redis=True)
    project.add_views()
    project.to_production(LOG_FORMAT="json")
    (project.path / "secrets" / "email_url").write_text("smtp://mail.example\n")
    try:
        assert project.deploy().stdout.endswith("Released.\n")
        yield project
    finally:
        project.remove_from_engine()


def plain(project: Project, path: str, **headers: str) -> http.client.HTTPResponse:
    """Return the answer of the port for HTTP."""
    connection = http.client.HTTPConnection("localhost", int(project.setting("HTTP_PORT")))
    connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    response = connection.getresponse()
    connection.close()
    return response


def inside(project: Project, service: str, *command: str, check: bool = True) -> str:
    """Return what a command prints in a running container."""
    return project.compose("exec", "-T", service, *command, check=check).stdout.strip()


# Used


def test_serves_https_with_all_that_belongs_to_it(site):
    page = site.request("/", Accept_Encoding="gzip")
    assert page.status == 200
    assert page.headers["Content-Encoding"] == "gzip"
    assert re.search(r"max-age=3600\b", page.headers["Strict-Transport-Security"])
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "geolocation=()" in page.headers["Permissions-Policy"]
    assert page.headers["Server"] is None
    login = site.request("/admin/login/?next=/admin/")
    assert "Secure" in login.headers["Set-Cookie"]

    (style,) = re.findall(r'href="(/static/[^"]+\.css)"', site.request("/").text)
    assert re.search(r"\.[0-9a-f]{12}\.css$", style)
    answer = site.request(style, Accept_Encoding="gzip")
    assert answer.status == 200
    assert answer.headers["Content-Encoding"] == "gzip"
    assert "immutable" in answer.headers["Cache-Control"]


def test_speaks_http_2_and_redirects_from_http(site):
    context = site.trusting()
    context.set_alpn_protocols(["h2", "http/1.1"])
    with (
        socket.create_connection(("localhost", site.port)) as connection,
        context.wrap_socket(connection, server_hostname="localhost") as tls,
    ):
        assert tls.selected_alpn_protocol() == "h2"
        assert tls.version() == "TLSv1.3"
    redirect = plain(site, "/admin/?page=2")
    assert redirect.status == 308
    assert redirect.headers["Location"] == f"https://localhost:{site.port}/admin/?page=2"


@pytest.mark.browser
def test_a_person_uses_the_admin_over_https(site, page):
    password = "correct horse"
    site.compose(
        *("exec", "-T", "-e", "DJANGO_SUPERUSER_PASSWORD", "app", "python", "manage.py"),
        *("createsuperuser", "--noinput", "--username=ada", "--email=ada@example.org"),
        env={"DJANGO_SUPERUSER_PASSWORD": password},
    )
    page.goto(f"https://localhost:{site.port}/")
    assert page.locator("dl").evaluate("list => getComputedStyle(list).borderTopWidth") == "1px"
    page.get_by_role("link", name="Admin").click()
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Users").click()
    page.locator("#result_list").get_by_role("link", name="ada").click()
    page.get_by_label("First name:").fill("Ada")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("was changed successfully").wait_for()


def test_django_finds_nothing_to_object_to(site):
    manage = ("python", "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert "no issues" in inside(site, "app", *manage)


def test_mail_leaves_the_host(site):
    # An address of this machine to which app has no other way than that to the world.
    inspect = ("docker", "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    host = site.run(*inspect, "bridge").stdout.strip()
    with MailServer(host=host) as server:
        url = ("-e", "EMAIL_URL_FILE=", "-e", f"EMAIL_URL=smtp://{host}:{server.port}")
        send = ("python", "manage.py", "sendtestemail", "eve@shop.example")
        site.compose("exec", "-T", *url, "app", *send)
    (mail,) = server.taken
    assert (mail["From"], mail["To"]) == ("webmaster@localhost", "eve@shop.example")


def test_logs_are_objects_whatever_a_client_sends(site):
    nasty = 'a "quoted" \\ back\tslash é'
    site.request("/health/live?" + "x" * 12, User_Agent=nasty, X_Forwarded_For="203.0.113.7")

    def entries() -> list[dict]:
        lines = site.compose("logs", "--no-log-prefix", "app").stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    site.wait_until(lambda: any("x" * 12 in entry["message"] for entry in entries()))
    (entry,) = [entry for entry in entries() if "x" * 12 in entry["message"]]
    assert entry["status"] == 200 and entry["method"] == "GET" and 0 <= entry["seconds"] < 10
    assert '"quoted" \\ back' in entry["user_agent"]
    # What the client says of itself, Caddy replaces by its address.
    assert "203.0.113.7" not in json.dumps(entry)


def test_a_cache_that_is_lost_slows_the_site_and_stops_nothing(site):
    shell = ("python", "manage.py", "shell", "-v0", "-c")
    remember = "from django.core.cache import cache; print(cache.set('a', 1), cache.get('a'))"
    health = {"status": "ok", "database": "ok", "cache": "ok"}
    assert inside(site, "app", *shell, remember) == "True 1"
    assert json.loads(site.request("/health/ready").text) == health
    asked = "REDISCLI_AUTH=$(cat /run/secrets/redis_password) redis-cli CONFIG GET 'maxmemory*'"
    limits = inside(site, "redis", "sh", "-c", asked)
    assert "67108864" in limits and "allkeys-lru" in limits
    assert "NOAUTH" in inside(site, "redis", "redis-cli", "ping", check=False)

    for stop, start in (("stop", "start"), ("pause", "unpause")):
        site.compose(stop, "redis")
        try:
            began = time.monotonic()
            answer = site.request("/health/ready")
            assert answer.status == 200
            assert json.loads(answer.text) == {
                **health,
                "status": "degraded",
                "cache": "unavailable",
            }
            assert site.request("/").status == 200
            assert time.monotonic() - began < 8
            assert inside(site, "app", *shell, remember) == "None None"
            assert site.inspect("app", "{{.State.Health.Status}}") == ["healthy"]
        finally:
            site.compose(start, "redis")
        site.wait_until(lambda: json.loads(site.request("/health/ready").text) == health)
    site.wait_until(lambda: site.inspect("redis", "{{.State.Health.Status}}") == ["healthy"])


# Attacked


def test_another_name_gets_nothing(site):
    assert site.request("/", Host="evil.example").status == 421
    assert plain(site, "/", Host="evil.example").status == 421
    # Caddy tells the name it was asked for, whatever the client says it was asked for before that.
    answer = site.request("/admin/login/", X_Forwarded_Host="evil.example")
    assert answer.status == 200 and "evil" not in answer.text
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("localhost", site.port)) as connection,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(connection, server_hostname="evil.example")


def test_who_claims_https_over_http_is_redirected(site):
    assert plain(site, "/", X_Forwarded_Proto="https").status == 308
    # And the other way round no loop comes of it.
    assert site.request("/", X_Forwarded_Proto="http").status == 200


def ask(site: Project, id: str, path: str = "/", **headers: str) -> int:
    """Return the status that a container of app answers with, without Caddy; 0 where none."""
    network = f'{{{{(index .NetworkSettings.Networks "{site.stack}_frontend").IPAddress}}}}'
    address = site.run("docker", "inspect", "--format", network, id).stdout.strip()
    connection = http.client.HTTPConnection(address, 8000, timeout=10)
    try:
        connection.request(
            "GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()}
        )
        return connection.getresponse().status
    except OSError:
        return 0
    finally:
        connection.close()


def test_app_itself_insists_on_https_and_its_name(site):
    (id,) = site.compose("ps", "--quiet", "app").stdout.split()
    assert ask(site, id, Host="localhost") == 301
    assert ask(site, id, Host="evil.example") == 400
    assert ask(site, id, Host="evil.example", X_Forwarded_Proto="https") == 400


def test_a_proxy_that_is_not_named_is_not_believed(site):
    named = ("--env", "FORWARDED_ALLOW_IPS=192.0.2.1")
    # Without nginx, where there are addresses of peers.
    alone = ("run", "--detach", "--no-deps", *named, "app", "gunicorn", "config.wsgi")
    id = site.compose(*alone).stdout.split()[-1]
    try:
        site.wait_until(lambda: ask(site, id, "/health/live") == 200)
        assert ask(site, id, Host="localhost", X_Forwarded_Proto="https") == 301
    finally:
        site.run("docker", "rm", "--force", id)


def test_what_is_too_large_is_refused(site):
    assert site.request("/receive", "POST", b"x" * 1_000_000).text == "1000000"
    assert site.request("/receive", "POST", b"x" * 10_000_001).status == 413


def test_an_uploaded_page_runs_no_script(site):
    script = "from django.core.files.storage import default_storage as storage;"
    script += "from django.core.files.base import ContentFile;"
    script += "storage.save('upload.html', ContentFile(b'<script>alert(1)</script>'))"
    inside(site, "app", "python", "manage.py", "shell", "-v0", "-c", script)
    answer = site.request("/media/upload.html")
    assert answer.status == 200
    assert "sandbox" in answer.headers["Content-Security-Policy"]
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert site.request("/media/").status == 404

    # The two lines of docs/data.md keep it.
    (lines,) = re.findall(
        r"^    (docker .*tar -c.*)\n    (docker .*tar -x.*)$",
        site.read("docs/data.md"),
        re.MULTILINE,
    )
    site.run("sh", "-c", lines[0])
    inside(site, "app", "rm", "/srv/media/upload.html")
    assert site.request("/media/upload.html").status == 404
    site.run("sh", "-c", lines[1])
    assert site.request("/media/upload.html").text == answer.text

    for path in ("/media/../../etc/passwd", "/media/%2e%2e/%2e%2e/etc/passwd"):
        assert "root:" not in site.request(path).text


def test_a_process_that_is_broken_into_has_no_rights(site):
    for service in SERVICES:
        (read_only,) = site.inspect(service, "{{.HostConfig.ReadonlyRootfs}}")
        (dropped,) = site.inspect(service, "{{.HostConfig.CapDrop}}")
        (options,) = site.inspect(service, "{{.HostConfig.SecurityOpt}}")
        assert (read_only, dropped, options) == ("true", "[ALL]", "[no-new-privileges:true]")
        assert "Read-only" in inside(site, service, "sh", "-c", "touch /etc/x", check=False)
        (limit,) = site.inspect(service, "{{.HostConfig.Memory}} {{.HostConfig.PidsLimit}}")
        assert all(int(number) > 0 for number in limit.split())
        assert site.inspect(service, "{{.HostConfig.RestartPolicy.Name}}") == ["unless-stopped"]
        (logs,) = site.inspect(service, "{{.HostConfig.LogConfig}}")
        assert logs == "{json-file map[max-file:5 max-size:20m]}"
        assert site.inspect(service, "{{.State.Health.Status}}") == ["healthy"]
        (id,) = site.compose("ps", "--quiet", service).stdout.split()
        processes = site.run("docker", "top", id, "-eo", "pid,uid,args").stdout.splitlines()[1:]
        # docker-init, which only passes signals on, is what stays of the start of db.
        running = [line.split() for line in processes if "docker-init" not in line]
        assert running and all(uid != "0" for _, uid, *_ in running), processes


def test_only_app_reaches_the_database_and_only_caddy_the_world(site):
    networks = {
        service: sorted(json.loads(site.inspect(service, "{{json .NetworkSettings.Networks}}")[0]))
        for service in SERVICES
    }
    frontend, backend = f"{site.stack}_frontend", f"{site.stack}_backend"
    assert networks == {
        "caddy": [frontend],
        "app": [backend, frontend],
        "db": [backend],
        "redis": [backend],
    }
    inspect = ("docker", "network", "inspect", "--format", "{{.Internal}}", backend)
    assert site.run(*inspect).stdout.strip() == "true"
    for service in SERVICES:
        published = "HostIp" in site.inspect(service, "{{json .NetworkSettings.Ports}}")[0]
        assert published == (service == "caddy")


def test_secrets_are_files_and_nothing_else(site):
    values = [
        (site.path / "secrets" / name).read_text().strip()
        for name in ("secret_key", "postgres_password", "redis_password")
    ]
    ids = site.compose("ps", "--all", "--quiet").stdout.split()
    told = site.run("docker", "inspect", *ids).stdout
    told += site.run("docker", "history", "--no-trunc", site.stack).stdout
    told += site.compose("config").stdout + site.logs()
    for service in SERVICES:
        told += inside(site, service, "sh", "-c", "cat /proc/[0-9]*/cmdline | tr '\\0' ' '")
    assert not [value for value in values if value in told]
    (folder,) = {(site.path / "secrets").stat().st_mode & 0o777}
    assert folder == 0o700


@pytest.mark.git
def test_make_secrets_makes_what_is_missing_and_overwrites_nothing(make_stack):
    project = make_stack()
    env = project.read(".env")
    (project.path / "secrets" / "secret_key").write_text("mine\n")

    printed = project.run("make", "secrets").stdout

    assert "secrets/secret_key stays as it is." in printed
    assert project.read("secrets/secret_key") == "mine\n"
    # The one that the owner is to fill in.
    assert (project.path / "secrets" / "email_url").stat().st_mode & 0o777 == 0o644
    # The database of this machine was initialised with what development has.
    assert project.read("secrets/postgres_password").strip() == project.setting("POSTGRES_PASSWORD")
    assert project.read(".env") == env
    assert project.run("git", "init", "-q").returncode == 0
    assert "secrets/secret_key" not in project.run("git", "status", "--short", "-uall").stdout


def test_a_password_that_is_not_the_databases_names_its_file(site):
    secret = site.path / "secrets" / "postgres_password"
    right = secret.read_text()
    try:
        secret.unlink()
        secret.write_text("another\n")
        process = site.compose("run", "--rm", "--no-deps", "app", "true", check=False)
        assert process.returncode == 1
        (line,) = [line for line in process.stdout.splitlines() if "wrong password" in line]
        assert "secrets/postgres_password" in line
    finally:
        secret.write_text(right)
    site.compose("run", "--rm", "--no-deps", "app", "true")


@pytest.mark.parametrize("command", [["gunicorn", "config.wsgi"], ["python", "manage.py", "check"]])
def test_missing_settings_are_one_line(site, command):
    run = ["docker", "run", "--rm", "--env", "SKIP_WAIT=1", site.stack, *command]
    process = site.run(*run, check=False)
    needed = "SECRET_KEY, ALLOWED_HOSTS, DATABASE_URL or POSTGRES_HOST"
    lines = [line for line in process.stdout.splitlines() if " [INFO] " not in line]
    assert process.returncode == 1
    assert lines == [f"With DEBUG off, set {needed}: see README.md."]

    run[3:3] = ["--env", "SECRET_KEY_FILE=/run/secrets/none"]
    process = site.run(*run, check=False)
    assert process.returncode == 1
    assert "SECRET_KEY_FILE cannot be read" in process.stdout.splitlines()[-1]
    assert "Traceback" not in process.stdout


def test_what_is_not_there_is_said_before_anything_starts(make_stack):
    project = make_stack()
    project.to_production()
    (project.path / "secrets" / "secret_key").unlink()
    assert "secrets/secret_key" in project.deploy(check=False).stdout.splitlines()[-1]

    project.run("make", "secrets")
    project.replace(".env", "DOMAIN=localhost", "DOMAIN=")
    process = project.deploy(check=False)
    assert process.returncode == 1
    assert ".env.production.example" in process.stdout.splitlines()[-1]
    assert project.compose("ps", "--all", "--quiet", env={"DOMAIN": "x"}).stdout == ""


def test_every_request_leaves_a_line_with_its_client(site):
    spoofed = "203.0.113.9"
    assert site.request("/receive", "POST", b"x" * 10_000_001).status == 413
    assert site.request("/asked", Host="evil.example").status == 421
    assert site.request("/media/nothing", X_Forwarded_For=spoofed).status == 404
    assert site.request("/read?asked", X_Forwarded_For=spoofed).status == 200
    lines = site.compose("logs", "--no-log-prefix", "caddy").stdout.splitlines()
    asked = [json.loads(line) for line in lines if '"http.log.access' in line]
    clients = {(one["status"], one["request"]["uri"]): one["request"]["client_ip"] for one in asked}
    (client,) = {
        clients[key]
        for key in [(413, "/receive"), (421, "/asked"), (404, "/media/nothing")]
        + [(200, "/read?asked")]
    }
    log = site.compose("logs", "--no-log-prefix", "app").stdout
    (line,) = [line for line in log.splitlines() if "/read?asked" in line]
    assert json.loads(line)["client"] == client
    assert spoofed not in log

    # Who has this key sets the password.
    site.request("/admin/reset/MQ/the-key-of-a-mail/")
    assert "/admin/reset/MQ/..." in site.logs("caddy") and "/admin/reset/MQ/..." in site.logs("app")
    assert "the-key-of-a-mail" not in site.logs()


def test_passwords_cannot_be_guessed_for_ever(site):
    form = site.request("/admin/login/")
    (token,) = re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', form.text)
    cookie = form.headers["Set-Cookie"].partition(";")[0]
    body = f"csrfmiddlewaretoken={token}&username=mallory&password=wrong".encode()
    statuses = [
        site.request(
            "/admin/login/",
            "POST",
            body,
            Cookie=cookie,
            Referer=f"https://localhost:{site.port}/admin/login/",
            Content_Type="application/x-www-form-urlencoded",
            # Another address each time would be another limit.
            X_Forwarded_For=f"203.0.113.{number}",
        ).status
        for number in range(12)
    ]
    assert statuses == [200] * 9 + [429] * 3
    assert "failed login for 'mallory' from " in site.logs("app")
    unlock = ("exec", "-T", "app", "python", "manage.py", "axes_reset_username", "mallory")
    assert "1 attempts removed" in site.compose(*unlock).stdout


# Between caddy and app


def connections(site: Project, service: str, state: str) -> set[str]:
    """Return caddy's ports of its connections to app that are in a state, as a service sees them.

    The state is the kernel's number: 01 is established; 06 is TIME_WAIT, which the side is in that
    closed first (proc_net_tcp of the kernel's documentation).
    """
    nginx, loopback = f"{8000:X}", "0100007F"
    rows = [row.split() for row in inside(site, service, "cat", "/proc/net/tcp").splitlines()[1:]]
    return {
        (ends - {nginx}).pop()
        for _, local, remote, found, *_ in rows
        if found == state and not local.startswith(loopback)
        for ends in [{local[-4:], remote[-4:]}]
        if nginx in ends
    }


def test_it_is_caddy_that_closes_idle_connections(site):
    # Were it nginx, a form that is sent at that very moment would be answered with 502.
    assert site.request("/receive", "POST", b"x").status == 200
    open_ones = connections(site, "caddy", "01")
    assert open_ones
    site.wait_until(lambda: not open_ones & connections(site, "caddy", "01"))
    assert open_ones <= connections(site, "caddy", "06")
    assert not open_ones & connections(site, "app", "06")


# Many at once


@pytest.mark.parametrize("answers", [{}, {"postgres_driver": "psycopg"}])
def test_200_clients_at_once_get_their_page(make_site, answers):
    site = make_site(**answers)
    url = f"https://localhost:{site.port}/read"
    with Load(url, threads=200, context=site.trusting()) as load:
        site.wait_until(lambda: sum(load.progress) > 1000, seconds=120)
    assert set(load.answers) == {200}, load.answers
    assert "too many" not in site.logs("db")
    # Two processes of four threads, and one that counts.
    assert (
        int(site.sql("SELECT count(*) FROM pg_stat_activity WHERE backend_type LIKE 'client%'"))
        < 11
    )

    # A database that goes and comes back: no error is longer than that.
    site.compose("restart", "db")
    # Each process finds out for itself.
    site.wait_until(lambda: {site.request("/health/ready").status for _ in range(8)} == {200})
    assert site.request("/read").status == 200


# Released


def test_a_release_under_load_loses_no_request(make_site):
    site = make_site({"APP_REPLICAS": "2"})
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

    assert printed.endswith("Released.\n") and "Made backups/" in printed
    for load in (fresh, kept, slow, posted):
        assert set(load.answers) == {200} and load.answers[200] > 10, load.answers
    after = set(site.compose("ps", "--all", "--quiet", "app").stdout.split())
    assert len(after) == 2 and not after & before
    # What Compose finds is what it would have made.
    site.compose("stop", "app")
    site.compose("start", "app")
    site.compose("up", "--detach", "--wait")
    assert set(site.compose("ps", "--all", "--quiet", "app").stdout.split()) == after
    # Nor does it matter whether the old ones run.
    site.compose("stop", "app")
    site.replace("app/core/templates/core/home.html", ">The back office<", ">The office<")
    site.deploy()
    assert "The office" in site.request("/").text
    dangling = ("docker", "image", "ls", "--quiet", "--filter", "dangling=true", "--filter")
    assert not site.run(*dangling, f"label=com.docker.compose.project={site.stack}").stdout


def test_a_release_loses_no_request_that_waits_to_be_taken(make_site):
    site = make_site({"WEB_CONCURRENCY": "1"})
    # One connection at a time: the others wait in the kernel, where a process that ends leaves them.
    site.replace("app/gunicorn.conf.py", "threads =", "worker_connections = 1\nthreads =")
    site.deploy()
    trust = site.trusting()
    url = f"https://localhost:{site.port}/slow?seconds=0.5"
    with Load(url, threads=5, method="POST", context=trust) as load:
        site.wait_until(lambda: len(load.progress) > 5)
        site.deploy()
    assert set(load.answers) == {200} and load.answers[200] > 10, load.answers


@pytest.mark.parametrize(
    ("file", "old", "new", "reason"),
    [
        # Every page of it fails.
        (
            "app/core/health.py",
            "return ADDRESSES.get",
            "raise OSError\n        return ADDRESSES.get",
            "do not get healthy",
        ),
        (
            "app/config/settings.py",
            "MIDDLEWARE = [",
            "raise OSError\nMIDDLEWARE = [",
            "an image cannot be built",
        ),
        (
            "app/core/migrations/0001_initial.py",
            "initial = True",
            "initial = True\n    1 / 0",
            "the migrations cannot be read",
        ),
    ],
    ids=["unhealthy", "does not build", "does not migrate"],
)
def test_a_release_that_fails_leaves_the_old_one_serving(make_site, file, old, new, reason):
    site = make_site()
    before = site.compose("ps", "--quiet", "app").stdout
    image = ("docker", "image", "inspect", "--format", "{{.Id}}", site.stack)
    serving = site.run(*image).stdout
    site.replace(file, old, new)

    trust = site.trusting()
    with Load(f"https://localhost:{site.port}/", threads=4, context=trust) as load:
        process = site.deploy(check=False, DEPLOY_TIMEOUT="15")

    assert process.returncode == 1
    last = process.stdout.strip().splitlines()[-1]
    assert last.startswith("Not released: ") and reason in last
    assert set(load.answers) == {200}, load.answers
    assert site.compose("ps", "--all", "--quiet", "app").stdout == before
    # After a reboot, too, it is the old one that runs.
    assert site.run(*image).stdout == serving
    site.replace(file, new, old)
    assert site.deploy().stdout.endswith("Released.\n")


def test_one_release_at_a_time_and_one_that_is_killed_is_made_good(make_site):
    site = make_site()
    with Load(f"https://localhost:{site.port}/", threads=2, context=site.trusting()) as load:
        deploying = site.start("sh", "scripts/deploy.sh", env={})
        site.wait_until(lambda: "Created" in deploying.printed())
        second = site.deploy(check=False)
        assert (second.returncode, second.stdout) == (
            1,
            "Not released: another release is running.\n",
        )
        # Its new container is there, and is nobody's.
        deploying.process.kill()
        deploying.end()
        site.wait_until(lambda: site.deploy(check=False).stdout.endswith("Released.\n"), 60)
    assert set(load.answers) == {200}, load.answers
    assert len(site.compose("ps", "--all", "--quiet", "app").stdout.split()) == 1
    assert not inside(site, "caddy", "ls", "/tmp")


def test_no_connection_is_made_to_a_container_that_is_not_healthy(make_site):
    site = make_site()
    site.replace(
        "app/core/health.py", "return ADDRESSES.get", "raise OSError\n        return ADDRESSES.get"
    )
    # As caddy does for a new connection: it asks where app is, and goes there.
    ask = "for _ in 1 2 3 4 5 6; do wget -S -O /dev/null http://app:8000/health/live 2>&1; done"
    deploying = site.start("sh", "scripts/deploy.sh", env={"DEPLOY_TIMEOUT": "15"})
    seen = ""
    while deploying.process.poll() is None:
        if len(site.compose("ps", "--quiet", "app").stdout.split()) == 2:
            seen += inside(site, "caddy", "sh", "-c", ask, check=False)
    assert "do not get healthy" in deploying.printed()
    assert seen.count("200 OK") > 20 and "500 Internal" not in seen, seen


# Kept


def test_data_moves_from_development_to_production_and_to_a_new_server(make_stack):
    project = make_stack(postgres_version="17", use_redis=True)
    project.up()
    project.sql("CREATE TABLE kept (id int); INSERT INTO kept SELECT generate_series(1, 1000)")
    project.run("make", "backup")
    project.compose("down")
    env = project.read(".env")
    project.to_production()
    for name in ("postgres_password", "secret_key"):
        (project.path / "secrets" / name).unlink()
    production_env = project.read(".env")
    (project.path / ".env").write_text(env)
    project.run("make", "secrets")
    (project.path / ".env").write_text(production_env)

    project.compose("up", "--detach", "--wait")
    assert project.request("/").status == 200
    (backup,) = (project.path / "backups").glob("*-pg17*")
    project.run("make", "restore", f"FILE=backups/{backup.name}")
    assert project.sql("SELECT count(*) FROM kept") == "1000"

    project.run("make", "upgrade-postgres", "TO=18")

    assert project.sql("SELECT count(*) FROM kept") == "1000"
    project.wait_until(lambda: "18." in project.request("/").text)


@pytest.mark.parametrize("storage", ["bind_mount", "tmpfs"])
def test_every_place_for_the_data_works_hardened(make_site, storage):
    site = make_site(postgres_storage=storage, postgres_version="17", use_entrypoint=False)
    assert site.request("/").status == 200
    site.run("make", "backup")
    assert len(list((site.path / "backups").glob("*-pg17*"))) == 1
