"""What every renderer is."""

from __future__ import annotations

from typing import Protocol

from agent.protocol.events import Event


class Renderer(Protocol):
    """A function over the event stream with a place to write to.

    Renderers dispatch with `match event.payload` over the payload classes and end in `assert_never`: an event that is
    new to the protocol fails the type check until each of them has decided what to do with it.
    """

    def handle(self, event: Event) -> None:
        """Show one event. Never raises for what the event contains, nor when the output is gone."""

    def close(self) -> None:
        """Show what is still held back. Calling it again does nothing."""
