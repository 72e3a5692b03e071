"""A mail server on this machine, with TLS and a login, that keeps the mails it receives."""

import email.message
import email.policy
import ssl
import subprocess
from email import message_from_bytes
from pathlib import Path
from typing import Self

from aiosmtpd.controller import Controller
from aiosmtpd.smtp import SMTP, AuthResult, Envelope, Session

from tests.support.embedded_postgres import free_port


def make_certificate(folder: Path, host: str = "127.0.0.1") -> Path:
    """Make a self-signed certificate for an address; return the file with it and its key."""
    file = folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2"]
    command += ["-subj", "/CN=mail", "-addext", f"subjectAltName=IP:{host}"]
    command += ["-keyout", file.name, "-out", "public.pem"]
    subprocess.run(command, cwd=folder, check=True, capture_output=True)
    file.write_text(file.read_text() + (folder / "public.pem").read_text())
    return file


class MailServer:
    """A server on 127.0.0.1 that receives mail; it requires TLS and a login where they are given.

    tls_first: TLS from the first byte (smtps), else STARTTLS.
    """

    def __init__(
        self,
        certificate: Path | None = None,
        login: tuple[str, str] | None = None,
        tls_first: bool = False,
        host: str = "127.0.0.1",
    ):
        self.host, self.port, self.login = host, free_port(), login
        self.taken: list[email.message.EmailMessage] = []
        # Its own limit, five seconds, is short on a busy machine.
        self.options = {"ready_timeout": 60}
        # What it answers to each mail in place of taking it.
        self.refuse = ""
        if certificate:
            context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
            context.load_cert_chain(certificate)
            self.options["ssl_context" if tls_first else "tls_context"] = context
            self.options["require_starttls"] = not tls_first
            self.options["auth_require_tls"] = not tls_first
        if login:
            self.options |= {"auth_required": True, "authenticator": self.authenticate}

    def authenticate(self, server: SMTP, session: Session, envelope: Envelope, mechanism, data):
        """Accept the right login."""
        given = data.login.decode(), data.password.decode()
        return AuthResult(success=given == self.login, handled=False)

    async def handle_DATA(self, server: SMTP, session: Session, envelope: Envelope) -> str:
        """Store a mail with its recipients."""
        if self.refuse:
            return self.refuse
        message = message_from_bytes(envelope.content, policy=email.policy.default)
        message.recipients = envelope.rcpt_tos
        self.taken.append(message)
        return "250 OK"

    def start(self) -> Self:
        """Start the server; this works after a stop, too."""
        self.controller = Controller(self, hostname=self.host, port=self.port, **self.options)
        self.controller.start()
        return self

    def stop(self) -> None:
        """Stop the server: connections are refused."""
        self.controller.stop()

    def __enter__(self) -> Self:
        return self.start()

    def __exit__(self, *error: object) -> None:
        self.stop()

    def take(self) -> list[email.message.EmailMessage]:
        """Return the mails received since the last call."""
        taken, self.taken = self.taken, []
        return taken
