"""Make .env from .env.example, with fresh secrets; leave one that is already there alone.

`make env` runs this in a container, so that a machine needs nothing but Docker. The owner of the
project's folder becomes the user that the development container runs as.
"""

import os
import re
import secrets
import sys
from pathlib import Path

SLUG = "{{ cookiecutter.project_slug }}"
PROJECT = Path(__file__).resolve().parent.parent


def write_new(path: Path, text: str, mode: int) -> bool:
    """Write a file that belongs to the owner of the project; return False where there is one.

    Raises OSError where the file cannot be written.
    """
    try:
        # O_EXCL: made by this call or not at all, and never readable by others in between.
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode)
    except FileExistsError:
        return False
    with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(text)
    path.chmod(mode)
    if hasattr(os, "chown"):
        owner = PROJECT.stat()
        os.chown(path, owner.st_uid, owner.st_gid)
    return True


def fill(example: str, values: dict[str, str]) -> str:
    """Return the text of .env.example with each empty `NAME=` in values filled in."""
    for name, value in values.items():
        example = re.sub(rf"^{name}=$", f"{name}={value}", example, flags=re.MULTILINE)
    return example


def fresh_values(owner: os.stat_result) -> dict[str, str]:
    """Return a name for the stack, new secrets and the ids of the folder's owner, for .env.

    The secrets are hexadecimal, which means nothing to Compose, a shell or a URL.
    """
    windows = os.name == "nt"
    return {
        "COMPOSE_PROJECT_NAME": f"{SLUG}-{secrets.token_hex(3)}",
        "SECRET_KEY": secrets.token_hex(32),
        "POSTGRES_PASSWORD": secrets.token_hex(16),
{%- if cookiecutter.use_redis %}
        "REDIS_PASSWORD": secrets.token_hex(16),
{%- endif %}
        "HOST_UID": "1000" if windows else str(owner.st_uid),
        "HOST_GID": "1000" if windows else str(owner.st_gid),
    }


def main() -> int:
    """Write .env, readable by its owner only. Return the exit status."""
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    text = fill(example, fresh_values(PROJECT.stat()))
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
