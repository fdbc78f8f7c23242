"""Where the one line a request goes: to mitmproxy's log, past its most expensive reader.

mitmproxy turns every log record into a deprecated `add_log` hook that walks all addons, which costs more
than a whole exact hit. Request lines reach all other handlers (terminal, event log) as usual.
"""

from __future__ import annotations

import logging
import sys

from mitmproxy.log import LegacyLogEvents


class RequestLogHandler(logging.Handler):
    """Hands records to the root logger's handlers, except to the one that makes hooks of them."""

    def emit(self, record: logging.LogRecord) -> None:
        for handler in logging.getLogger().handlers:
            if record.levelno >= handler.level and not isinstance(handler, LegacyLogEvents):
                handler.handle(record)


def to_stdout(name: str) -> None:
    """Nothing but the messages, one a line, whatever mitmproxy logs and where."""
    logger = logging.getLogger(name)
    handler = logging.StreamHandler(sys.stdout)
    handler.setFormatter(logging.Formatter("%(message)s"))
    logger.handlers = [handler]
    logger.propagate = False
    logger.setLevel(logging.INFO)


def install(name: str) -> None:
    """For the logger called `name`. Call it again when mitmproxy's log level has changed."""
    logger = logging.getLogger(name)
    logger.propagate = False
    readers = [h for h in logging.getLogger().handlers if not isinstance(h, LegacyLogEvents)]
    # A record that nobody reads is not even made. Level 0 would mean the root logger's.
    lowest = min((handler.level for handler in readers), default=logging.WARNING)
    logger.setLevel(max(1, lowest))
    if not any(isinstance(handler, RequestLogHandler) for handler in logger.handlers):
        logger.addHandler(RequestLogHandler())
