"""Containers without privileges, internal networks, limits, and uploads that cannot run scripts."""

import json
import re

import pytest

from tests.support.load import Load
from tests.support.mail_server import MailServer
from tests.support.production import SERVICES, inside
from tests.support.project import Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("production")]


def test_containers_run_without_root_and_without_privileges(site):
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
        health = "{{with .State.Health}}{{.Status}}{{end}}"
        well = "" if service in ("certificates", "drill") else "healthy"
        site.wait_until(lambda: site.inspect(service, health) == [well], 90)  # noqa: B023
        (id,) = site.compose("ps", "--quiet", service).stdout.split()
        processes = site.run("docker", "top", id, "-eo", "pid,uid,args").stdout.splitlines()[1:]
        # backup reads secrets/ and writes files of the owner of backups/, and drill reads them.
        # certificates owns its volumes.
        if service in ("backup", "certificates", "drill"):
            continue
        # docker-init of db stays root, and only passes signals on. Its health check ends at once: it is `runc init` before
        # that, and [sh] after it.
        running = [
            line.split()
            for line in processes
            if not re.search(r"docker-init|pg_isready|runc init|\[sh\]", line)
        ]
        assert running and all(uid != "0" for _, uid, *_ in running), processes


def test_no_volume_without_a_name_stays_behind_after_down(site):
    for service in SERVICES:
        (mounts,) = site.inspect(service, "{{json .Mounts}}")
        names = [mount["Name"] for mount in json.loads(mounts) if mount["Type"] == "volume"]
        assert all(name.startswith(f"{site.stack}_") for name in names), (service, names)


def test_only_app_reaches_the_database_and_only_nginx_the_world(site):
    networks = {
        service: sorted(json.loads(site.inspect(service, "{{json .NetworkSettings.Networks}}")[0]))
        for service in SERVICES
    }
    frontend, backend = f"{site.stack}_frontend", f"{site.stack}_backend"
    assert networks == {
        "nginx": [frontend],
        "certificates": [f"{site.stack}_acme"],
        "app": [backend, frontend],
        "db": [backend],
        "redis": [backend],
        "backup": [f"{site.stack}_offsite"],
        "drill": ["none"],
    }
    inspect = ("docker", "network", "inspect", "--format", "{{.Internal}}", backend)
    assert site.run(*inspect).stdout.strip() == "true"
    for service in SERVICES:
        published = "HostIp" in site.inspect(service, "{{json .NetworkSettings.Ports}}")[0]
        assert published == (service == "nginx")


def test_app_can_send_mail_through_another_host(site):
    # app reaches this address of the host only by its route to other networks.
    inspect = ("docker", "network", "inspect", "--format", "{{(index .IPAM.Config 0).Gateway}}")
    host = site.run(*inspect, "bridge").stdout.strip()
    with MailServer(host=host) as server:
        url = ("-e", "EMAIL_URL_FILE=", "-e", f"EMAIL_URL=smtp://{host}:{server.port}")
        send = ("python", "manage.py", "sendtestemail", "eve@shop.example")
        site.compose("exec", "-T", *url, "app", *send)
    (mail,) = server.taken
    assert (mail["From"], mail["To"]) == ("webmaster@localhost", "eve@shop.example")


def test_a_body_over_the_limit_is_refused(site):
    assert site.request("/receive", "POST", b"x" * 1_000_000).text == "1000000"
    largest = 10 * 1024**2
    assert site.request("/receive", "POST", b"x" * largest).text == str(largest)
    assert site.request("/receive", "POST", b"x" * (largest + 1)).status == 413


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

    for path in ("/media/../../etc/passwd", "/media/%2e%2e/%2e%2e/etc/passwd"):
        assert "root:" not in site.request(path).text


def test_repeated_failed_logins_are_locked_out(site):
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
            # nginx replaces this header; otherwise each address would have a limit of its own.
            X_Forwarded_For=f"203.0.113.{number}",
        ).status
        for number in range(12)
    ]
    assert statuses == [200] * 9 + [429] * 3
    assert "login failure by 'mallory' from " in site.logs("app")
    unlock = ("exec", "-T", "app", "python", "manage.py", "axes_reset_username", "mallory")
    assert "1 attempts removed" in site.compose(*unlock).stdout


def connections(site: Project, service: str, state: str) -> set[str]:
    """Return the client ports of nginx's connections to app in a TCP state, as a service sees them.

    The state is a number of /proc/net/tcp: 01 is ESTABLISHED; 06 is TIME_WAIT, the state of the
    side that closed first.
    """
    gunicorn, loopback = f"{8000:X}", "0100007F"
    rows = [row.split() for row in inside(site, service, "cat", "/proc/net/tcp").splitlines()[1:]]
    return {
        (ends - {gunicorn}).pop()
        for _, local, remote, found, *_ in rows
        if found == state and not local.startswith(loopback)
        for ends in [{local[-4:], remote[-4:]}]
        if gunicorn in ends
    }


def test_nginx_closes_idle_connections_before_gunicorn(site):
    # If gunicorn closed first, a form sent at that moment would be answered with 502.
    open_ones = set()
    # During a request: nginx closes an idle one after a second, and to look takes as long on a busy machine.
    url = f"https://localhost:{site.port}/slow?seconds=1"
    with Load(url, threads=1, context=site.trusting()) as load:
        site.wait_until(lambda: open_ones.update(connections(site, "nginx", "01")) or open_ones)
    assert set(load.answers) == {200}
    # gunicorn answers each close with its own.
    site.wait_until(lambda: open_ones <= connections(site, "nginx", "06"))
    assert not open_ones & connections(site, "app", "06")
