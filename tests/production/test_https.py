"""The site answers over HTTPS, for its own name only."""

import http.client
import re
import socket
import ssl

import pytest

from tests.support.production import inside, plain
from tests.support.project import Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("production")]


def test_https_responses_have_security_headers_and_compression(site):
    page = site.request("/")
    assert page.status == 200
    assert re.search(r"max-age=3600\b", page.headers["Strict-Transport-Security"])
    assert "default-src 'self'" in page.headers["Content-Security-Policy"]
    assert page.headers["X-Content-Type-Options"] == "nosniff"
    assert page.headers["X-Frame-Options"] == "DENY"
    assert "geolocation=()" in page.headers["Permissions-Policy"]
    # Without a version.
    assert page.headers["Server"] == "nginx"
    login = site.request("/admin/login/?next=/admin/", Accept_Encoding="gzip")
    assert login.headers["Content-Encoding"] == "gzip"
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
    assert page.locator("main").evaluate("main => getComputedStyle(main).borderTopWidth") == "4px"
    page.get_by_role("link", name="Admin").click()
    page.get_by_label("Username").fill("ada")
    page.get_by_label("Password").fill(password)
    page.get_by_role("button", name="Log in").click()
    page.get_by_role("link", name="Users").click()
    page.locator("#result_list").get_by_role("link", name="ada").click()
    page.get_by_label("First name:").fill("Ada")
    page.get_by_role("button", name="Save", exact=True).click()
    page.get_by_text("was changed successfully").wait_for()


def test_the_deploy_check_passes(site):
    manage = ("python", "manage.py", "check", "--deploy", "--fail-level", "WARNING")
    assert "no issues" in inside(site, "app", *manage)


def test_an_unknown_host_name_is_refused(site):
    assert site.request("/", Host="evil.example").status == 421
    assert plain(site, "/", Host="evil.example").status == 421
    assert site.request("/", Host="localhost").status == 200
    # nginx sets these itself, whatever the client sends: links in mails have the configured host and port.
    address = f"https://localhost:{site.port}/address"
    for headers in ({"Host": "localhost:9999"}, {"X_Forwarded_Host": "evil.example"}):
        assert site.request("/address", **headers).text == address
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("localhost", site.port)) as connection,
        pytest.raises(ssl.SSLError),
    ):
        context.wrap_socket(connection, server_hostname="evil.example")


def test_a_forwarded_proto_header_of_a_client_is_ignored(site):
    assert plain(site, "/", X_Forwarded_Proto="https").status == 308
    # The opposite header causes no redirect loop.
    assert site.request("/", X_Forwarded_Proto="http").status == 200


def ask(site: Project, id: str, path: str = "/", **headers: str) -> int:
    """Return the status of a page of one app container, without nginx; 0 without an answer."""
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


def test_app_itself_requires_https_and_a_known_host(site):
    (id,) = site.compose("ps", "--quiet", "app").stdout.split()
    assert ask(site, id, Host="localhost") == 301
    assert ask(site, id, Host="evil.example") == 400
    assert ask(site, id, Host="evil.example", X_Forwarded_Proto="https") == 400


def test_an_unlisted_proxy_is_not_trusted(site):
    named = ("--env", "FORWARDED_ALLOW_IPS=192.0.2.1")
    alone = ("run", "--detach", "--no-deps", *named, "app", "gunicorn", "config.wsgi")
    id = site.compose(*alone).stdout.split()[-1]
    try:
        site.wait_until(lambda: ask(site, id, "/health/live") == 200)
        assert ask(site, id, Host="localhost", X_Forwarded_Proto="https") == 301
    finally:
        site.run("docker", "rm", "--force", id)
