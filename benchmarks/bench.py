"""Measure what users wait for, beside a floor that does the least possible.

All subjects of a measure are measured in turns in one run, so that a slow machine is slow for all;
the median counts. `make bench` prints the figures, writes them to benchmarks/results, and draws
benchmarks/plots. ARGS names the groups to measure, BENCH_PEERS other templates to measure as well.
"""

import sys
import tempfile
from pathlib import Path

from benchmarks import plot
from benchmarks.figures import Group
from benchmarks.groups import (
    data,
    images,
    pages,
    recovery,
    releases,
    rendering,
    start,
    swarm,
    tasks,
    waiting,
)
from tests.support.tiers import missing_service

MODULES = (rendering, waiting, start, images, pages, releases, swarm, data, recovery, tasks)
GROUPS = {module.__name__.rpartition(".")[2]: module for module in MODULES}


def missing(name: str) -> str | None:
    """Return how to get what a group needs, or None if it is available."""
    tier = GROUPS[name].NEEDS
    return missing_service(tier) if tier else None


def main() -> None:
    """Measure the groups that the arguments name, or all that can be measured here."""
    names = sys.argv[1:] or list(GROUPS)
    if unknown := set(names) - GROUPS.keys():
        sys.exit(f"No such group: {', '.join(unknown)}. There are: {', '.join(GROUPS)}.")
    reasons = {name: reason for name in names if (reason := missing(name))}
    for name, reason in reasons.items():
        print(f"{name} cannot be measured: {reason}", file=sys.stderr)
    if reasons and sys.argv[1:]:
        sys.exit(1)
    print(f"{'':<50} {'median':>24}   ours to it")
    with tempfile.TemporaryDirectory() as folder:
        for name in [name for name in names if name not in reasons]:
            group = Group(name)
            GROUPS[name].measure(group, Path(folder))
            group.save()
    plot.draw_all()


if __name__ == "__main__":
    main()
