"""What can go wrong between here and a web server, in words for the model and the person."""

from __future__ import annotations

from typing import Literal

WebProblem = Literal["refused", "unreachable", "timeout", "too_many_redirects", "garbled"]


class WebError(Exception):
    """No answer came. The message names the address, the cause and, where there is one, the next step.

    `problem`: `refused` is our own rule (where it may not go), the others are the network's or the server's doing.
    `is_lasting`: asking again soon would end the same. An answer with an error status is an answer
    (`WebAnswer.status`), not one of these.
    """

    def __init__(self, message: str, problem: WebProblem, *, is_lasting: bool = False) -> None:
        super().__init__(message)
        self.problem: WebProblem = problem
        self.is_lasting = is_lasting or problem not in ("unreachable", "timeout")
