"""Who else looks at flows: with one of these, hits must go through the hooks."""

from __future__ import annotations

from mitmproxy.master import Master
from mitmproxy.options import Options

_OPTIONS = (
    "anticache",
    "anticomp",
    "block_list",
    "client_replay",
    "hardump",
    "intercept",
    "map_local",
    "map_remote",
    "modify_body",
    "modify_headers",
    "proxyauth",
    "save_stream_file",
    "server_replay",
    "stickyauth",
    "stickycookie",
)
"""Options of mitmproxy's own addons that read or change flows; unset they are false or empty."""

_VIEWS = ("view", "webaddon")
"""The console's and mitmweb's list of flows."""


def of_flows(master: Master, options: Options) -> list[str]:
    """What consumes flows beside us, by name. mitmdump's own print-out does not count."""
    # An empty view is false.
    found = [name for name in _VIEWS if master.addons.get(name) is not None]
    found += [name for name in _OPTIONS if name in options and getattr(options, name)]
    if len(options.scripts) > 1:
        found.append("scripts")
    return found


def print_bodies(options: Options) -> bool:
    """mitmdump's print-out shows whole answers."""
    return "flow_detail" in options and options.flow_detail > 2
