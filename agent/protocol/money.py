"""How a sum of money is written, everywhere."""

from __future__ import annotations


def format_usd(usd: float, known: bool = True) -> str:
    """A sum for people: `$1.23`, `$0.0123`, `<$0.0001`; one that is a worst case (not `known`) says so."""
    if 0 < usd < 0.0001:
        text = "<$0.0001"
    elif 0 < usd < 0.1:
        text = f"${usd:.4f}"
    else:
        text = f"${usd:,.2f}"
    return text if known else f"up to {text} (price unknown)"
