"""What a row of the provider table consists of: everything that depends on who serves a model is a field here."""

from __future__ import annotations

from enum import StrEnum

from agent.light_dataclass import dataclass
from agent.llm.effort import PLAIN_STYLES, EffortStyle


class RouteKind(StrEnum):
    """How a model is reached."""

    LOCAL = "local"
    """A server of the person's own that speaks the OpenAI protocol: base URL and key are ours to hand over."""
    DIRECT = "direct"
    """litellm knows the provider and reads its key from the environment."""
    ANYTHING = "anything"
    """`litellm/<anything>`: passed on as it is."""
    ROUTER = "router"
    """The Hugging Face router."""
    REPLAY = "replay"
    """A script of answers; offline."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Provider:
    """One row. `name` is unique; `label` is for people; `prefixes` are without the slash."""

    name: str
    label: str
    prefixes: tuple[str, ...]
    kind: RouteKind = RouteKind.DIRECT
    matches: str = ".+"
    """Which model names after the prefix this row takes (full match)."""
    key_envs: tuple[str, ...] = ()
    """Any one of these is a credential."""
    required_envs: tuple[str, ...] = ()
    """Needed besides a credential."""
    ambient_envs: tuple[str, ...] = ()
    """Beginnings of variable names that hint at credentials we cannot see (a role, a login)."""
    ambient_files: tuple[str, ...] = ()
    """Files under the home directory that do the same."""
    cloud: str = ""
    """`aws` where the chain of AWS credentials is used."""
    base_url_envs: tuple[str, ...] = ()
    base_url_default: str = ""
    """For DIRECT rows only shown, never sent: litellm has its own. `{region}` stands for the AWS region."""
    takes_own_address: bool = False
    """Whether `base_url_envs` may name any server that speaks the OpenAI protocol, not only the provider's own."""
    effort: tuple[EffortStyle, ...] = PLAIN_STYLES
    replays_thinking: bool = False
    """Whether earlier thinking must be sent back; other providers ignore it or answer 400."""
    start_hint: str = ""
    """Local servers: the command that starts one; `{model}` stands for the model's name."""
    model_hint: str = ""
    """Local servers: how to make a model available that is not."""
    window_source: str = ""
    """Local servers: how to ask for the context window (`agent.llm.local`)."""
    credential_fix: str = ""
    """How to get credentials, where setting one of `key_envs` is not the way."""
    login_hint: str = ""
    """Where the key comes from when no variable has it."""
    key_url: str = ""
    billing_url: str = ""
    router_form: str = ""
    """The same model, or a near one, through the HF router; `{model}` in the router's spelling."""

    @property
    def is_local(self) -> bool:
        """True for a server of the person's own."""
        return self.kind is RouteKind.LOCAL
