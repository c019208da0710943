"""The estimate of tokens, against what real tokenizers made of the same texts."""

from __future__ import annotations

import base64
import json
import random

import pytest

from agent.context_manager.tokens import estimate_message, estimate_text, estimate_tools
from agent.protocol.messages import FunctionCall, Message, ToolCall, assistant_message, user_message

RANDOM = random.Random(7)

PROSE = "The learning rate was lowered after the second epoch, because the validation loss had stopped falling. " * 20
FUNCTION = """
def evaluate(model: Model, loader: DataLoader[Batch], device: torch.device) -> dict[str, float]:
    model.eval()
    with torch.no_grad():
        losses = [model(batch.to(device), labels=batch["labels"]).loss.item() for batch in loader]
    return {"eval_loss": sum(losses) / len(losses), "batches": len(losses)}
"""
CODE = FUNCTION * 10
LOG = "\n".join(
    f"2026-11-21 11:02:{n % 60:02d},123 INFO trainer: step {n} loss={2.5 - n / 150:.4f} lr=3.2e-05" for n in range(200)
)
JSON = json.dumps([{"id": n, "loss": n / 7, "name": f"run_{n}", "ok": True} for n in range(200)])
TABLE = "\n".join(" ".join(f"{RANDOM.random():.6f}" for _ in range(8)) for _ in range(200))
BASE64 = base64.b64encode(RANDOM.randbytes(12_000)).decode()
HEX = RANDOM.randbytes(8_000).hex()
CHINESE = "模型训练完成后,我们对验证集进行了评估,结果显示准确率有所提高。" * 40
KOREAN = "모델 학습이 끝난 후 검증 세트에서 평가를 수행했습니다. 정확도가 향상되었습니다." * 40
ARABIC = "بعد الانتهاء من تدريب النموذج قمنا بتقييمه على مجموعة التحقق." * 40
EMOJI = "🚀🔥😀🎉🤖📈" * 100

MEASURED: dict[str, tuple[str, int, int]] = {
    "prose": (PROSE, 361, 361),
    "code": (CODE, 781, 910),
    "log": (LOG, 6999, 6565),
    "json": (JSON, 6105, 5597),
    "table": (TABLE, 7999, 7465),
    "base64": (BASE64, 11461, 11261),
    "hex": (HEX, 9038, 9286),
    "chinese": (CHINESE, 1200, 1000),
    "korean": (KOREAN, 1800, 1960),
    "arabic": (ARABIC, 1760, 2120),
    "emoji": (EMOJI, 1700, 1500),
}
"""Text, and the tokens that cl100k and the Claude 2 tokenizer make of it."""


@pytest.mark.parametrize("kind", MEASURED)
def test_the_estimate_is_hardly_low_and_not_wildly_high(kind: str) -> None:
    text, *counts = MEASURED[kind]
    assert 0.75 * max(counts) <= estimate_text(text) <= 1.7 * min(counts)


def test_a_blob_inside_prose_is_seen() -> None:
    mixed = PROSE + "\n" + BASE64 + "\n" + PROSE
    parts = 2 * estimate_text(PROSE) + estimate_text(BASE64)
    assert 0.85 * parts < estimate_text(mixed) < 1.15 * parts


def test_nothing_takes_nothing_and_anything_takes_something() -> None:
    assert estimate_text("") == 0
    assert estimate_text(" ") == 1
    assert estimate_text("\ud83d") > 0
    assert estimate_tools([]) == 0


def test_calls_thinking_and_tools_count() -> None:
    call = ToolCall("c", FunctionCall("write", json.dumps({"content": PROSE})))
    size = estimate_text(PROSE)
    assert estimate_message(assistant_message(None, (call,))) > size
    assert estimate_message(assistant_message("x", thinking_blocks=({"type": "thinking", "thinking": PROSE},))) > size
    assert estimate_message(assistant_message("x", thinking_blocks=({"type": "redacted", "data": PROSE},))) > size
    assert estimate_tools([{"function": {"description": PROSE}}]) > size
    assert estimate_message(Message("assistant")) == estimate_message(user_message("")) > 0
