"""Mail of development goes to Mailpit: to its image, or to the stand-in that .ci/base-images builds.

A stand-in shows that mails arrive at the right ports and that the links lead there, not what the page
of Mailpit looks like.
"""

import json
import urllib.request

import pytest

from tests.support.embedded_postgres import free_port

pytestmark = [pytest.mark.stack, pytest.mark.mailpit]


def read(url: str) -> str:
    """Return the body of a page."""
    with urllib.request.urlopen(url, timeout=60) as response:
        return response.read().decode()


def test_a_mail_shows_on_the_page_that_the_home_page_links_to(make_stack):
    project = make_stack(use_mailpit=True)
    port = free_port()
    project.replace(".env", "MAILPIT_PORT=8025", f"MAILPIT_PORT={port}")
    project.up()

    send = ("manage.py", "sendtestemail", "ada@example.org")
    project.compose("run", "--rm", "-T", "app", "python", *send)

    page = f"http://127.0.0.1:{port}/"
    (mail,) = json.loads(read(f"{page}api/v1/messages"))["messages"]
    assert [receiver["Address"] for receiver in mail["To"]] == ["ada@example.org"]
    assert mail["Subject"].startswith("Test email from ")
    assert "Mailpit" in read(page)
    assert f'<a href="{page}">Mailpit</a>' in project.get("/")[1]
    (ports,) = project.inspect("mailpit", "{{json .NetworkSettings.Ports}}")
    published = [ports for ports in json.loads(ports).values() if ports]
    assert published == [[{"HostIp": "127.0.0.1", "HostPort": str(port)}]]
    # A server of the user's own goes first.
    with open(project.path / ".env", "a", encoding="utf-8") as env:
        env.write("EMAIL_URL=smtp://mail.example:25\n")
    services = json.loads(project.compose("config", "--format", "json").stdout)["services"]
    assert services["app"]["environment"]["EMAIL_URL"] == "smtp://mail.example:25"


def test_production_has_no_mailpit(bake):
    project = bake(use_mailpit=True, deployment="compose")
    for name in ("compose.yaml", "compose.production.yaml", ".env.production.example"):
        assert "mailpit" not in project.read(name).lower()
