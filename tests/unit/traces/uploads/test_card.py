"""The card of the person's dataset."""

from __future__ import annotations

from agent.traces.uploads.card import card
from tests.fakes.hub_repository import front_matter


def test_the_viewer_and_datasets_find_sessions_and_nothing_else() -> None:
    head = front_matter(card("me/traces").encode())
    assert head["configs"] == [
        {"config_name": "default", "data_files": [{"split": "train", "path": "sessions/**/*.jsonl"}]}
    ]
    assert {"agent-traces", "claude-code", "hf-agent-trace-viewer", "ml-intern"} <= set(head["tags"])
    assert (head["license"], head["language"], head["task_categories"]) == ("other", ["en"], ["text-generation"])


def test_it_warns_before_publishing_and_names_its_dataset() -> None:
    text = card("me/traces")
    assert 'load_dataset("me/traces"' in text
    assert "**Nobody has reviewed these files, and no complete redaction was done.**" in text
    assert "{" not in text.replace("{hf_user}", "")
