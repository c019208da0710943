from __future__ import annotations

import pytest

from agent.protocol.events import ApprovalItem
from agent.protocol.operations import ApprovalAnswer
from agent.ui.approval_panel import parse_answer, prompt_hint, render_item
from agent.ui.banner import print_banner
from tests.unit.ui.samples import HOSTILE, assert_calm, build, printed, recording_console

RULE = "bash(git commit *)"
WITH_RULE = ApprovalItem("bash", {"command": "git commit -m x"}, "1", "not read-only", always_rule=RULE)
WITHOUT_RULE = ApprovalItem("bash", {"command": "rm x"}, "1")


def panel(item: ApprovalItem, width: int = 80, index: int = 1, total: int = 1) -> str:
    console = recording_console(width)
    render_item(console, item, index, total)
    return printed(console)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("y", ApprovalAnswer("1", True)),
        ("Yes", ApprovalAnswer("1", True)),
        (" Y ", ApprovalAnswer("1", True)),
        ("n", ApprovalAnswer("1", False)),
        ("NO", ApprovalAnswer("1", False)),
        ("a", ApprovalAnswer("1", True, always_rule=RULE)),
        ("Always", ApprovalAnswer("1", True, always_rule=RULE)),
        ("", None),
        ("   ", None),
        ("ok", None),
        ("OK", None),
        ("?", None),
        ("No, use Adam", ApprovalAnswer("1", False, feedback="No, use Adam")),
        ("yes but with LR=3e-4", ApprovalAnswer("1", False, feedback="yes but with LR=3e-4")),
        ("Yes, please!", None),
        ("go ahead", None),
        ("[/x] Écrire", ApprovalAnswer("1", False, feedback="[/x] Écrire")),
    ],
)
def test_answers(text: str, expected: ApprovalAnswer | None) -> None:
    assert parse_answer(text, WITH_RULE) == expected


def test_always_is_only_for_offered_rules() -> None:
    assert parse_answer("a", WITHOUT_RULE) is None
    assert prompt_hint(WITHOUT_RULE) == "[y]es / [n]o / or type why not"
    assert prompt_hint(WITH_RULE) == "[y]es / [n]o / [a]lways / or type why not"


def test_a_command_is_shown_whole_with_the_rule() -> None:
    item = ApprovalItem("bash", {"command": "cd x\nrm -rf [/y]", "timeout": 5}, "1", "not read-only", always_rule=RULE)
    assert panel(item, index=2, total=3) == (
        "\nApproval 2 of 3: bash\n"
        "why: not read-only\n"
        "\n  cd x\n  rm -rf [/y]\n  timeout: 5\n\n"
        "always would add the rule: bash(git commit *)\n"
    )


def test_long_commands_are_not_cut() -> None:
    command = "echo " + "x" * 5_000 + " ; rm -rf y\n" + "true\n" * 700
    shown = panel(ApprovalItem("bash", {"command": command}, "1"), 40)
    assert shown.count("x") == 5_000
    assert shown.count("true") == 700


def test_an_edit_is_shown_as_its_diff() -> None:
    diff = "--- a/x\n+++ b/x\n@@ -1 +1 @@\n-a\n+b\n"
    shown = panel(ApprovalItem("edit", {"path": "x", "old_str": "a", "new_str": "b"}, "1", preview=diff))
    assert shown == "\nApproval: edit\n\n  x\n  @@ -1 +1 @@\n  -a\n  +b\n"


def test_a_diff_names_its_file_where_the_path_above_does_not() -> None:
    def shown(path: str, diff: str) -> list[str]:
        item = ApprovalItem("write", {"path": path}, "1", preview=f"{diff}@@ -0,0 +1,3 @@\n+a\n \n\n")
        return [line.strip() for line in panel(item).split("\n")[3:-1]]

    hunk = ["@@ -0,0 +1,3 @@", "+a"]
    assert shown("./s/x.py", "--- /dev/null\n+++ b/s/x.py\n") == ["./s/x.py", "new file", *hunk]
    assert shown("/etc/x", "--- /etc/x\n+++ /etc/x\n") == ["/etc/x", *hunk]
    assert shown("link.py", "--- a/x.py\n+++ b/x.py\n") == ["link.py", "--- a/x.py", "+++ b/x.py", *hunk]


def test_a_plan_looks_as_an_answer_does() -> None:
    plan = "1. look\n2. *train*\n\nThen report.\n\n```sh\nls\n```\n"
    assert panel(ApprovalItem("propose_plan", {"plan": plan}, "1")) == (
        "\nApproval: propose_plan\n\n 1. look\n 2. train\n\nThen report.\n\n```sh\nls\n```\n"
    )


def test_other_arguments_are_json_and_scripts_are_lines() -> None:
    item = ApprovalItem(
        "server_tool",
        {"script": "import x\nx.run()", "flavor": "a10g"},
        "1",
        block_reason="over the cap",
        estimated_cost_usd=1.5,
        remaining_cap_usd=0.25,
    )
    assert panel(item) == (
        "\nApproval: server_tool\n"
        "not automatic because: over the cap\n"
        '\n  {\n    "flavor": "a10g"\n  }\n  script:\n  import x\n  x.run()\n'
        "\nestimated cost:  $1.50\nleft of the cap: $0.25\n"
    )


def test_what_a_careful_person_would_look_at_comes_before_the_command() -> None:
    item = ApprovalItem("bash", {"command": "rm x"}, "1", "why", hints=("deletes files (rm x)", "a\x1b[2Kb"))
    assert panel(item) == "\nApproval: bash\nwhy: why\n! deletes files (rm x)\n! a\\x1b[2Kb\n\n  rm x\n"


def test_the_same_reason_is_told_once() -> None:
    item = ApprovalItem("bash", {"command": "x"}, "1", "`x` may change something", block_reason="over the cap")
    assert "why: `x` may change something\nnot automatic because: over the cap\n" in panel(item)
    again = ApprovalItem("bash", {"command": "x"}, "1", "it runs `sudo`", block_reason="it runs `sudo`")
    assert panel(again).startswith("\nApproval: bash\nwhy: it runs `sudo`\n\n")


def test_hidden_characters_are_shown() -> None:
    shown = panel(ApprovalItem("bash", {"command": "ls\x1b[2K\r # \u202erm\u200b"}, "1"))
    assert "ls\\x1b[2K\\r # \\u202erm\\u200b" in shown


@pytest.mark.parametrize("width", [40, 80, 120])
@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE)
def test_any_text(text: str, width: int) -> None:
    for tool in ("bash", text):
        for preview in (None, text):
            item = ApprovalItem(
                tool, {"command": text, text: [text], "path": text}, "1", text, preview, text, hints=(text,)
            )
            assert_calm(panel(item, width), width)
    assert_calm(panel(build(ApprovalItem, text), width), width)
    console = recording_console(width)
    print_banner(console, version=text, model=text, runs_on=text, directory=text, session_id=text)
    assert_calm(printed(console), width)


def test_the_banner_is_short_and_static() -> None:
    console = recording_console(80)
    print_banner(console, version="0.2.0", model="replay/demo", runs_on="replay", directory="/w", session_id=None)
    assert printed(console).splitlines()[:4] == [
        "ml-intern 0.2.0",
        "  model     replay/demo",
        "  runs on   replay",
        "  directory /w",
    ]
    assert len(printed(console).splitlines()) == 5
