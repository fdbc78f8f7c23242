"""Writes docs/options.md from reflex_core.options. Run after changing an option; a test compares."""

from __future__ import annotations

from pathlib import Path

from reflex_core.options import OPTIONS, Option

PAGE = Path(__file__).resolve().parents[1] / "docs" / "options.md"

HEAD = """# Options

Every setting is a mitmproxy option (`--set NAME=VALUE`, or a line in mitmproxy's `config.yaml`), an
environment variable, and a key of the TOML file that `reflex_config` names. The first of these that
is set wins (between the first two, mitmproxy lets `config.yaml` win over `--set`). A wrong value stops the start with one line that says what is allowed.

| option | environment | default | allowed | what it does |
| --- | --- | --- | --- | --- |
"""

TAIL = """
## The TOML file

The same names without `reflex_`, the model map as a table, and rows for providers of your own:

```toml
provider = "anthropic"
ttl = "7d"

[models]
"gpt-4o" = "anthropic::claude-sonnet-4-5"
"gpt-4o-mini" = "house::qwen3-32b"

[providers.house]
codec = "openai-chat"
base_url = "https://llm.example.com/v1"
key_env = ["HOUSE_API_KEY"]

[prices] # US dollars for a million tokens, where the built-in table knows none or another
"house::qwen3-32b" = { input = 0.4, output = 1.2, cached = 0.1 }
```
"""


def row(option: Option) -> str:
    default = ", ".join(option.default) if option.kind == "list" else str(option.default)
    default = f"`{default}`" if default else "empty"
    cells = [f"`{option.option}`", f"`{option.env}`", default, option.allowed(), option.help]
    return "| " + " | ".join(cell.replace("|", "\\|") for cell in cells) + " |\n"


def page() -> str:
    return HEAD + "".join(map(row, OPTIONS)) + TAIL


if __name__ == "__main__":
    PAGE.parent.mkdir(exist_ok=True)
    PAGE.write_text(page(), encoding="utf-8")
