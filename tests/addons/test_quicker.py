"""What is quicker does the same."""

from __future__ import annotations

from collections.abc import Generator
from dataclasses import fields
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from mitmproxy import connection, http
from mitmproxy.proxy import commands

from addons import quicker

checked = http.MessageData.__post_init__  # as mitmproxy has it: nothing was installed here
RIGHT = {
    "http_version": b"HTTP/1.1", "headers": http.Headers(), "content": b"x", "trailers": None,
    "timestamp_start": 1.0, "timestamp_end": None, "status_code": 200, "reason": b"OK",
    "host": "h", "port": 1, "method": b"GET", "scheme": b"http", "authority": b"", "path": b"/",
}  # fmt: skip
VALUES = st.sampled_from([None, b"x", "x", 1, 1.5, True, http.Headers(), (), [b"x"]])
KINDS = st.sampled_from([http.RequestData, http.ResponseData])


def refusal(check: Any, data: http.MessageData) -> str | None:
    try:
        check(data)
    except TypeError as error:
        return str(error)
    return None


@given(KINDS, st.data())
def test_the_same_is_refused(kind: type[http.MessageData], draw: st.DataObject) -> None:
    data = kind.__new__(kind)
    for field in fields(kind):
        value = draw.draw(VALUES) if draw.draw(st.integers(0, 5)) == 0 else RIGHT[field.name]
        setattr(data, field.name, value)
    seen = refusal(original(), data)
    assert refusal(quicker.quick_check(original()), data) == seen


def original() -> Any:
    """mitmproxy's own check, even when another test has installed ours."""
    closure = checked.__closure__
    return closure[0].cell_contents if closure else checked


def test_what_isinstance_cannot_tell_is_left_to_mitmproxy() -> None:
    assert quicker._classes(list[int]) == ()
    assert quicker._classes(int | None) == (int, type(None))


def server(number: int) -> connection.Server:
    return connection.Server(address=("h", number))


ONE, OTHER = server(1), server(2)
COMMANDS = st.lists(
    st.one_of(
        st.builds(commands.SendData, st.sampled_from([ONE, OTHER]), st.binary(max_size=4)),
        st.builds(commands.Log, st.text(max_size=3)),
        st.builds(commands.CloseConnection, st.sampled_from([ONE, OTHER])),
    )
)


def told(wanted: list[commands.Command]) -> list[Any]:
    """What happens, with writes that touch made one."""
    out: list[Any] = []
    for command in wanted:
        if isinstance(command, commands.SendData):
            if out and isinstance(out[-1], list) and out[-1][0] is command.connection:
                out[-1][1] += command.data
            else:
                out.append([command.connection, command.data])
        else:
            out.append(command)
    return out


@given(COMMANDS)
def test_joined_is_the_same_in_fewer_writes(wanted: list[commands.Command]) -> None:
    def steps() -> Generator[commands.Command, Any, None]:
        yield from wanted

    got = list(quicker.joined(steps()))
    assert told(got) == told(wanted)
    assert len(got) == len(told(wanted))


def test_joined_passes_replies_on_and_loses_nothing_to_an_error() -> None:
    seen: list[Any] = []

    def steps() -> Generator[commands.Command, Any, None]:
        seen.append((yield commands.Log("asked")))
        yield commands.SendData(ONE, b"a")
        yield commands.SendData(ONE, b"b")
        raise RuntimeError("broken")

    running = quicker.joined(steps())
    assert isinstance(next(running), commands.Log)
    sent = running.send("answer")
    assert isinstance(sent, commands.SendData)
    assert sent.data == b"ab"
    with pytest.raises(RuntimeError):
        next(running)
    assert seen == ["answer"]
