"""Rows about the terminal: the prompt, keys while an answer streams, and an answer that comes all at once.

What they need is imported by each for itself: these rows are measured last, and this process has to be small before.
"""

from __future__ import annotations

from tests.bench.figures import ITSELF, MICROSECONDS, MILLISECONDS, RATIO, SECONDS, Row
from tests.bench.rounds import Bench

PROMPT_AT_MOST, ECHO_AT_MOST_S = 2.25, 0.050
CHUNKS, FEW_CHUNKS = 20_000, 5_000
SHOWN_AT_MOST_S, CPU_AT_MOST_S, LINEAR_AT_MOST = 1.0, 1.5, 1.2
MOST_STREAMS = 3
"""A stream is measured for half a minute: no more rounds than these, whatever was asked for."""


def prompt(bench: Bench) -> list[Row]:
    """From the start to the echo of the first key, to the floor's first request."""
    from tests.bench.bench_prompt import measure

    figures = measure(bench.runs)
    return [
        Row(
            "prompt",
            "conversation: start → the prompt takes keys",
            tuple(figures["floor"]),
            tuple(figures["ours"]),
            MILLISECONDS,
            RATIO,
            PROMPT_AT_MOST,
        )
    ]


def stream(bench: Bench) -> list[Row]:
    """20,000 chunks of a token each, sent at once, to a conversation in a terminal; and a fourth of that."""
    from tests.bench.bench_stream import Server, interactive_turn
    from tests.bench.stream_server import question

    server = Server()
    try:
        pairs = [
            [interactive_turn(server, question(count, 0.0, "markdown")) for count in (FEW_CHUNKS, CHUNKS)]
            for _ in range(min(bench.runs, MOST_STREAMS))
        ]
    finally:
        server.close()
    what = f"{CHUNKS:,} chunks at once"
    shown = tuple(many.shown_s for _, many in pairs)
    spent = tuple(many.whole_cpu_s for _, many in pairs)
    few_each, many_each = (
        tuple(pair[place].whole_cpu_s / count for pair in pairs) for place, count in enumerate((FEW_CHUNKS, CHUNKS))
    )
    return [
        Row("stream", f"{what}: last line shown after the last byte", (), shown, SECONDS, ITSELF, SHOWN_AT_MOST_S),
        Row("stream-cpu", f"{what}: CPU of the turn", (), spent, SECONDS, ITSELF, CPU_AT_MOST_S),
        Row(
            "stream-linear",
            f"CPU of a chunk of {CHUNKS:,}, to one of {FEW_CHUNKS:,}",
            few_each,
            many_each,
            MICROSECONDS,
            RATIO,
            LINEAR_AT_MOST,
        ),
    ]


def echo(bench: Bench) -> list[Row]:
    """From a key to its echo while an answer streams: each way of streaming has a row of its own."""
    from tests.bench.bench_echo import measure

    return [
        Row(f"echo-{name}", f"echo of a key, {name}", (), tuple(values), MILLISECONDS, ITSELF, ECHO_AT_MOST_S)
        for name, values in measure(min(bench.runs, MOST_STREAMS)).items()
    ]
