"""The keys of the configuration: names, types, defaults and limits.

To add a key: add a field. The person can then set it in a file, by a flag and, if it is a scalar, by `ML_INTERN_<KEY>`;
a project's file cannot, unless the key is named in `agent.config_loading.PROJECT_KEYS`.
"""

from __future__ import annotations

import re
from typing import Annotated, Any, Literal, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from agent.config_loading import printable
from agent.protocol.modes import Mode

Effort = Literal["minimal", "low", "medium", "high", "xhigh", "max"]
AutoEvent = Literal["approval_required", "error", "turn_complete"]


class _Section(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, hide_input_in_errors=True, defer_build=True)


class McpServer(_Section):
    """An MCP server: a program to start (`command`) or an address (`url`)."""

    command: str | None = None
    args: list[str] = Field(default_factory=list, repr=False)
    env: dict[str, str] = Field(default_factory=dict, repr=False)
    cwd: str | None = None
    url: str | None = Field(default=None, repr=False)
    transport: Literal["stdio", "http", "streamable-http", "sse"] | None = None
    headers: dict[str, str] = Field(default_factory=dict, repr=False)
    auth: str | None = Field(default=None, repr=False)

    @model_validator(mode="after")
    def _one_kind(self) -> McpServer:
        local = {"command", "args", "env", "cwd"} & self.model_fields_set
        remote = {"url", "headers", "auth"} & self.model_fields_set
        if bool(self.command) == bool(self.url):
            raise ValueError('give it either a "command" to start or a "url" to connect to')
        if (self.command and remote) or (self.url and local):
            wrong = ", ".join(sorted(remote if self.command else local))
            raise ValueError(f"{wrong} cannot be combined with {'command' if self.command else 'url'}; remove one side")
        if self.url and not self.url.startswith(("http://", "https://")):
            raise ValueError("url must start with http:// or https://")
        if self.transport and (self.transport == "stdio") != bool(self.command):
            raise ValueError('transport is "stdio" with a command; "http", "streamable-http" or "sse" with a url')
        return self


class Destination(_Section):
    """Where messages can be sent: a Slack channel, an address that takes JSON, or the person's desktop."""

    provider: Literal["slack", "webhook", "desktop"]
    allow_agent_tool: bool = False
    allow_auto_events: bool = False
    token: str | None = Field(default=None, min_length=1, repr=False)
    channel: str | None = Field(default=None, min_length=1)
    username: str | None = None
    icon_emoji: str | None = None
    url: str | None = Field(default=None, repr=False)
    headers: dict[str, str] = Field(default_factory=dict, repr=False)

    @model_validator(mode="after")
    def _what_its_provider_needs(self) -> Destination:
        needed, further = _DESTINATION_KEYS[self.provider]
        common = {"provider", "allow_agent_tool", "allow_auto_events"}
        if missing := [name for name in needed if not getattr(self, name)]:
            raise ValueError(f"a {self.provider} destination needs {' and '.join(missing)}")
        if wrong := sorted(self.model_fields_set - common - {*needed, *further}):
            raise ValueError(f"{', '.join(wrong)} cannot be set for a {self.provider} destination")
        if self.url is not None and not self.url.startswith(("http://", "https://")):
            raise ValueError("url must start with http:// or https://")
        return self


_DESTINATION_KEYS: dict[str, tuple[tuple[str, ...], tuple[str, ...]]] = {
    "slack": (("token", "channel"), ("username", "icon_emoji")),
    "webhook": (("url",), ("headers",)),
    "desktop": ((), ()),
}
"""By provider: the keys that it needs, and those that it may have."""


class MessagingConfig(_Section):
    """Notifications: where they may go, and which events send one by themselves."""

    enabled: bool = False
    auto_event_types: list[AutoEvent] = Field(default_factory=lambda: list(get_args(AutoEvent)))
    destinations: dict[str, Destination] = Field(default_factory=dict)

    @field_validator("auto_event_types")
    @classmethod
    def _without_repeats(cls, value: list[AutoEvent]) -> list[AutoEvent]:
        return list(dict.fromkeys(value))

    @field_validator("destinations")
    @classmethod
    def _plain_names(cls, value: dict[str, Destination]) -> dict[str, Destination]:
        for name in value:
            if not re.fullmatch(r"[a-z0-9._-]+", name):
                raise ValueError(f'rename "{printable(name)}": only a-z, 0-9, ".", "_" and "-" may be in a name')
        return value

    @model_validator(mode="after")
    def _somewhere_to_send(self) -> MessagingConfig:
        if self.enabled and not self.destinations:
            raise ValueError("enabled without any destination; add one under destinations, or set enabled to false")
        return self


def parse_duration_s(text: str) -> float:
    """Seconds in `text`: `90`, `90s`, `45m`, `8h`, `1d`, `1h30m`. Raises ValueError naming what is accepted."""
    number = r"(\d+(?:\.\d+)?)"
    parts = re.fullmatch(rf"(?:{number}d)?(?:{number}h)?(?:{number}m)?(?:{number}s?)?", text.strip())
    if parts is None or not any(parts.groups()):
        raise ValueError("give a duration such as 90m, 8h or 1h30m (plain numbers are seconds)")
    days, hours, minutes, seconds = (float(part or 0) for part in parts.groups())
    return ((days * 24 + hours) * 60 + minutes) * 60 + seconds


def _readable_rule(text: str) -> str:
    from agent.protocol.permissions import PermissionRule

    PermissionRule.parse(text)
    return text


RuleText = Annotated[str, AfterValidator(_readable_rule)]
"""A permission rule such as `bash(git push *)`; see agent/protocol/permissions.py."""


class Permissions(_Section):
    """What runs without asking, what asks, what never runs."""

    allow: list[RuleText] = Field(default_factory=list)
    ask: list[RuleText] = Field(default_factory=list)
    deny: list[RuleText] = Field(default_factory=list)


class Config(_Section):
    """Everything a person can set."""

    model_name: str = Field(default="auto", min_length=1)
    mcpServers: dict[str, McpServer] = Field(default_factory=dict)
    save_sessions: bool = True
    session_dataset_repo: str | None = None
    share_traces: bool = False
    personal_trace_repo_template: str = "{hf_user}/ml-intern-sessions"
    mode: Mode = "ask"
    yolo_mode: bool = False
    """The older word for `mode: "yolo"`, and always in step with it."""
    confirm_cpu_jobs: bool = True
    auto_file_upload: bool = False
    max_iterations: int = 300
    max_cost_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    max_wall_s: float | None = Field(default=None, gt=0, allow_inf_nan=False)
    no_budget: bool = False
    tool_runtime: Literal["local", "sandbox"] = "local"
    sandbox_backend: Literal["space", "job"] = "space"
    """What a sandbox is made of: a Space of the person's own, or a job (huggingface_hub's Sandbox)."""
    hub_artifacts: Literal["off", "collect", "card"] = "collect"
    """What marks repositories that a session makes: nothing, a private collection, or their README too."""
    reasoning_effort: Effort | None = "high"
    prompt_cache_ttl: Literal["5m", "1h"] = "5m"
    context_window: int | None = Field(default=None, ge=8000)
    research_model: str | None = Field(default=None, min_length=1)
    """The model of research sub-agents; None: one that goes with the main model."""
    research_max_usd: float | None = Field(default=None, ge=0, allow_inf_nan=False)
    """What one research may cost; it never gets more than the session has left."""
    research_max_s: float = Field(default=1200, gt=0, allow_inf_nan=False)
    web_search_provider: Literal["auto", "duckduckgo", "brave", "exa", "searxng"] = "auto"
    """Who searches the web; `auto` takes the first that has a key (or, for SearXNG, an address), else DuckDuckGo."""
    fetch_private_hosts: list[str] = Field(default_factory=list)
    """Hosts, or host:port, of the person's own network that `fetch_url` may read."""
    messaging: MessagingConfig = Field(default_factory=MessagingConfig)
    permissions: Permissions = Field(default_factory=Permissions)
    child_env: list[str] = Field(default_factory=list)
    theme: Literal["auto", "dark", "light"] = "auto"
    vi_mode: bool = False
    plain: bool = False
    status_line_command: str | None = Field(default=None, min_length=1)

    @model_validator(mode="before")
    @classmethod
    def _one_mode(cls, data: Any) -> Any:
        if not isinstance(data, dict) or not isinstance(data.get("yolo_mode", False), bool):
            return data
        if "mode" not in data:
            return {**data, "mode": "yolo"} if data.get("yolo_mode") else data
        return {**data, "yolo_mode": data["mode"] == "yolo"}

    @field_validator("mcpServers", "messaging", "permissions", mode="before")
    @classmethod
    def _null_is_empty(cls, value: Any) -> Any:
        return {} if value is None else value

    @field_validator("model_name", mode="before")
    @classmethod
    def _trimmed(cls, value: Any) -> Any:
        return value.strip() if isinstance(value, str) else value

    @field_validator("reasoning_effort", mode="before")
    @classmethod
    def _off_is_null(cls, value: Any) -> Any:
        return None if value == "off" else value

    @field_validator("max_cost_usd", "research_max_usd", mode="before")
    @classmethod
    def _dollars(cls, value: Any) -> Any:
        if not isinstance(value, str):
            return value
        try:
            return float(value.strip().removeprefix("$"))
        except ValueError:
            raise ValueError("give an amount in US dollars, such as 5 or 2.50") from None

    @field_validator("max_wall_s", "research_max_s", mode="before")
    @classmethod
    def _duration(cls, value: Any) -> Any:
        return parse_duration_s(value) if isinstance(value, str) else value

    @field_validator("max_iterations")
    @classmethod
    def _positive_or_unlimited(cls, value: int) -> int:
        if value < 1 and value != -1:
            raise ValueError("must be at least 1, or -1 for no limit")
        return value

    @field_validator("child_env")
    @classmethod
    def _variable_names(cls, value: list[str]) -> list[str]:
        if not all(re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name) for name in value):
            raise ValueError("list names of environment variables only, such as HF_TOKEN; values do not belong here")
        return value
