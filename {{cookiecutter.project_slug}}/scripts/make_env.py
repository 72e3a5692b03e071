"""Make .env from .env.example, with new secrets. An .env that is there gets the lines that it lacks.

`make env` runs it in a container, so that the host needs nothing but Docker.
"""

import os
import re
import sys
from pathlib import Path

SLUG = "{{ cookiecutter.project_slug }}"
PROJECT = Path(__file__).resolve().parent.parent
# A setting with the comment above it.
SETTING = re.compile(r"(?m)(?:^#.*\n)*^(\w+)=.*\n")


def write(path: Path, text: str, mode: int, owner: os.stat_result) -> None:
    """Write a file beside path, then put it in its place: an interruption leaves no half of it."""
    os.umask(0o077)
    new = path.with_name(f"{path.name}.new")
    new.write_text(text, encoding="utf-8", errors="surrogateescape", newline="")
    if hasattr(os, "chown"):
        os.chown(new, owner.st_uid, owner.st_gid)
    new.chmod(mode)
    new.replace(path)


def main({% if cookiecutter.postgres_storage != "tmpfs" %}places: list[str] | None = None{% endif %}) -> str | None:
    """Return what went wrong, or None.{% if cookiecutter.postgres_storage != "tmpfs" %} places: volumes and folders that may have databases, if known.{% endif %}"""
    env, project = (PROJECT / ".env").resolve(), PROJECT.stat()
    try:
        old = env.read_bytes().decode(errors="surrogateescape") if env.exists() else ""
        there = dict(re.findall(r"(?m)^(?:export )?(\w+)=[\"']?([\w-]*)", old))
        # An .env without a name is from when the slug was the name.
        new = SLUG if old else f"{SLUG}-{os.urandom(3).hex()}"
        stack = there.get("COMPOSE_PROJECT_NAME", new)
        # Hexadecimal secrets need no quoting in Compose, a shell or a URL.
        values = {
            "COMPOSE_PROJECT_NAME": stack,
            "SECRET_KEY": os.urandom(32).hex(),
            "POSTGRES_PASSWORD": os.urandom(16).hex(),
{%- if cookiecutter.use_redis %}
            "REDIS_PASSWORD": os.urandom(16).hex(),
{%- endif %}
            "HOST_UID": 1000 if os.name == "nt" else project.st_uid,
            "HOST_GID": 1000 if os.name == "nt" else project.st_gid,
        }
{%- if cookiecutter.postgres_storage != "tmpfs" %}
        # Of several databases, or of none, the configured one counts as live.
        here = [place.removeprefix(f"{stack}_") for place in places or []]
        own = [place for place in here if place.startswith({% if cookiecutter.postgres_storage == "bind_mount" %}("db_data_", "postgres_")){% else %}"db_data_"){% endif %}]
        if len(own) == 1:
            values["LIVE_DATA"] = own[0]
        elif old and places is None:
            there["LIVE_DATA"] = "unknown"
        for place in here:
            if place.startswith(f"{SLUG}-"):
                print(f"Another clone has a database here: {place}")
{%- endif %}
        example = (PROJECT / ".env.example").read_text(encoding="utf-8")
        for name, value in values.items():
            example = re.sub(rf"(?m)^{name}=.*", f"{name}={value}", example)
        missing = {m[1]: m[0] for m in SETTING.finditer(example) if m[1] not in there}
{%- if cookiecutter.deployment != "none" %}
        # That of a server follows .env.production.example.
        missing = {} if "COMPOSE_FILE" in there else missing
{%- endif %}
        done = ".env stays as it is."
        if not old:
            write(env, example, 0o600, project)
            done = "Made .env with new secrets."
        elif missing:
            text = "\n".join([old.removesuffix("\n") + "\n", *missing.values()])
            write(env, text, env.stat().st_mode & 0o777, env.stat())
            done = f"Added {', '.join(missing)} to .env."
    except OSError as error:
        return f".env cannot be written: {error.strerror}."
    print(done)
    return None


if __name__ == "__main__":
    sys.exit(main({% if cookiecutter.postgres_storage != "tmpfs" %}sys.argv[1:]{% endif %}))
