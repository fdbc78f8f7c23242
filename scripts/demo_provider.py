"""A local stand-in for Anthropic: it speaks the Messages API with answers of our own making."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

WORDS_PER_SECOND = 40
THINKING = 0.6
"""Seconds before the first word."""

ANSWERS = {
    "refund": "To get a refund, open Orders, choose the item and press Return. The money is back in"
    " three to five working days.",
    "haiku": "Old proxy listens,\nthe same question comes again -\nan answer at once.",
}


def answer_to(question: str) -> str:
    for word, answer in ANSWERS.items():
        if word in question.lower():
            return answer
    return f"You asked: {question}"


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    calls = 0

    def do_POST(self) -> None:
        Handler.calls += 1
        body = json.loads(self.rfile.read(int(self.headers["content-length"])))
        content = body["messages"][-1]["content"]
        text = answer_to(content if isinstance(content, str) else content[-1]["text"])
        time.sleep(THINKING)
        if body.get("stream"):
            self._stream(body["model"], text)
        else:
            time.sleep(len(text.split()) / WORDS_PER_SECOND)
            self._whole(body["model"], text)

    def _whole(self, model: str, text: str) -> None:
        message = {**_message(model), "content": [{"type": "text", "text": text}]}
        message |= {"stop_reason": "end_turn"}
        message["usage"]["output_tokens"] = len(text.split())
        data = json.dumps(message).encode()
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.send_header("content-length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def _stream(self, model: str, text: str) -> None:
        self.send_response(200)
        self.send_header("content-type", "text/event-stream")
        self.send_header("transfer-encoding", "chunked")
        self.end_headers()
        for event in _events(model, text):
            frame = f"event: {event['type']}\ndata: {json.dumps(event)}\n\n".encode()
            self.wfile.write(b"%x\r\n%s\r\n" % (len(frame), frame))
            self.wfile.flush()
            if event["type"] == "content_block_delta":
                time.sleep(1 / WORDS_PER_SECOND)
        self.wfile.write(b"0\r\n\r\n")

    def log_message(self, format: str, *args: object) -> None:
        pass


def _message(model: str) -> dict:
    return {
        "id": "msg_demo",
        "type": "message",
        "role": "assistant",
        "model": model,
        "content": [],
        "stop_reason": None,
        "stop_sequence": None,
        "usage": {"input_tokens": 12, "output_tokens": 1},
    }


def _events(model: str, text: str) -> Iterator[dict]:
    yield {"type": "message_start", "message": _message(model)}
    block = {"type": "text", "text": ""}
    yield {"type": "content_block_start", "index": 0, "content_block": block}
    pieces = text.split(" ")
    for i, piece in enumerate(pieces):
        delta = {"type": "text_delta", "text": piece if i == 0 else f" {piece}"}
        yield {"type": "content_block_delta", "index": 0, "delta": delta}
    yield {"type": "content_block_stop", "index": 0}
    yield {
        "type": "message_delta",
        "delta": {"stop_reason": "end_turn", "stop_sequence": None},
        "usage": {"output_tokens": len(pieces)},
    }
    yield {"type": "message_stop"}


def start() -> tuple[str, type[Handler]]:
    """(base URL, the handler class that counts the calls)."""
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    return f"http://127.0.0.1:{server.server_address[1]}/v1", Handler
