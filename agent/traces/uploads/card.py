"""The card of the person's dataset of sessions: written once, when there is none; from then on it is theirs."""

from __future__ import annotations

_CARD = """\
---
pretty_name: ML Intern Session Traces
language:
- en
license: other
task_categories:
- text-generation
tags:
- agent-traces
- coding-agent
- ml-intern
- session-traces
- claude-code
- hf-agent-trace-viewer
configs:
- config_name: default
  data_files:
  - split: train
    path: sessions/**/*.jsonl
---

# Sessions of ml-intern

What somebody asked ml-intern, a terminal agent for machine learning, and what it did about it: prompts, answers, tool
calls with their output, token usage, and cost where it is known.

| files | what they are |
|---|---|
| `sessions/YYYY-MM-DD/<session>.jsonl` | one session, by the day it was begun, as Claude Code writes its transcripts |
| `agents/YYYY-MM-DD/<session>/<call>.jsonl` | what a research sub-agent of that session did |

A session that goes on later replaces its own file. This card was written when the dataset was made and is not touched
again: change it as you like.

```python
from datasets import load_dataset

sessions = load_dataset("{repo_id}", split="train")
```

## Before you make this public

**Nobody has reviewed these files, and no complete redaction was done.** Known secrets and whatever looks like a key
were replaced by rules before the upload. Rules miss things: a password in a sentence, the names of people and machines,
unpublished code and data, the content of files that were read. Read what you publish.

## Limits

The texts hold what a model wrote, errors included, and what was found on the web or in other people's files, whose
licences apply. A session in which the model never answered is not here.
"""


def card(repo_id: str) -> str:
    """README.md for the dataset `repo_id`, metadata first."""
    return _CARD.replace("{repo_id}", repo_id)
