"""Mail is sent to a real server; whoever sends one that cannot be sent learns why."""

import http.client
import re
import socket
from urllib.parse import quote, urlencode

import pytest

from tests.support.answers import DJANGO_ON_THIS_PYTHON
from tests.support.embedded_postgres import free_port
from tests.support.mail_server import MailServer, make_certificate
from tests.support.project import Project

pytestmark = [pytest.mark.postgres, pytest.mark.openssl, pytest.mark.xdist_group("mail")]

HOST = "shop.example"
LOGIN = ("shop@shop.example", "p@ss/w#rd:%41+?")
# A page that raises an error.
FAIL = """

def fail(request):
    raise RuntimeError("the kettle broke")


urlpatterns += [path("fail", fail)]
"""


def address(server: MailServer, scheme: str, login: tuple[str, str] = LOGIN) -> str:
    """Return the EMAIL_URL of a server."""
    user, password = (quote(text, safe="") for text in login)
    return f"{scheme}://{user}:{password}@{server.host}:{server.port}"


@pytest.fixture(scope="module")
def certificate(tmp_path_factory):
    """A file with a certificate for 127.0.0.1 and its key."""
    return make_certificate(tmp_path_factory.mktemp("certificate"))


@pytest.fixture(scope="module")
def mail_server(certificate):
    """A server that takes mail after STARTTLS and a login."""
    with MailServer(certificate, LOGIN) as server:
        yield server


class Site(Project):
    """A project in production without containers, on a real database."""

    environment: dict[str, str]
    port: int
    django: str
    answered: str = ""

    def manage(self, *words: str, check: bool = True, **environment: str):
        """Run manage.py."""
        environment = self.environment | environment
        return self.run(self.python, "manage.py", *words, cwd="app", env=environment, check=check)

    def ask(self, path: str, form: dict[str, str] | None = None, **headers: str):
        """Request a page as the proxy does for a user on HTTPS; return the response with its `text`."""
        headers |= {"Host": HOST, "X-Forwarded-Proto": "https", "Referer": f"https://{HOST}/"}
        if form is not None:
            headers["Content-Type"] = "application/x-www-form-urlencoded"
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=60)
        method = "GET" if form is None else "POST"
        connection.request(method, path, None if form is None else urlencode(form), headers)
        response = connection.getresponse()
        response.text = response.read().decode()
        connection.close()
        return response

    def fill(self, path: str, cookie: str = "", **form: str):
        """Open a page with a form, send the form, and return the response."""
        page = self.ask(path, Cookie=cookie)
        cookies = [value.partition(";")[0] for value in page.headers.get_all("Set-Cookie", [])]
        (token,) = set(re.findall(r'name="csrfmiddlewaretoken" value="(\w+)"', page.text))
        sent = "; ".join(filter(None, [cookie, *cookies]))
        return self.ask(path, form | {"csrfmiddlewaretoken": token}, Cookie=sent)


@pytest.fixture(scope="module", params=DJANGO_ON_THIS_PYTHON)
def site(
    request, bake_once, python_for, postgres_servers, certificate, mail_server, tmp_path_factory
):
    """A site on gunicorn that reads its EMAIL_URL from a secret file."""
    answers = {"django_version": request.param, "postgres_driver": "psycopg2-binary"}
    slug = Project.unused_slug()
    site = Site(bake_once(project_slug=slug, deployment="compose", **answers).path)
    site.django = request.param
    site.python = python_for(**answers)
    with open(site.path / "app/config/urls.py", "a", encoding="utf-8") as urls:
        urls.write(FAIL)
    secret = tmp_path_factory.mktemp("secrets") / "email_url"
    secret.write_text(address(mail_server, "smtp+tls") + "\n", encoding="utf-8")
    database = site.slug
    postgres_servers["18"].sql(f"CREATE DATABASE {database}")
    site.environment = postgres_servers["18"].environment(database) | {
        "DEBUG": "false",
        "SECRET_KEY": "the secret of these tests: " + "0123456789" * 5,
        "ALLOWED_HOSTS": HOST,
        "FORWARDED_ALLOW_IPS": "127.0.0.1",
        "EMAIL_URL_FILE": str(secret),
        "DEFAULT_FROM_EMAIL": f"The Shop <shop@{HOST}>",
        "ADMINS": f"ada@{HOST}, bob@{HOST}",
        "SSL_CERT_FILE": str(certificate),
        "DJANGO_SUPERUSER_PASSWORD": "forgotten",
    }
    site.manage("migrate")
    site.manage("collectstatic", "--noinput")
    site.manage("createsuperuser", "--noinput", "--username=ada", f"--email=ada@{HOST}")
    site.port = free_port()
    bind = ("--bind", f"127.0.0.1:{site.port}", "--workers", "1")
    command = (site.python, "-m", "gunicorn", "config.wsgi", *bind)
    site.gunicorn = site.start(*command, cwd="app", env=site.environment)
    try:
        site.gunicorn.wait_for("Booting worker")
        yield site
    finally:
        site.gunicorn.process.terminate()
        site.gunicorn.end()


def test_a_test_mail_arrives(site, mail_server):
    mail_server.take()
    site.manage("sendtestemail", "eve@elsewhere.example", "--admins")

    first, second = mail_server.take()
    assert first.recipients == ["eve@elsewhere.example"]
    assert first["From"] == f"The Shop <shop@{HOST}>"
    assert second.recipients == [f"ada@{HOST}", f"bob@{HOST}"]

    who = {"DEFAULT_FROM_EMAIL": "", "SERVER_EMAIL": f"server@{HOST}"}
    site.manage("sendtestemail", "eve@elsewhere.example", "--admins", **who)
    assert [mail["From"] for mail in mail_server.take()] == [f"webmaster@{HOST}", f"server@{HOST}"]


# With implicit TLS the test's server requires a login without STARTTLS.
@pytest.mark.filterwarnings("ignore:Requiring AUTH while not requiring TLS")
def test_mail_is_sent_with_implicit_tls_and_without_tls(site, certificate):
    for options, scheme in (((certificate, LOGIN, True), "smtp+ssl"), ((), "smtp")):
        with MailServer(*options) as server:
            url = address(server, scheme) if options else f"smtp://127.0.0.1:{server.port}"
            site.manage("sendtestemail", "eve@shop.example", EMAIL_URL=url, EMAIL_URL_FILE="")
            assert len(server.take()) == 1


def test_a_mail_that_cannot_be_sent_is_an_error_that_says_why(site, mail_server):
    def refused(url: str, **environment: str) -> str:
        settings = {"EMAIL_URL": url, "EMAIL_URL_FILE": ""} | environment
        process = site.manage("sendtestemail", "eve@shop.example", check=False, **settings)
        assert process.returncode == 1
        assert "p@ss" not in process.stdout
        assert quote(LOGIN[1], safe="") not in process.stdout
        return process.stdout.strip().splitlines()[-1]

    wrong = address(mail_server, "smtp+tls", (LOGIN[0], "p@ss"))
    assert "535" in refused(wrong)
    assert "SMTP AUTH extension not supported by server." in refused(address(mail_server, "smtp"))
    right = address(mail_server, "smtp+tls")
    assert "certificate verify failed" in refused(right, SSL_CERT_FILE="")
    assert refused(f"smtp://127.0.0.1:{free_port()}").endswith("Connection refused")
    # Django's own default would try port 25 of this machine.
    assert "EMAIL_URL is not set" in refused("")
    assert "Invalid address" in refused(right, DEFAULT_FROM_EMAIL="shop@@")
    assert refused("smtps://mail.example").startswith("EMAIL_URL cannot be read: ")


def test_a_mail_server_that_does_not_answer_times_out(site):
    module = "app/config/settings.py"
    before = site.read(module)
    seconds = re.compile(r"\b10(?=\}?  # seconds$)", re.MULTILINE)
    shorter, count = seconds.subn("1", before)
    assert count == 1
    (site.path / module).write_text(shorter, encoding="utf-8")
    try:
        with socket.create_server(("127.0.0.1", 0)) as silent:
            url = f"smtp://127.0.0.1:{silent.getsockname()[1]}"
            settings = {"EMAIL_URL": url, "EMAIL_URL_FILE": ""}
            process = site.manage("sendtestemail", "eve@shop.example", check=False, **settings)
    finally:
        (site.path / module).write_text(before, encoding="utf-8")
    assert process.returncode == 1
    assert process.stdout.strip().endswith("timed out")


# What the SMTP backend of each version of Django uses.
PRINT_MAIL = {
    "5.2": """
from django.core.mail import get_connection
mail = get_connection()
""",
    "6.1": """
from django.core.mail import mailers
mail = mailers["default"]
""",
}
PRINT = "print(mail.host, mail.port, mail.username, mail.password, mail.use_tls, mail.use_ssl)"
RIGHT = {
    "smtp+tls://u:p%40%2F%23%25%3Fa@h": "h 587 u p@/#%?a True False",
    "smtp://h": "h 25 None None False False",
    "smtp+ssl://u@[::1]:4650": "::1 4650 u None False True",
    "smtp+ssl://u:p@h": "h 465 u p False True",
    "smtp://u:p@ss@h": "h 25 u p@ss False False",
}
WRONG = ["h", "h:25", "smtp://", "http://h", "smtps://h", "smtp://h:x", "smtp://h:99999"]
WRONG += ["smtp://u:p/ss@h", "smtp://u:1/p@h", "smtp://u:p#s@h", "smtp://u:1?p@h", "smtp://h?a=b"]
WRONG += ["smtp://u:1#p@h", "smtp://u:p@", "smtp://u:p[@h", "smtp://[h", "consolemail://"]


@pytest.mark.parametrize("url", [*RIGHT, *WRONG])
def test_an_email_url_is_read_or_refused_in_one_line(site, url):
    script = PRINT_MAIL[site.django] + PRINT
    settings = {"EMAIL_URL": url, "EMAIL_URL_FILE": ""}
    process = site.manage("shell", "-v0", "-c", script, check=False, **settings)
    (line,) = process.stdout.splitlines()
    if url in RIGHT:
        assert (process.returncode, line) == (0, RIGHT[url])
    else:
        assert process.returncode == 1 and line.startswith("EMAIL_URL cannot be read: see ")


def test_in_development_mail_is_printed(site):
    development = {"DEBUG": "true", "EMAIL_URL_FILE": ""}
    printed = site.manage("sendtestemail", "eve@shop.example", **development).stdout
    assert "To: eve@shop.example" in printed


def test_admins_get_the_errors_of_the_site_and_no_secret(site, mail_server):
    mail_server.take()
    assert site.ask("/fail?page=2").status == 500

    (mail,) = mail_server.take()
    assert mail.recipients == [f"ada@{HOST}", f"bob@{HOST}"]
    assert mail["Subject"].endswith("Internal Server Error: /fail")
    text = mail.get_content()
    assert "the kettle broke" in text and f"https://{HOST}/fail?page=2" in text
    secrets = LOGIN[1], quote(LOGIN[1], safe=""), site.environment["POSTGRES_PASSWORD"]
    assert not [secret for secret in (*secrets, "the secret of these tests") if secret in text]
    assert site.ask("/nothing").status == 404
    assert mail_server.take() == []


def printed_without(site, mail_server, request) -> str:
    """Return what the site prints during a request while the mail server is stopped."""
    before = site.gunicorn.printed()
    mail_server.stop()
    try:
        request()
    finally:
        mail_server.start()
    return site.gunicorn.printed().removeprefix(before)


def test_an_error_is_in_the_log_where_its_mail_cannot_be_sent(site, mail_server):
    def fail():
        assert site.ask("/fail").status == 500

    printed = printed_without(site, mail_server, fail)
    assert "RuntimeError: the kettle broke" in printed


def test_a_reset_mail_that_cannot_be_sent_is_logged(site, mail_server):
    def forget():
        assert site.fill("/admin/password_reset/", email=f"ada@{HOST}").status == 302

    assert "Failed to send password reset email" in printed_without(site, mail_server, forget)


def test_a_forgotten_password_is_reset_by_mail(site, mail_server):
    mail_server.take()
    login = site.ask("/admin/login/").text
    (page,) = re.findall(r'<a href="([^"]+)">Forgotten your', login)
    answer = site.fill(page, email=f"ada@{HOST}")
    assert answer.status == 302
    assert "instructions" in site.ask(answer.headers["Location"]).text

    (mail,) = mail_server.take()
    assert mail.recipients == [f"ada@{HOST}"]
    (path,) = re.findall(rf"https://{HOST}(/\S+)", mail.get_content())
    opened = site.ask(path)
    cookies = [value.partition(";")[0] for value in opened.headers.get_all("Set-Cookie")]
    password = "remembered correctly"
    form = {"new_password1": password, "new_password2": password}
    done = site.fill(opened.headers["Location"], "; ".join(cookies), **form)
    (login,) = re.findall(r'<a href="(/[^"]+)">Log in', site.ask(done.headers["Location"]).text)
    inside = site.fill(login, username="ada", password=password)
    assert (inside.status, inside.headers["Location"]) in [
        (302, "/admin/"),
        (302, "/accounts/profile/"),
    ]
    # An unknown address gets the same page and no mail.
    assert site.fill(page, email=f"eve@{HOST}").status == 302
    assert mail_server.take() == []
