"""Refuse answers that would render a project that does not work.

Each problem is one line: which answer, why, and what to write instead. Standard library only: this
runs with whatever Python the user's Cookiecutter runs on, without a network.
"""

import difflib
import json
import re
import sys
import zoneinfo

# The answers enter as data: JSON in a raw string, in which no answer can end the literal, since
# tojson writes every ' as an escape.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

# PostgreSQL's limit for a name, which the database is given (NAMEDATALEN - 1).
LONGEST_SLUG = 63
# Single separators, and none at the end: Compose names the image after the project, and that is
# what a name in a registry may look like (the distribution specification, "name").
SLUG = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
# Databases that every server has: the project's own would take their place.
DATABASES_OF_THE_SERVER = {"postgres", "template0", "template1"}


def suggest_slug(text: str) -> str:
    """Return a slug that passes, as close to text as can be."""
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower())[:LONGEST_SLUG].strip("_")
    good = SLUG.fullmatch(slug) and slug not in DATABASES_OF_THE_SERVER
    return slug if good else f"project_{slug}"[:LONGEST_SLUG].strip("_")


def slug_problem(slug: str) -> str | None:
    """Return what is wrong with a project_slug in one line, or None."""
    if len(slug) > LONGEST_SLUG:
        reason = f"has {len(slug)} characters, and {LONGEST_SLUG} is the most"
    elif not SLUG.fullmatch(slug):
        reason = (
            "must be lowercase ASCII letters and digits, in words joined by single _ or -, "
            "and start with a letter"
        )
    elif slug in DATABASES_OF_THE_SERVER:
        reason = "is the name of a database that PostgreSQL makes for itself"
    else:
        return None
    return f"project_slug {slug!r} {reason}: try {suggest_slug(slug)!r}"


def timezone_problem(timezone: str) -> str | None:
    """Return what is wrong with a timezone in one line, or None.

    A system without time zone data (Windows) knows no names: nothing can be said there.
    """
    known = zoneinfo.available_timezones()
    if not known or timezone in known:
        return None
    by_folded_name = {name.casefold(): name for name in known}
    words = timezone.strip().replace(" ", "_").casefold()
    near = difflib.get_close_matches(words, by_folded_name, n=1)
    cities = [name for name in sorted(known) if name.casefold().endswith(f"/{words}")]
    suggestion = cities[0] if cities else by_folded_name[near[0]] if near else "UTC"
    return f"timezone {timezone!r} is not a name in the IANA time zone database: try {suggestion!r}"


def problems(answers: dict[str, str]) -> list[str]:
    """Return every problem of the answers, one line each."""
    found = [slug_problem(answers["project_slug"]), timezone_problem(answers["timezone"])]
    return [problem for problem in found if problem]


if __name__ == "__main__":
    found = problems(ANSWERS)
    for problem in found:
        print(f"Not rendered: {problem}", file=sys.stderr)
    sys.exit(1 if found else 0)
