"""A service on this machine that expects pings, as healthchecks.io does."""

import http.server
import threading
from typing import Self


class Monitor(http.server.ThreadingHTTPServer):
    """A server that notes what is asked of it: path and text of each ping."""

    def __init__(self, host: str = "127.0.0.1"):
        self.asked: list[tuple[str, str]] = []

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_POST(self):
                text = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.server.asked.append((self.path, text))
                self.send_response(200)
                self.end_headers()

            def log_message(self, *words):
                pass

        super().__init__((host, 0), Handler)
        self.url = f"http://{host}:{self.server_port}/id"

    def __enter__(self) -> Self:
        threading.Thread(target=self.serve_forever).start()
        return self

    def __exit__(self, *error: object) -> None:
        self.shutdown()
        self.server_close()
