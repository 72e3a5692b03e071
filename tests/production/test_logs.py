"""The log of a site: every request, its client, and no secret."""

import json

import pytest

pytestmark = [pytest.mark.stack, pytest.mark.xdist_group("production")]


def test_log_lines_are_json_whatever_a_client_sends(site):
    nasty = 'a "quoted" \\ back\tslash é'
    site.request("/health/live?" + "x" * 12, User_Agent=nasty, X_Forwarded_For="203.0.113.7")

    def entries() -> list[dict]:
        lines = site.compose("logs", "--no-log-prefix", "app").stdout.splitlines()
        return [json.loads(line) for line in lines if line.startswith("{")]

    site.wait_until(lambda: any("x" * 12 in entry["message"] for entry in entries()))
    (entry,) = [entry for entry in entries() if "x" * 12 in entry["message"]]
    assert entry["status"] == 200 and entry["method"] == "GET" and 0 <= entry["seconds"] < 60
    assert '"quoted" \\ back' in entry["user_agent"]
    # nginx replaces the address that the client claims.
    assert "203.0.113.7" not in json.dumps(entry)


def test_every_request_is_logged_with_its_client_address(site):
    spoofed = "203.0.113.9"
    assert site.request("/receive", "POST", b"x" * (10 * 1024**2 + 1)).status == 413
    assert site.request("/asked", Host="evil.example").status == 421
    assert site.request("/media/nothing", X_Forwarded_For=spoofed).status == 404
    assert site.request("/read?asked", X_Forwarded_For=spoofed).status == 200

    def asked() -> dict[tuple[int, str], str]:
        lines = site.compose("logs", "--no-log-prefix", "nginx").stdout.splitlines()
        entries = [json.loads(line) for line in lines]
        return {(int(one["status"]), one["path"]): one["client"] for one in entries}

    # Each process of nginx writes its log once a second.
    wanted = {(413, "/receive"), (421, "/asked"), (404, "/media/nothing"), (200, "/read")}
    site.wait_until(lambda: wanted <= asked().keys())
    clients = asked()
    (client,) = {clients[key] for key in wanted}
    # gunicorn writes a line after its answer.
    site.wait_until(lambda: "/read?asked" in site.logs("app"))
    log = site.compose("logs", "--no-log-prefix", "app").stdout
    (line,) = [line for line in log.splitlines() if "/read?asked" in line]
    assert json.loads(line)["client"] == client
    assert spoofed not in log

    # Whoever has this key can set the password.
    site.request("/admin/reset/MQ/the-key-of-a-mail/")
    for service in ("nginx", "app"):
        site.wait_until(lambda: "/admin/reset/MQ/..." in site.logs(service))  # noqa: B023
    assert "the-key-of-a-mail" not in site.logs()
