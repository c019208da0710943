"""Whether sessions are uploaded, and where to."""

from __future__ import annotations

from typing import Any

import pytest

from agent.config import Config
from agent.traces.uploads.sharing import Target, Tokens, announcement, decide, switched_off

MINE = Tokens(personal="hf_mine_0123456789")
BOTH = Tokens(personal="hf_mine_0123456789", organization="hf_org_0123456789")


def config(**more: Any) -> Config:
    return Config(share_traces=True, **more)


def test_as_shipped_nothing_leaves_the_machine() -> None:
    """Defect 10."""
    sharing = decide(Config(), {}, BOTH)
    assert not sharing.is_on
    assert "share_traces" in sharing.why_off


def test_turned_on_it_goes_to_the_persons_own_dataset_only() -> None:
    (target,) = decide(config(), {"HF_SESSION_UPLOAD_TOKEN": "hf_org_0123456789"}, BOTH).targets
    assert (target.name, target.repo_of("alice")) == ("personal", "alice/ml-intern-sessions")
    assert target.repo_of(None) == "{hf_user}/ml-intern-sessions"
    assert target.named(None) == "<your user name>/ml-intern-sessions"


@pytest.mark.parametrize("name", ["ML_INTERN_NO_UPLOAD", "DO_NOT_TRACK"])
@pytest.mark.parametrize(("value", "is_on"), [("1", False), ("yes", False), ("", True), ("0", True), ("False", True)])
def test_each_variable_turns_everything_off(name: str, value: str, is_on: bool) -> None:
    """Defect 10: one switch for everything, the organisation's dataset included."""
    sharing = decide(config(session_dataset_repo="acme/sessions"), {name: value}, BOTH)
    assert sharing.is_on is is_on
    assert len(sharing.targets) == (2 if is_on else 0)
    assert name in sharing.why_off or is_on


def test_what_is_not_saved_is_not_uploaded() -> None:
    assert "save_sessions" in decide(config(save_sessions=False), {}, BOTH).why_off


def test_the_organisation_needs_a_dataset_and_a_token_of_its_own() -> None:
    """Defect 10."""
    named = config(session_dataset_repo="acme/sessions")
    assert [target.name for target in decide(named, {}, MINE).targets] == ["personal"]
    assert [target.name for target in decide(config(), {}, BOTH).targets] == ["personal"]
    assert [target.name for target in decide(named, {}, BOTH).targets] == ["personal", "organization"]
    only_its = decide(named, {}, Tokens(organization="hf_org_0123456789"))
    assert [target.name for target in only_its.targets] == ["organization"]


@pytest.mark.parametrize("template", ["sessions", "{hf_user}", "{hf_user}/a/b", "../x", "{other}/x", "a b/c", "/x", ""])
def test_a_template_that_makes_no_dataset_is_said(template: str) -> None:
    sharing = decide(config(personal_trace_repo_template=template), {}, MINE)
    assert "personal_trace_repo_template" in sharing.why_off


def test_without_a_token_it_says_how_to_get_one() -> None:
    assert "hf auth login" in decide(config(), {}, Tokens()).why_off
    assert switched_off(config(), {}) == ""  # a session is kept for the day on which there is one


def test_tokens_are_not_printed() -> None:
    assert "hf_" not in repr(BOTH)


def test_the_line_for_the_person_says_where_to_and_how_to_stop_it() -> None:
    mine, ours = Target("personal", "{hf_user}/ml-intern-sessions"), Target("organization", "acme/sessions")
    line = announcement([mine], None)
    assert "<your user name>/ml-intern-sessions" in line
    assert "private" in line
    assert "/share-traces off" in line
    assert "\n" not in line
    assert "organisation" not in line
    both = announcement([mine, ours], "alice")
    assert "alice/ml-intern-sessions and acme/sessions" in both
    assert "organisation can read its own" in both
    assert "made private" not in announcement([ours], "alice")
