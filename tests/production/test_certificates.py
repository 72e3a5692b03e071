"""The certificate of the site: the first one, a renewal that fails, and one that works, with a real authority."""

import json
import socket
import ssl
import subprocess

import pytest

from tests.support.project import Project

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("certificates")]

# Pebble asks for the challenge on port 8080: in the network `acme`, nginx is shop.test. Unasked, it refuses every
# twentieth request, and certbot gives up after two in a row.
COMPOSE = """
services:
  nginx:
    networks:
      frontend:
      acme: {aliases: [shop.test]}
  certificates:
    environment:
      ACME_SERVER: https://pebble:14000/dir
      REQUESTS_CA_BUNDLE: /pebble/certificate.pem
    volumes: [./pebble:/pebble:ro]
  pebble:
    image: ghcr.io/letsencrypt/pebble:2.10.0
    command: -config /pebble/config.json
    environment: {PEBBLE_VA_NOSLEEP: "1", PEBBLE_WFE_NONCEREJECT: "0"}
    volumes: [./pebble:/pebble:ro]
    networks: [acme]
"""
CONFIG = {
    "listenAddress": "0.0.0.0:14000",
    "managementListenAddress": "0.0.0.0:15000",
    "certificate": "/pebble/certificate.pem",
    "privateKey": "/pebble/key.pem",
    "httpPort": 8080,
    "tlsPort": 8443,
    "retryAfter": {"authz": 1, "order": 1},
    # In seconds. certbot renews when half of it is over.
    "profiles": {"default": {"description": "short", "validityPeriod": 30}},
}


@pytest.fixture(scope="module")
def site(bake_once) -> Project:
    """A site for shop.test, beside an authority whose certificates are valid for half a minute."""
    project = bake_once(project_slug=Project.unused_slug(), deployment="compose")
    project.replace("ops/certificates.sh", "retry=20s", "retry=3s")
    project.to_production(DOMAIN="shop.test")
    files = "compose.yaml:compose.production.yaml"
    project.replace(".env", files, f"{files}:compose.pebble.yaml")
    (project.path / "compose.pebble.yaml").write_text(COMPOSE)
    folder = project.path / "pebble"
    folder.mkdir()
    (folder / "config.json").write_text(json.dumps({"pebble": CONFIG}))
    subject = ("-subj", "/CN=pebble", "-addext", "subjectAltName=DNS:pebble")
    files = ("-keyout", folder / "key.pem", "-out", folder / "certificate.pem")
    project.run("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", *subject, *files)
    try:
        project.deploy()
        yield project
    finally:
        project.remove_from_engine()


def certificate(site: Project) -> bytes:
    """Return the certificate that nginx shows to a browser."""
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    with (
        socket.create_connection(("localhost", site.port)) as connection,
        context.wrap_socket(connection, server_hostname="shop.test") as tls,
    ):
        return tls.getpeercert(binary_form=True)


def published(site: Project) -> bytes:
    """Return the certificate that nginx is to show: each of its processes reads it every ten seconds."""
    read = ["openssl", "x509", "-outform", "der", "-in", "/certificates/shop.test.pem"]
    (id,) = site.containers("certificates")
    return subprocess.run(["docker", "exec", id, *read], capture_output=True, check=True).stdout


def issuer(site: Project) -> str:
    """Return who has signed the certificate."""
    show = ["openssl", "x509", "-inform", "der", "-noout", "-issuer"]
    return subprocess.run(
        show, input=certificate(site), capture_output=True, check=True
    ).stdout.decode()


def attempt(site: Project) -> str:
    """Let certbot try again, as it does after its pause; return what it says."""
    site.compose("restart", "certificates")
    said = ("No new certificate", "The certificate of shop.test")
    (id,) = site.containers("certificates")
    since = site.inspect("certificates", "{{.State.StartedAt}}")[0]

    def log() -> str:
        return site.run("docker", "logs", "--since", since, id).stdout

    site.wait_until(lambda: any(line in log() for line in said))
    return log()


def test_the_first_certificate_and_renewals_that_fail_and_work(site):
    site.wait_until(lambda: "Pebble" in issuer(site))
    started = site.inspect("nginx", "{{.State.StartedAt}}")
    # What the container owns, nobody else reads.
    mode = site.exec("nginx", "stat", "-c", "%a %u", "/certificates/shop.test.pem").stdout
    assert mode == "640 0\n"

    # Without the authority, nginx keeps what it has, and the log has the reason.
    network, (pebble,) = f"{site.stack}_acme", site.containers("pebble")
    site.run("docker", "network", "disconnect", network, pebble)
    first = published(site)
    site.wait_until(lambda: "No new certificate for shop.test" in attempt(site))
    assert "pebble" in attempt(site)
    assert published(site) == first
    site.wait_until(lambda: certificate(site) == first)

    # nginx shows the next one without a restart. Pebble may ask certbot to keep the one before for some seconds.
    site.run("docker", "network", "connect", "--alias", "pebble", network, pebble)
    site.wait_until(
        lambda: "The certificate of shop.test" in attempt(site) and published(site) != first
    )
    site.wait_until(lambda: certificate(site) == published(site))
    assert "Pebble" in issuer(site)
    assert site.inspect("nginx", "{{.State.StartedAt}}") == started
