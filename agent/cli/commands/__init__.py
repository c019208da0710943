"""Slash commands: one decorated function each. Its docstring is its help; importing its module registers it."""

from agent.cli.commands import (
    conversation,
    doctor,
    jobs,
    mcp,
    modes,
    money,
    project,
    sessions,
    settings,
    sharing,
    theme,
    turns,
    workspace,
)
from agent.cli.commands.registry import carry_out, command_hints, find, is_command, is_for_us, runs_at_once

__all__ = [
    "carry_out",
    "command_hints",
    "conversation",
    "doctor",
    "find",
    "is_command",
    "is_for_us",
    "jobs",
    "mcp",
    "modes",
    "money",
    "project",
    "runs_at_once",
    "sessions",
    "settings",
    "sharing",
    "theme",
    "turns",
    "workspace",
]
