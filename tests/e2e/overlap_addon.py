"""The addon with an embedder of words and a verifier of overlaps: a script for mitmdump."""

from __future__ import annotations

from addons.reflex import Reflex
from tests.second_looks import parts

addons = [Reflex(parts)]
