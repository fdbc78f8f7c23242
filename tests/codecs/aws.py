"""AWS, as the tests of the Bedrock codec need it: event-stream frames, and botocore as an oracle."""

from __future__ import annotations

import base64
import json
import struct
import zlib
from collections.abc import Iterator
from functools import cache
from typing import Any

from botocore.awsrequest import AWSRequest, AWSResponse
from botocore.config import Config
from botocore.model import OperationModel, StructureShape
from botocore.session import Session


def frame(payload: bytes, **headers: str) -> bytes:
    """One message of application/vnd.amazon.eventstream; `message_type` is `:message-type`."""
    head = b""
    for name, value in headers.items():
        key, text = f":{name.replace('_', '-')}".encode(), value.encode()
        head += bytes([len(key)]) + key + b"\x07" + struct.pack(">H", len(text)) + text
    prelude = struct.pack(">II", 16 + len(head) + len(payload), len(head))
    body = prelude + struct.pack(">I", zlib.crc32(prelude)) + head + payload
    return body + struct.pack(">I", zlib.crc32(body))


def event(kind: str, fields: Any) -> bytes:
    """A frame of one Converse event."""
    return frame(
        json.dumps(fields).encode(),
        event_type=kind,
        content_type="application/json",
        message_type="event",
    )


def exception(kind: str, message: str) -> bytes:
    """A frame that ends a stream with an exception."""
    return frame(
        json.dumps({"message": message}).encode(),
        exception_type=kind,
        content_type="application/json",
        message_type="exception",
    )


def frames(lines: bytes) -> bytes:
    """Frames of a sample: one `{"eventName": {...}}` a line."""
    return b"".join(
        event(kind, fields)
        for line in lines.splitlines()
        for kind, fields in json.loads(line).items()
    )


class _Body:
    def __init__(self, body: bytes) -> None:
        self._body = body

    def stream(self, *_: Any, **__: Any) -> Iterator[bytes]:
        yield self._body

    def read(self, *_: Any) -> bytes:
        body, self._body = self._body, b""
        return body

    def close(self) -> None:
        pass


class _Service:
    """The far end: answers every request with what was set last."""

    def __init__(self) -> None:
        self.body = b""
        self.status = 200
        self.headers: dict[str, str] = {}

    def __call__(self, request: AWSRequest, **_: Any) -> AWSResponse:
        return AWSResponse(request.url, self.status, self.headers, _Body(self.body))


@cache
def _bedrock() -> tuple[Any, _Service]:
    session, service = Session(), _Service()
    session.set_credentials("AKIDEXAMPLE", "secret")
    config = Config(retries={"max_attempts": 0})
    bedrock = session.create_client("bedrock-runtime", region_name="us-east-1", config=config)
    bedrock.meta.events.register("before-send.bedrock-runtime.*", service)
    return bedrock, service


def client(body: bytes, status: int = 200, headers: dict[str, str] | None = None) -> Any:
    """botocore's Bedrock client with a service that answers `body` to everything."""
    bedrock, service = _bedrock()
    service.body, service.status, service.headers = body, status, headers or {}
    return bedrock


def operation(name: str) -> OperationModel:
    return _bedrock()[0].meta.service_model.operation_model(name)


def with_blobs(value: Any, shape: Any) -> Any:
    """JSON of a request as the SDK's user would give it: base64 strings are bytes."""
    if shape.type_name == "blob":
        return base64.b64decode(value, validate=True)
    if isinstance(shape, StructureShape) and not getattr(shape, "is_document_type", False):
        return {k: with_blobs(v, shape.members[k]) for k, v in value.items()}
    if shape.type_name == "list":
        return [with_blobs(item, shape.member) for item in value]
    return value
