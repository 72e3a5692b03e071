"""Other templates and projects, which BENCH_PEERS names; they are measured in the same run."""

import json
import os
import shutil
import subprocess
from pathlib import Path

from benchmarks.measuring import render
from tests.support.embedded_postgres import free_port
from tests.support.project import Project

# The image of production, as the peer's own files build it, where `docker build .` is not enough.
PRODUCTION = {
    "cookiecutter-django": ["--file", "compose/production/django/Dockerfile"],
    "wemake-django-template": ["--file", "docker/django/Dockerfile"]
    + ["--target", "production_build", "--build-arg", "DJANGO_ENV=production"],
}
# Files that the peer's README tells users to copy before the first start.
EXAMPLES = {".env.example": ".env"}


class PeerStack(Project):
    """A peer's project, which publishes its port on this machine only."""

    RESOLVED = "compose.measured.json"

    def compose(self, *words: object, **options) -> subprocess.CompletedProcess[str]:
        """Run docker compose with the file that `resolve` writes."""
        return super().compose("--file", self.RESOLVED, *words, **options)

    def resolve(self) -> None:
        """Write the Compose file that a plain `docker compose up` uses, with a free port."""
        config = json.loads(super().compose("config", "--format", "json").stdout)
        self.port = free_port()
        for service in config["services"].values():
            if "build" in service:
                # The image gets the name of the stack, and is deleted with it.
                service.pop("image", None)
            # Nothing else is published.
            if ports := [port for port in service.pop("ports", []) if port["target"] == 8000]:
                service["ports"] = [
                    ports[0] | {"host_ip": "127.0.0.1", "published": f"{self.port}"}
                ]
        (self.path / self.RESOLVED).write_text(json.dumps(config), encoding="utf-8")


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

    def build_production(self, folder: Path, tag: str) -> PeerStack:
        """Build the image of production; return the project."""
        project = self.project(folder)
        words = PRODUCTION.get(self.name, [])
        project.run("docker", "build", "--tag", tag, *words, ".", timeout=1800)
        return project


PEERS = [Peer(words) for words in os.environ.get("BENCH_PEERS", "").split()]
