"""A chat server on the loopback, in a thread of the test."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Answer = Callable[[Any], tuple[int, bytes]]


def said(content: object) -> tuple[int, bytes]:
    """A well-formed response with one choice."""
    message = {"role": "assistant", "content": content}
    choice = {"index": 0, "finish_reason": "stop", "message": message}
    return 200, json.dumps({"id": "1", "object": "chat.completion", "choices": [choice]}).encode()


class _Patient(ThreadingHTTPServer):
    request_queue_size = 128  # connections that wait; others are reset


class Served:
    """A server on the loopback that answers as it is told, and notes what it was asked."""

    def __init__(self, answer: Answer, models: list[str] | None = None) -> None:
        self.models = models
        self.requests: list[Any] = []
        self.headers: list[Any] = []
        served = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                listed = [{"id": name, "object": "model"} for name in served.models or ()]
                body = json.dumps({"object": "list", "data": listed}).encode()
                self._send(*((200, body) if served.models is not None else (404, b"")))

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                served.requests.append(json.loads(body))
                served.headers.append(self.headers)
                self._send(*answer(served.requests[-1]))

            def _send(self, status: int, content: bytes) -> None:
                try:
                    self.send_response(status)
                    self.send_header("content-type", "application/json")
                    self.send_header("retry-after-ms", "1")
                    self.send_header("content-length", str(len(content)))
                    self.end_headers()
                    self.wfile.write(content)
                except OSError:
                    pass  # the client has given up

            def log_message(self, *_: object) -> None:
                pass

        self.server = _Patient(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.02,))
        self.thread.start()

    def close(self) -> None:
        self.server.shutdown()
        self.thread.join()
        self.server.server_close()


def servers(usual: Answer = lambda request: said("")) -> Iterator[Callable[..., Served]]:
    """Starts servers that answer as usual or as they are told, and stops them when the test ends: for a fixture."""
    started: list[Served] = []

    def start(answer: Answer = usual, models: list[str] | None = None) -> Served:
        started.append(Served(answer, models))
        return started[-1]

    yield start
    for served in started:
        served.close()
