"""Finish the rendered project: .env with fresh secrets, execute bits, what to do next.

Standard library only, no network, no Docker. Runs in the folder of the rendered project.
"""

import runpy
import sys
from pathlib import Path

EXECUTABLES = ["app/manage.py"]
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
    for name in EXECUTABLES:
        # Git on Windows, or an archive, may have lost them.
        path = Path(name)
        path.chmod(path.stat().st_mode | 0o111)
    print(NEXT)
    return 0


if __name__ == "__main__":
    sys.exit(main())
