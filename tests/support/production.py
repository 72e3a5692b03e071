"""Helpers for a site in production."""

import http.client

from tests.support.project import Project

SERVICES = ("caddy", "app", "db", "redis", "backup", "drill")


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
