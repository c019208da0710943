"""Slash commands: one decorated function each. Its docstring is its help; importing its module registers it."""

from agent.cli.commands import conversation, money, sessions, settings, turns
from agent.cli.commands.registry import find, is_command

__all__ = ["conversation", "find", "is_command", "money", "sessions", "settings", "turns"]
