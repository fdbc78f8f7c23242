"""The page of features by provider says what the codecs do."""

from __future__ import annotations

import runpy
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def test_page_is_current() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "make_provider_table.py"))
    written = (ROOT / "docs" / "provider_features.md").read_text(encoding="utf-8")
    assert written == made["page"](), "run: python scripts/make_provider_table.py"


def test_core_features_are_never_lost() -> None:
    made = runpy.run_path(str(ROOT / "scripts" / "make_provider_table.py"))
    for provider, model in made["SUBJECTS"].items():
        for name in (
            "system and developer messages",
            "tools",
            "tool results",
            "max_tokens",
            "streaming",
        ):
            assert made["verdict"](provider, model, made["FEATURES"][name]) == "yes", (
                provider,
                name,
            )
