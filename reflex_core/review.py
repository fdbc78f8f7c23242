"""Second looks at what the semantic tier decided, in the background: no client waits for them.

missed   the verifier was nearly sure: a judge is asked, and its word counts the next time
served   a sampled share of hits is also asked upstream; what was served is compared with the answer

Whatever goes wrong here is counted, and changes nothing for any request.
"""

from __future__ import annotations

import asyncio
import logging
import random
from collections import Counter
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import replace
from typing import Any

import orjson

from . import policy, route
from .agreement import Agreement
from .attempt import Call
from .config import Config
from .controls import Controls
from .errands import Errands
from .errors import BackendError, UpstreamError
from .judge import Judge
from .lookup import Hit, Miss
from .semantic_types import Candidate, Trace
from .storage import Storage
from .types import ChatRequest, Completion, Json, Target
from .wrong import report
from .wrong_rate import Outcome

logger = logging.getLogger("reflex")

_TASKS = 32
"""Second looks at the same time; the next ones are left out."""
_RECHECKS = 2
"""Hits that are asked upstream at the same time."""
_OWN_CALL = frozenset(["idempotency-key", "x-client-request-id"])
"""Headers that belong to the client's request and to no other."""


class Review:
    """Lives on the event loop. `chance` gives numbers from 0 to 1."""

    def __init__(
        self,
        config: Config,
        storage: Storage,
        errands: Errands,
        clock: Callable[[], float],
        chance: Callable[[], float] = random.random,
    ) -> None:
        self._config = config
        self._storage = storage
        self._errands = errands
        self._clock = clock
        self._chance = chance
        self._on = config.cache and not config.offline and config.replay == "off"
        self.judge = self._make_judge()
        self._agreement = Agreement(lambda: storage.semantic, self.judge)
        self._tasks: set[asyncio.Task[None]] = set()
        self._judging: set[tuple[bytes, bytes]] = set()
        self._rechecks = 0
        self.unmeasured: Counter[str] = Counter()
        """Chosen hits that led to no comparison: failed (no answer), limited (too many at once)."""

    def _make_judge(self) -> Judge | None:
        if not (self._on and self._config.judge):
            return None

        async def ask(request: ChatRequest) -> Completion:
            return await self._errands.ask(request, route.target(request.model, self._config, {}))

        return Judge(self._config.judge, ask, self._config.judge_per_minute, self._clock)

    async def stop(self) -> None:
        """End what is under way."""
        self._on = False
        for task in list(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    def stats(self) -> Json:
        """judge and recheck: see `Judge.stats` and `WrongRate.stats`. `known`: pairs with a verdict."""
        judge = self.judge.stats() if self.judge else {}
        unmeasured = {name: self.unmeasured[name] for name in ("failed", "limited")}
        return {
            "judge": {**judge, "known": len(self._storage.judged)},
            "recheck": {**self._storage.wrong_rate.stats(), **unmeasured},
        }

    def look(
        self,
        found: Hit | Miss,
        tenant: bytes,
        text: str,
        wishes: Controls,
        call: Callable[[], Call],
    ) -> None:
        """What the tiers found for a question. `call` makes what a miss asks the provider for."""
        if not self._on or not wishes.may_store or wishes.only_if_cached:
            return
        if isinstance(found, Miss):
            self._missed(tenant, text, found.trace)
        elif found.status != "hit-l1-exact":
            self._served(found, text, call)

    # ------------------------------------------------------------------ a judge for what was near

    def _missed(self, tenant: bytes, text: str, trace: Trace | None) -> None:
        if self.judge is None or trace is None:
            return
        doubtful = [candidate for candidate in trace.candidates if self._is_doubtful(candidate)]
        if doubtful:
            best = max(doubtful, key=lambda candidate: candidate.score or 0.0)
            self._begin(self._ask_judge(self.judge, tenant, text, best.id))

    def _is_doubtful(self, candidate: Candidate) -> bool:
        if candidate.reason != "below-threshold" or candidate.score is None:
            return False
        return candidate.score >= (candidate.threshold or 0.0) - self._config.judge_band

    async def _ask_judge(self, judge: Judge, tenant: bytes, text: str, id: int) -> None:
        entry = await asyncio.to_thread(self._storage.entry_by_id, id)
        if entry is None or entry.question is None or entry.tenant != tenant:
            return
        pair = self._pair(tenant, text, entry.question)
        if pair in self._judging or self._storage.judged.of(pair[0]).get(pair[1]) is not None:
            return
        self._judging.add(pair)
        try:
            verdict = await judge.same_question(text, entry.question)
            if verdict is not None:
                await asyncio.to_thread(self._remember, pair, verdict)
        finally:
            self._judging.discard(pair)

    def _pair(self, tenant: bytes, asked: str, stored: str) -> tuple[bytes, bytes]:
        bans = self._storage.bans
        return bans.asked(tenant, asked), bans.asked(tenant, stored)

    def _remember(self, pair: tuple[bytes, bytes], may: bool) -> None:
        try:
            self._storage.judged.put(*pair, may)
        except BackendError as error:
            logger.warning("reflex: a verdict is known for this run only: %s", error)

    # ------------------------------------------------------------------ rechecks of what was served

    def _served(self, hit: Hit, text: str, call: Callable[[], Call]) -> None:
        if not (self._config.recheck and self._chance() < self._config.recheck):
            return
        asked = call()
        if not _can_be_asked(asked.target):
            return
        if self._rechecks >= _RECHECKS:
            self.unmeasured["limited"] += 1
            return
        self._begin(self._recheck(hit, text, asked))

    async def _recheck(self, hit: Hit, text: str, call: Call) -> None:
        self._rechecks += 1
        try:
            outcome = await self._outcome(hit, text, call)
        except UpstreamError as error:
            logger.debug("reflex: a recheck had no answer (status %d)", error.error.status)
            self.unmeasured["failed"] += 1
            return
        finally:
            self._rechecks -= 1
        if outcome == "wrong":
            await asyncio.to_thread(self._found_wrong, hit, text, call)
        await asyncio.to_thread(self._count, outcome)

    async def _outcome(self, hit: Hit, text: str, call: Call) -> Outcome:
        """A difference is wrong only where the stored question, asked again, is still answered as
        before: answers also change by themselves."""
        served = self._text(hit.completion)
        stored = hit.entry.question
        fresh = self._text(await self._ask(call, call.request))
        if served is None or fresh is None:
            return "inconclusive"
        same = await self._agreement.same(text, served, fresh)
        if same:
            return "same"
        if same is None or stored is None or stored == text:
            return "inconclusive"
        again = self._text(await self._ask(call, _with_question(call.request, stored)))
        if again is None or not await self._agreement.same(stored, served, again):
            return "inconclusive"
        return "wrong"

    async def _ask(self, call: Call, request: ChatRequest) -> Completion:
        forward = [header for header in call.forward if header[0].lower() not in _OWN_CALL]
        return await self._errands.ask(request, call.target, forward)

    def _text(self, completion: Completion) -> str | None:
        """Of an answer that could be served for a similar question."""
        decision = policy.storable(completion, self._config.max_answer)
        if not decision.stored or decision.exact_only:
            return None
        return completion.choices[0].content

    def _found_wrong(self, hit: Hit, text: str, call: Call) -> None:
        """The pair is banned, both ways, and kept for the evaluation like one that a user marked."""
        entry = hit.entry
        logger.warning("reflex: a recheck found a wrong hit (key %s)", entry.key[:8].hex())
        assert entry.question is not None
        asked, stored = self._pair(entry.tenant, text, entry.question)
        self._remember((asked, stored), False)
        self._remember((stored, asked), False)
        more: Json = {
            "by": "recheck",
            "model": call.target.model,
            "tenant": entry.tenant.hex(),
            "at": self._clock(),
            **_numbers(hit),
        }
        try:
            report(self._config.storage_path, text, entry.question, more)
        except BackendError as error:
            logger.warning("reflex: a wrong hit was not kept for the evaluation: %s", error)

    def _count(self, outcome: Outcome) -> None:
        rate = self._storage.wrong_rate
        try:
            stricter = rate.add(outcome)
        except BackendError as error:
            logger.warning("reflex: the rate of wrong hits is known for this run only: %s", error)
            return
        if stricter:
            logger.warning(
                "reflex: more than reflex_max_wrong=%g of the semantic hits were wrong, so thresholds"
                " are tightened (step %d); purging all or another reflex_max_wrong undoes it",
                self._config.max_wrong,
                rate.steps,
            )

    # ------------------------------------------------------------------ tasks

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        if len(self._tasks) >= _TASKS:
            work.close()
            return
        task = asyncio.create_task(work, name="reflex review")
        self._tasks.add(task)
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            logger.error("reflex: a second look failed", exc_info=error)


def _can_be_asked(target: Target) -> bool:
    """The key is there, and it is a real provider."""
    try:
        route.require_key(target)
    except UpstreamError:
        return False
    return target.provider.name != "mock"


def _with_question(request: ChatRequest, question: str) -> ChatRequest:
    """The same request with another last message."""
    messages: Sequence[Json] = request.body["messages"]
    body = {**request.body, "messages": [*messages[:-1], {**messages[-1], "content": question}]}
    return replace(request, raw=orjson.dumps(body), body=body)


def _numbers(hit: Hit) -> Json:
    candidates = hit.trace.candidates if hit.trace else ()
    served = next((candidate for candidate in candidates if candidate.accepted), None)
    return {} if served is None else {"cosine": served.cosine, "score": served.score}
