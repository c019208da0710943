"""What the model is told of the sandbox tools: their descriptions and arguments."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from agent.compute.sandbox.space import FREE_HARDWARE
from agent.compute.sandbox.words import DEFAULT_TIMEOUT_S, MAX_TIMEOUT_S, WORK_DIR
from agent.hub.hardware import SPACE_FLAVORS
from agent.tools import edit_tool, read_tool, write_tool

_PATH = {"type": "string", "description": f"The file in the sandbox; relative paths start from {WORK_DIR}."}


def _there(parameters: Mapping[str, Any]) -> dict[str, Any]:
    """The parameters of a local file tool, with paths in the sandbox."""
    return {**parameters, "properties": {**parameters["properties"], "path": _PATH}}


_FILES_THERE = "\n\nAll of this happens in the sandbox: the person's own files are not there."
READ = read_tool.DESCRIPTION + _FILES_THERE
WRITE = write_tool.DESCRIPTION + _FILES_THERE
EDIT = edit_tool.DESCRIPTION + _FILES_THERE
READ_PARAMETERS = _there(read_tool.PARAMETERS)
WRITE_PARAMETERS = _there(write_tool.PARAMETERS)
EDIT_PARAMETERS = _there(edit_tool.PARAMETERS)

CREATE = f"""\
Choose the machine that bash, read, write and edit work in: a sandbox on Hugging Face, private, deleted when the \
session ends.

A free one ({FREE_HARDWARE}: 2 CPUs, 16 GB) is being made since the session began, and the other tools wait for it: \
for ordinary CPU work do not call this at all. Call it for a GPU or a bigger machine, to try a training script before \
a job, with the smallest hardware that shows whether it works. Paid hardware costs by the hour until it is deleted, \
paused, or the session ends.

The hardware of a sandbox cannot be changed in place: replace=true makes another one and deletes the present one with \
all its files, so copy what matters first. attach goes on with a sandbox that was paused. pause stops the machine and \
its costs; its files are lost."""

CREATE_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "properties": {
        "hardware": {
            "type": "string",
            "enum": list(SPACE_FLAVORS),
            "description": f"What it runs on. Default: whatever is there, else {FREE_HARDWARE}.",
        },
        "trackio_space_id": {
            "type": "string",
            "description": "Space of a Trackio dashboard (owner/name), made ready and set as TRACKIO_SPACE_ID there.",
        },
        "trackio_project": {"type": "string", "description": "Set as TRACKIO_PROJECT in the sandbox."},
        "attach": {
            "type": "string",
            "description": "Id (owner/sandbox-1a2b3c4d) of a sandbox of the person's to go on with, for one that was "
            "paused. Do not combine with hardware.",
        },
        "replace": {
            "type": "boolean",
            "default": False,
            "description": "Delete the present sandbox, and its files, once the other one is there.",
        },
        "pause": {
            "type": "boolean",
            "default": False,
            "description": "Only stop the present sandbox and its costs. Its files are lost.",
        },
    },
}

BASH = f"""\
Run a shell command (bash) in the sandbox and get stdout and stderr together, in the order printed.

- Every call is a fresh shell in {WORK_DIR}, or in `work_dir`: `cd` and variables do not carry over to the next. \
Files, installed packages and background processes stay until the sandbox ends. Calls do not depend on each other, so \
several may be sent at once; join steps that need each other with `&&`.
- There is no terminal and no input: pass -y and the like to programs that ask.
- For files use the file tools: read rather than cat, head or tail; edit rather than sed or awk; write rather than \
echo, tee or a heredoc.
- A command has `timeout` seconds ({DEFAULT_TIMEOUT_S} unless given, {MAX_TIMEOUT_S} at most), then it and its \
children are ended; what it had printed is returned.
- Start long work (training, servers) in the background and look at its log from time to time: \
`nohup python train.py > train.log 2>&1 & echo $!`, later `tail -n 20 train.log`.
- Of more than 25,000 characters the beginning and the end are returned, with the path of a file there that has all.
- The sandbox is not the person's machine: their files are not there, and what is there is gone when it is deleted."""

BASH_PARAMETERS: dict[str, Any] = {
    "type": "object",
    "additionalProperties": False,
    "required": ["command"],
    "properties": {
        "command": {"type": "string", "description": "The shell command or script to run."},
        "description": {"type": "string", "description": "What it does, in five to ten words, for the person."},
        "work_dir": {
            "type": "string",
            "description": f"Directory to run in; relative paths start from {WORK_DIR}. Default: {WORK_DIR}.",
        },
        "timeout": {
            "type": "integer",
            "description": f"Seconds until the command is ended. Default {DEFAULT_TIMEOUT_S}, at most {MAX_TIMEOUT_S}.",
        },
    },
}
