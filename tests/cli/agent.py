"""An agent as users write it: it knows nothing of Reflex. Asks twice, prints what it saw as JSON."""

from __future__ import annotations

import json
import sys

import openai

statuses, answers = [], []
with openai.OpenAI(max_retries=0) as client:
    for _ in range(2):
        raw = client.chat.completions.with_raw_response.create(
            model="gpt-4o", messages=[{"role": "user", "content": sys.argv[1]}]
        )
        statuses.append(raw.headers["x-reflex-status"])
        answers.append(raw.parse().choices[0].message.content)
print(json.dumps({"statuses": statuses, "answers": answers}))
