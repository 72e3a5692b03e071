"""Refuse answers that would render a project that does not work.

Each problem is one line: which answer, why, and what to write instead. Standard library only: this
runs with whatever Python the user's Cookiecutter runs on, without a network.
"""

import json
import re
import sys
import unicodedata

# JSON in a raw string: no answer can end the string, since tojson escapes every quote in it.
ANSWERS = json.loads(r"""{{ cookiecutter | tojson }}""")

# The name has to fit into one line of the rendered settings, which have at most 100 columns.
WIDEST_NAME = 80
# PostgreSQL's limit for the name of a database (NAMEDATALEN - 1).
LONGEST_SLUG = 63
# Single separators, and none at the end: Compose names the image after the project, and registries
# accept no other image names (the distribution specification, "name").
SLUG = re.compile(r"[a-z][a-z0-9]*([_-][a-z0-9]+)*")
RESERVED_SLUGS = {
    **dict.fromkeys(
        ("postgres", "template0", "template1"),
        "is the name of a database that PostgreSQL makes for itself",
    ),
    **dict.fromkeys(
        ("nginx", "python", "redis", "scratch"),
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
# Invisible characters that some languages and emoji need: two joiners and the tags of flags.
JOINERS = {"\u200c", "\u200d", *map(chr, range(0xE0020, 0xE0080))}


def shown(text: str) -> str:
    """Quote a text for a one-line message, without the middle of a long text."""
    return repr(text if len(text) <= 60 else f"{text[:40]}…{text[-15:]}")


def is_hidden(character: str) -> bool:
    """Return whether a character cannot be seen, or changes how others are seen.

    For example a line break, a control character, a change of direction or half a surrogate pair. An
    emoji that is newer than this Python has the category Cn (unassigned) and is not hidden.
    """
    hidden = unicodedata.category(character) in {"Cc", "Cf", "Cs", "Zl", "Zp"}
    # Two that are no characters, and that no YAML file may have.
    hidden = hidden or character in "\ufffe\uffff"
    return hidden and character not in JOINERS


def width(text: str) -> int:
    """Return how many columns a text takes in a line of Python, at most."""
    return sum(1 if character.isascii() and character not in '"\\' else 2 for character in text)


def suggest_text(text: str, default: str) -> str:
    """Return the closest text that passes, or default if nothing is left."""
    text = "".join(" " if is_hidden(character) else character for character in text)
    text = " ".join(re.sub(r"[{](?=[#%{])", "( ", text).split())
    return text or default


def suggest_name(text: str) -> str:
    """Return the closest project_name that passes."""
    text = suggest_text(text, "My Project")
    while width(text) > WIDEST_NAME:
        text = text[:-1].rstrip()
    return text


def text_problem(text: str) -> str | None:
    """Return why a text is refused, or None."""
    hidden = next(filter(is_hidden, text), None)
    if not text.strip():
        return "is empty"
    if hidden:
        return f"contains an invisible character, U+{ord(hidden):04X}"
    if TEMPLATE.search(text):
        return "contains { followed by {, % or #, which Cookiecutter would render as a template"
    if text != text.strip():
        return "starts or ends with a space"
    return None


def name_problem(name: str) -> str | None:
    """Return what is wrong with a project_name in one line, or None."""
    reason = text_problem(name)
    if not reason and width(name) > WIDEST_NAME:
        reason = f"is too long: at most {WIDEST_NAME} letters, or half of that outside ASCII"
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
    """Return the closest slug that passes."""
    slug = re.sub(r"[^a-z0-9]+", "_", text.lower())[:LONGEST_SLUG].strip("_")
    good = SLUG.fullmatch(slug) and slug not in RESERVED_SLUGS
    return slug if good else f"project_{slug}"[:LONGEST_SLUG].strip("_")


def slug_problem(slug: str) -> str | None:
    """Return what is wrong with a project_slug in one line, or None."""
    if len(slug) > LONGEST_SLUG:
        reason = f"has {len(slug)} characters: at most {LONGEST_SLUG} are allowed"
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


def time_zones() -> tuple[set[str], dict[str, str]]:
    """Return the current names of time zones, and for old names such as US/Eastern the current one.

    Debian's images have no old names. Both are empty on a system without a table of time zones.
    """
    import importlib.util
    import zoneinfo
    from pathlib import Path

    # A dependency of Cookiecutter has the newest table.
    package = importlib.util.find_spec("tzdata")
    folders = [*([Path(package.origin).parent / "zoneinfo"] if package else []), *zoneinfo.TZPATH]
    tables = [Path(folder, "zone.tab") for folder in folders]
    table = next((path for path in tables if path.exists()), None)
    if not table:
        return set(), {}
    known = {"UTC", *re.findall(r"^\w\w\t\S+\t(\S+)", table.read_text("utf-8"), re.MULTILINE)}
    known |= {name for name in zoneinfo.available_timezones() if name.startswith("Etc/")}
    source = table.with_name("tzdata.zi")
    links = source.read_text("utf-8") if source.exists() else ""
    pairs = re.findall(r"^L (\S+) (\S+)$", links, re.MULTILINE)
    return known, {old: new for new, old in pairs if new in known and old not in known}


def timezone_problem(timezone: str) -> str | None:
    """Return what is wrong with a timezone in one line, or None.

    A system without time zone data, such as Windows, may have no list of names: there, any text that
    looks like a name passes.
    """
    # The default. Reading the list takes longer than all other checks together.
    if timezone == "UTC":
        return None
    import difflib

    known, replaced = time_zones()
    if timezone in known or (not known and re.fullmatch(r"[A-Za-z0-9_+/-]+", timezone)):
        return None
    names = {name: name for name in sorted(known)} | replaced
    by_folded_name = {name.casefold(): current for name, current in names.items()}
    words = timezone.strip().replace(" ", "_").casefold()
    cities = [name for name in by_folded_name if words and name.endswith(f"/{words}")]
    near = cities or difflib.get_close_matches(words[:60], by_folded_name, n=1)
    suggestion = by_folded_name[near[0]] if near else "UTC"
    reason = "is not a current name in the IANA time zone database"
    return f"timezone {shown(timezone)} {reason}: try {suggestion!r}"


def combination_problems(answers: dict) -> list[str]:
    """Return which answers do not work together, one line each."""
    needed = {
        "use_wait_for_db": (True, "Swarm starts services in no order, so each has to wait itself"),
        "media_storage": ("s3", "a volume is on one node, and the others do not have its files"),
        "postgres_storage": ("named_volume", "Docker creates it on the node of the database"),
    }
    found = [
        f"deployment 'swarm' needs {name}={str(answer).lower()}: {reason}"
        for name, (answer, reason) in needed.items()
        if answers["deployment"] == "swarm" and answers[name] != answer
    ]
    useless = {
        "deployment": (
            "none",
            "it backs up production, so choose deployment=compose or backup=dump",
        ),
        "postgres_storage": ("tmpfs", "nothing is kept that could be brought back"),
    }
    return found + [
        f"backup 'continuous' does not go with {name}={answer}: {reason}"
        for name, (answer, reason) in useless.items()
        if answers["backup"] == "continuous" and answers[name] == answer
    ]


def lost_answers_problem(answers: dict) -> str | None:
    """Return why the answers of a .template.yaml are refused, or None.

    Cookiecutter reads such a file up to an answer that is not offered any more, and only warns.
    """
    if not answers["_made_by"] or answers["_complete"]:
        return None
    return (
        "an answer in the configuration file is not offered any more, and those below it would be "
        "lost: choose another in that file, as the warning above says"
    )


def problems(answers: dict[str, str]) -> list[str]:
    """Return every problem of the answers, one line each."""
    slug = answers["project_slug"]
    # What was typed, if that cannot name a folder: docs/decisions/slug.md. Otherwise, a replay file that was
    # edited has an older slug there.
    if slug == "not_rendered":
        slug = answers["__typed_slug"]
    found = [
        name_problem(answers["project_name"]),
        slug_problem(slug),
        description_problem(answers["description"]),
        timezone_problem(answers["timezone"]),
        lost_answers_problem(answers),
    ]
    return [problem for problem in found if problem] + combination_problems(answers)


def main() -> int:
    """Print the problems. Return the exit status."""
    found = problems(ANSWERS)
    # A terminal that cannot show a letter gets its number instead of a traceback.
    sys.stderr.reconfigure(errors="backslashreplace")
    for problem in found:
        print(f"Not rendered: {problem}", file=sys.stderr)
    return 1 if found else 0


if __name__ == "__main__":
    sys.exit(main())
