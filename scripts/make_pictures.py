"""Makes the README's pictures: a real proxy, made-up traffic, a headless Chromium.

python scripts/make_pictures.py [NAME ...]     all of them, or those named; into docs/pictures
"""

from __future__ import annotations

import argparse
import random
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import plan_picture  # noqa: E402

from tests.e2e.asking import client  # noqa: E402
from tests.e2e.browser import MISSING, Browser, program  # noqa: E402
from tests.e2e.provider import Answer, Provider, Received, sse  # noqa: E402
from tests.e2e.proxy import Proxy  # noqa: E402
from tests.e2e.speech import chunk  # noqa: E402

FOLDER = ROOT / "docs" / "pictures"
SECONDS = 90
"""Length of the traffic behind the dashboard."""

QUESTIONS = [
    (
        "How do I get a refund for a broken item?",
        "How do I get a refund for a broken item?",
        "How can I get a refund for a broken item?",
    ),
    ("What is the difference between a list and a tuple in Python?",),
    (
        "How long does standard delivery to Norway take?",
        "how long does standard delivery to norway take",
    ),
    ("Summarise our parental leave policy in two sentences.",),
    ("Can I change the delivery address after I have ordered?",),
    ("Write a regular expression that matches an ISO 8601 date.",),
    ("Which plan do I need for single sign-on?", "What plan do I need for single sign-on?"),
    ("Translate 'the invoice is overdue' into German.",),
    ("How do I cancel my subscription?", "How can I cancel my subscription?"),
    ("Explain what a foreign key is to a beginner.",),
    ("Is the API rate limit counted per key or per account?",),
    ("Draft a polite reminder for an unpaid invoice.",),
]
MODELS = ["gpt-4o", "gpt-4o", "gpt-4o-mini", "deepseek::deepseek-chat"]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("names", nargs="*", metavar="NAME", choices=[[], *PICTURES])
    names = parser.parse_args().names or list(PICTURES)
    if program() is None:
        sys.exit(f"{MISSING}.")
    FOLDER.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        browser = Browser(Path(folder) / "profile")
        try:
            for name in names:
                PICTURES[name](browser, Path(folder))
                print(f"docs/pictures/{name}.png")
        finally:
            browser.close()


def dashboard(browser: Browser, folder: Path) -> None:
    """After a minute of questions, some of them repeated and some reworded."""
    provider = Provider()
    provider.reply = Answers().reply
    config = folder / "reflex.toml"
    config.write_text(f'[providers.deepseek]\nbase_url = "{provider.url}/v1"\n')
    proxy = Proxy(
        folder / "mitmproxy",
        folder / "store",
        environ={"DEEPSEEK_API_KEY": "made-up"},
        reflex_config=str(config),
        reflex_upstream=provider.url + "/v1",
        reflex_semantic="true",
        reflex_dashboard_prompts="true",
    )
    try:
        wait_until_ready(proxy)
        traffic(proxy)
        page = browser.page(proxy.root + "/reflex/", width=1200, height=1180)
        page.wait("document.body.dataset.ready === 'yes'")
        page.screenshot(FOLDER / "dashboard.png", whole=False)
        page.close()
    finally:
        proxy.stop()
        provider.close()


def wait_until_ready(proxy: Proxy) -> None:
    """Until similar questions are answered too, or for half a minute."""
    for _ in range(150):
        try:
            urllib.request.urlopen(proxy.root + "/ready", timeout=5).close()
            return
        except OSError:
            time.sleep(0.2)


def traffic(proxy: Proxy) -> None:
    chance = random.Random(7)
    weights = [1 / (rank + 1) for rank in range(len(QUESTIONS))]
    until = time.monotonic() + SECONDS
    with client(proxy.base_url) as sdk:
        while time.monotonic() < until:
            question = chance.choice(chance.choices(QUESTIONS, weights)[0])
            if chance.random() < 0.3:
                question = f"Where is my order {chance.randint(10_000, 99_999)}?"
            with sdk.chat.completions.create(
                model=chance.choice(MODELS),
                messages=[
                    {"role": "system", "content": "You are the assistant of a web shop."},
                    {"role": "user", "content": question},
                ],
                stream=True,
            ) as stream:
                for _ in stream:
                    pass
            time.sleep(chance.uniform(0.0, 0.3))


class Answers:
    """A provider that takes its time; the same from run to run."""

    def __init__(self) -> None:
        self._chance = random.Random(3)

    def reply(self, request: Received) -> Answer:
        words = self._chance.randint(40, 160)
        pause = self._chance.uniform(0.25, 0.9)
        usage = {"prompt_tokens": self._chance.randint(350, 1400), "completion_tokens": 2 * words}
        usage["total_tokens"] = sum(usage.values())
        frames = sse(
            chunk({"role": "assistant", "content": ""}),
            *[chunk({"content": "word " * 10}) for _ in range(words // 10)],
            chunk({}, "stop"),
            {**chunk({}), "choices": [], "usage": usage},
        )

        begun = time.monotonic()

        def gate(piece: int) -> bool:
            return time.monotonic() >= begun + pause + 0.03 * (piece + 1)

        return Answer(frames, headers={"content-type": "text/event-stream"}, gate=gate)


PICTURES: dict[str, Callable[[Browser, Path], None]] = {
    "dashboard": dashboard,
    "plan": plan_picture.plan,
}

if __name__ == "__main__":
    main()
