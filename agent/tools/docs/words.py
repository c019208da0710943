"""Words for full-text search: of a question, and inside of the names that programmers make up."""

from __future__ import annotations

import re

TOKENIZER = "porter unicode61 tokenchars '_'"
"""SQLite's FTS5: words by their stem, a snake_case name as one word."""
_MAX_TERMS = 32
_LEAST_SCORE = 0.005
"""What is less would be shown as 0.00."""
_WORD = re.compile(r"\w+")
_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_]{2,100}")
_PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+|\d+")


def name_parts(text: str) -> str:
    """The parts of the camelCase and snake_case names in `text`, each once: SFTTrainer gives SFT and Trainer."""
    found: dict[str, None] = {}
    for name in _NAME.findall(text):
        if "_" in name or not (name[1:].islower() or name.isupper()):
            parts = _PART.findall(name)
            found.update(dict.fromkeys(parts) if len(parts) > 1 else {})
    return " ".join(found)


def relevance_text(score: float) -> str:
    """`Relevance: 1.23`; "" for a score that says nothing, as of words that everything has."""
    return f"Relevance: {score:.2f}" if score >= _LEAST_SCORE else ""


def match_expression(query: str) -> str:
    """`query` for FTS5's MATCH: any of its words, none of them an operator. "" if it has no words."""
    words = _WORD.findall(query)
    terms = dict.fromkeys(word.lower() for word in (*words, *name_parts(query).split()))
    return " OR ".join(f'"{term}"' for term in list(terms)[:_MAX_TERMS])
