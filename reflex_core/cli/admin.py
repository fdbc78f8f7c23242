"""`reflex-proxy stats` and `purge`: what a running proxy counts and keeps."""

from __future__ import annotations

import time
from argparse import Namespace
from collections.abc import Iterator
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, cast

import orjson

from ..backends import sqlite_inspect
from ..backends.sqlite import FILE_NAME
from ..errors import BackendError
from ..types import Json
from . import connect, instances, savings, settings
from .errors import CliError
from .local_http import Endpoint, Refused
from .settings import Settings

_PURGE = "/reflex/purge"


def stats(args: Namespace) -> int:
    loaded = settings.load(args)
    endpoint = _endpoint(args, loaded)
    if endpoint is None:
        found = _of_store(loaded.config.storage_path / FILE_NAME)
    else:
        try:
            found = {"proxy": endpoint.url, **savings.look(endpoint)}
        except Refused as error:
            raise CliError(f"{error}.") from None
    if args.json:
        print(orjson.dumps(found, option=orjson.OPT_INDENT_2, default=str).decode())
    else:
        _print(found)
    return 0


def _endpoint(args: Namespace, loaded: Settings) -> Endpoint | None:
    if args.proxy:
        return connect.named(args, loaded).endpoint
    instance = connect.running(loaded)
    return None if instance is None else connect.of_instance(instance, loaded).endpoint


def _of_store(path: Path) -> Json:
    if not path.exists():
        raise CliError(f"No proxy is running, and there is no store yet ({path}).")
    try:
        found = asdict(sqlite_inspect.summary(path, time.time()))
    except BackendError as error:
        raise CliError(f"{error}.") from None
    if found["oldest"] is not None:
        found["oldest"] = datetime.fromtimestamp(found["oldest"], UTC).isoformat(timespec="seconds")
    found["models"] = {
        f"{row['provider']}::{row['model']}": {"entries": row["entries"], "hits": row["hits"]}
        for row in found["models"]
    }
    return {"proxy": None, "store": found}


def purge(args: Namespace) -> int:
    if (args.what == "all") != (args.value is None):
        raise CliError("Say `all`, or `key HEX`, `model NAME`, `tenant HEX`, `namespace NAME`.", 2)
    loaded = settings.load(args)
    if args.proxy:
        endpoints = [connect.named(args, loaded).endpoint]
    else:
        # Each has answers in its own memory.
        running = instances.living(loaded.config.storage_path)
        endpoints = [connect.of_instance(i, loaded).endpoint for i in running]
    if not endpoints:
        raise CliError(
            "No proxy is running: start one with `reflex-proxy serve`, or delete the store"
            f" ({loaded.config.storage_path / FILE_NAME})."
        )
    body = {"what": args.what, "value": args.value or ""}
    try:
        deleted = max(int(endpoint.post(_PURGE, body)["deleted"]) for endpoint in endpoints)
    except Refused as error:
        raise CliError(f"{error}.") from None
    if args.json:
        print(orjson.dumps({"deleted": deleted}).decode())
    else:
        print(f"{deleted} stored {'answer' if deleted == 1 else 'answers'} deleted")
    return 0


def _print(found: Json) -> None:
    rows = list(_flat(found, ""))
    width = max((len(name) for name, _ in rows), default=0)
    for name, value in rows:
        print(f"{name:{width}}  {value}")


def _flat(value: Json, prefix: str) -> Iterator[tuple[str, str]]:
    for name, item in value.items():
        path = f"{prefix} {name.replace('_', ' ')}".strip()
        if isinstance(item, dict):
            yield from _flat(cast(Json, item), path)
        elif item is not None:
            yield path, _shown(item)


def _shown(item: Any) -> str:
    if isinstance(item, bool):
        return str(item).lower()
    if isinstance(item, int):
        return f"{item:,}"
    return f"{item:.4g}" if isinstance(item, float) else str(item)
