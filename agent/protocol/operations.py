"""What may be asked of a session: operations, put on the submission queue by a user interface."""

from __future__ import annotations

from dataclasses import field
from enum import Enum
from typing import Any

from agent.light_dataclass import dataclass
from agent.protocol.messages import new_id


class OpType(Enum):
    """The kinds of operation and the shape of their `data`."""

    USER_INPUT = "user_input"  # {text, asides?: [str]}
    EXEC_APPROVAL = "exec_approval"  # {approvals: [ApprovalAnswer as dict]}
    INTERRUPT = "interrupt"  # none; a running turn is stopped with Session.cancel(), which does not wait in the queue
    UNDO = "undo"  # {turns?: int = 1, what?: "both" | "chat" | "files"}
    COMPACT = "compact"  # {instructions?: str}
    NEW = "new"  # {clear_screen: bool}
    RESUME = "resume"  # {path, fork?: bool}
    RENAME = "rename"  # {title}
    CONFIGURE = "configure"  # {model_name?: str, mode?: Mode, yolo_mode?: bool, reasoning_effort?: str|None,
    #                           cap_usd?: float|None, share_traces?: bool}
    CONTEXT = "context"  # none; answered by `context_report`
    DIFF = "diff"  # none; answered by `workspace_diff`
    FEEDBACK = "feedback"  # {rating: "up" | "down", comment?: str}; answered by `feedback`
    SHELL = "shell"  # {command}: the person's own command; answered by `command_run`, or `interrupted`
    SHUTDOWN = "shutdown"  # none


@dataclass(frozen=True, slots=True)
class Operation:
    """One thing to do, with its data."""

    op_type: OpType
    data: dict[str, Any] | None = None


@dataclass(frozen=True, slots=True)
class Submission:
    """An operation on its way, with an id for whoever submitted it."""

    operation: Operation
    id: str = field(default_factory=new_id)


@dataclass(frozen=True, slots=True)
class ApprovalAnswer:
    """The person's word on one pending tool call.

    `feedback` is passed to the model verbatim when `approved` is false. `edited_script` replaces the argument that the
    call's `ApprovalItem.editable` names. `always_rule` is a permission rule added for the rest of the session (see
    agent/core/approval_policy.py).
    """

    tool_call_id: str
    approved: bool
    feedback: str | None = None
    edited_script: str | None = None
    namespace: str | None = None
    always_rule: str | None = None
