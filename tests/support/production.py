"""Helpers for a site in production."""

import http.client

from tests.support.project import Project

SERVICES = ("nginx", "certificates", "app", "db", "redis", "backup", "drill")


def plain(project: Project, path: str, **headers: str) -> http.client.HTTPResponse:
    """Return the response of the HTTP port."""
    connection = http.client.HTTPConnection("localhost", int(project.setting("HTTP_PORT")))
    connection.request("GET", path, headers={k.replace("_", "-"): v for k, v in headers.items()})
    response = connection.getresponse()
    connection.close()
    return response


def inside(project: Project, service: str, *command: str, check: bool = True) -> str:
    """Return what a command prints in a running container."""
    return project.exec(service, *command, check=check).stdout.strip()


def assert_lean(project: Project, driver: str) -> None:
    """Fail unless the production image has what runs the site, and nothing that built it."""
    run = ["docker", "run", "--rm", project.stack]
    assert project.run(*run, "id", "-u").stdout.strip() == "10001"
    for program in ("gcc", "uv", "pytest", "ruff"):
        assert project.run(*run, "which", program, check=False).returncode != 0
    project.run(*run, "python", "-c", f"import {driver}")
    assert "home.css" in project.run(*run, "cat", "staticfiles/staticfiles.json").stdout
    refused = project.run(*run, check=False)
    assert refused.returncode != 0 and "SECRET_KEY" in refused.stdout
