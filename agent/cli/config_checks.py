"""What only the whole program can say of a configuration: whether its rules and variables name things that exist."""

from __future__ import annotations

import difflib
from collections.abc import Mapping

from agent.config import Config, ConfigError, Permissions

PREFIX = "ML_INTERN_"


def check_rules(permissions: Permissions) -> None:
    """Raise `ConfigError` for a rule whose tool looks misspelt: a `deny` that never fits would protect nothing."""
    if not (permissions.deny or permissions.ask or permissions.allow):
        return
    from agent.core.services import services_nowhere
    from agent.core.tools import create_builtin_tools
    from agent.protocol.permissions import PermissionRule
    from agent.tools.approval_rules import RULES

    known = {spec.name for spec in create_builtin_tools(services_nowhere())} | set(RULES)
    problems = []
    for kind in ("deny", "ask", "allow"):
        for text in getattr(permissions, kind):
            tool = PermissionRule.parse(text).tool
            near = difflib.get_close_matches(tool, known, n=1, cutoff=0.75)
            if tool not in known and near:
                problems.append(f"permissions.{kind}: {text}: there is no tool {tool!r}; did you mean {near[0]!r}?")
    if problems:
        raise ConfigError(problems)


def unknown_settings(environ: Mapping[str, str]) -> list[str]:
    """A warning for each `ML_INTERN_…` variable that is almost, but not quite, the name of a setting."""
    known = [PREFIX + name.upper() for name in Config.key_names()] + [PREFIX + "CLI_CONFIG"]
    warnings = []
    for name in sorted(environ):
        near = difflib.get_close_matches(name, known, n=1, cutoff=0.85) if name.startswith(PREFIX) else []
        if name not in known and near:
            warnings.append(f"{name} is not a setting and is ignored; did you mean {near[0]}?")
    return warnings
