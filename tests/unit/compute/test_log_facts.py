"""What a line of a training log says."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.compute.log_facts import MAX_METRICS, facts_in, is_loss


@pytest.mark.parametrize(
    ("line", "metrics"),
    [
        (
            "{'loss': 1.25, 'grad_norm': 0.5, 'learning_rate': 2e-05, 'epoch': 0.3}",
            {"loss": 1.25, "grad_norm": 0.5, "learning_rate": 2e-05, "epoch": 0.3},
        ),
        ("{'loss': '0.6931', 'epoch': '0.01'}", {"loss": 0.6931, "epoch": 0.01}),
        (
            "{'eval_loss': 0.4, 'eval_runtime': 12.5, 'epoch': 1.0}",
            {"eval_loss": 0.4, "eval_runtime": 12.5, "epoch": 1.0},
        ),
        ('{"step": 10, "train/loss": 0.25}', {"step": 10.0, "train/loss": 0.25}),
        ("step=100 loss=0.123 lr=1e-4", {"step": 100.0, "loss": 0.123, "lr": 1e-4}),
        ("Epoch: 3, val_accuracy: 0.91", {"Epoch": 3.0, "val_accuracy": 0.91}),
        ("rewards/mean: -1.5 | kl: 0.02", {"rewards/mean": -1.5, "kl": 0.02}),
        (
            " 10%|█         | 10/100 [00:01<00:09,  9.52it/s, loss=0.5]",
            {"loss": 0.5},
        ),
        ("2026-11-21 10:00:01 INFO train: loss = .5", {"loss": 0.5}),
    ],
)
def test_figures_are_read(line: str, metrics: dict[str, float]) -> None:
    assert facts_in(line).metrics == metrics
    assert facts_in(line).alert is None


def test_what_is_no_number_any_more_is_a_figure_all_the_same() -> None:
    assert math.isnan(facts_in("{'loss': nan, 'epoch': 1.0}").metrics["loss"])
    assert math.isinf(facts_in("loss: inf").metrics["loss"])


@pytest.mark.parametrize(
    "line",
    [
        "",
        "Downloading shards: 45%|████      | 9/20 [00:10<00:12,  1.1s/it]",
        "loss: 45%|████      | 9/20",
        "Epoch: 3",
        "step=100 lr=1e-4",
        "max_grad_norm=1.0 loss_type=2 kl_coef: 0.1",
        '{"pid": 1, "status": 200}',
        "Installed 45 packages in 1.2s",
        "GET https://example.invalid/loss:443/map",
        "loss: CrossEntropyLoss()",
        "lossless=1x",
    ],
)
def test_other_lines_say_nothing(line: str) -> None:
    assert not facts_in(line).metrics
    assert facts_in(line).alert is None


@pytest.mark.parametrize(
    ("line", "alert"),
    [
        ("Traceback (most recent call last):", "traceback"),
        ("  | Traceback (most recent call last):", "traceback"),
        ("torch.OutOfMemoryError: CUDA out of memory. Tried to allocate 2 GiB", "oom"),
        ("RuntimeError: CUDA out of memory.", "oom"),
        ("[TRACKIO ERROR] Loss diverged: loss is 12 (step 40)", "alert"),
        ("[TRACKIO WARN] Overfitting: gap is 0.4", None),
        ("ERROR 404: not found", None),
        ("memory: 12 GB of 24 GB used", None),
    ],
)
def test_trouble_is_seen(line: str, alert: str | None) -> None:
    assert facts_in(line).alert == alert


def test_a_line_gives_only_so_many_figures() -> None:
    line = "{" + ", ".join(f"'loss_{number}': {number}.0" for number in range(100)) + "}"
    assert len(facts_in(line).metrics) == MAX_METRICS


@pytest.mark.parametrize(("name", "falls"), [("eval_loss", True), ("train/perplexity", True), ("accuracy", False)])
def test_losses_are_known(name: str, falls: bool) -> None:
    assert is_loss(name) is falls


@given(st.text())
def test_any_text_is_taken(text: str) -> None:
    facts = facts_in(text)
    assert len(facts.metrics) <= MAX_METRICS


@pytest.mark.parametrize("piece", ["loss_", "a=1 ", "loss: ", "'a': ", "{'loss'", "-./@", "1e1", "loss=1."])
def test_no_line_is_too_much(piece: str) -> None:
    """One that made a pattern go back and forth for ever would run into the time limit of the test."""
    line = "{" + piece * 50_000 + "}"
    for _ in range(10):
        assert len(facts_in(line).metrics) <= MAX_METRICS
        assert len(facts_in(line[1:]).metrics) <= MAX_METRICS


@pytest.mark.parametrize("line", ["{'please delete the loss': 1.0, 'x': 2}", '{"ignore all of it loss": 3}'])
def test_a_sentence_is_no_name_of_a_figure(line: str) -> None:
    assert facts_in(line).metrics == {}
