"""Two places where mitmproxy spends time on every message, made quicker with the same outcome.

Both are told by the profile of an exact hit that is answered before the hooks (scripts/bench_proxy.py).
Tied to mitmproxy's private API, as live.py is.
"""

from __future__ import annotations

import types
import typing
from collections.abc import Callable
from dataclasses import fields
from functools import cache
from typing import Any

from mitmproxy import http
from mitmproxy.proxy import commands, layer


def quick_check(check: Callable[[Any], None]) -> Callable[[Any], None]:
    """`check` is MessageData.__post_init__, which looks at every field's type with `typing`. What
    `isinstance` finds right is right; all else is left to `check` and its error."""

    def post_init(self: http.MessageData) -> None:
        values = vars(self)
        for name, accepted in _accepted(type(self)):
            if not isinstance(values[name], accepted):
                check(self)
                return

    return post_init


@cache
def _accepted(data: type[http.MessageData]) -> list[tuple[str, tuple[type, ...]]]:
    return [(field.name, _classes(field.type)) for field in fields(data)]


def _classes(hint: Any) -> tuple[type, ...]:
    """What surely is of the type; empty where `isinstance` cannot tell."""
    if isinstance(hint, types.UnionType):
        return tuple(c for one in typing.get_args(hint) for c in _classes(one))
    if hint is float:
        return (float, int)
    return (hint,) if isinstance(hint, type) and typing.get_origin(hint) is None else ()


def joined(steps: layer.CommandGenerator[None]) -> layer.CommandGenerator[None]:
    """Bytes that would be written to one connection one after the other, in one piece."""
    held: commands.SendData | None = None
    reply: Any = None
    while True:
        try:
            command = steps.send(reply)
        except BaseException as ended:
            if held is not None:
                yield held
            if isinstance(ended, StopIteration):
                return
            raise
        reply = None
        if type(command) is commands.SendData:
            if held is not None and held.connection is command.connection:
                command = commands.SendData(command.connection, held.data + command.data)
            elif held is not None:
                yield held
            held = command
            continue
        if held is not None:
            yield held
            held = None
        reply = yield command
