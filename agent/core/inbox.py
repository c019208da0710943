"""What waits for the model between two steps: words of the person, notes of the program."""

from __future__ import annotations


class Inbox:
    """Filled at any time, emptied by the turn before it asks the model."""

    def __init__(self) -> None:
        self._steering: list[str] = []
        self._notes: list[str] = []

    def steer(self, text: str) -> None:
        """The person adds something to the running turn."""
        self._steering.append(text)

    def note(self, text: str) -> None:
        """The program has something to tell the model."""
        self._notes.append(text)

    @property
    def has_steering(self) -> bool:
        """Whether the person has added something that the model has not seen."""
        return bool(self._steering)

    def take(self) -> tuple[list[str], list[str]]:
        """The person's words and the program's notes, which are then gone from here."""
        taken = self._steering, self._notes
        self._steering, self._notes = [], []
        return taken

    def drop_steering(self) -> None:
        """A turn has ended: what the model has not seen is the user interface's again."""
        self._steering = []
