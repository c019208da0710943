"""The composer's keys, in both editing modes; whatever is not here is prompt_toolkit's."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from prompt_toolkit.application.current import get_app
from prompt_toolkit.filters import (
    Condition,
    FilterOrBool,
    emacs_insert_mode,
    emacs_mode,
    has_focus,
    vi_insert_mode,
    vi_navigation_mode,
)
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent
from prompt_toolkit.key_binding.bindings.named_commands import get_by_name
from prompt_toolkit.keys import Keys

if TYPE_CHECKING:
    from agent.ui.composer.composer import Composer

_inserting = emacs_insert_mode | vi_insert_mode


def make_key_bindings(composer: Composer) -> KeyBindings:
    """All bindings of `composer`; those that edit are in force where its input has the focus."""
    bindings = KeyBindings()
    _bind_actions(bindings, composer)
    _bind_entering(bindings, composer)
    _bind_completion(bindings, composer)
    _bind_deletion(bindings, composer)
    return bindings


def _bind_actions(bindings: KeyBindings, composer: Composer) -> None:
    focused = has_focus(composer.control)
    is_empty = Condition(lambda: not composer.buffer.text)
    actions = composer.actions

    def bind(key: str, act: Callable[[], object], when: FilterOrBool = True) -> None:
        """Bind a key that does not edit: it is no step for undo."""
        bindings.add(key, filter=when, save_before=lambda _event: False)(lambda _event: act())

    bind("c-c", composer.interrupt)
    bind("c-z", actions.suspend)
    bind("c-o", actions.expand)
    bind("c-l", lambda: get_app().invalidate())
    bind("c-d", actions.leave, focused & is_empty)
    bind("c-g", actions.edit, focused)
    bind("s-tab", actions.cycle_mode, focused)


def _bind_entering(bindings: KeyBindings, composer: Composer) -> None:
    focused = has_focus(composer.control)

    def newline(event: KeyPressEvent) -> None:
        event.current_buffer.newline(copy_margin=False)

    bindings.add("enter", filter=focused)(lambda _event: composer.enter())
    bindings.add("c-j", filter=focused)(newline)
    bindings.add("escape", "enter", filter=focused)(newline)
    bindings.add(Keys.BracketedPaste)(lambda event: composer.paste(event.data))


def _bind_completion(bindings: KeyBindings, composer: Composer) -> None:
    focused = has_focus(composer.control)
    has_menu = Condition(composer.has_menu)

    # In vi's insert mode Esc goes to the navigation mode, unless there is a menu to be closed.
    @bindings.add("escape", filter=focused & (emacs_mode | vi_navigation_mode | has_menu))
    def _(_event: KeyPressEvent) -> None:
        composer.escape()

    @bindings.add("tab", filter=focused & _inserting)
    def _(_event: KeyPressEvent) -> None:
        composer.complete()

    @bindings.add("s-tab", filter=focused & has_menu)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.complete_previous()


def _bind_deletion(bindings: KeyBindings, composer: Composer) -> None:
    inserting = has_focus(composer.control) & _inserting
    before, after = (
        Condition(lambda: composer.placeholder_before() > 0),
        Condition(lambda: composer.placeholder_after() > 0),
    )

    # Deleting closes the menu, and prompt_toolkit opens it again for what is inserted only.
    @bindings.add("backspace", filter=inserting & Condition(composer.wants_completion), save_before=_is_first)
    def _(event: KeyPressEvent) -> None:
        get_by_name("backward-delete-char").call(event)
        if composer.wants_completion():
            event.current_buffer.start_completion()

    @bindings.add("backspace", filter=inserting & before)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.delete_before_cursor(composer.placeholder_before())

    # Cut up by a word, it would be mere text, and the paste gone; like a word, it can be yanked.
    @bindings.add("c-w", filter=inserting & before)
    @bindings.add("escape", "backspace", filter=inserting & before)
    def _(event: KeyPressEvent) -> None:
        event.app.clipboard.set_text(event.current_buffer.delete_before_cursor(composer.placeholder_before()))

    @bindings.add("delete", filter=inserting & after)
    @bindings.add("c-d", filter=inserting & after)
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.delete(composer.placeholder_after())


def _is_first(event: KeyPressEvent) -> bool:
    """Keys that repeat are undone together."""
    return not event.is_repeat
