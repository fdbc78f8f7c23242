"""Errors that cross module borders.

ReflexError
├── ConfigError      a setting is wrong; stops the start
├── BadRequest       the client's body cannot be sent to this provider; carries an ApiError
├── UpstreamError    the provider, or the way to it, failed; carries an ApiError
└── BackendError     store, index or embedder broke; callers fail open
"""

from __future__ import annotations

from typing import Any

import orjson


class ApiError:
    """An error as OpenAI clients expect it (platform.openai.com/docs/guides/error-codes).

    `status` is the HTTP status the client sees; `retry_after` is in seconds.
    """

    __slots__ = ("code", "message", "param", "retry_after", "status", "type")

    def __init__(
        self,
        status: int,
        message: str,
        *,
        type: str | None = None,
        param: str | None = None,
        code: str | None = None,
        retry_after: float | None = None,
    ) -> None:
        self.status = status
        self.message = message
        self.type = type or type_for_status(status)
        self.param = param
        self.code = code
        self.retry_after = retry_after

    def to_dict(self) -> dict[str, Any]:
        """`{"error": {message, type, param, code}}`."""
        return {
            "error": {
                "message": self.message,
                "type": self.type,
                "param": self.param,
                "code": self.code,
            }
        }

    def to_json(self) -> bytes:
        return orjson.dumps(self.to_dict())

    def __repr__(self) -> str:
        return f"ApiError({self.status}, {self.message!r}, type={self.type!r}, code={self.code!r})"

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, ApiError):
            return NotImplemented
        return self.status == other.status and self.to_dict() == other.to_dict()

    def __hash__(self) -> int:
        return hash((self.status, self.message, self.type, self.param, self.code))


def type_for_status(status: int) -> str:
    """OpenAI's `error.type` for an HTTP status."""
    return {
        400: "invalid_request_error",
        401: "authentication_error",
        403: "permission_error",
        404: "not_found_error",
        409: "conflict_error",
        413: "invalid_request_error",
        422: "invalid_request_error",
        429: "rate_limit_error",
    }.get(status, "server_error" if status >= 500 else "invalid_request_error")


class ReflexError(Exception):
    """Base of all errors raised on purpose."""


class ConfigError(ReflexError):
    """A setting is wrong. The text names the option, its value and what is allowed."""


class BadRequest(ReflexError):
    """The client's request cannot be translated; `error` is what it is told."""

    def __init__(
        self, message: str, *, param: str | None = None, code: str | None = None, status: int = 400
    ) -> None:
        super().__init__(message)
        self.error = ApiError(status, message, param=param, code=code)


class UpstreamError(ReflexError):
    """The provider answered with an error or could not be reached."""

    def __init__(self, error: ApiError) -> None:
        super().__init__(error.message)
        self.error = error


class BackendError(ReflexError):
    """A store, index, embedder or verifier failed. The request goes on without it."""
