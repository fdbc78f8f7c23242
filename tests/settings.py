"""Configs for tests, as a user would set them."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from reflex_core import config


def settings(folder: Path | None = None, **values: Any) -> config.Config:
    """Options by name, without `reflex_`; no environment, and no semantic tier unless asked for."""
    return config.build(
        {"semantic": False, "storage_path": str(folder or "/nowhere"), **values}, environ={}
    )
