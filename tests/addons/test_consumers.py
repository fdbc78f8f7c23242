"""Who else looks at flows."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from mitmproxy.addons import anticache, proxyserver, save, script, view
from mitmproxy.test import taddons

from addons import consumers


def found(*addons: Any, **options: Any) -> tuple[list[str], bool]:
    async def main() -> tuple[list[str], bool]:
        builtin = [script.ScriptLoader(), anticache.AntiCache(), proxyserver.Proxyserver()]
        with taddons.context(*builtin, *addons) as context:
            context.options.update_known(**options)
            of_flows = consumers.of_flows(context.master, context.options)
            for addon in addons:
                if isinstance(addon, save.Save):
                    addon.done()
            return of_flows, consumers.print_bodies(context.options)

    return asyncio.run(main())


def test_nobody() -> None:
    assert found() == ([], False)


@pytest.mark.parametrize("option", ["anticache"])
def test_options_of_other_addons(option: str) -> None:
    assert found(**{option: True})[0] == [option]


def test_a_list_of_flows_and_a_file(tmp_path: Any) -> None:
    assert found(view.View())[0] == ["view"]
    path = str(tmp_path / "flows")
    assert found(save.Save(), save_stream_file=path)[0] == ["save_stream_file"]
