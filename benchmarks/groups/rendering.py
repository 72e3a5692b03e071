"""A whole `cookiecutter` process."""

from pathlib import Path

from benchmarks.figures import OURS, Group
from benchmarks.measuring import in_turns, render, seconds
from benchmarks.peers import PEERS
from tests.support.project import ROOT

# The tier of the tests whose service it needs.
NEEDS = None


def measure(group: Group, folder: Path) -> None:
    """Measure a whole `cookiecutter` process."""
    templates = {
        OURS: (ROOT, []),
        "a template of one file, no hooks": (ROOT / "benchmarks" / "floor_template", []),
    }
    for peer in PEERS:
        if peer.template:
            templates[peer.subject] = (peer.template, peer.answers)
            group.add_peer(peer.subject, peer.commit, peer.answers)
    measures = [
        lambda template=template, answers=answers, number=number: seconds(
            lambda: render(template, folder / f"rendering{number}", *answers)
        )
        for number, (template, answers) in enumerate(templates.values())
    ]
    group.add("rendering", "s", dict(zip(templates, in_turns(*measures), strict=True)))
