"""Make .env from .env.example, with new secrets. An .env that is there stays as it is.

Runs on the host: `make env` runs it in a container, so that the host needs nothing but Docker. The
container of development runs as the owner of the project's folder.
"""

import os
import secrets
import sys
from pathlib import Path

SLUG = "{{ cookiecutter.project_slug }}"
PROJECT = Path(__file__).resolve().parent.parent


def write_new(path: Path, text: str, mode: int) -> bool:
    """Write a file for the owner of the project, unless it is there. Return whether it was written.

    Raises OSError if the file cannot be written.
    """
    # Nobody else can read the file before it has its mode.
    os.umask(0o077)
    try:
        with open(path, "x", encoding="utf-8", newline="\n") as file:
            file.write(text)
    except FileExistsError:
        return False
    path.chmod(mode)
    if hasattr(os, "chown"):
        owner = PROJECT.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
    return True


def main() -> int:
    """Write .env, readable by its owner only. Return the exit status."""
    owner = PROJECT.stat()
    uid, gid = (1000, 1000) if os.name == "nt" else (owner.st_uid, owner.st_gid)
    # Hexadecimal secrets need no quoting in Compose, a shell or a URL.
    values = {
        "COMPOSE_PROJECT_NAME": f"{SLUG}-{secrets.token_hex(3)}",
        "SECRET_KEY": secrets.token_hex(32),
        "POSTGRES_PASSWORD": secrets.token_hex(16),
{%- if cookiecutter.use_redis %}
        "REDIS_PASSWORD": secrets.token_hex(16),
{%- endif %}
        "HOST_UID": uid,
        "HOST_GID": gid,
    }
    text = (PROJECT / ".env.example").read_text(encoding="utf-8")
    for name, value in values.items():
        text = text.replace(f"\n{name}=\n", f"\n{name}={value}\n")
    try:
        made = write_new(PROJECT / ".env", text, mode=0o600)
    except OSError as error:
        print(f".env cannot be written: {error.strerror}.", file=sys.stderr)
        return 1
    if made:
        print("Made .env with new secrets.")
    else:
        print(".env is already there and stays as it is.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
