"""What a release under load loses."""

from pathlib import Path

from benchmarks.figures import Group
from benchmarks.measuring import released, seconds, under_load
from benchmarks.peers import SITE_PEERS
from tests.support.project import Project

# The tier of the tests whose service it needs.
NEEDS = "stack"


def measure(group: Group, folder: Path) -> None:
    """Measure what a release under load loses."""
    samples, notes = {}, {}

    def release(subject: str, project: Project) -> None:
        took, lost, answered = under_load(project, lambda: seconds(project.deploy))
        samples[subject] = [lost]
        notes[subject] = f"{lost:,} of {answered + lost:,}, in {took:.0f} s"

    with released(folder / "releases") as project:
        changes = {
            "code": ("app/core/views.py", "import platform", "import platform  # a change"),
            "a setting of app": (".env", "SECONDS=3600", "SECONDS=7200"),
            "nginx.conf": ("ops/nginx.conf", "camera=()", "midi=(), camera=()"),
            "MAX_BODY_SIZE": (".env", "MAX_BODY_SIZE=10MB", "MAX_BODY_SIZE=9MB"),
            "a setting of db": ("compose.yaml", "shm_size: 256mb", "shm_size: 192mb"),
        }
        for name, change in changes.items():
            project.replace(*change)
            release(f"release of {name}", project)
    for peer in SITE_PEERS:
        group.add_peer(peer.subject, peer.commit, peer.answers)
        with peer.in_production(folder / "releases") as project:
            project.replace(project.site.urls, "def address", "# a change\ndef address")
            release(f"{peer.subject}, code", project)
    group.add("requests lost", "", samples, notes=notes)
