"""What is known about the packages of a project: vulnerabilities, and the list of them."""

import http.server
import json
import re
import subprocess
import threading
from collections.abc import Iterator

import pytest

from tests.support.store import Store

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("development")]

ADVISORY = {
    "id": "PYSEC-2026-1",
    "modified": "2026-01-01T00:00:00Z",
    "summary": "A hole",
    "affected": [
        {
            "package": {"ecosystem": "PyPI", "name": "django"},
            "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "99.0"}]}],
        }
    ],
}


class Osv(http.server.BaseHTTPRequestHandler):
    """Answers as the database of OSV does: a package in `vulnerable` has an advisory."""

    asked: dict[str, str]
    vulnerable: set[str]

    def do_POST(self):
        queries = json.loads(self.rfile.read(int(self.headers["Content-Length"])))["queries"]
        self.asked.update({query["package"]["name"]: query["version"] for query in queries})
        found = {"vulns": [{key: ADVISORY[key] for key in ("id", "modified")}]}
        hit = [query["package"]["name"] in self.vulnerable for query in queries]
        self.reply({"results": [found if is_hit else {} for is_hit in hit]})

    def do_GET(self):
        self.reply(ADVISORY)

    def reply(self, answer: dict) -> None:
        body = json.dumps(answer).encode()
        self.send_response(200)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words: object) -> None:
        pass


@pytest.fixture
def osv() -> Iterator[http.server.HTTPServer]:
    """A database of vulnerabilities that containers reach."""
    handler = type("Handler", (Osv,), {"asked": {}, "vulnerable": set()})
    server = http.server.ThreadingHTTPServer((Store.address_on_bridge(), 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield server
    server.shutdown()
    server.server_close()


def test_pins_with_known_vulnerabilities_are_named(stack, osv):
    service = "ARGS=--service-url http://{}:{}".format(*osv.server_address)

    printed = stack.run("make", "outdated", service).stdout

    pinned = re.findall(r"^([a-z0-9-]+)==(\S+)", stack.read("requirements.txt"), re.MULTILINE)
    assert dict(pinned).items() <= osv.RequestHandlerClass.asked.items()
    assert {"ruff", "uv"} <= osv.RequestHandlerClass.asked.keys()
    assert "no known vulnerabilities" in printed

    osv.RequestHandlerClass.vulnerable.add("django")
    process = stack.run("make", "outdated", service, check=False)

    assert process.returncode != 0
    assert re.search(r"django \S+ has 1 known vulnerability", process.stdout), process.stdout
    assert "PYSEC-2026-1: A hole" in process.stdout and "Fixed in: 99.0" in process.stdout


def test_a_database_that_does_not_answer_is_a_failure(stack, osv):
    service = "ARGS=--service-url http://{}:{}".format(*osv.server_address)
    osv.shutdown()
    osv.server_close()

    process = stack.run("make", "outdated", service, check=False)

    assert process.returncode != 0
    assert "error: Request failed" in process.stdout


@pytest.mark.long
def test_the_list_of_packages_is_that_of_the_production_image(stack):
    line = re.search(
        r"^    (docker run .*) > sbom\.json$", stack.read("docs/development.md"), re.MULTILINE
    )
    process = subprocess.run(
        ["sh", "-c", line[1]], cwd=stack.path, capture_output=True, text=True, check=False
    )
    # The image has no name, and would stay.
    image = stack.run("docker", "build", "--quiet", "--target", "build", ".").stdout.split()[-1]
    stack.run("docker", "image", "rm", image)
    assert process.returncode == 0, process.stderr
    listed = json.loads(process.stdout)

    assert listed["bomFormat"] == "CycloneDX"
    components = {(each["name"].lower(), each["version"]) for each in listed["components"]}
    stack.run("make", "build")
    names = "from importlib.metadata import distributions as d; print(*(f'{i.name} {i.version}' for i in d()), sep='\\n')"
    production = (
        "-f",
        "compose.yaml",
        "run",
        "--rm",
        "--no-deps",
        "-T",
        "app",
        "python",
        "-c",
        names,
    )
    installed = stack.compose(*production).stdout
    assert components == {
        (name.lower(), version)
        for name, version in re.findall(r"^(\S+) (\d\S*)$", installed, re.MULTILINE)
    }
