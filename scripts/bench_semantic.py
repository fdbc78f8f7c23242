"""What a semantic lookup costs, how much it finds, and what a million entries take.

python scripts/bench_semantic.py            everything, writes docs/bench_semantic.md
python scripts/bench_semantic.py --quick    up to 20,000 entries, prints only

The full run takes about 20 minutes on 2 cores and 12 GB of disk for a while.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import statistics
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

import bench_lib as lib
import bench_semantic_data as source
import bench_semantic_proxy as through_proxy

from reflex_core import codec_store
from reflex_core.backends.bit_index import BitIndex
from reflex_core.backends.onnx_embedder import OnnxEmbedder
from reflex_core.backends.onnx_files import bundled_model
from reflex_core.backends.sqlite import SqliteStore
from reflex_core.config import build
from reflex_core.ports import Entry, Index, Vectors
from reflex_core.semantic_indexer import Indexer
from reflex_core.semantic_search import Search
from reflex_core.semantic_types import Parts, Query, SemanticHit, Settings
from reflex_core.types import Choice, Completion
from reflex_core.verify import open_verifier

TENANT = b"t" * 16
NEAR = 0.85
"""Cosine above which a neighbour should be found."""
ASKED = 200
"""Queries compared with an exact search."""
CANDIDATES = Settings().candidates


def scope(number: int) -> bytes:
    return hashlib.blake2b(b"scope %d" % number, digest_size=32).digest()


def milliseconds(times: list[float]) -> str:
    p95 = statistics.quantiles(times, n=20)[18]
    return f"{statistics.median(times) * 1000:.2f} / {p95 * 1000:.2f}"


# ---------------------------------------------------------------------------- the index alone


class Graph:
    """usearch's HNSW, b1 / Hamming, 256 bits of the scope's hash appended: the other candidate."""

    def __init__(self, dim: int) -> None:
        from usearch.index import Index as Usearch

        self._index = Usearch(ndim=dim + 256, dtype="b1", metric="hamming", connectivity=16)

    def _codes(self, scopes: list[bytes], vectors: np.ndarray) -> np.ndarray:
        salts = np.frombuffer(b"".join(scopes), np.uint8).reshape(len(scopes), 32)
        return np.hstack([np.packbits(vectors > 0, axis=1), salts])

    def add(self, ids: range, scopes: list[bytes], vectors: np.ndarray) -> None:
        self._index.add(np.array(ids), self._codes(scopes, vectors), threads=0)

    def search(self, scope: bytes, vector: np.ndarray, k: int) -> list[int]:
        found = self._index.search(self._codes([scope], vector[None, :])[0], k, threads=1)
        return found.keys.tolist()

    def save(self, path: Path) -> None:
        self._index.save(str(path))

    def load(self, path: Path) -> None:
        self._index.load(str(path))

    def memory(self) -> int:
        return self._index.memory_usage


class Bits:
    """Ours, in the same clothes."""

    def __init__(self, dim: int) -> None:
        self._dim = dim
        self._path = Path(tempfile.mkdtemp()) / "index"
        self._index = BitIndex(dim, "bench", capacity=1 << 30, path=self._path)
        self.add = self._index.add

    def search(self, scope: bytes, vector: np.ndarray, k: int) -> list[int]:
        return [found.id for found in self._index.search(scope, vector, k)]

    def save(self, path: Path) -> None:
        self._index.save()
        self._path.replace(path)

    def load(self, path: Path) -> None:
        self._index = BitIndex(self._dim, "bench", capacity=1 << 30, path=path)

    def memory(self) -> int:
        return self._index.stats()["bytes"]


def index_row(
    name: str,
    make: Callable[[int], Bits | Graph],
    data: source.Data,
    cosines: np.ndarray,
    size: int,
    scopes: int,
) -> list[object]:
    dim = data.vectors.shape[1]
    names = [scope(n) for n in range(min(scopes, size))]
    started = time.perf_counter()
    index = make(dim)
    for at in range(0, size, 1000):
        rows = data.vectors[at : min(size, at + 1000)].astype(np.float32)
        mine = [names[i % len(names)] for i in range(at, at + len(rows))]
        index.add(range(at + 1, at + 1 + len(rows)), mine, rows)
    built = time.perf_counter() - started
    memory = index.memory() / size
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "index"
        saved, loaded = _timed(lambda: index.save(path)), _timed(lambda: make(dim).load(path))
        disk = path.stat().st_size / size
    times, found, wanted = [], 0, 0
    for n, vector in enumerate(data.asking_vectors[:ASKED]):
        mine = np.arange(n % len(names), size, len(names))
        started = time.perf_counter()
        got = index.search(names[n % len(names)], vector, CANDIDATES)
        times.append(time.perf_counter() - started)
        best = _exact(cosines[n], mine)
        found += len(best & set(got))
        wanted += len(best)
    recall = f"{found / wanted:.3f} of {wanted}" if wanted else "-"
    seconds = [f"{x:.2f}" for x in (built, saved, loaded)]
    label = f"{size:,}"
    return [
        name,
        label,
        f"{len(names):,}",
        recall,
        milliseconds(times),
        *seconds,
        f"{memory:.0f}",
        f"{disk:.0f}",
    ]


def _timed(action: Callable[[], object]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def exact_cosines(data: source.Data) -> np.ndarray:
    """(ASKED, n) float16."""
    asked = data.asking_vectors[:ASKED]
    out = np.empty((len(asked), len(data.vectors)), np.float16)
    for at in range(0, len(data.vectors), 20_000):
        out[:, at : at + 20_000] = asked @ data.vectors[at : at + 20_000].astype(np.float32).T
    return out


def _exact(cosines: np.ndarray, mine: np.ndarray) -> set[int]:
    """Ids of the ten nearest in scope, by cosine, as far as they are above NEAR."""
    own = cosines[mine]
    best = np.argpartition(-own, min(10, len(own) - 1))[:10]
    return {int(mine[i]) + 1 for i in best if own[i] > NEAR}


# ---------------------------------------------------------------------------- a whole lookup


@contextmanager
def filled(
    data: source.Data, size: int, scopes: int, embedder: OnnxEmbedder
) -> Iterator[tuple[SqliteStore, Path, list[int]]]:
    """A store with answers, vectors and token vectors, as the product would have filled it."""
    folder = Path(tempfile.mkdtemp())
    store = SqliteStore(folder, 1 << 44)
    text = "The answer, about as long as answers are. " * 20
    completion = codec_store.dump(
        Completion("id", 1, "m", (Choice(0, text, finish_reason="stop"),))
    )
    names = [scope(n) for n in range(min(scopes, size))]
    ids: list[int] = []
    for at in range(0, size, 1000):
        rows = range(at, min(size, at + 1000))
        entries = [
            Entry(
                key=i.to_bytes(32, "big"),
                tenant=TENANT,
                scope=names[i % len(names)],
                provider="openai",
                model="m",
                created=1e6,
                expires=None,
                completion=completion,
                question=data.texts[data.sentence[i]],
            )
            for i in rows
        ]
        new = store.put(entries)
        store.put_vectors(
            [
                Vectors(
                    id,
                    b"",
                    embedder.identity,
                    data.vectors[i].tobytes(),
                    data.tokens[data.sentence[i]],
                )
                for id, i in zip(new, rows, strict=True)
            ]
        )
        ids += new
    try:
        yield store, folder, ids
    finally:
        store.close()
        shutil.rmtree(folder)


def lookups(
    data: source.Data, size: int, scopes: int, embedder: OnnxEmbedder
) -> tuple[list[object], list[object]]:
    """(times by stage, restart): what a request that asks something new pays."""
    with filled(data, size, scopes, embedder) as (store, folder, ids):
        index: Index = BitIndex(
            embedder.dim, embedder.identity, path=folder / "index", capacity=size
        )
        names = [scope(n) for n in range(min(scopes, size))]
        caught_up = _timed(lambda: _fill(index, store, embedder, ids))
        index.save()
        ready = _restart(store, embedder, folder / "index")
        verifier = open_verifier(build({}), embedder)
        search = Search(store, Parts(embedder, index, verifier), Settings())
        stages: dict[str, list[float]] = {}
        hits = 0
        for n, text in enumerate(data.asking):
            started = time.perf_counter()
            (made,) = embedder.embed([text])
            embedded = time.perf_counter() - started
            query = Query(names[n % len(names)], TENANT, text, 1e6)
            found = search.find(query, made)
            total = time.perf_counter() - started
            hits += isinstance(found, SemanticHit)
            for name, value in {"embed": embedded, **found.trace.seconds, "all": total}.items():
                stages.setdefault(name, []).append(value)
        disk = sum(file.stat().st_size for file in folder.iterdir()) / size
    label = [f"{size:,}", f"{len(names):,}"]
    times = [
        *label,
        *[milliseconds(stages[n]) for n in ("embed", "search", "rescore", "verify", "all")],
    ]
    return [*times, f"{hits / len(data.asking):.0%}"], [
        *label,
        f"{ready:.2f}",
        f"{caught_up:.1f}",
        f"{disk:.0f}",
    ]


def _restart(store: SqliteStore, embedder: OnnxEmbedder, path: Path) -> float:
    """Seconds to load the file and compare it with the store, until searches are answered."""
    started = time.perf_counter()
    index = BitIndex(embedder.dim, embedder.identity, path=path)
    indexer = Indexer(store, Parts(embedder, index, None), Settings(), embedder.embed)
    indexer.start()
    indexer.ready.wait()
    took = time.perf_counter() - started
    indexer.close(600.0)
    return took


def _fill(index: Index, store: SqliteStore, embedder: OnnxEmbedder, ids: list[int]) -> None:
    """As the indexer does when the index file is lost."""
    for at in range(0, len(ids), 500):
        rows = list(store.get_vectors(ids[at : at + 500], tokens=False).values())
        vectors = np.frombuffer(b"".join(row.embedding for row in rows), "<f2").astype(np.float32)
        index.add(
            [row.id for row in rows], [row.scope for row in rows], vectors.reshape(len(rows), -1)
        )


# ---------------------------------------------------------------------------- all


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="up to 20,000 entries, prints only")
    parser.add_argument(
        "--no-proxy", action="store_true", help="leave out the load through the proxy"
    )
    arguments = parser.parse_args()
    sizes = (1000, 20_000) if arguments.quick else (1000, 100_000, 1_000_000)
    embedder = OnnxEmbedder(bundled_model(), max_tokens=128)
    data = source.make(embedder, sizes[-1])
    print(f"{len(data.texts)} real sentences, {sizes[-1]} vectors", flush=True)
    cosines = exact_cosines(data)
    index = [
        index_row("sorted by scope, exact", Bits, data, cosines, size, scopes)
        for size in sizes
        for scopes in dict.fromkeys((1, 10, 1000, size))
    ]
    graph = [
        index_row("usearch HNSW, scope in the metric", Graph, data, cosines, size, scopes)
        for size in sizes[1:]
        for scopes in (1, 1000)
    ]
    stages, restarts = zip(*[lookups(data, size, 10, embedder) for size in sizes], strict=True)
    load = [] if arguments.no_proxy else through_proxy.rows(200 if arguments.quick else 2000)
    text = page(index + graph, list(stages), list(restarts), load, len(data.texts))
    print(text) if arguments.quick else lib.write_page("bench_semantic.md", text)


def page(
    index: list[list[object]],
    stages: list[list[object]],
    restarts: list[list[object]],
    load: list[list[object]],
    real: int,
) -> str:
    times = "Times are p50 / p95 in milliseconds."
    return (
        "# Benchmark: the semantic tier\n\n"
        f"Made by `python scripts/bench_semantic.py` on {lib.environment()}. {real:,} real sentences"
        " (ours, and the public sets where they are), embedded with the bundled model, and variations"
        " of them up to a million: `scripts/bench_semantic_data.py` says how. 2,000 other real"
        f" sentences ask. {times}\n\n"
        "## The index\n\n"
        f"Recall: of the ten nearest entries of the scope with a cosine over {NEAR}, by exact search,"
        f" the share among the {CANDIDATES} candidates that are rescored. Entries are dealt to the"
        " scopes in turn. Bytes are for an entry.\n\n"
        + lib.table(
            [
                "index",
                "entries",
                "scopes",
                "recall",
                "search",
                "build s",
                "save s",
                "load s",
                "RAM bytes",
                "disk bytes",
            ],
            index,
        )
        + "\n## A lookup\n\n"
        "In a store on disk with 10 scopes; every question is new, so all of it is paid. `rescore`"
        " reads the candidates' vectors, `verify` their entries and token vectors.\n\n"
        + lib.table(
            ["entries", "scopes", "embed", "search", "rescore", "verify", "all", "served"], stages
        )
        + "\n## A restart\n\n"
        "Usable: the saved index is read and compared with the store. Rebuilt: the file is lost and all vectors come from the"
        " store. Disk: the store's bytes for an entry, with vectors, token vectors and an answer of"
        " 840 characters.\n\n"
        + lib.table(["entries", "scopes", "usable s", "rebuilt s", "disk bytes"], restarts)
        + (through_proxy.section(load) if load else "")
    )


if __name__ == "__main__":
    main()
