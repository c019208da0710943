"""The most that something can cost, reckoned before it is paid for."""

from __future__ import annotations

from agent.llm.prices import ModelPrice

UNKNOWN_INPUT_USD = 33e-6
UNKNOWN_OUTPUT_USD = 198e-6
"""US dollars per token where nobody knows a model's price: 33 and 198 per million.

The dearest normal rate of a current model in litellm's price list (1.106, November 2026), gpt-5.4-pro on regional
Azure. Retired models in that list are dearer (o1-pro, gpt-4.5), but being listed they are never unknown.
"""

UNKNOWN_COMPUTE_USD = 80.0
"""US dollars for a job or sandbox of unknown price: an hour of the dearest hardware, h200x8 (spec core.md §7)."""


def model_call_usd(price: ModelPrice | None, prompt_tokens: int, answer_tokens: int) -> tuple[float | None, float]:
    """The most that a model call can cost in US dollars: by its price, and as if that were unknown.

    The two are `usd` and `worst_usd` of `Ledger.reserve`; the first is None without a price. `answer_tokens` is the
    answer's limit. The whole prompt may be written to the provider's cache, which costs more than reading it.
    """
    worst_usd = unknown_call_usd(prompt_tokens, answer_tokens)
    if price is None:
        return None, worst_usd
    price = price.at(prompt_tokens)
    prompt_usd = max(price.input_usd, price.cache_read_usd, price.cache_write_usd)
    return prompt_tokens * prompt_usd + answer_tokens * price.output_usd, worst_usd


def unknown_call_usd(prompt_tokens: int, completion_tokens: int) -> float:
    """US dollars for that many tokens of a model whose price nobody knows: the `worst_usd` to settle such a call with.

    0 for 0 tokens, when a server reports none; `Ledger.settle` then charges what was reserved.
    """
    return prompt_tokens * UNKNOWN_INPUT_USD + completion_tokens * UNKNOWN_OUTPUT_USD
