"""A session as Markdown: what stands in it, and that no text gets out of its place."""

from __future__ import annotations

import json
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt

from agent.protocol.messages import user_message
from agent.redaction.live import LiveSecrets
from agent.redaction.redactor import Redactor
from agent.traces.pages import markdown
from tests.unit.traces.pages.rich_session import Keeper, rich_session, short_session


def rich(tmp_path: Path) -> str:
    return markdown.render(rich_session(tmp_path)[0], Redactor())


def headings(text: str) -> list[str]:
    tokens = MarkdownIt().parse(text)
    return [tokens[at + 1].content for at, token in enumerate(tokens) if token.type == "heading_open"]


def test_it_begins_with_the_facts(tmp_path: Path) -> None:
    text = rich(tmp_path)
    assert text.startswith("# Why does SFT of Qwen diverge?\n\n```\ntitle:         Why does SFT")
    assert "\nturns:         4 (1 more taken back)\n" in text
    assert "\ncost:          at most $2.48 (answers at most $1.70, hf_jobs $0.77, compaction $0.0100)\n" in text
    assert "bash 4× (1 failed)" in text and "(75% cached)" in text


def test_calls_have_their_arguments_results_and_marks(tmp_path: Path) -> None:
    text = rich(tmp_path)
    assert '**bash** (failed, 1 min 05 s)\n\n```json\n{\n  "command": "python train.py' in text
    assert "```\nstep 1 loss 2.1\nstep 2 loss nan\n[exit code 1]\n```" in text
    assert "**bash** (denied)" in text and "**bash** (no result)" in text and "**hf_jobs** (12 s, $0.77)" in text
    assert "```diff\n--- a/train.py" in text


def test_what_was_taken_back_and_thought_is_left_out(tmp_path: Path) -> None:
    text = rich(tmp_path)
    assert "JAX" not in text and "jax" not in text and "*divergence*" not in text


def test_what_was_compacted_away_is_there_and_the_place_is_marked(tmp_path: Path) -> None:
    """Defect 12: the export is the session, not the current context."""
    text = rich(tmp_path)
    assert "My SFT run of Qwen3-0.6B diverges" in text
    assert "---\n\n*The conversation was shortened here: 90,000 tokens before, 12,000 after*" in text
    assert "seed 42" not in text  # the summary is the model's


def test_there_is_a_heading_for_each_speaker(tmp_path: Path) -> None:
    found = [heading for heading in headings(rich(tmp_path)) if heading in {"You", "ml-intern"}]
    assert found == ["You", "ml-intern"] * 4 + ["You"]


def test_words_that_the_person_did_not_write_are_left_out(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    keeper.ask("hi")
    keeper.say(user_message("the guard speaks", "guard"), user_message("and by the way", "steering"))
    keeper.answer("hello")
    text = markdown.render(keeper.close(), Redactor())
    assert "the guard speaks" not in text and "and by the way" in text


def test_an_output_cannot_end_its_block(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    keeper.ask("hi")
    keeper.run("bash", '{"command": "ls"}', "loss 0.1\n```\nnot the end\x1b[2J")
    assert "````\nloss 0.1\n```\nnot the end\n````" in markdown.render(keeper.close(), Redactor())


SWALLOWING = ("```python\nx = 1", "~~~\nopen", "<!-- hidden", "<details>\n\nx", "<script>", "- ```\n  x", "> ```\n> y",
              "````\n```", "1. <pre>", "<?php", "<![CDATA[", "``` a`b", "text <b>")  # fmt: skip


@settings(max_examples=60, deadline=None)
@given(st.lists(st.sampled_from(SWALLOWING), min_size=1, max_size=3).map("\n".join))
def test_no_text_swallows_what_follows_it(text: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        exported = markdown.render(short_session(Path(place), (text, text), ("next", "end")), Redactor())
    tokens = MarkdownIt("commonmark").parse(exported)
    assert not [token for token in tokens if token.type == "html_block"]
    assert headings(exported)[-2:] == ["You", "ml-intern"] and headings(exported).count("You") == 2


def test_code_stays_as_it_is(tmp_path: Path) -> None:
    code = "```html\n<details>\n```\n\nsee <https://e.example> and `<eos>`\n\n<https://e.example>"
    assert code in markdown.render(short_session(tmp_path, ("p", code)), Redactor())


@pytest.mark.parametrize("secret", ["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"])
def test_secrets_are_left_out_and_arguments_still_parse(tmp_path: Path, secret: str) -> None:
    keeper = Keeper(tmp_path)
    keeper.ask(f"use {secret}")
    keeper.run("bash", json.dumps({"command": f'export T="{secret}"'}), f"{secret[:8]}\x1b[0m{secret[8:]}")
    keeper.answer(f"done with {secret}")
    text = markdown.render(keeper.close(), Redactor(LiveSecrets({"HF_TOKEN": secret})))
    assert secret not in text
    block = text.partition("```json\n")[2].partition("\n```")[0]
    assert set(json.loads(block)) == {"command"}
