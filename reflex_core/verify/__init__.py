"""May the answer to one question be served for another? Structural vetoes, then a learned score."""

from .chain import ChainVerifier
from .opening import open_verifier

__all__ = ["ChainVerifier", "open_verifier"]
