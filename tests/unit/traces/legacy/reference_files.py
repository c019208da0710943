"""Session files as the reference left them, written by hand from what is known of them (spec sessions.md §2)."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

SESSION_ID = "0c0ffee0-1111-4222-8333-444455556666"
STARTED = "2026-03-02T09:15:00.123456+01:00"


def event(second: int, event_type: str, **data: Any) -> dict[str, Any]:
    return {"timestamp": f"2026-03-02T09:15:{second:02d}.500000+01:00", "event_type": event_type, "data": data}


def llm_call(second: int, cost_usd: float = 0.02, kind: str = "main", **more: Any) -> dict[str, Any]:
    usage = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050, "cache_read_tokens": 400}
    facts = {"model": "huggingface/moonshotai/Kimi-K2", "latency_ms": 900, "finish_reason": "stop", "kind": kind}
    return event(second, "llm_call", **facts, cost_usd=cost_usd, **usage, cache_creation_tokens=0, **more)


def call(call_id: str, name: str, arguments: str) -> dict[str, Any]:
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": arguments}}


PLAN = [
    {"id": "1", "content": "Look at the data", "status": "completed"},
    {"id": "2", "content": "Train", "status": "in_progress"},
]


def messages() -> list[dict[str, Any]]:
    todos = json.dumps({"todos": PLAN})
    signed = [{"type": "thinking", "thinking": "First the plan.", "signature": "c2lnbmVk"}]
    return [
        {"role": "system", "content": "You are an agent."},
        {"role": "user", "content": "train a\nclassifier"},
        {
            "role": "assistant",
            "content": "A plan first.",
            "tool_calls": [
                call("functions.plan_tool:0", "plan_tool", todos),
                call("call_b", "bash", '{"command": "ls"}'),
            ],
            "reasoning_content": "I need a plan.",
            "thinking_blocks": signed,
        },
        {"role": "tool", "content": "Plan saved.", "tool_call_id": "functions.plan_tool:0", "name": "plan_tool"},
        {"role": "tool", "content": "ls: no such directory", "tool_call_id": "call_b", "name": "bash"},
        {"role": "assistant", "content": "Nothing is there yet.", "tool_calls": None},
        {"role": "user", "content": [{"type": "text", "text": "then"}, {"type": "text", "text": "make it"}]},
        {"role": "user", "content": "[SYSTEM: CONTINUATION GUARD] two steps are open"},
        {"role": "assistant", "content": "Made."},
    ]


def events() -> list[dict[str, Any]]:
    return [
        event(1, "ready", message="ready", tool_count=2),
        event(2, "processing", message="…"),
        event(3, "assistant_chunk", content="A plan"),
        llm_call(4),
        event(4, "assistant_stream_end"),
        event(5, "tool_call", tool="plan_tool", arguments={"todos": PLAN}, tool_call_id="functions.plan_tool:0"),
        event(5, "tool_call", tool="bash", arguments={"command": "ls"}, tool_call_id="call_b"),
        event(6, "plan_update", plan=PLAN),
        event(7, "tool_output", tool="plan_tool", tool_call_id="functions.plan_tool:0", output="…", success=True),
        event(7, "tool_output", tool="bash", tool_call_id="call_b", output="ls: …", success=False),
        event(8, "hf_job_submit", job_id="j1", job_url="u", flavor="a10g-small", timeout="30m", job_type="python"),
        llm_call(9, 0.03),
        event(10, "turn_complete", history_size=6, final_response="Nothing is there yet."),
        event(20, "processing", message="…"),
        llm_call(21, 0.05),
        event(22, "turn_complete", history_size=9, final_response="Made."),
        event(23, "shutdown"),
    ]


def snapshot(**changes: Any) -> dict[str, Any]:
    return {
        "session_id": SESSION_ID,
        "user_id": "ada",
        "hf_username": "ada",
        "session_start_time": STARTED,
        "session_end_time": "2026-03-02T08:15:40.000000",
        "model_name": "huggingface/moonshotai/Kimi-K2-Instruct",
        "total_cost_usd": 0.1,
        "usage_metrics": {},
        "messages": messages(),
        "events": events(),
        "tools": [{"type": "function", "function": {"name": "bash", "parameters": {"type": "object"}}}],
        "upload_status": "success",
        "upload_url": "https://example.invalid/x",
        "last_save_time": "2026-03-02T08:15:40.000000",
        **changes,
    }


def keep(directory: Path, data: Any = None, name: str = f"session_{SESSION_ID}_20260302_091500.json") -> Path:
    """A file in `directory`/session_logs."""
    path = directory / "session_logs" / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(snapshot() if data is None else data, indent=2))
    return path
