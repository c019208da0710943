"""How long a service asks to be left alone, from the headers in which services say so."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from datetime import UTC
from email.utils import parsedate_to_datetime

LONGEST_PAUSE_S = 7 * 24 * 3600.0
"""Whatever a header says: nobody waits for longer, and a number beyond it is none to calculate with."""
_SECONDS = re.compile(r"\d{1,18}(?:\.\d{1,9})?", re.ASCII)
_DRAFT = re.compile(r";\s*t=(\d{1,9})\b", re.ASCII)
_SECONDARY_LIMIT = b"secondary rate limit"
_SECONDARY_PAUSE_S = 60.0


def pause_s(status: int, headers: Mapping[str, str], body: bytes, now_s: float) -> float | None:
    """Seconds that the answer asks to wait before the next request; None where it asks for nothing readable.

    `headers` have lower-case names, `now_s` is in seconds since 1970. Retry-After counts for every status. For 403 and
    429 also GitHub's `x-ratelimit-remaining: 0` with `x-ratelimit-reset` (seconds since 1970) and its secondary limit,
    for which it asks for a minute when it gives no header
    (docs.github.com/rest/using-the-rest-api/rate-limits-for-the-rest-api), and the `RateLimit: "name";r=0;t=55` that
    the Hub sends (draft-ietf-httpapi-ratelimit-headers).
    """
    found = _retry_after_s(headers.get("retry-after", ""), now_s)
    if found is None and status in (403, 429):
        found = _reset_s(headers, now_s)
    if found is None and status == 429 and (draft := _DRAFT.search(headers.get("ratelimit", "")[:1000])):
        found = float(draft[1])
    if found is None and status in (403, 429) and _SECONDARY_LIMIT in body[:4096]:
        found = _SECONDARY_PAUSE_S
    return None if found is None else min(max(0.0, found), LONGEST_PAUSE_S)


def _retry_after_s(value: str, now_s: float) -> float | None:
    """A number of seconds or a date. Negative ones, "nan" and the like are not readable."""
    value = value.strip()
    if _SECONDS.fullmatch(value):
        return float(value)
    if value.isascii() and value.isdigit():
        return LONGEST_PAUSE_S
    if not value or len(value) > 100:
        return None
    try:
        moment = parsedate_to_datetime(value)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp() - now_s
    except (ValueError, TypeError, OverflowError, IndexError):
        return None


def _reset_s(headers: Mapping[str, str], now_s: float) -> float | None:
    reset = headers.get("x-ratelimit-reset", "").strip()
    if headers.get("x-ratelimit-remaining", "").strip() != "0" or not _SECONDS.fullmatch(reset):
        return None
    wait_s = math.ceil(float(reset) - now_s)
    return wait_s if wait_s <= LONGEST_PAUSE_S else None
