"""Which dataset a call means, and what is refused before anything is asked."""

from __future__ import annotations

import pytest

from agent.tools.arguments import ArgumentError
from agent.tools.datasets.asking import may_have_token
from agent.tools.datasets.names import Wanted, read_wanted


@pytest.mark.parametrize(
    ("given", "wanted"),
    [
        ("trl-lib/Capybara", Wanted("trl-lib/Capybara")),
        ("  squad\n", Wanted("squad")),
        ("https://huggingface.co/datasets/x/y", Wanted("x/y")),
        ("https://huggingface.co/datasets/x/y/", Wanted("x/y")),
        ("https://huggingface.co/datasets/squad", Wanted("squad")),
        ("https://huggingface.co/datasets/squad/viewer/plain_text", Wanted("squad", "plain_text")),
        ("https://huggingface.co/datasets/x/y/viewer/main/test?p=2", Wanted("x/y", "main", "test")),
        ("https://hf.co/datasets/x/y/tree/main/data#files", Wanted("x/y")),
        ("huggingface.co/datasets/x/y", Wanted("x/y")),
        ("hf://datasets/x/y", Wanted("x/y")),
        ("datasets/x/y", Wanted("x/y")),
        ("http://127.0.0.1:9999/datasets/x/y", Wanted("x/y")),
    ],
)
def test_a_name_or_an_address_names_a_dataset(given: str, wanted: Wanted) -> None:
    assert read_wanted(given, "", "", {"HF_ENDPOINT": "http://127.0.0.1:9999"}) == wanted


def test_arguments_win_over_what_an_address_says() -> None:
    address = "https://huggingface.co/datasets/x/y/viewer/main/test"

    assert read_wanted(address, "other", "", {}) == Wanted("x/y", "other", "")
    assert read_wanted(address, "", "train", {}) == Wanted("x/y", "main", "train")


@pytest.mark.parametrize(
    "given",
    [
        "",
        "a/b/c",
        "../whoami-v2?x=",
        "x/..",
        "x/y?z=1",
        "x/y#z",
        "x y",
        "-x/y",
        "x--y",
        "https://kaggle.com/datasets/x/y",
        "https://huggingface.co/x/y",
        "https://huggingface.co/datasets/",
        "https://huggingface.co/datasets/x/%2e%2e",
        "https://[bad",
        "a" * 97,
    ],
)
def test_what_is_no_name_is_refused(given: str) -> None:
    with pytest.raises(ArgumentError, match="dataset"):
        read_wanted(given, "", "", {})


@pytest.mark.parametrize(
    ("base", "may"),
    [
        ("https://datasets-server.huggingface.co", True),
        ("https://hf.co", True),
        ("http://127.0.0.1:8000", True),
        ("http://localhost:8000", True),
        ("http://[::1]:8000", True),
        ("http://datasets-server.huggingface.co", False),
        ("https://huggingface.co.evil.example", False),
        ("https://evilhuggingface.co", False),
        ("https://mirror.example", False),
        ("http://10.0.0.1", False),
    ],
)
def test_the_token_goes_to_the_hubs_own_viewer_only(base: str, may: bool) -> None:
    assert may_have_token(base) is may


@pytest.mark.parametrize("name", ["config", "split"])
def test_names_that_are_too_long_to_be_any_are_refused(name: str) -> None:
    given = {"config": "en", "split": "train"} | {name: "x" * 256}
    with pytest.raises(ArgumentError, match=f"`{name}` has 256 characters"):
        read_wanted("org/data", given["config"], given["split"], {})
    assert read_wanted("org/data", "x" * 255, "y" * 255, {}).config == "x" * 255
