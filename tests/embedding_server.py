"""A /v1/embeddings endpoint on loopback: real HTTP, made-up vectors."""

from __future__ import annotations

import threading
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
import orjson

DIM = 24


def vector(text: str, dim: int = DIM) -> list[float]:
    """Another one for every text; not normalised."""
    rng = np.random.default_rng(zlib.crc32(text.encode()))
    return (3 * rng.standard_normal(dim)).tolist()


class EmbeddingServer:
    """`answers` replaces what the next requests get: (status, body); None drops the connection."""

    def __init__(self) -> None:
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []
        self.answers: list[tuple[int, bytes] | None] = []
        self.connections = 0
        self.url = ""

    def answer(self, body: dict[str, Any]) -> tuple[int, bytes]:
        data = [
            {
                "object": "embedding",
                "index": n,
                "embedding": vector(text, body.get("dimensions", DIM)),
            }
            for n, text in enumerate(body["input"])
        ]
        return 200, orjson.dumps({"object": "list", "data": data[::-1], "model": body["model"]})


@contextmanager
def serve() -> Iterator[EmbeddingServer]:
    state = EmbeddingServer()

    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        disable_nagle_algorithm = True

        def setup(self) -> None:
            super().setup()
            state.connections += 1

        def do_POST(self) -> None:
            body = orjson.loads(self.rfile.read(int(self.headers["content-length"])))
            headers = {name.lower(): value for name, value in self.headers.items()}
            state.requests.append((self.path, headers, body))
            found = state.answers.pop(0) if state.answers else state.answer(body)
            if found is None:
                self.close_connection = True
                return
            status, data = found
            self.send_response(status)
            self.send_header("content-length", str(len(data)))
            self.end_headers()
            self.wfile.write(data)

        def log_message(self, format: str, *args: Any) -> None:
            """Nothing: a test's output is its own."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.daemon_threads = True
    server.block_on_close = False
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    state.url = f"http://127.0.0.1:{server.server_address[1]}/v1"
    try:
        yield state
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
