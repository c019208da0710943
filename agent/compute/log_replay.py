"""Which lines of an output that begins anew with each stream were given before, and which are new.

Lines are told apart by their number; that this still holds is checked against the lines themselves. Where a stream
lacks lines that were given before, the place is found again by the latest ones, else by time stamps; when neither
helps, by number alone, and then lines may be lost.
"""

from __future__ import annotations

from collections import deque

from agent.protocol.compute import ComputeError, LogLine


class Place:
    """How far the output was given: the number of lines, and the latest of them to recognise the place by."""

    MEMORY = 20

    def __init__(self, skip: int = 0) -> None:
        self.seen = skip
        self.first: LogLine | None = None
        self.latest: deque[LogLine] = deque(maxlen=self.MEMORY)
        self.is_known = skip == 0
        """False while only the number is known, from an earlier process."""
        self.is_countable = True
        """False when a stream turned out to lack lines that were given before."""

    def replay(self) -> Replay:
        """For a new stream."""
        return Replay(self)

    def add(self, line: LogLine) -> None:
        """`line` is given now."""
        self.first = self.first or line
        self.latest.append(line)
        self.seen += 1


class Replay:
    """One stream, from its first line on: which of its lines are new."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._index = 0
        self._first: LogLine | None = None
        self._recent: deque[LogLine] = deque(maxlen=Place.MEMORY)
        self._is_whole = place.is_countable
        self._has_caught_up = place.seen == 0

    def is_new(self, line: LogLine) -> bool:
        """Whether `line`, the stream's next one, was never given before. It counts as given then.

        Raises ComputeError where counting has failed: the stream has to be read again from its beginning.
        """
        place = self._place
        if not self._has_caught_up:
            self._index += 1
            self._first = self._first or line
            self._recent.append(line)
            if not self._catches_up(line):
                return False
        place.add(line)
        return True

    def _catches_up(self, line: LogLine) -> bool:
        """Whether `line` is the first new one."""
        place = self._place
        if not place.is_known:
            if self._index == place.seen:
                place.first, place.latest, place.is_known = self._first, self._recent.copy(), True
                self._has_caught_up = True
            return False
        if self._first != place.first:
            self._is_whole = False  # the beginning is gone
        if self._is_whole:
            return self._counts_up_to(line)
        if self._is_at_place(line):
            self._has_caught_up = True
            return False
        # at our place's number at the latest everything is new; time stamps may tell earlier
        self._has_caught_up = self._index > place.seen or _is_later(line, place.latest[-1])
        return self._has_caught_up

    def _counts_up_to(self, line: LogLine) -> bool:
        place = self._place
        if self._index == place.seen:
            if line != place.latest[-1]:
                place.is_countable = False
                raise ComputeError("The job's log has changed; it is read again from its beginning.", "network")
            self._has_caught_up = True
        return False

    def _is_at_place(self, line: LogLine) -> bool:
        latest = self._place.latest
        if line != latest[-1]:
            return False
        both = min(len(latest), len(self._recent))
        return list(latest)[-both:] == list(self._recent)[-both:]


def _is_later(line: LogLine, other: LogLine) -> bool:
    """By time stamps of the same form, which sort as text."""
    return line.at is not None and other.at is not None and len(line.at) == len(other.at) and line.at > other.at
