"""The keys of the configuration: names, types, defaults and limits.

To add a key: add a field, and its lines in `configs/config.schema.json`, which editors read. The person can then set it
in a file, by a flag and, if it is a scalar, by `ML_INTERN_<KEY>`; a project's file cannot, unless the key is named in
`agent.config_loading.PROJECT_KEYS`.

No `from __future__ import annotations` here: `agent.config_values` checks values by the annotations themselves.
"""

import re
from collections.abc import Callable, Mapping
from dataclasses import field
from typing import Annotated, Any, Literal, get_args

from agent.config_loading import printable
from agent.config_values import After, Before, Section
from agent.light_dataclass import dataclass
from agent.protocol.modes import Mode

Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
AutoEvent = Literal["approval_required", "error", "turn_complete"]


# --- how values are written, and what they may be ---------------------------------------------------------------------


def parse_duration_s(text: str) -> float:
    """Seconds in `text`: `90`, `90s`, `45m`, `8h`, `1d`, `1h30m`. Raises ValueError naming what is accepted."""
    number = r"(\d+(?:\.\d+)?)"
    parts = re.fullmatch(rf"(?:{number}d)?(?:{number}h)?(?:{number}m)?(?:{number}s?)?", text.strip())
    if parts is None or not any(parts.groups()):
        raise ValueError("give a duration such as 90m, 8h or 1h30m (plain numbers are seconds)")
    days, hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _dollars(text: str) -> float:
    try:
        return float(text.strip().removeprefix("$"))
    except ValueError:
        raise ValueError("give an amount in US dollars, such as 5 or 2.50") from None


def _text(read: Callable[[str], Any]) -> Before:
    return Before(lambda value: read(value) if isinstance(value, str) else value)


def _must(is_right: Callable[[Any], bool], problem: str) -> After:
    def check(value: Any) -> Any:
        if not is_right(value):
            raise ValueError(problem)
        return value

    return After(check)


def _readable_rule(text: str) -> str:
    from agent.protocol.permissions import PermissionRule

    PermissionRule.parse(text)
    return text


def _plain_names(destinations: dict[str, Any]) -> dict[str, Any]:
    for name in destinations:
        if not re.fullmatch(r"[a-z0-9._-]+", name):
            raise ValueError(f'rename "{printable(name)}": only a-z, 0-9, ".", "_" and "-" may be in a name')
    return destinations


def _are_variables(names: list[str]) -> bool:
    return all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in names)


_NOT_EMPTY = _must(bool, "must not be empty")
_NULL_IS_EMPTY = Before(lambda value: {} if value is None else value)

Word = Annotated[str, _NOT_EMPTY]
Dollars = Annotated[float, _text(_dollars), _must(lambda usd: usd >= 0, "must be at least 0")]
Seconds = Annotated[float, _text(parse_duration_s), _must(lambda s: s > 0, "must be more than 0")]
RuleText = Annotated[str, After(_readable_rule)]
"""A permission rule such as `bash(git push *)`; see agent/protocol/permissions.py."""


# --- sections --------------------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class McpServer(Section):
    """An MCP server: a program to start (`command`) or an address (`url`)."""

    command: str | None = None
    args: list[str] = field(default_factory=list, repr=False)
    env: dict[str, str] = field(default_factory=dict, repr=False)
    cwd: str | None = None
    url: str | None = field(default=None, repr=False)
    transport: Literal["stdio", "http", "streamable-http", "sse"] | None = None
    headers: dict[str, str] = field(default_factory=dict, repr=False)
    auth: str | None = field(default=None, repr=False)
    required: bool = False
    """Whether nothing begins without it. The first call of the model waits for no other server."""

    @classmethod
    def check_together(cls, given: Mapping[str, Any]) -> None:
        command, url, transport = given.get("command"), given.get("url"), given.get("transport")
        local = given.keys() & {"command", "args", "env", "cwd"}
        remote = given.keys() & {"url", "headers", "auth"}
        if bool(command) == bool(url):
            raise ValueError('give it either a "command" to start or a "url" to connect to')
        if (command and remote) or (url and local):
            wrong = ", ".join(sorted(remote if command else local))
            raise ValueError(f"{wrong} cannot be combined with {'command' if command else 'url'}; remove one side")
        _check_address(url)
        if transport and (transport == "stdio") != bool(command):
            raise ValueError('transport is "stdio" with a command; "http", "streamable-http" or "sse" with a url')


@dataclass(frozen=True, slots=True)
class Destination(Section):
    """Where messages can be sent: a Slack channel, an address that takes JSON, or the person's desktop."""

    provider: Literal["slack", "webhook", "desktop"]
    allow_agent_tool: bool = False
    allow_auto_events: bool = False
    token: Word | None = field(default=None, repr=False)
    channel: Word | None = None
    username: str | None = None
    icon_emoji: str | None = None
    url: str | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict, repr=False)

    @classmethod
    def check_together(cls, given: Mapping[str, Any]) -> None:
        provider = given["provider"]
        needed, further = _DESTINATION_KEYS[provider]
        common = {"provider", "allow_agent_tool", "allow_auto_events"}
        if missing := [name for name in needed if not given.get(name)]:
            raise ValueError(f"a {provider} destination needs {' and '.join(missing)}")
        if wrong := sorted(given.keys() - common - {*needed, *further}):
            raise ValueError(f"{', '.join(wrong)} cannot be set for a {provider} destination")
        _check_address(given.get("url"))


_DESTINATION_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "slack": (("token", "channel"), ("username", "icon_emoji")),
    "webhook": (("url",), ("headers",)),
    "desktop": ((), ()),
}
"""By provider: the keys that it needs, and those that it may have."""


def _check_address(url: str | None) -> None:
    if url and not url.startswith(("http://", "https://")):
        raise ValueError("url must start with http:// or https://")


@dataclass(frozen=True, slots=True)
class MessagingConfig(Section):
    """Notifications: where they may go, and which events send one by themselves."""

    enabled: bool = False
    auto_event_types: Annotated[list[AutoEvent], After(lambda events: list(dict.fromkeys(events)))] = field(
        default_factory=lambda: list(get_args(AutoEvent))
    )
    destinations: Annotated[dict[str, Destination], After(_plain_names)] = field(default_factory=dict)

    @classmethod
    def check_together(cls, given: Mapping[str, Any]) -> None:
        if given.get("enabled") and not given.get("destinations"):
            raise ValueError("enabled without any destination; add one under destinations, or set enabled to false")


@dataclass(frozen=True, slots=True)
class Permissions(Section):
    """What runs without asking, what asks, what never runs."""

    allow: list[RuleText] = field(default_factory=list)
    ask: list[RuleText] = field(default_factory=list)
    deny: list[RuleText] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class Config(Section):
    """Everything a person can set."""

    model_name: Annotated[str, _text(str.strip), _NOT_EMPTY] = "auto"
    mcpServers: Annotated[dict[str, McpServer], _NULL_IS_EMPTY] = field(default_factory=dict)
    save_sessions: bool = True
    session_dataset_repo: str | None = None
    share_traces: bool = False
    personal_trace_repo_template: str = "{hf_user}/ml-intern-sessions"
    mode: Mode = "ask"
    yolo_mode: bool = False
    """The older word for `mode: "yolo"`, and always in step with it."""
    confirm_cpu_jobs: bool = True
    auto_file_upload: bool = False
    max_iterations: Annotated[
        int, _must(lambda count: count >= 1 or count == -1, "must be at least 1, or -1 for no limit")
    ] = 300
    max_cost_usd: Dollars | None = None
    max_wall_s: Seconds | None = None
    no_budget: bool = False
    tool_runtime: Literal["local", "sandbox"] = "local"
    sandbox_backend: Literal["space", "job"] = "space"
    """What a sandbox is made of: a Space of the person's own, or a job (huggingface_hub's Sandbox)."""
    hub_artifacts: Literal["off", "collect", "card"] = "collect"
    """What marks repositories that a session makes: nothing, a private collection, or their README too."""
    reasoning_effort: Annotated[Effort | None, Before(lambda value: None if value == "off" else value)] = "high"
    llm_backend: Literal["auto", "litellm"] = "auto"
    """`litellm` sends every model call through litellm; `auto` those alone that need it."""
    prompt_cache_ttl: Literal["5m", "1h"] = "5m"
    context_window: Annotated[int, _must(lambda tokens: tokens >= 8000, "must be at least 8000")] | None = None
    research_model: Word | None = None
    """The model of research sub-agents; None: one that goes with the main model."""
    research_max_usd: Dollars | None = None
    """What one research may cost; it never gets more than the session has left."""
    research_max_s: Seconds = 1200.0
    web_search_provider: Literal["auto", "duckduckgo", "brave", "exa", "searxng"] = "auto"
    """Who searches the web; `auto` takes the first that has a key (or, for SearXNG, an address), else DuckDuckGo."""
    fetch_private_hosts: list[str] = field(default_factory=list)
    """Hosts, or host:port, of the person's own network that `fetch_url` may read."""
    messaging: Annotated[MessagingConfig, _NULL_IS_EMPTY] = field(default_factory=MessagingConfig)
    permissions: Annotated[Permissions, _NULL_IS_EMPTY] = field(default_factory=Permissions)
    child_env: Annotated[
        list[str],
        _must(
            _are_variables,
            "list names of environment variables only, such as HF_TOKEN; values do not belong here",
        ),
    ] = field(default_factory=list)
    theme: Literal["auto", "dark", "light"] = "auto"
    vi_mode: bool = False
    plain: bool = False
    status_line_command: Word | None = None

    def __post_init__(self) -> None:
        if self.yolo_mode != (self.mode == "yolo"):
            raise ValueError('yolo_mode and mode "yolo" are one thing: give both, or use Config.of')

    @classmethod
    def settle(cls, given: Mapping[str, Any]) -> Mapping[str, Any]:
        """Both words for "yolo" from either; `mode` counts where they differ."""
        if not isinstance(given.get("yolo_mode", False), bool):
            return given  # reported when it is checked
        if "mode" in given:
            return {**given, "yolo_mode": given["mode"] == "yolo"}
        return {**given, "mode": "yolo"} if given.get("yolo_mode") else given
