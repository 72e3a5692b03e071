"""The production image of each driver."""

from collections.abc import Iterator
from pathlib import Path

from benchmarks.figures import OURS, Group
from benchmarks.measuring import in_turns, render, seconds
from benchmarks.peers import PEERS
from tests.support.project import ROOT, Project

# The tier of the tests whose service it needs.
NEEDS = "stack"


def image_size(project: Project, image: str) -> float:
    """Return the megabytes of an image."""
    return int(project.run("docker", "image", "inspect", "-f", "{{.Size}}", image).stdout) / 1e6


def measure(group: Group, folder: Path) -> None:
    """Measure the production image of each driver, and building it again after an edit."""
    sizes = {"its base image": image_size(Project(folder), "python:3.14-slim-trixie")}
    for driver in ("psycopg2-binary", "psycopg2", "psycopg"):
        answers = [f"project_slug={Project.unused_slug()}", f"postgres_driver={driver}"]
        project = Project(render(ROOT, folder / driver, *answers))
        try:
            project.run("make", "build")
            sizes[f"{OURS}, {driver}"] = image_size(project, project.stack)
            if driver == "psycopg2-binary":
                edits = iter(range(100))

                def edit(project: Project = project, edits: Iterator[int] = edits) -> float:
                    with open(project.path / "app/core/views.py", "a", encoding="utf-8") as views:
                        views.write(f"# {next(edits)}\n")
                    return seconds(lambda: project.run("make", "build"))

                def nothing(project: Project = project) -> float:
                    return seconds(lambda: project.run("make", "build"))

                edited, unchanged = in_turns(edit, nothing)
        finally:
            project.remove_from_engine()
    for peer in PEERS:
        group.add_peer(peer.subject, peer.commit, peer.answers)
        tag = Project.unused_slug()
        project = peer.build_production(folder / "peers", tag)
        try:
            sizes[peer.subject] = image_size(project, tag)
        finally:
            project.run("docker", "image", "rm", tag)
    group.add("production image", "MB", {name: [size] for name, size in sizes.items()})
    group.add("building it again after an edit", "s", {OURS: edited, "nothing edited": unchanged})
