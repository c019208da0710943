"""A notice on the person's desktop, sent through the terminal: OSC 9, which most of them understand, and the bell."""

from __future__ import annotations

from collections.abc import Mapping

from agent.ui.sanitize import clip

_TITLE_COLUMNS, _MESSAGE_COLUMNS = 60, 200


def desktop_notice(title: str, message: str, environ: Mapping[str, str]) -> str:
    """What to write to the terminal. It moves no cursor and shows nothing there.

    Inside tmux it is wrapped for the terminal around it, which sees it where `allow-passthrough` is on; the bell always
    gets through. Semicolons would begin other commands of some terminals.
    """
    said = f"{clip(title, _TITLE_COLUMNS)}: {clip(message, _MESSAGE_COLUMNS)}".replace(";", ",")
    notice = f"\x1b]9;ml-intern: {said}\x07"
    if environ.get("TMUX"):
        notice = f"\x1bPtmux;{notice.replace(chr(27), chr(27) * 2)}\x1b\\"
    return notice + "\x07"
