"""The replay provider as a model."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from agent.llm.calls import CallHooks, CallRequest, complete
from agent.llm.client import LLMClient
from agent.llm.failures import LLMCallError, ProviderError
from agent.llm.stream import Assembler, LLMResult

USER = {"role": "user", "content": "go"}


async def ask(client: LLMClient, path: Path | str, *messages: dict[str, Any]) -> LLMResult:
    assembler = Assembler()
    async for delta in client.acompletion(model=f"replay/{path}", messages=messages or [USER]):
        assembler.add(delta)
    return assembler.result()


def script(tmp_path: Path, *lines: str) -> Path:
    path = tmp_path / "script.jsonl"
    path.write_text("\n".join(lines))
    return path


async def test_answers_come_in_order_and_comments_are_skipped(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        "# a comment",
        '{"text": ["a", "b"], "usage": {"prompt_tokens": 3, "completion_tokens": 1}}',
        "",
        '{"text": "c"}',
    )
    client = LLMClient()
    first = await ask(client, path)
    assert (first.content, first.finish_reason) == ("ab", "stop")
    assert first.usage is not None
    assert first.usage.total_tokens == 4
    assert (await ask(client, path)).content == "c"
    with pytest.raises(ProviderError, match="no more answers"):
        await ask(client, path)


async def test_captures_report_what_the_tools_really_said(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        '{"capture": {"acc": "accuracy: ([0-9.]+)", "f1": "f1: ([0-9.]+)"}, "text": "got {{acc}} and {{f1}}"}',
        '{"text": "still {{acc}}"}',
    )
    client = LLMClient()
    history = [USER, {"role": "assistant"}, {"role": "tool", "content": "accuracy: 0.91"}]
    assert (await ask(client, path, *history)).content == "got 0.91 and (not found)"
    assert (await ask(client, path)).content == "still 0.91"


async def test_what_was_not_found_can_end_the_script_instead(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        '{"capture": {"acc": "accuracy: ([0-9.]+)"}, "text": "{{acc}}", "otherwise": "nothing measured"}',
        '{"text": "never"}',
    )
    client = LLMClient()
    assert (await ask(client, path)).content == "nothing measured"
    with pytest.raises(ProviderError, match="no more answers"):
        await ask(client, path)


async def test_an_old_result_is_not_captured(tmp_path: Path) -> None:
    path = script(tmp_path, '{"capture": {"acc": "accuracy: ([0-9.]+)"}, "text": "{{acc}}"}')
    history = [{"role": "tool", "content": "accuracy: 0.1"}, {"role": "assistant"}, {"role": "tool", "content": "-"}]
    assert (await ask(LLMClient(), path, *history)).content == "(not found)"


async def test_a_fault_comes_after_its_chunks(tmp_path: Path) -> None:
    path = script(
        tmp_path,
        '{"text": ["a", "b"], "error": {"status": 429, "message": "slow", "after_chunks": 1}}',
    )
    assembler = Assembler()
    with pytest.raises(ProviderError) as raised:
        async for delta in LLMClient().acompletion(model=f"replay/{path}", messages=[USER]):
            assembler.add(delta)
    assert assembler.text == "a"
    assert raised.value.status_code == 429


async def test_a_restarting_script_begins_again_with_the_next_prompt_only(tmp_path: Path) -> None:
    path = script(tmp_path, '{"restart": true}', '{"text": "a"}')
    client = LLMClient()
    assert (await ask(client, path)).content == "a"
    assert (await ask(client, path)).content == "a"
    with pytest.raises(ProviderError, match="no more answers"):
        await ask(client, path, USER, {"role": "tool", "content": "x"})


async def test_settings_of_the_script_are_no_answers(tmp_path: Path) -> None:
    path = script(tmp_path, '{"window": 9000}', '{"text": "a"}', '{"restart": true, "price": {}}')
    client = LLMClient()
    assert (await ask(client, path)).content == "a"
    assert (await ask(client, path)).content == "a"
    assert client.scripted_window(f"replay/{path}") == 9000


async def test_an_aside_answers_whoever_asks_for_it_and_is_no_part_of_the_sequence(tmp_path: Path) -> None:
    client, path = (
        LLMClient(),
        script(tmp_path, '{"when": "^Summar", "text": "short"}', '{"text": "a"}', '{"text": "b"}'),
    )
    wants_summary = {"role": "user", "content": "Summarise this."}
    said = [(await ask(client, path, message)).content for message in (USER, wants_summary, wants_summary, USER)]
    assert said == ["a", "short", "short", "b"]


async def test_a_script_that_goes_on_takes_up_where_the_conversation_stands(tmp_path: Path) -> None:
    path = script(tmp_path, '{"goes_on": true}', '{"text": "a"}', '{"text": "b"}', '{"text": "c"}')
    said = {"role": "assistant", "content": "a"}
    client = LLMClient()
    assert (await ask(client, path, USER, said, USER)).content == "b"
    assert (await ask(client, path, USER)).content == "c"  # later the sequence counts
    assert (await ask(LLMClient(), path, USER)).content == "a"


async def test_a_bad_line_is_named(tmp_path: Path) -> None:
    with pytest.raises(ProviderError, match="line 2: not JSON"):
        await ask(LLMClient(), script(tmp_path, "{}", "{oops"))
    with pytest.raises(ProviderError, match="line 1: must be a JSON object"):
        await ask(LLMClient(), script(tmp_path, "[]"))


async def test_a_missing_script_names_the_bundled_ones() -> None:
    with pytest.raises(ProviderError, match="replay/demo"):
        await ask(LLMClient(), "no-such-script")


async def test_a_missing_script_is_said_once() -> None:
    call = complete(LLMClient(), CallRequest("replay/nope", (USER,)), CallHooks(on_text=_ignore, on_notice=_ignore))
    with pytest.raises(LLMCallError) as raised:
        await call
    text = str(raised.value)
    assert text.startswith("There is no replay script 'nope'")
    assert text.count("nope") == 1
    assert text.endswith(".")


async def _ignore(text: str) -> None:
    pass


@pytest.mark.parametrize(
    ("line", "problem"),
    [
        ('{"text": 5}', "text must be"),
        ('{"text": ["a", 5]}', "text must be"),
        ('{"thinking": []}', "thinking must be"),
        ('{"tool_calls": {}}', "tool_calls must be"),
        ('{"tool_calls": ["bash"]}', "tool_calls must be"),
        ('{"tool_calls": [{"arguments": {}}]}', "tool_calls: each needs a name"),
        ('{"tool_calls": [{"name": 1}]}', "tool_calls: name must be"),
        ('{"tool_calls": [{"name": "x", "arguments": []}]}', "tool_calls: arguments must be"),
        ('{"usage": 1}', "usage must be"),
        ('{"finish_reason": 1}', "finish_reason must be"),
        ('{"delay_s": "soon"}', "delay_s must be"),
        ('{"delay_s": -1}', "delay_s must be"),
        ('{"capture": {"a": "("}}', "capture must be"),
        ('{"capture": {"a": "no group"}}', "capture must be"),
        ('{"capture": {"a": 1}}', "capture must be"),
        ('{"otherwise": 1}', "otherwise must be"),
        ('{"error": "x"}', "error must be"),
        ('{"error": {"status": "x"}}', "error: status must be"),
        ('{"error": {"after_chunks": "x"}}', "error: after_chunks must be"),
        ('{"error": {"headers": []}}', "error: headers must be"),
        ('{"restart": 1}', "restart must be"),
        ('{"window": 0}', "window must be"),
        ('{"window": "9k"}', "window must be"),
        ('{"price": 3}', "price must be"),
        ('{"price": {"input_usd_per_million": "3"}}', "price: input_usd_per_million must be"),
        ('{"price": {"output_usd_per_million": -3}}', "price: output_usd_per_million must be"),
    ],
)
async def test_a_field_of_the_wrong_type_is_named(tmp_path: Path, line: str, problem: str) -> None:
    path = script(tmp_path, "{}", line)
    with pytest.raises(ProviderError) as raised:
        await ask(LLMClient(), path)
    assert str(raised.value).startswith(f"{path}: line 2: {problem}")


async def test_a_script_that_is_no_text_is_named(tmp_path: Path) -> None:
    path = tmp_path / "script.jsonl"
    path.write_bytes(b"\xff\xfe")
    with pytest.raises(ProviderError, match=r"script\.jsonl: cannot be read"):
        await ask(LLMClient(), path)
