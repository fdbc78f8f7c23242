"""The sans-io core of Reflex. It knows nothing of mitmproxy."""

__version__ = "0.1.0"
