"""Opens OpenTelemetry where it is wanted and installed; otel.py does the work."""

from __future__ import annotations

import logging
from typing import TYPE_CHECKING

from .stats import Stats

if TYPE_CHECKING:
    from .otel import Telemetry

logger = logging.getLogger("reflex")


def start(endpoint: str, stats: Stats) -> Telemetry | None:
    """Loading the SDK takes a while. None, with a word in the log, without the extra `otel`."""
    try:
        from .otel import Telemetry
    except ImportError as error:
        logger.warning("reflex: reflex_otel_endpoint needs the extra `otel`: %s", error)
        return None
    telemetry = Telemetry(endpoint, stats.at)
    stats.watch = telemetry.record
    return telemetry
