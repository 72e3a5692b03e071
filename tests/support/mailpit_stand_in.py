#!/usr/bin/python3
"""A stand-in for Mailpit, where its image cannot be had: `.ci/base-images` builds it.

It has Mailpit's ports, health check, and the part of its API that tests read. Of its page it has the
subjects only.
"""

import html
import json
import sys
import urllib.request
from email import message_from_bytes, policy
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

from aiosmtpd.controller import Controller

MESSAGES: list[dict] = []


class Receiver:
    """What the SMTP server does with a mail."""

    async def handle_DATA(self, server, session, envelope) -> str:
        """Keep the parts that Mailpit's list of messages has."""
        message = message_from_bytes(envelope.content, policy=policy.default)
        addresses = [{"Name": "", "Address": address} for address in envelope.rcpt_tos]
        sender = {"Name": "", "Address": envelope.mail_from}
        MESSAGES.insert(0, {"From": sender, "To": addresses, "Subject": message["Subject"]})
        return "250 OK"


class Page(BaseHTTPRequestHandler):
    """What the web server answers."""

    def do_GET(self) -> None:
        """Answer with the list of messages, as JSON or as a page."""
        known = {
            "/": "<title>Mailpit</title>" + html.escape(str([m["Subject"] for m in MESSAGES])),
            "/api/v1/messages": json.dumps({"total": len(MESSAGES), "messages": MESSAGES}),
            "/readyz": "ok",
        }
        self.send_response(200 if self.path in known else 404)
        self.end_headers()
        self.wfile.write(known.get(self.path, "").encode())


if __name__ == "__main__":
    if sys.argv[1:] == ["readyz"]:
        urllib.request.urlopen("http://127.0.0.1:8025/readyz", timeout=5)
        sys.exit()
    controller = Controller(Receiver(), hostname="0.0.0.0", port=1025)
    controller.start()
    ThreadingHTTPServer(("", 8025), Page).serve_forever()
