"""An HTTP/2 client that can leave one stream (httpx never tells the server), on one connection."""

from __future__ import annotations

import json
import socket
from typing import Any
from urllib.parse import urlsplit

import h2.config
import h2.connection
import h2.events

from .asking import AUTH, http2_tls
from .proxy import Proxy

HOST = "api.openai.com"


class Http2Client:
    """Through CONNECT and TLS. `received` is what came for each stream, `ended` those complete."""

    def __init__(self, proxy: Proxy) -> None:
        url = urlsplit(proxy.url)
        raw = socket.create_connection((url.hostname, url.port), timeout=20)
        raw.sendall(f"CONNECT {HOST}:443 HTTP/1.1\r\nHost: {HOST}:443\r\n\r\n".encode())
        assert raw.recv(4096).startswith(b"HTTP/1.1 200")
        self._socket = http2_tls(proxy).wrap_socket(raw, server_hostname=HOST)
        self._h2 = h2.connection.H2Connection(h2.config.H2Configuration(client_side=True))
        self._h2.initiate_connection()
        self.received: dict[int, bytes] = {}
        self.ended: set[int] = set()
        self._held: dict[int, int] = {}
        self._flush()

    def __enter__(self) -> Http2Client:
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.close()

    def ask(self, fields: dict[str, Any]) -> int:
        """The new stream's id."""
        stream = self._h2.get_next_available_stream_id()
        head = [(":method", "POST"), (":path", "/v1/chat/completions"), (":scheme", "https")]
        head += [(":authority", HOST), *AUTH.items(), ("content-type", "application/json")]
        self._h2.send_headers(stream, head)
        self._h2.send_data(stream, json.dumps(fields).encode(), end_stream=True)
        self.received[stream] = b""
        self._flush()
        return stream

    def hold(self, stream: int) -> None:
        """Do not make room for more of this stream (its flow-control window), only for others."""
        self._held[stream] = 0

    def let_go(self, stream: int) -> None:
        self._h2.increment_flow_control_window(self._held.pop(stream), stream)
        self._flush()

    def leave(self, stream: int) -> None:
        """RST_STREAM."""
        self._h2.reset_stream(stream)
        self._flush()

    def read_until(self, stream: int, text: bytes) -> None:
        while text not in self.received[stream]:
            self._read()

    def read_to_end(self, stream: int) -> bytes:
        while stream not in self.ended:
            self._read()
        return self.received[stream]

    def _flush(self) -> None:
        self._socket.sendall(self._h2.data_to_send())

    def _read(self) -> None:
        data = self._socket.recv(65536)
        assert data, "the proxy closed the connection"
        for event in self._h2.receive_data(data):
            if isinstance(event, h2.events.DataReceived):
                self.received[event.stream_id] += event.data
                self._make_room(event.flow_controlled_length, event.stream_id)
            elif isinstance(event, h2.events.StreamEnded):
                self.ended.add(event.stream_id)
            elif isinstance(event, h2.events.StreamReset):
                raise AssertionError(f"stream {event.stream_id} was reset")
        self._flush()

    def _make_room(self, length: int, stream: int) -> None:
        if stream not in self._held:
            self._h2.acknowledge_received_data(length, stream)
        elif length:
            self._held[stream] += length
            self._h2.increment_flow_control_window(length)
