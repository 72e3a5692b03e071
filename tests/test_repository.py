"""The template's own files."""

import re
import subprocess

import pytest

from tests.support.project import ROOT


@pytest.mark.git
def test_file_names_can_be_checked_out_on_windows():
    tracked = subprocess.run(
        ["git", "ls-files", "-z"], cwd=ROOT, capture_output=True, text=True, check=True
    ).stdout
    assert not [name for name in tracked.split("\0") if re.search(r'[<>:"|?*\\]|[ .](/|$)', name)]


def test_the_repository_is_clean():
    for command in (
        ["make", "lint"],
        ["zizmor", "--offline", "--quiet", ".github"],
        [
            "check-jsonschema",
            "--builtin-schema",
            "vendor.github-workflows",
            *map(str, ROOT.glob(".github/workflows/*.yml")),
        ],
        ["shellcheck", *map(str, ROOT.glob(".ci/*"))],
    ):
        process = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
        assert process.returncode == 0, f"{command}\n{process.stdout}{process.stderr}"
