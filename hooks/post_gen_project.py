"""Finish the rendered project: .env with fresh secrets, execute bits, what to do next.

Standard library only, no network, no Docker. Runs in the folder of the rendered project.
"""

import runpy
import sys
from contextlib import suppress
from pathlib import Path

# What the file names of optional files leave behind where they are not chosen, innermost first.
FOLDERS_OF_OPTIONAL_FILES = ["app/core/management/commands", "app/core/management"]
NEXT = r"""
Next:
  cd {{ cookiecutter.project_slug }}
  docker compose up
  docker compose exec app python manage.py createsuperuser

Then open http://127.0.0.1:8000/
"""


def main() -> int:
    """Return the exit status: other than 0, Cookiecutter removes what it rendered."""
    status = runpy.run_path("docker/make_env.py")["main"]()
    if status:
        return status
    # Git on Windows, or an archive, may have lost the execute bits.
    for path in [Path("app/manage.py"), *Path("docker").rglob("*.sh")]:
        path.chmod(path.stat().st_mode | 0o111)
    for name in FOLDERS_OF_OPTIONAL_FILES:
        # Only an empty one goes: what a user put there stays.
        with suppress(OSError):
            Path(name).rmdir()
    print(NEXT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
