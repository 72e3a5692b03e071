"""Refuse answers that would render a project that does not work.

Each problem is one line: which answer, why, and what to write instead. Standard library only: this
runs with whatever Python the user's Cookiecutter runs on, without a network.
"""

import difflib
import json
import re
import sys
import unicodedata
import zoneinfo

# The answers enter as data: JSON in a raw string, in which no answer can end the literal, since
# tojson writes every ' as an escape.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

# A line of code in the rendered settings has 100 columns, and the name stands in one.
WIDEST_NAME = 80
# PostgreSQL's limit for a name, which the database is given (NAMEDATALEN - 1).
LONGEST_SLUG = 63
# Single separators, and none at the end: Compose names the image after the project, and that is
# what a name in a registry may look like (the distribution specification, "name").
SLUG = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
RESERVED_SLUGS = {
    **dict.fromkeys(
        ("postgres", "template0", "template1"),
        "is the name of a database that PostgreSQL makes for itself",
    ),
    **dict.fromkeys(
        ("caddy", "python", "redis", "scratch"),
        "is the name of an image that the project is made from",
    ),
    # https://learn.microsoft.com/windows/win32/fileio/naming-a-file
    **dict.fromkeys(
        ("con", "prn", "aux", "nul", *(f"{port}{n}" for port in ("com", "lpt") for n in range(10))),
        "is a device on Windows, which can have no folder of that name",
    ),
}
# Cookiecutter renders an answer from the command line as a template of its own.
TEMPLATE = re.compile(r"[{][#%{]")
# What joins letters and emoji is invisible for good reason: the two joiners and the tags of flags.
JOINERS = {"\u200c", "\u200d", *map(chr, range(0xE0020, 0xE0080))}


def shown(text: str) -> str:
    """Return a text for a message: quoted, on one line, the middle of a long one left out."""
    return repr(text if len(text) <= 60 else f"{text[:40]}…{text[-15:]}")


def is_hidden(character: str) -> bool:
    """Return whether a character cannot be seen, or changes how others are seen.

    That is a line break, a control, a change of direction, half a surrogate pair, and the like. An
    emoji that is younger than this Python has no category yet (Cn), and is none of them.
    """
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    return hidden and character not in JOINERS


def width(text: str) -> int:
    """Return the columns that a text takes in a line of Python, at most."""
    return sum(1 if character.isascii() and character not in '"\\' else 2 for character in text)


def suggest_text(text: str, default: str) -> str:
    """Return a text that passes, as close to text as can be; default where nothing is left."""
    text = "".join(" " if is_hidden(character) else character for character in text)
    text = " ".join(re.sub(r"[{](?=[#%{])", "( ", text).split())
    return text or default


def suggest_name(text: str) -> str:
    """Return a project_name that passes, as close to text as can be."""
    text = suggest_text(text, "My Project")
    while width(text) > WIDEST_NAME:
        text = text[:-1].rstrip()
    return text


def text_problem(text: str) -> str | None:
    """Return why a text cannot be taken as it is, or None."""
    hidden = next(filter(is_hidden, text), None)
    if not text.strip():
        return "is empty"
    if hidden:
        return f"holds a character that cannot be seen, U+{ord(hidden):04X}"
    if TEMPLATE.search(text):
        return "holds { before another {, a % or a #, which Cookiecutter takes for a template"
    if text != text.strip():
        return "starts or ends with a blank"
    return None


def name_problem(name: str) -> str | None:
    """Return what is wrong with a project_name in one line, or None."""
    reason = text_problem(name)
    if not reason and width(name) > WIDEST_NAME:
        reason = f"is too long: {WIDEST_NAME} letters at most, half of that outside ASCII"
    if not reason:
        return None
    return f"project_name {shown(name)} {reason}: try {suggest_name(name)!r}"


def description_problem(description: str) -> str | None:
    """Return what is wrong with a description in one line, or None."""
    reason = text_problem(description)
    if not reason:
        return None
    suggestion = suggest_text(description, "A Django project.")
    return f"description {shown(description)} {reason}: try {suggestion!r}"


def suggest_slug(text: str) -> str:
    """Return a slug that passes, as close to text as can be."""
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower())[:LONGEST_SLUG].strip("_")
    good = SLUG.fullmatch(slug) and slug not in RESERVED_SLUGS
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
    else:
        reason = RESERVED_SLUGS.get(slug)
    if not reason:
        return None
    return f"project_slug {shown(slug)} {reason}: try {suggest_slug(slug)!r}"


def timezone_problem(timezone: str) -> str | None:
    """Return what is wrong with a timezone in one line, or None.

    A system without time zone data (Windows) knows no names: there, what looks like one passes.
    """
    known = zoneinfo.available_timezones()
    if timezone in known or (not known and re.fullmatch(r"[A-Za-z0-9_+/-]+", timezone)):
        return None
    by_folded_name = {name.casefold(): name for name in known}
    words = timezone.strip().replace(" ", "_").casefold()
    near = difflib.get_close_matches(words[:60], by_folded_name, n=1)
    cities = [name for name in sorted(known) if words and name.casefold().endswith(f"/{words}")]
    suggestion = cities[0] if cities else by_folded_name[near[0]] if near else "UTC"
    reason = "is not a name in the IANA time zone database"
    return f"timezone {shown(timezone)} {reason}: try {suggestion!r}"


def problems(answers: dict[str, str]) -> list[str]:
    """Return every problem of the answers, one line each."""
    found = [
        name_problem(answers["project_name"]),
        # What cannot be a folder is not one by now; see "__typed_slug" in cookiecutter.json.
        slug_problem(answers["__typed_slug"]),
        description_problem(answers["description"]),
        timezone_problem(answers["timezone"]),
    ]
    return [problem for problem in found if problem]


def main() -> int:
    """Print the problems. Return the exit status."""
    found = problems(ANSWERS)
    # A terminal that cannot show a letter gets its number, not a traceback.
    sys.stderr.reconfigure(errors="backslashreplace")
    for problem in found:
        print(f"Not rendered: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
