"""A client of the Debug Adapter Protocol, as editors have one."""

import itertools
import json
import queue
import socket
import threading
import time
from contextlib import suppress
from typing import Self

# Many more than a quiet machine needs.
SECONDS = 120


class Session:
    """One connection to an adapter, for one process that is debugged."""

    def __init__(self, port: int, events: queue.Queue):
        self.socket = socket.create_connection(("127.0.0.1", port), SECONDS)
        self.stream = self.socket.makefile("rwb")
        self.events = events
        self.answers: dict[int, queue.Queue] = {}
        self.numbers = itertools.count(1)
        self.initialized = threading.Event()
        self.ended = False
        threading.Thread(target=self.listen, daemon=True).start()

    def read(self) -> dict | None:
        """Return the next message of the adapter, or None at the end."""
        size = 0
        while line := self.stream.readline().strip():
            name, _, value = line.partition(b":")
            size = int(value) if name.lower() == b"content-length" else size
        return json.loads(self.stream.read(size)) if size else None

    def listen(self) -> None:
        """Hand out answers and events until the connection ends."""
        self.socket.settimeout(None)
        with suppress(OSError, ValueError):
            while message := self.read():
                if message["type"] == "response":
                    self.answers[message["request_seq"]].put(message)
                elif message.get("event") == "initialized":
                    self.initialized.set()
                elif message["type"] == "event":
                    self.events.put((self, message["event"], message.get("body", {})))
        self.events.put((self, "end of the connection", {}))
        self.ended = True
        for answer in list(self.answers.values()):
            answer.put(None)

    def send(self, command: str, **arguments: object) -> queue.Queue:
        """Send a request; return the queue that its answer will be in."""
        number = next(self.numbers)
        answer = self.answers[number] = queue.Queue()
        request = {"seq": number, "type": "request", "command": command, "arguments": arguments}
        body = json.dumps(request).encode()
        self.stream.write(b"Content-Length: %d\r\n\r\n%s" % (len(body), body))
        self.stream.flush()
        return answer

    def ask(self, command: str, **arguments: object) -> dict:
        """Send a request; return the body of its answer.

        Raises ConnectionError if the adapter ends the connection, or is not there yet: the engine
        accepts connections before anything listens in the container.
        """
        waiting = self.send(command, **arguments)
        if self.ended:
            raise ConnectionError(command)
        answer = waiting.get(timeout=SECONDS)
        if answer is None:
            raise ConnectionError(command)
        assert answer["success"], f"{command}: {answer}"
        return answer.get("body", {})


class Debugger:
    """An editor that is attached to a port, with breakpoints at some lines.

    It attaches to the processes that the first one starts, too, such as those of a reload.
    configuration: the arguments of `attach`, as in launch.json. breakpoints: lines by file.
    """

    def __init__(self, port: int, configuration: dict, breakpoints: dict[str, list[int]]):
        self.port, self.breakpoints = port, breakpoints
        self.events: queue.Queue = queue.Queue()
        self.seen: list[str] = []
        self.sessions: list[Session] = []
        self.verified: list[bool] = []
        self.attach(configuration)

    def attach(self, configuration: dict) -> None:
        """Attach to one process.

        Raises ConnectionError if the adapter refuses, as it does while its process is not there yet.
        """
        session = Session(self.port, self.events)
        self.sessions.append(session)
        session.ask("initialize", adapterID="test", pathFormat="path", linesStartAt1=True)
        attached = session.send("attach", **configuration)
        deadline = time.monotonic() + SECONDS
        while not session.initialized.wait(0.1):
            if session.ended or not attached.empty() or time.monotonic() > deadline:
                raise ConnectionError(f"attach: {[*attached.queue]}")
        for file, lines in self.breakpoints.items():
            wanted = [{"line": line} for line in lines]
            set_now = session.ask("setBreakpoints", source={"path": file}, breakpoints=wanted)
            self.verified += [point["verified"] for point in set_now["breakpoints"]]
        session.ask("configurationDone")
        assert attached.get(timeout=SECONDS)["success"]

    def wait_for(self, wanted: str) -> tuple[Session, dict]:
        """Return the session and the body of the next event of this name."""
        while True:
            try:
                session, event, body = self.events.get(timeout=SECONDS)
            except queue.Empty:
                raise AssertionError(f"no event {wanted!r}, only {self.seen}") from None
            self.seen.append(event)
            if event == "debugpyAttach":
                self.attach(body)
            if event == wanted:
                return session, body

    def wait_for_process(self) -> None:
        """Return when a process that the first one has started is attached, too."""
        self.wait_for("debugpyAttach")

    def wait_for_stop(self) -> tuple[str, int]:
        """Return the file and the line where the code stops."""
        self.stopped, body = self.wait_for("stopped")
        self.thread = body["threadId"]
        self.frame = self.stopped.ask("stackTrace", threadId=self.thread)["stackFrames"][0]
        return self.frame["source"]["path"], self.frame["line"]

    def value(self, expression: str) -> str:
        """Return an expression's value where the code has stopped."""
        frame = self.frame["id"]
        return self.stopped.ask("evaluate", expression=expression, frameId=frame)["result"]

    def go_on(self) -> None:
        """Let the code go on."""
        self.stopped.ask("continue", threadId=self.thread)

    def close(self) -> None:
        """Detach: the code runs on, without stops."""
        for session in reversed(self.sessions):
            with suppress(OSError, ValueError):
                session.ask("disconnect", terminateDebuggee=False)
            with suppress(OSError):
                session.socket.shutdown(socket.SHUT_RDWR)
            session.socket.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        self.close()
