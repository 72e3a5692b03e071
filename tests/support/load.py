"""Clients that request pages in a loop, and clients that send slowly."""

import asyncio
import collections
import http.client
import secrets
import ssl
import threading
import time
from contextlib import suppress
from typing import Self
from urllib.parse import urlsplit


class Load:
    """Threads that request a page again and again; use it as a context manager.

    `answers` counts statuses and names of errors. With keep_alive each thread keeps its connection,
    as a browser does, and opens a new one when the server has closed it. It waits `pause` seconds after
    each answer: without that, the load would take the time that a release needs on two cores. `progress` has the duration of each request in seconds, `seconds` the duration of the
    whole load.
    """

    def __init__(
        self,
        url: str,
        threads: int = 8,
        method: str = "GET",
        keep_alive: bool = False,
        context: ssl.SSLContext | None = None,
        headers: dict[str, str] | None = None,
        pause: float = 0.05,
    ):
        self.url = urlsplit(url)
        self.method = method
        self.keep_alive = keep_alive
        self.pause = pause
        self.context = context
        self.headers = headers or {}
        self.answers = collections.Counter()
        self.progress: list[float] = []
        self.seconds = 0.0
        self.stopping = threading.Event()
        self.lock = threading.Lock()
        self.threads = [threading.Thread(target=self.run) for _ in range(threads)]

    def connect(self) -> http.client.HTTPConnection:
        """Return a connection, which opens at the first request."""
        if self.url.scheme == "https":
            return http.client.HTTPSConnection(self.url.netloc, timeout=60, context=self.context)
        return http.client.HTTPConnection(self.url.netloc, timeout=60)

    def run(self) -> None:
        """Request the page until the context ends."""
        path = self.url.path + ("?" + self.url.query if self.url.query else "")
        body = b"x" * 1000 if self.method == "POST" else None
        connection = None
        answers = collections.Counter()
        while not self.stopping.is_set():
            fresh = connection is None
            connection = connection or self.connect()
            began = time.monotonic()
            try:
                connection.request(self.method, path, body, self.headers)
                response = connection.getresponse()
                response.read()
                answers[response.status] += 1
                self.progress.append(time.monotonic() - began)
                if not self.keep_alive or response.will_close:
                    connection.close()
                    connection = None
            except (OSError, http.client.HTTPException) as error:
                with suppress(OSError):
                    connection.close()
                connection = None
                # The server may close an idle connection at any time: clients retry on a new one
                # (RFC 9112, section 9.3.1).
                closed = (http.client.RemoteDisconnected, ConnectionResetError, BrokenPipeError)
                if fresh or not isinstance(error, closed):
                    answers[type(error).__name__] += 1
            self.stopping.wait(self.pause)
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


class SlowBodies:
    """Clients that each POST a body in small pieces; use it as a context manager.

    `answers` counts statuses and names of errors; `open` is the number of clients that have sent a
    request and have no answer yet.
    """

    def __init__(
        self,
        url: str,
        clients: int,
        size: int,
        piece: int,
        interval: float,
        context: ssl.SSLContext,
        headers: dict[str, str] | None = None,
    ):
        self.url = urlsplit(url)
        self.clients = clients
        self.size = size
        self.piece = piece
        self.interval = interval
        self.context = context
        self.headers = {"Host": self.url.netloc, "Content-Length": str(size), **(headers or {})}
        self.answers: collections.Counter = collections.Counter()
        self.open = 0
        self.loop = asyncio.new_event_loop()
        self.thread = threading.Thread(target=self.loop.run_forever)
        self.tasks: list[asyncio.Task] = []

    async def send(self, writer: asyncio.StreamWriter) -> None:
        """Send the body, one piece per interval."""
        for sent in range(0, self.size, self.piece):
            writer.write(b"x" * min(self.piece, self.size - sent))
            await writer.drain()
            await asyncio.sleep(self.interval)

    async def post(self) -> None:
        """Send a request and count its answer, which may come before the body is complete."""
        # Spread the clients over a second.
        await asyncio.sleep(secrets.randbelow(1000) / 1000)
        writer = None
        try:
            reader, writer = await asyncio.open_connection(
                self.url.hostname, self.url.port, ssl=self.context
            )
            head = [f"POST {self.url.path} HTTP/1.1", *map(": ".join, self.headers.items())]
            writer.write("\r\n".join([*head, "", ""]).encode())
            self.open += 1
            sending = asyncio.create_task(self.send(writer))
            try:
                answer = await reader.readline()
                self.answers[int(answer.split()[1])] += 1
            finally:
                self.open -= 1
                sending.cancel()
                with suppress(OSError, asyncio.CancelledError):
                    await sending
        except (OSError, IndexError) as error:
            self.answers[type(error).__name__] += 1
        finally:
            if writer:
                writer.transport.abort()

    def __enter__(self) -> Self:
        self.thread.start()
        self.tasks = [
            asyncio.run_coroutine_threadsafe(self.post(), self.loop) for _ in range(self.clients)
        ]
        return self

    def __exit__(self, *exception: object) -> None:
        for task in self.tasks:
            task.cancel()

        async def end() -> None:
            rest = asyncio.all_tasks() - {asyncio.current_task()}
            await asyncio.gather(*rest, return_exceptions=True)

        asyncio.run_coroutine_threadsafe(end(), self.loop).result(30)
        self.loop.call_soon_threadsafe(self.loop.stop)
        self.thread.join()
        self.loop.close()
