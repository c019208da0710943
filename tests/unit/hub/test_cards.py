"""READMEs keep what they say, and say once where they come from."""

from __future__ import annotations

from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from agent.hub.cards import MARKER, TAG, augmented_card

ID = "tester/thing"


def parts(card: str) -> tuple[dict[str, Any], str]:
    """Metadata and text."""
    _, head, body = card.split("---\n", 2)
    return yaml.safe_load(head) or {}, body


def test_an_empty_readme_gets_everything() -> None:
    metadata, body = parts(augmented_card("", ID))
    assert metadata == {"tags": [TAG]}
    assert body.startswith(f"# {ID}\n")
    assert MARKER in body
    assert "AutoModelForCausalLM" in body
    assert f'"{ID}"' in body


def test_a_dataset_says_how_to_load_it() -> None:
    assert f'load_dataset("{ID}")' in augmented_card("", ID, "dataset")


def test_a_model_that_is_no_language_model_is_not_called_one() -> None:
    card = augmented_card("---\npipeline_tag: image-classification\n---\n", ID)
    assert "AutoModelForCausalLM" not in card
    assert f'snapshot_download("{ID}")' in card


def test_a_space_gets_metadata_only() -> None:
    content = "---\ntitle: x\nsdk: docker\n---\n"
    assert augmented_card(content, ID, "space") == f"---\ntitle: x\nsdk: docker\ntags:\n- {TAG}\n---\n"


@pytest.mark.parametrize(
    ("before", "after"),
    [
        ("tags:\n- a # why\n- b\nlicense: mit\n", "tags:\n- a # why\n- b\n- ml-intern\nlicense: mit\n"),
        ("tags:\n  - a\n\n# end\n", "tags:\n  - a\n  - ml-intern\n\n# end\n"),
        ("tags: [a, b] # c\n", "tags: [a, b, ml-intern] # c\n"),
        ("tags: []\n", 'tags: ["ml-intern"]\n'),
        ("tags: solo # c\nx: 1\n", 'tags: ["solo", "ml-intern"] # c\nx: 1\n'),
        ("tags:\nx: 1\n", 'tags: ["ml-intern"]\nx: 1\n'),
        ("# first\nb: 1\na: 2\n", "# first\nb: 1\na: 2\ntags:\n- ml-intern\n"),
        ("tags: ml-intern\n", "tags: ml-intern\n"),
        ("tags: [x, ml-intern]\n", "tags: [x, ml-intern]\n"),
        ("{license: mit}\n", "license: mit\ntags:\n- ml-intern\n"),
        ("a: &t [x]\ntags: *t\n", "a:\n- x\ntags:\n- x\n- ml-intern\n"),
        ("", "tags:\n- ml-intern\n"),
    ],
)
def test_metadata_are_changed_in_their_place(before: str, after: str) -> None:
    assert augmented_card(f"---\n{before}---\n", ID, "space") == f"---\n{after}---\n"


def test_what_is_there_beats_what_comes() -> None:
    extra = {"license": "apache-2.0", "language": "en", "tags": "new"}
    metadata, _ = parts(augmented_card("---\nlicense: mit\ntags: [old]\n---\nText.\n", ID, extra=extra))
    assert metadata == {"license": "mit", "tags": ["old", TAG], "language": "en"}
    assert parts(augmented_card("Text.\n", ID, extra=extra))[0]["tags"] == ["new", TAG]


@pytest.mark.parametrize("head", ["a: [", "- a\n- b", "text", "day: 2024-99-99", "a: !!python/none x"])
def test_metadata_that_nobody_can_read_are_left_alone(head: str) -> None:
    content = f"---\n{head}\n---\n# Mine\n"
    assert augmented_card(content, ID) == content


def test_a_rule_at_the_top_is_no_metadata() -> None:
    content = "---\n\nText without an end\n"
    assert augmented_card(content, ID).startswith(f"---\ntags:\n- {TAG}\n---\n{content}")


@pytest.mark.parametrize("heading", ["## Usage", "### How to use", "## Using this model ##", "###### use this dataset"])
def test_a_second_section_on_usage_is_not_added(heading: str) -> None:
    card = augmented_card(f"# Mine\n\n{heading}\n\nLike this.\n", ID)
    assert MARKER in card
    assert "AutoModel" not in card


@pytest.mark.parametrize("heading", ["# Usage", "## Usage statistics", "Usage"])
def test_other_headings_are_no_sections_on_usage(heading: str) -> None:
    assert "AutoModel" in augmented_card(f"{heading}\n\nText.\n", ID)


def test_line_ends_and_a_byte_order_mark_stay() -> None:
    card = augmented_card("\ufeff---\r\ntags:\r\n- a\r\n---\r\n# Mine\r\n", ID)
    assert card.startswith("\ufeff---\r\ntags:\r\n- a\r\n- ml-intern\r\n---\r\n# Mine\r\n")
    assert "\n" not in card.replace("\r\n", "")


def test_a_readme_without_a_last_line_end() -> None:
    assert augmented_card("---\na: 1\n---", ID).startswith(f"---\na: 1\ntags:\n- {TAG}\n---\n# {ID}\n")
    assert f"\nText.\n\n{MARKER}\n" in augmented_card("Text.", ID)


KEYS = st.sampled_from(["tags", "license", "title", "a: b", "x"])
VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.dates() | st.text(max_size=8),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(KEYS, inner, max_size=2),
    max_leaves=5,
)
STYLES = st.sampled_from([True, False, None])


@settings(max_examples=150, deadline=None)
@given(st.dictionaries(KEYS, VALUES, max_size=4), STYLES, st.text(max_size=30), st.sampled_from(["model", "space"]))
def test_any_metadata_keep_their_meaning(metadata: dict[str, Any], flow: bool | None, text: str, kind: str) -> None:
    head = yaml.safe_dump(metadata, default_flow_style=flow, sort_keys=False, allow_unicode=True)
    metadata = yaml.safe_load(head)  # PyYAML does not read all that it writes: "\x85" comes back as a blank
    card = augmented_card(f"---\n{head}---\n{text}", ID, kind)
    _, edited, body = _split(card)
    found = yaml.safe_load(edited)
    assert {key: value for key, value in found.items() if key != "tags"} == {
        key: value for key, value in metadata.items() if key != "tags"
    }
    if metadata.get("tags") is None or isinstance(metadata["tags"], str | list):
        assert TAG in found["tags"]
    assert body.startswith(text) or not text.strip()
    assert augmented_card(card, ID, kind) == card


@settings(max_examples=150, deadline=None)
@given(st.text(alphabet="-\n\r #:tags[]{}'\"&*!|>ab\ufeff", max_size=40) | st.text(max_size=40))
def test_any_text_is_kept_and_done_once(content: str) -> None:
    for kind in ("model", "dataset", "space"):
        card = augmented_card(content, ID, kind)
        assert augmented_card(card, ID, kind) == card
        text = content.removeprefix("\ufeff")
        if text.strip() and not text.lstrip().startswith("---"):
            assert text in card
            assert yaml.safe_load(_split(card)[1])["tags"] == [TAG]


def _split(card: str) -> tuple[str, str, str]:
    lines = [f"{line}\n" for line in card.split("\n")]
    first, second = [at for at, line in enumerate(lines) if line.strip().lstrip("\ufeff") == "---"][:2]
    return "".join(lines[: first + 1]), "".join(lines[first + 1 : second]), "".join(lines[second + 1 :])[:-1]
