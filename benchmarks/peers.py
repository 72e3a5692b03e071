"""Other templates and projects, which BENCH_PEERS names; they are measured in the same run."""

import json
import os
import re
import shutil
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.measuring import render, wait_for_page
from tests.support.embedded_postgres import free_port
from tests.support.project import TEST_VIEWS, Project


@dataclass(frozen=True)
class Site:
    """How a peer's own files run it in production."""

    # The Compose files that its documentation names; none is what `docker compose` reads by itself.
    files: tuple[str, ...]
    # The module to which the pages of the tests are added.
    urls: str
    # The service of gunicorn, and its port.
    service: str
    port: int
    # What is in front of gunicorn with HTTPS, on port 443.
    front: str = ""


SITES = {
    "cookiecutter-django": Site(
        ("docker-compose.production.yml",), "config/urls.py", "django", 5000, "Traefik"
    ),
    "docker-django-example": Site((), "src/config/urls.py", "web", 8000),
    "wemake-django-template": Site(
        ("docker-compose.yml", "docker/docker-compose.prod.yml"),
        "server/urls.py",
        "web",
        8000,
        "Caddy",
    ),
}
# The image of production, as the peer's own files build it, where `docker build .` is not enough.
PRODUCTION = {
    "cookiecutter-django": ["--file", "compose/production/django/Dockerfile"],
    "wemake-django-template": ["--file", "docker/django/Dockerfile"]
    + ["--target", "production_build", "--build-arg", "DJANGO_ENV=production"],
}
# Files that the peer's README tells users to copy before the first start.
EXAMPLES = {".env.example": ".env"}


def for_production(example: str) -> str:
    """Return an example of .env with its values of production: comments above those of development."""
    return re.sub(r"#((?:export )?(\w+)=.*)\nexport \2=.*", r"\1", example)


class PeerStack(Project):
    """A peer's project, which publishes its port on this machine only."""

    RESOLVED = "compose.measured.json"
    site: Site

    def compose(self, *words: object, **options) -> subprocess.CompletedProcess[str]:
        """Run docker compose with the file that `resolve` writes."""
        return super().compose("--file", self.RESOLVED, *words, **options)

    def resolve(self, *files: str, target: int = 8000) -> None:
        """Write what the Compose files say, or those of a plain `docker compose up`, with a free port."""
        words = [f"--file={file}" for file in files]
        config = json.loads(super().compose(*words, "config", "--format", "json").stdout)
        self.stacks.add(config["name"])
        self.port = free_port()
        for service in config["services"].values():
            if "build" in service:
                # The image gets the name of the stack, and is deleted with it.
                service.pop("image", None)
            # Nothing else is published.
            if ports := [port for port in service.pop("ports", []) if port["target"] == target]:
                service["ports"] = [
                    ports[0] | {"host_ip": "127.0.0.1", "published": f"{self.port}"}
                ]
        (self.path / self.RESOLVED).write_text(json.dumps(config), encoding="utf-8")

    def trusting(self) -> ssl.SSLContext | None:
        """Return a TLS context for a certificate that nobody knows; None without HTTPS."""
        return ssl._create_unverified_context() if self.site.front else None

    def page(self, path: str) -> str:
        """Return the URL of a page, through what is in front."""
        return f"http{'s' if self.site.front else ''}://localhost:{self.port}{path}"

    def page_of_gunicorn(self, path: str) -> str:
        """Return the URL of a page of gunicorn, in its container."""
        template = "{{range .NetworkSettings.Networks}}{{.IPAddress}} {{end}}"
        id = self.compose("ps", "--quiet", self.site.service).stdout.strip()
        address = self.run("docker", "inspect", "--format", template, id).stdout.split()[0]
        return f"http://{address}:{self.site.port}{path}"

    def deploy(self) -> None:
        """Release the files as the peer's documentation says; return when a page answers again."""
        self.compose("up", "--detach", "--build", timeout=1800)
        # The container before it has stopped by now.
        wait_for_page(self.page("/receive"), self.trusting())


class Peer:
    """Another template, or a project that is used as it is.

    Written as its path, followed by answers: `../other,use_docker=y`.
    """

    def __init__(self, words: str):
        path, *self.answers = words.split(",")
        self.path = Path(path).resolve()
        self.name = self.path.name
        self.template = self.path if (self.path / "cookiecutter.json").exists() else None
        self.commit = self._commit() if (self.path / ".git").exists() else None
        # What a plot calls it.
        self.subject = f"{self.name} {self.commit[:7]}" if self.commit else self.name

    def _commit(self) -> str:
        command = ["git", "-C", str(self.path), "rev-parse", "HEAD"]
        return subprocess.run(command, check=True, capture_output=True, text=True).stdout.strip()

    def project(self, folder: Path) -> PeerStack:
        """Return the rendered or copied project, whose files belong to the user that images expect."""
        if self.template:
            path = render(self.path, folder / f"peer_{self.name}", *self.answers)
        else:
            ignore = shutil.ignore_patterns(".git")
            path = shutil.copytree(self.path, folder / f"peer_{self.name}", ignore=ignore)
        for example, name in EXAMPLES.items():
            if (path / example).exists():
                shutil.copy(path / example, path / name)
        if os.getuid() == 0:
            for file in [path, *path.rglob("*")]:
                os.chown(file, 1000, 1000, follow_symlinks=False)
        return PeerStack(path)

    def stack(self, folder: Path) -> PeerStack:
        """Return the project for development, its images built."""
        project = self.project(folder)
        if not any(project.path.glob("*compose.y*ml")):
            # cookiecutter-django names its file after the environment.
            (file,) = project.path.glob("*compose.local.y*ml")
            file.rename(project.path / "compose.yaml")
        project.resolve()
        project.compose("build", timeout=1800)
        return project

    @contextmanager
    def in_production(self, folder: Path) -> Iterator[PeerStack]:
        """Release the project in production, with the pages of the tests; remove it afterwards."""
        project = self.project(folder)
        project.site = site = SITES[self.name]
        with open(project.path / site.urls, "a", encoding="utf-8") as urls:
            urls.write(TEST_VIEWS)
        if (env := project.path / ".env").exists():
            env.write_text(for_production(env.read_text()))
        project.resolve(*site.files, target=443 if site.front else site.port)
        try:
            project.deploy()
            migrate = ("python", "manage.py", "migrate")
            project.compose("run", "--rm", "-T", site.service, *migrate)
            yield project
        finally:
            for stack in project.stacks:
                project.remove_stack(stack)

    def build_production(self, folder: Path, tag: str) -> PeerStack:
        """Build the image of production; return the project."""
        project = self.project(folder)
        words = PRODUCTION.get(self.name, [])
        project.run("docker", "build", "--tag", tag, *words, ".", timeout=1800)
        return project


PEERS = [Peer(words) for words in os.environ.get("BENCH_PEERS", "").split()]
SITE_PEERS = [peer for peer in PEERS if peer.name in SITES]
