"""Somebody is told: real servers for pings and mails, and none that answers is in the way."""

import socket
import time
from collections.abc import Iterator

import pytest

from tests.support.mail_server import MailServer, make_certificate
from tests.support.monitor import Monitor

LOGIN = ("shop@shop.example", "p@ss/w#rd:%41+?")


@pytest.fixture
def monitor() -> Iterator[Monitor]:
    with Monitor() as server:
        yield server


@pytest.fixture
def tell(ops, tmp_path, monkeypatch):
    """The module, with a folder for its notes."""
    monkeypatch.setattr(ops.tell, "FOLDER", tmp_path)
    monkeypatch.setattr(ops.tell, "EMAIL_URL", tmp_path / "email_url")
    return ops.tell


def test_each_start_success_and_failure_is_a_ping(ops, tell, monitor, monkeypatch):
    monkeypatch.setenv("BACKUP_PING_URL", f"{monitor.url}?create=1")
    with tell.about("backup"):
        pass
    with pytest.raises(ops.process.Refused), tell.about("copy"):
        raise ops.process.Refused("the store is away")
    with tell.about("backup"):
        pass
    with tell.about("copy"):
        pass
    assert monitor.asked == [
        ("/id/start?create=1", "backup"),
        ("/id?create=1", "backup"),
        ("/id/start?create=1", "copy"),
        ("/id/fail?create=1", "copy: the store is away"),
        ("/id/start?create=1", "backup"),
        # Not all is well while one part fails.
        ("/id/fail?create=1", "copy: the store is away"),
        ("/id/start?create=1", "copy"),
        ("/id?create=1", "copy"),
    ]


def test_a_failure_that_cannot_be_noted_is_a_ping_all_the_same(tell, monitor, monkeypatch, capsys):
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setenv("BACKUP_PING_URL", monitor.url)
    monkeypatch.setattr(tell, "replace", full)
    tell.failure("backup", "the disk is full")
    assert monitor.asked == [("/id/fail", "backup: the disk is full")]
    assert "No space left on device" in capsys.readouterr().out


def test_without_a_repository_no_copy_fails(ops, tell, monkeypatch):
    monkeypatch.setenv("BACKUP_REPOSITORY", "")
    for part in ("copy", "copies", "copy of the log", "backup"):
        tell.failure(part, "it does not work")
    ops.schedule.copy()
    assert tell.failing() == {"backup": "it does not work"}


def test_a_monitor_that_is_away_or_hangs_is_not_in_the_way(tell, monkeypatch, capsys):
    monkeypatch.setenv("BACKUP_PING_URL", "http://127.0.0.1:9/id")
    tell.success("backup")
    assert "BACKUP_PING_URL cannot be called: " in capsys.readouterr().out
    with socket.create_server(("127.0.0.1", 0)) as server:
        monkeypatch.setenv("BACKUP_PING_URL", f"http://127.0.0.1:{server.getsockname()[1]}/id")
        began = time.monotonic()
        tell.success("backup")
        assert time.monotonic() - began < 30


@pytest.mark.openssl
@pytest.mark.parametrize("scheme", ["smtp", "smtp+tls", "smtp+ssl"])
def test_admins_get_one_mail_per_failure_that_lasts(tell, monkeypatch, tmp_path, scheme):
    certificate = make_certificate(tmp_path) if scheme != "smtp" else None
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "public.pem"))
    login = LOGIN if certificate else None
    with MailServer(certificate, login, tls_first=scheme == "smtp+ssl") as server:
        user = "shop%40shop.example:p%40ss%2Fw%23rd%3A%2541%2B%3F@" if login else ""
        (tmp_path / "email_url").write_text(f"{scheme}://{user}127.0.0.1:{server.port}\n")
        monkeypatch.setenv("ADMINS", "one@shop.example, two@shop.example")
        monkeypatch.setenv("DOMAIN", "shop.example")
        moment = time.time()
        monkeypatch.setattr(tell.time, "time", lambda: moment)
        for _ in range(2):
            tell.failure("copy", "the store is away")
            assert server.take() == []
            moment += 100
        moment += tell.LASTS
        for _ in range(2):
            tell.failure("copy", "the store is still away")
        (mail,) = server.take()
        assert mail.recipients == ["one@shop.example", "two@shop.example"]
        assert mail["Subject"] == "[shop.example] Failed: copy"
        assert mail["From"] == "webmaster@shop.example"
        assert "the store is still away" in mail.get_content()
        assert tell.failing() == {"copy": "the store is still away"}
        tell.success("copy")
        assert tell.failing() == {} and server.take() == []
        # What does not go away by itself is not waited for.
        monkeypatch.setenv("SERVER_EMAIL", "server@shop.example")
        tell.failure("drill", "it cannot be restored", lasts=True)
        (mail,) = server.take()
        assert mail["From"] == "server@shop.example"
    # A server that is away is tried again.
    tell.failure("copy", "again", lasts=True)
    server.start()
    tell.failure("copy", "again", lasts=True)
    assert len(server.take()) == 1
    server.stop()
