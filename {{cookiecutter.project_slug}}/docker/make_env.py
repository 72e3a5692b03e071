"""Make .env from .env.example, with fresh secrets; leave one that is already there alone.

`make env` runs this in a container, so that a machine needs nothing but Docker. The owner of the
project's folder becomes the user that the development container runs as.
"""

import os
import re
import secrets
import sys
from pathlib import Path

PROJECT = Path(__file__).resolve().parent.parent


def fill(example: str, values: dict[str, str]) -> str:
    """Return the text of .env.example with each empty `NAME=` in values filled in."""
    for name, value in values.items():
        example = re.sub(rf"^{name}=$", f"{name}={value}", example, flags=re.MULTILINE)
    return example


def fresh_values(owner: os.stat_result) -> dict[str, str]:
    """Return new secrets and the ids of the folder's owner, as strings for .env.

    The secrets are hexadecimal, which means nothing to Compose, a shell or a URL.
    """
    windows = os.name == "nt"
    return {
        "SECRET_KEY": secrets.token_hex(32),
        "POSTGRES_PASSWORD": secrets.token_hex(16),
        "HOST_UID": "1000" if windows else str(owner.st_uid),
        "HOST_GID": "1000" if windows else str(owner.st_gid),
    }


def main() -> int:
    """Write .env, readable by its owner only. Return the exit status."""
    env = PROJECT / ".env"
    owner = PROJECT.stat()
    example = (PROJECT / ".env.example").read_text(encoding="utf-8")
    try:
        # O_EXCL: made by this call or not at all, and never readable by others in between.
        descriptor = os.open(env, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        print(".env is already there and stays as it is.")
        return 0
    except OSError as error:
        print(f".env cannot be written: {error.strerror}.", file=sys.stderr)
        return 1
    with open(descriptor, "w", encoding="utf-8", newline="\n") as file:
        file.write(fill(example, fresh_values(owner)))
    if hasattr(os, "chown"):
        os.chown(env, owner.st_uid, owner.st_gid)
    print("Made .env with a new SECRET_KEY and a new POSTGRES_PASSWORD.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
