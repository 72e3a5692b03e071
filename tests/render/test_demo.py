"""`make demo` starts the default project, and says where it is and how to log in."""

import os
import re
import shutil
import subprocess
import sys
import urllib.parse
import urllib.request
from collections.abc import Iterator
from http.cookiejar import CookieJar
from pathlib import Path

import pytest

from tests.support.project import ROOT


def demo(template: Path, *words: str) -> str:
    """Run what `make demo` runs, where no Docker engine answers; return what it printed."""
    process = subprocess.run(
        [sys.executable, "-m", "scripts.demo", *words],
        cwd=template,
        env=os.environ | {"DOCKER_HOST": f"unix://{template}/no_engine"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        check=False,
        umask=0o077,
    )
    assert process.returncode == 0, process.stdout
    return process.stdout


@pytest.fixture
def template(tmp_path) -> Iterator[Path]:
    """A copy of this repository in a home that only its owner can enter, as that of root is."""
    (tmp_path / "home").mkdir(mode=0o700)
    copy = tmp_path / "home" / "template"
    ignored = shutil.ignore_patterns(".git", ".venv", "build", "node_modules", "__pycache__")
    shutil.copytree(ROOT, copy, ignore=ignored)
    yield copy
    demo(copy, "stop")
    shutil.rmtree((copy / "build/database").resolve(), ignore_errors=True)


def log_in(url: str, user: str, password: str) -> str:
    """Log in to the admin as a browser does; return the page that follows."""
    cookies = CookieJar()
    browser = urllib.request.build_opener(urllib.request.HTTPCookieProcessor(cookies))
    page = browser.open(url, timeout=30).read().decode()
    token = re.search(r'name="csrfmiddlewaretoken" value="(\w+)"', page)[1]
    form = {"username": user, "password": password, "csrfmiddlewaretoken": token}
    data = urllib.parse.urlencode(form).encode()
    login = f"{url}login/?next=/admin/"
    return browser.open(login, data, timeout=30).read().decode()


@pytest.mark.postgres
def test_the_demo_starts_in_a_private_home_with_any_umask_and_says_where_it_is(template):
    lines = demo(template).splitlines()

    assert lines[0] == f"Rendering the default project into {template}/build/my_project ..."
    # The only address is its own, and each step that takes time is announced.
    steps, result = lines[: lines.index("")], lines[lines.index("") + 1 :]
    assert len(steps) == 4 and all(step.endswith(" ...") for step in steps)
    assert not re.search("http|docker compose", "\n".join(steps))
    url = result[0].partition(" answers, on an embedded PostgreSQL")[0]
    assert result[1].split() == ["folder:", f"{template}/build/my_project"]
    login, user, password = re.search(
        r"(\S+) as (\w+), with the password (\w+)", result[2]
    ).groups()
    assert login == f"{url}admin/" and "Log out" in log_in(login, user, password)
    assert "make demo-stop" in result[3]
