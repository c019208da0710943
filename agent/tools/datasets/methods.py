"""Which training methods a dataset's columns fit, in the formats that TRL's trainers take.

Formats: TRL's documentation, "Dataset formats and types". A verdict names columns only by names that look like names:
it is our own word to the model, and a column may be called anything.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Literal

from agent.light_dataclass import dataclass
from agent.tools.datasets.chats import ChatFacts
from agent.tools.datasets.columns import CHAT_FORMS, Column, Form, messages_in
from agent.tools.datasets.samples import Row

Level = Literal["yes", "nearly", "no"]

_PLAIN_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_.-]{0,39}")
_PROMPTS = ("prompt", "question", "instruction", "query", "problem", "prompts", "user", "input")
_COMPLETIONS = ("completion", "response", "answer", "output", "solution", "completions", "assistant", "target")
_LABELS = ("label", "labels", "is_good", "desirable", "rating_label")
_PAIRS = (
    ("chosen", "rejected"),
    ("preferred", "dispreferred"),
    ("accepted", "rejected"),
    ("chosen_response", "rejected_response"),
    ("response_chosen", "response_rejected"),
    ("better", "worse"),
    ("winner", "loser"),
    ("response_j", "response_k"),
)
_REFERENCES = (
    "answer",
    "solution",
    "ground_truth",
    "final_answer",
    "reference",
    "target",
    "test_cases",
    "tests",
    "reward_model",
)
_OWN_PLACES = frozenset(("prompt", "completion", "chosen", "rejected"))
_USABLE: frozenset[Form] = frozenset(("text", "chat"))
_MIN_COMMON_CHARS = 10
_TO_MESSAGES: Mapping[str, str] = {
    "chat": "rename {name} to `messages`",
    "from_value": "turn {name} into `messages` (from/value become role/content; human and gpt become user and "
    "assistant)",
    "odd_chat": "turn {name} into `messages` with the keys role and content",
    "chat_as_text": "parse the JSON text in {name} into `messages` (a list of role and content)",
    "chat_of_lists": "turn {name}, a struct of lists, into `messages` (a list of role and content)",
}


@dataclass(frozen=True, slots=True)
class Fit:
    """Whether a method can train on it: `nearly` says in `why` what to rename or convert first."""

    method: str
    level: Level
    why: str


@dataclass(frozen=True, slots=True)
class Table:
    """What a verdict is made from."""

    columns: Sequence[Column]
    rows: Sequence[Row]
    chats: Sequence[ChatFacts]

    def named(self, name: str) -> Column | None:
        """The column of exactly this name."""
        return next((column for column in self.columns if column.name == name), None)

    def like(self, names: Iterable[str]) -> Column | None:
        """The column of the first of these names, in whatever case it is written."""
        by_name = {column.name.lower(): column for column in reversed(self.columns)}
        return next((by_name[name] for name in names if name in by_name), None)

    def shown(self, column: Column) -> str:
        """The column's name, if it looks like one; else its place."""
        if _PLAIN_NAME.fullmatch(column.name):
            return f"`{column.name}`"
        return f"column {list(self.columns).index(column) + 1}"

    def chat(self, column: Column) -> ChatFacts | None:
        """The facts of the conversations in a column."""
        return next((facts for facts in self.chats if facts.column == column.name), None)


def verdicts(table: Table) -> tuple[Fit, ...]:
    """One for each method."""
    return (_sft(table), _dpo(table), _kto(table), _grpo(table), _reward_model(table))


# --- supervised fine-tuning ------------------------------------------------------------------------------------------


def _sft(table: Table) -> Fit:
    messages = table.named("messages")
    if messages is not None and messages.form == "chat":
        return _checked(table, Fit("SFT", "yes", "`messages` holds conversations"), messages)
    prompt, completion, text = (table.named(name) for name in ("prompt", "completion", "text"))
    if prompt and completion and prompt.form == completion.form and prompt.form in _USABLE:
        return _checked(table, Fit("SFT", "yes", "`prompt` and `completion`"), prompt, completion)
    if text is not None and text.form == "text":
        return Fit("SFT", "yes", "`text` (as plain language modelling: it is up to you whether that is the task)")
    return (
        Fit("SFT", "nearly", why) if (why := _nearly_sft(table)) else _no("SFT", "no conversations, prompts or texts")
    )


def _nearly_sft(table: Table) -> str:
    """What to do with the columns there are; "" if there is nothing to do."""
    for column in table.columns:
        if column.name.lower() not in _OWN_PLACES and column.form in _TO_MESSAGES:
            return _TO_MESSAGES[column.form].format(name=table.shown(column))
    prompt, completion = table.like(_PROMPTS), table.like(_COMPLETIONS)
    if prompt and completion:
        ways = _renames(table, (prompt, "prompt"), (completion, "completion"))
        extra = table.like(("input", "context"))
        if extra is not None and extra is not prompt and extra.form == "text":
            ways.append(f"join {table.shown(extra)} to the prompt where it is not empty")
        return "; ".join(ways) or "make `prompt` and `completion` of one form, both text or both conversations"
    if pair := _pair(table):
        return f"take {table.shown(pair[0])} as the answer (`completion`, or `messages` if it has the whole talk)"
    texts = [column for column in table.columns if column.form == "text"]
    if len(texts) == 1 and texts[0].name.lower() in ("text", "content", "document", "article", "body", "code"):
        return f"rename {table.shown(texts[0])} to `text`, if plain language modelling is the task"
    return ""


# --- preferences -----------------------------------------------------------------------------------------------------


def _dpo(table: Table) -> Fit:
    pair = _pair(table)
    if pair is None:
        return _no("DPO", "no pair of a chosen and a rejected answer")
    if why := _nearly_pair(table, pair):
        return Fit("DPO", "nearly", why)
    form, prompt = pair[0].form, table.named("prompt")
    if prompt is not None and prompt.form == form:
        return _checked(table, Fit("DPO", "yes", "`prompt`, `chosen` and `rejected`"), prompt)
    if prompt is not None and form == "chat":
        why = f"`prompt` is of another form than `chosen` and `rejected`: leave it out, {_alike(table, pair)}"
        return Fit("DPO", "nearly", why)
    if prompt is not None:
        return Fit("DPO", "nearly", "make `prompt` text, as `chosen` and `rejected` are")
    if form == "chat":
        level: Level = "yes" if _is_alike_everywhere(table, pair) else "nearly"
        return Fit(
            "DPO", level, f"no `prompt`: it is the common beginning of `chosen` and `rejected`, {_alike(table, pair)}"
        )
    if (other := table.like(_PROMPTS)) is not None:
        return Fit("DPO", "nearly", "; ".join(_renames(table, (other, "prompt"))))
    return Fit("DPO", "nearly", f"no `prompt`: split it off from `chosen` and `rejected`, {_alike(table, pair)}")


def _reward_model(table: Table) -> Fit:
    pair = _pair(table)
    if pair is None:
        return _no("Reward model", "no pair of a chosen and a rejected answer")
    if why := _nearly_pair(table, pair):
        return Fit("Reward model", "nearly", why)
    return _checked(table, Fit("Reward model", "yes", "`chosen` and `rejected`"), *pair)


def _kto(table: Table) -> Fit:
    prompt, completion, label = table.like(_PROMPTS), table.like(_COMPLETIONS), table.like(_LABELS)
    if prompt and completion and label and label.form in ("bool", "label", "int"):
        ways = _renames(table, (prompt, "prompt"), (completion, "completion"), (label, "label"))
        if label.form != "bool":
            ways.append(f"make {table.shown(label)} true or false, if it tells good answers from bad ones")
        if not ways and prompt.form == completion.form:
            return _checked(table, Fit("KTO", "yes", "`prompt`, `completion` and `label`"), prompt, completion)
        return Fit("KTO", "nearly", "; ".join(ways) or "make `prompt` and `completion` of one form")
    if _pair(table) is not None:
        return Fit(
            "KTO", "nearly", "make two rows of each pair: the chosen answer with label true, the other with false"
        )
    return _no("KTO", "no label that tells good answers from bad ones")


def _pair(table: Table) -> tuple[Column, Column] | None:
    for names in _PAIRS:
        chosen, rejected = table.like(names[:1]), table.like(names[1:])
        if chosen and rejected:
            return chosen, rejected
    return None


def _nearly_pair(table: Table, pair: tuple[Column, Column]) -> str:
    """What a pair lacks; "" if nothing."""
    ways = _renames(table, (pair[0], "chosen"), (pair[1], "rejected"))
    if not ways and pair[0].form != pair[1].form:
        ways = ["make `chosen` and `rejected` of one form, both text or both conversations"]
    return "; ".join(ways)


def _beginnings(table: Table, pair: tuple[Column, Column]) -> list[bool]:
    """For each row with a whole pair, whether both answers begin alike."""
    found = []
    for row in table.rows:
        chosen, rejected = (row.whole(column.name) for column in pair)
        if (left := messages_in(chosen)) and (right := messages_in(rejected)):
            found.append(left[0] == right[0])
        elif isinstance(chosen, str) and isinstance(rejected, str):
            found.append(chosen[:_MIN_COMMON_CHARS] == rejected[:_MIN_COMMON_CHARS])
    return found


def _is_alike_everywhere(table: Table, pair: tuple[Column, Column]) -> bool:
    found = _beginnings(table, pair)
    return bool(found) and all(found)


def _alike(table: Table, pair: tuple[Column, Column]) -> str:
    found = _beginnings(table, pair)
    return f"both begin alike in {sum(found)} of {len(found)} rows looked at" if found else "which no row at hand shows"


# --- reinforcement learning ------------------------------------------------------------------------------------------


def _grpo(table: Table) -> Fit:
    fit = _grpo_prompt(table)
    reference = next((column for name in _REFERENCES if (column := table.like((name,))) is not None), None)
    if fit.level == "no":
        return fit
    rest = "the reward function is yours to write"
    if reference is not None:
        rest += f", with {table.shown(reference)} as the likely reference"
    return replace(fit, why=f"{fit.why}; {rest}")


def _grpo_prompt(table: Table) -> Fit:
    prompt = table.named("prompt")
    if prompt is not None and prompt.form in _USABLE:
        fit = _checked(table, Fit("GRPO", "yes", "`prompt`"), prompt)
        facts = table.chat(prompt)
        if facts is not None and any(what == "ends with the assistant" for what, _ in facts.faults):
            return replace(fit, level="nearly", why=f"{fit.why}; cut what the assistant says at the end of prompts")
        return fit
    other = table.like(_PROMPTS)
    if other is not None and other.form not in ("other", "bool", "label", "int"):
        return Fit("GRPO", "nearly", "; ".join(_renames(table, (other, "prompt"))))
    for column in table.columns:
        if column.form in CHAT_FORMS and column.name.lower() not in ("completion", "rejected"):
            return Fit("GRPO", "nearly", f"take {table.shown(column)} up to its last user message as `prompt`")
    return _no("GRPO", "no prompts")


# --- shared ----------------------------------------------------------------------------------------------------------


def _no(method: str, why: str) -> Fit:
    return Fit(method, "no", why)


def _renames(table: Table, *wanted: tuple[Column, str]) -> list[str]:
    """What turns these columns into those of the names wanted, in a usable form."""
    ways = []
    for column, name in wanted:
        if column.form in _TO_MESSAGES and column.form != "chat":
            ways.append(
                f"{_TO_MESSAGES[column.form].format(name=table.shown(column)).replace('`messages`', f'`{name}`')}"
            )
        elif column.form not in _USABLE and name != "label":
            ways.append(f"make text of {table.shown(column)} for `{name}`")
        elif column.name != name:
            ways.append(f"rename {table.shown(column)} to `{name}`")
    return ways


def _checked(table: Table, fit: Fit, *columns: Column) -> Fit:
    """`fit` with what the conversations at hand say against it."""
    notes, level = [], fit.level
    for column in columns:
        facts = table.chat(column)
        if facts is None:
            continue
        name = table.shown(column)
        if not facts.read:
            notes.append(f"by its type alone: no whole conversation of {name} was at hand")
        if facts.odd_roles:
            notes.append(f"map the roles in {name} that chat templates do not know")
        if facts.faulty:
            notes.append(f"{facts.faulty} of {facts.read} conversations of {name} have problems, see there")
        if facts.odd_roles or facts.faulty * 2 > facts.read:
            level = "nearly"
    return replace(fit, level=level, why="; ".join([fit.why, *notes]))
