"""Request lines reach every reader but the one that makes hooks of them."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator

import pytest
from mitmproxy.log import LegacyLogEvents
from mitmproxy.test import taddons

from addons import request_log

NAME = "reflex.test-requests"


class Reader(logging.Handler):
    def __init__(self, level: int) -> None:
        super().__init__(level)
        self.lines: list[str] = []

    def emit(self, record: logging.LogRecord) -> None:
        self.lines.append(record.getMessage())


@pytest.fixture
def readers() -> Iterator[tuple[Reader, Reader]]:
    """At INFO and at WARNING."""
    root, made = logging.getLogger(), (Reader(logging.INFO), Reader(logging.WARNING))
    kept, root.handlers = root.handlers, [*made]
    yield made
    root.handlers = kept
    logger = logging.getLogger(NAME)
    logger.handlers, logger.propagate = [], True


def test_by_level(readers: tuple[Reader, Reader]) -> None:
    request_log.install(NAME)
    request_log.install(NAME)
    logging.getLogger(NAME).info("a line")
    logging.getLogger(NAME).debug("nobody reads this")
    logging.getLogger(NAME).warning("a warning")
    assert readers[0].lines == ["a line", "a warning"]
    assert readers[1].lines == ["a warning"]


def test_no_hook_is_made_of_it(readers: tuple[Reader, Reader]) -> None:
    async def main() -> None:
        with taddons.context() as context:
            legacy = LegacyLogEvents(context.master)
            seen: list[object] = []
            legacy.emit = seen.append  # type: ignore[method-assign]
            logging.getLogger().addHandler(legacy)
            request_log.install(NAME)
            logging.getLogger(NAME).info("a line")
            assert not seen

    asyncio.run(main())
    assert readers[0].lines == ["a line"]


def test_nobody_reads_nothing_is_made(readers: tuple[Reader, Reader]) -> None:
    logging.getLogger().handlers = [readers[1]]  # pytest's own would read it
    request_log.install(NAME)
    assert not logging.getLogger(NAME).isEnabledFor(logging.INFO)


def test_nothing_but_the_lines(
    readers: tuple[Reader, Reader], capsys: pytest.CaptureFixture[str]
) -> None:
    request_log.to_stdout(NAME)
    logging.getLogger(NAME).info('{"a": 1}')
    assert capsys.readouterr().out == '{"a": 1}\n'
    assert not readers[0].lines
