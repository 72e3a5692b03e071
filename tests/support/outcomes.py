"""Keep the outcomes of tests in a file, compare two such files, and leave out what has passed.

As a plugin of pytest (-p tests.support.outcomes) it adds a line to the file that OUTCOMES names for
each test that is collected and for each outcome. As a program, `outcomes.py OUTSIDE INSIDE` fails
unless each test of the first file passed or was skipped in the second, and no other test failed there.

PASSED_BARE names the outcomes of .ci/bare: what passed there is left out here (tests/conftest.py).
"""

import collections
import json
import os
import sys
from pathlib import Path

# The worst outcome of a test counts: its teardown may fail after the test has passed.
RANK = ["collected", "passed", "skipped", "failed"]


def add(test: str, outcome: str) -> None:
    """Add a line to the file."""
    with open(os.environ["OUTCOMES"], "a", encoding="utf-8") as file:
        file.write(json.dumps([test, outcome]) + "\n")


def pytest_collection_finish(session) -> None:
    """Record the collected tests; with xdist, each process does."""
    for item in session.items:
        add(item.nodeid, "collected")


def pytest_runtest_logreport(report) -> None:
    """Record an outcome, in the main process only: the processes of xdist send theirs there."""
    if "PYTEST_XDIST_WORKER" in os.environ:
        return
    if report.when == "call" or report.outcome != "passed":
        add(report.nodeid, report.outcome)


def outcomes(file: str) -> dict[str, str]:
    """Return the outcome of each test of a file."""
    found = {}
    for line in Path(file).read_text(encoding="utf-8").splitlines():
        test, outcome = json.loads(line)
        found[test] = max(found.get(test, "collected"), outcome, key=RANK.index)
    return found


def left_out(items: list, file: str) -> list:
    """Return the tests that passed in the run that wrote the file, except those marked every_python.

    A test that was skipped there, has failed, or is unknown there, is not among them.
    """
    passed = {test for test, outcome in outcomes(file).items() if outcome == "passed"}
    return [
        item
        for item in items
        if item.nodeid in passed and not item.get_closest_marker("every_python")
    ]


def main() -> int:
    """Compare two files; print what is wrong, then the counts."""
    outside, inside = map(outcomes, sys.argv[1:])
    wrong = {test: inside.get(test, "missing") for test in outside.keys() | inside.keys()}
    wrong = {test: end for test, end in wrong.items() if end not in ("passed", "skipped")}
    for test, end in sorted(wrong.items()):
        print(f"{end}: {test}", file=sys.stderr)
    counts = collections.Counter(inside.values())
    print(f"bare: {len(outside)} tests here; there", *(f"{n} {end}" for end, n in counts.items()))
    return bool(wrong or not outside)


if __name__ == "__main__":
    sys.exit(main())
