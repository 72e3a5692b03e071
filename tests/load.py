"""Clients that ask for pages until they are told to stop."""

import collections
import http.client
import ssl
import threading
import time
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit


class Load:
    """So many threads that request a page one after the other; use it as a context manager.

    `answers` counts what came back: statuses, and the names of errors. With keep_alive each thread
    keeps its connection, as a browser does, and takes a new one where the server has closed it.
    `progress` grows by an item with every answer, `seconds` is how long all of it took.
    """

    def __init__(
        self,
        url: str,
        threads: int = 8,
        method: str = "GET",
        keep_alive: bool = False,
        context: ssl.SSLContext | None = None,
        headers: dict[str, str] | None = None,
    ):
        self.url = urlsplit(url)
        self.method = method
        self.keep_alive = keep_alive
        self.context = context
        self.headers = headers or {}
        self.answers = collections.Counter()
        self.progress: list[int] = []
        self.seconds = 0.0
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection, which opens itself at the first request."""
        if self.url.scheme == "https":
            return http.client.HTTPSConnection(self.url.netloc, timeout=60, context=self.context)
        return http.client.HTTPConnection(self.url.netloc, timeout=60)

    def run(self) -> None:
        """Request the page until told to stop."""
        path = self.url.path + ("?" + self.url.query if self.url.query else "")
        body = b"x" * 1000 if self.method == "POST" else None
        connection = None
        answers = collections.Counter()
        while not self.stopping.is_set():
            fresh = connection is None
            connection = connection or self.connect()
            try:
                connection.request(self.method, path, body, self.headers)
                response = connection.getresponse()
                response.read()
                answers[response.status] += 1
                self.progress.append(1)
                if not self.keep_alive or response.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                with suppress(OSError):
                    connection.close()
                connection = None
                # On a connection that was kept, the server may have closed it first: every client
                # takes a new one then (RFC 9112, section 9.3.1).
                closed = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
                if fresh or not isinstance(error, closed):
                    answers[type(error).__name__] += 1
        with self.lock:
            self.answers.update(answers)

    def __enter__(self) -> Self:
        self.start = time.monotonic()
        for thread in self.threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self.stopping.set()
        for thread in self.threads:
            thread.join()
        self.seconds = time.monotonic() - self.start
