"""The page of a session: what stands on it, and that nothing in a session can change what the page is."""

from __future__ import annotations

import json
import re
import tempfile
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from selectolax.lexbor import LexborHTMLParser as Parser
from selectolax.lexbor import LexborNode as Node

from agent.protocol.messages import user_message
from agent.redaction.live import LiveSecrets
from agent.redaction.redactor import Redactor
from agent.traces.pages import html as page
from agent.traces.pages.html import MAX_PAGE_BYTES, MAX_STEPS
from tests.unit.traces.pages.rich_session import Keeper, long_session, rich_session, short_session

SECRET = "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"
TAGS = set(
    "-comment -doctype html head meta title link style body a p h1 h2 h3 h4 h5 h6 header footer nav aside main section "
    "div span ul ol li dl dt dd details summary b i ins del strong em s code pre blockquote table thead tbody tr th td "
    "hr br time input label -text".split()
)
ATTRIBUTES = set(
    "lang charset http-equiv content name rel href class id dir style aria-labelledby aria-hidden datetime title "
    "target tabindex type for open start".split()
)
HOSTILE = (
    "</script><script>alert(1)</script>",
    "<img src=https://evil.example/x.png onerror=alert(1)>",
    "<details open ontoggle=alert(1)>",
    "</pre></div></section></main>",
    "[click](javascript:alert(1)) [data](data:text/html,<script>) [file](file:///etc/passwd) [rel](//evil.example)",
    "![pixel](https://evil.example/p.png)",
    '[x](https://e.example/"onmouseover="alert(1))',
    "<https://e.example/?q=<script>>",
    "</style><style>@import url(https://evil.example)</style>",
    "</title><base href=https://evil.example>",
    "\u202eesrever\u2066 \x1b[31mred\x1b[0m \x1b]8;;https://evil.example\x07link \x00 \x9b1m \ud800",
    "{{ 7 * 7 }}{% raw %}{# c #}",
    "```html\n<iframe src=https://evil.example>\n",
    "<!-- ", "<![CDATA[", "&lt;script&gt;", "|a|b|\n|-|-|\n|<b>|`<i>`|", "# <h1>", "> > > - * 1. x",
)  # fmt: skip


def rendered(tmp_path: Path, live: LiveSecrets | None = None) -> tuple[str, Parser]:
    timeline, sub_agents = rich_session(tmp_path)
    text = page.render(timeline, sub_agents, Redactor(live))
    return text, Parser(text)


def texts(tree: Parser | Node, selector: str) -> list[str]:
    return [" ".join(node.text().split()) for node in tree.css(selector)]


def links(tree: Parser) -> list[str]:
    return [node.attributes.get("href") or "" for node in tree.css("[href], [src]")]


def check_is_inert(text: str) -> Parser:
    """Only our own elements and attributes are on the page, and only harmless links."""
    tree = Parser(text)
    nodes = list(tree.css("*"))
    assert {node.tag for node in nodes} <= TAGS
    assert {name for node in nodes for name in node.attributes} <= ATTRIBUTES
    assert all(re.match(r"https?://|mailto:|#|data:,$", link) for link in links(tree)), links(tree)
    assert not re.search("[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e\u2066-\u2069\ud800-\udfff]", text)
    return tree


# --- what stands on it ------------------------------------------------------------------------------------------------


def test_the_facts_are_at_the_top(tmp_path: Path) -> None:
    _, tree = rendered(tmp_path)
    assert texts(tree, "h1") == ["Why does SFT of Qwen diverge?"]
    figures = texts(tree, ".figures li")
    assert figures[:2] == ["4 turns", "at most $2.48 cost"]
    assert "75% cached" in figures[4] and figures[-1] == "1 failed call"
    about = dict(zip(texts(tree, ".about dt"), texts(tree, ".about dd"), strict=True))
    assert about["Directory"] == "/work/llm" and about["Branch"] == "main"
    assert about["Cost"] == "answers at most $1.70hf_jobs $0.77compaction $0.0100"
    assert about["Tools"].startswith("bash 4× 1 failed") and "research 1×" in about["Tools"]


def test_the_timeline_has_each_turn_with_its_time_and_a_link_that_leads_to_it(tmp_path: Path) -> None:
    _, tree = rendered(tmp_path)
    rows = tree.css(".turns li")
    assert [row.css_first("a").attributes["href"] for row in rows] == [f"#turn-{number}" for number in range(1, 6)]
    assert all(len(tree.css(f"#turn-{number}")) == 1 for number in range(1, 6))
    assert texts(rows[0], ".small") == ["model 25 s, tools 1 min 47 s · at most $1.60"]
    widths = [[i.attributes["style"] for i in row.css("i")] for row in rows]
    assert widths[0] == ["width:19.1%", "width:80.9%"] and widths[4] == ["width:0.0%", "width:0.0%"]
    assert texts(rows[4], ".bad") == ["failed"] and texts(rows[3], ".warning") == ["stopped"]


def test_calls_are_folded_with_what_they_were_given_and_answered(tmp_path: Path) -> None:
    _, tree = rendered(tmp_path)
    turn = tree.css_first("#turn-1")
    assert not [node for node in turn.css("details") if "open" in node.attributes]
    (failed,) = turn.css("details.failed")
    assert texts(failed, "summary .what") == ["python train.py --steps 20 …"]
    assert texts(failed, ".reason") == ["exit code 1: step 2 loss nan"]
    assert texts(failed, ".mark") == ["failed"] and "1 min 05 s" in texts(failed, "summary")[0]
    assert failed.css_first("dd pre").text() == "python train.py --steps 20\necho done"
    assert failed.css(".inside > pre")[-1].text() == "step 1 loss 2.1\nstep 2 loss nan\n[exit code 1]"


def test_a_diff_is_shown_with_its_lines_marked(tmp_path: Path) -> None:
    _, tree = rendered(tmp_path)
    diff = tree.css_first("#turn-1 pre.diff")
    assert (texts(diff, "del"), texts(diff, "ins")) == (["-lr = 1e-2"], ["+lr = 2e-5"])
    assert ' print("<b>go</b>")' in diff.text()


def test_answers_are_rendered_and_thinking_is_folded(tmp_path: Path) -> None:
    _, tree = rendered(tmp_path)
    turn = tree.css_first("#turn-1")
    assert texts(turn, ".prose h4") == ["Findings", "What I found"] and texts(turn, "table th") == [
        "setting",
        "eval loss",
    ]
    (link,) = turn.css(".prose a")
    assert link.attributes["rel"] == "noopener noreferrer nofollow"
    assert texts(turn, "details.thinking em") == ["divergence"]
    assert texts(turn, ".plan .completed") == ["completed: Read train.py"]


def test_what_was_asked_for_and_denied_is_marked(tmp_path: Path) -> None:
    _, tree = rendered(tmp_path)
    (denied,) = tree.css("details.denied")
    assert texts(denied, ".mark") == ["asked", "denied"] and texts(denied, ".reason") == ["keep my cache"]
    assert "removes files outside of the workspace" in denied.text()


def test_jobs_interrupts_and_errors_are_lines(tmp_path: Path) -> None:
    _, tree = rendered(tmp_path)
    notes = " | ".join(texts(tree, ".note"))
    for words in ("Job 68f0c1 submitted", "completed after 30 min 50 s, about $0.77", "Sandbox me/sandbox-1",
                  "Stopped by the person", "The provider refused the key", "model openai/gpt-5"):  # fmt: skip
        assert words in notes
    assert "https://huggingface.co/jobs/me/68f0c1" in links(tree)


def test_a_sub_agent_is_nested_at_its_call(tmp_path: Path) -> None:
    _, tree = rendered(tmp_path)
    (sub,) = tree.css("details.sub")
    assert texts(sub, "details.call > summary > .what") == ["search: sft learning rate"] and "Findings" in sub.text()
    assert sub.parent is not None and sub.parent.parent is not None
    assert texts(sub.parent.parent, "summary .tool")[0] == "research"


def test_a_sub_agent_whose_call_is_not_there_stands_at_the_end(tmp_path: Path) -> None:
    _, sub_agents = rich_session(tmp_path)
    timeline = short_session(tmp_path, ("hi", "hello"))
    tree = Parser(page.render(timeline, sub_agents, Redactor()))
    assert len(tree.css("#turn-1 > details.sub")) == 1


def test_compaction_and_undo_hide_nothing(tmp_path: Path) -> None:
    """Defect 12: what was compacted away is there in full, what was taken back is there, folded and marked."""
    _, tree = rendered(tmp_path)
    back = tree.css_first("details#turn-2")
    assert back.css_first("summary").text().strip().startswith("Turn 2, taken back") and "import jax" in back.text()
    assert len(tree.css("#turn-1 details.call")) == 7
    divider = tree.css_first(".divider")
    assert "90,000 tokens before, 12,000 after" in divider.text()
    assert texts(divider, "details li") == ["seed 42"]


def test_each_message_has_its_own_time(tmp_path: Path) -> None:
    """Defect 11: times are those of the messages, UTC, for programs to the millisecond."""
    _, tree = rendered(tmp_path)
    stamps = [node.attributes["datetime"] or "" for node in tree.css("time")]
    shown = [f"2026-11-21 {time} UTC" for time in ("09:30", "09:32", "09:32", "09:33")]
    assert texts(tree, ".turn .head time") == shown  # seven seconds a message
    assert len(set(stamps)) > 10
    assert all(re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z", stamp) for stamp in stamps)


def test_headings_leave_no_level_out(tmp_path: Path) -> None:
    timeline = short_session(tmp_path, ("p", "###### deep\n\n# top\n\n### third\n\n###### sixth\n\n## second"))
    tree = Parser(page.render(timeline, [], Redactor()))
    levels = [int(node.tag[1]) for node in tree.css("h1, h2, h3, h4, h5, h6")]
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


def test_the_same_session_makes_the_same_page(tmp_path: Path) -> None:
    timeline, sub_agents = rich_session(tmp_path)
    assert page.render(timeline, sub_agents, Redactor()) == page.render(timeline, sub_agents, Redactor())


def test_a_session_without_a_turn_has_a_page(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    tree = Parser(page.render(keeper.close(), [], Redactor()))
    assert "Nothing was said" in tree.css_first("main").text() and texts(tree, "h1") == ["Untitled session"]


# --- hostile sessions -------------------------------------------------------------------------------------------------


def hostile_session(tmp_path: Path, text: str) -> str:
    keeper = Keeper(tmp_path, "hostile", cwd=text, model=text)
    keeper.journal.append("title", {"title": text, "by": "person"})
    keeper.ask(text)
    keeper.run(text, text, text, ok=False, display=f"@@ -1 +1 @@\n{text}")
    keeper.answer(text, keeper.new_call("bash", json.dumps({"command": text})), reasoning_content=text)
    keeper.say(user_message(text, "steering"), user_message(text, "guard"))
    for event_type, data in (
        ("error", {"error": text, "kind": text}),
        ("hf_job_submit", {"job_id": text, "flavor": text, "job_url": f"javascript:{text}", "timeout": text}),
        ("plan_update", {"plan": [{"id": text, "content": text, "status": text}]}),
        ("tool_log", {"tool": text, "log": text}),
        ("settings_changed", {"model_name": text, "changed": [text], "mode": text}),
        ("hf_job_complete", {"final_status": 3}),
        ("approval_required", {"tools": [3]}),
        ("compacted", {"old_tokens": text}),
    ):
        keeper.journal.append("event", {"event_type": event_type, "data": data})
    keeper.compact(text)
    return page.render(keeper.close(), [], Redactor())


@pytest.mark.parametrize("text", HOSTILE)
def test_nothing_in_a_session_is_obeyed(tmp_path: Path, text: str) -> None:
    tree = check_is_inert(hostile_session(tmp_path, text))
    assert len(tree.css("main section.turn")) == 1 and len(tree.css("main details.call")) == 2
    assert tree.css_first("footer") is not None


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(st.lists(st.one_of(st.sampled_from(HOSTILE), st.text(max_size=20)), min_size=1, max_size=5).map("\n".join))
def test_no_mixture_is_obeyed(text: str) -> None:
    with tempfile.TemporaryDirectory() as place:
        tree = check_is_inert(hostile_session(Path(place), text))
    assert len(tree.css("main section.turn")) == 1 and len(tree.css("main details.call")) == 2


def test_what_is_not_obeyed_can_be_read(tmp_path: Path) -> None:
    timeline = short_session(
        tmp_path, ("<b>bold?</b>", "<script>x</script> [a](javascript:y) ![cat](https://e.example/c)")
    )
    tree = check_is_inert(page.render(timeline, [], Redactor()))
    assert tree.css_first(".prompt").text().endswith("<b>bold?</b>")
    assert texts(tree, ".words .prose") == ["<script>x</script> [a](javascript:y) [image: cat]"]


def test_arguments_nested_without_end_are_shown_as_text(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    keeper.ask("deep")
    for depth in (61, 400, 5_000):
        keeper.run("bash", '{"a":' * depth + "1" + "}" * depth, "ok")
    keeper.run("bash", "[1, 2]", "ok")
    tree = Parser(page.render(keeper.close(), [], Redactor()))
    assert texts(tree, ".arguments dt") == ["_raw"] * 4


# --- secrets ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "spelled",
    [SECRET, SECRET.replace("_", "\\_"), f"&#104;{SECRET[1:]}", f"{SECRET[:9]}\x1b[0m{SECRET[9:]}",
     f"{SECRET[:9]}\u200b{SECRET[9:]}", f"{SECRET[:9]}**{SECRET[9:]}**", f"https://e.example/?t={SECRET}"],
)  # fmt: skip
def test_a_secret_is_on_no_page_however_it_is_spelled(tmp_path: Path, spelled: str) -> None:
    keeper = Keeper(tmp_path)
    keeper.ask(f"my token is {SECRET}")
    keeper.run("bash", json.dumps({"command": f"export HF={SECRET}", "env": {SECRET: SECRET}}), f"x {SECRET}")
    keeper.answer(f"The token {spelled} works.", reasoning_content=f"so {spelled} it is")
    text = page.render(keeper.close(), [], Redactor(LiveSecrets({"HF_TOKEN": SECRET})))
    assert SECRET not in text and SECRET not in Parser(text).text()
    assert "works." in text


def test_a_secret_where_a_long_text_is_cut_is_not_shown_in_halves(tmp_path: Path) -> None:
    limit = page._LIMITS[0]
    output = "x" * (limit - limit // 3 - 10) + SECRET + "y" * limit
    timeline = long_session(tmp_path, ["go"], output)
    assert SECRET[:10] not in page.render(timeline, [], Redactor(LiveSecrets({"HF_TOKEN": SECRET})))


# --- sizes ------------------------------------------------------------------------------------------------------------


@pytest.mark.timeout(120)
@pytest.mark.parametrize("output", ["loss 0.1\n" * 600_000, "<'&\">" * 1_000_000])
def test_outputs_of_5_mb_are_cut_with_a_word_about_it(tmp_path: Path, output: str) -> None:
    timeline = long_session(tmp_path, ["one", "two", "three"], output)
    text = page.render(timeline, [], Redactor())
    assert len(text.encode()) < MAX_PAGE_BYTES
    assert len(re.findall(r"\[… [\d,]+ of 5,\d{3},\d{3} characters are not on this page …\]", text)) == 3


@pytest.mark.timeout(120)
def test_2000_turns_are_all_there_and_texts_are_cut_until_they_fit(tmp_path: Path) -> None:
    timeline = long_session(tmp_path, [f"prompt {number}" for number in range(2_000)], "<line>\n" * 1_000)
    text = page.render(timeline, [], Redactor())
    assert len(text.encode()) < MAX_PAGE_BYTES
    assert len(set(re.findall(r'<section class="turn" id="(turn-\d+)"', text))) == 2_000
    assert text.count("characters are not on this page") == 2_000


@pytest.mark.timeout(120)
def test_more_steps_than_a_browser_takes_are_counted(tmp_path: Path) -> None:
    keeper = Keeper(tmp_path)
    keeper.ask("go")
    for number in range(MAX_STEPS + 50):
        keeper.say(user_message(f"note {number}", "steering"))
    keeper.ask("the last turn")
    keeper.answer("done")
    text = page.render(keeper.close(), [], Redactor())
    assert "53 steps more are not on this page" in text and len(text.encode()) < MAX_PAGE_BYTES


@pytest.mark.timeout(60)
@pytest.mark.parametrize(
    "text",
    ["|a" * 15_000 + "\n" + "|-" * 15_000 + "\n|x\n" * 2, "[" * 39_000, "*a " * 13_000, "> " * 15_000,
     "- " * 15_000, "`" * 39_000, "![](" * 9_000, "~~a" * 13_000],
)  # fmt: skip
def test_markdown_made_to_be_costly_is_not(tmp_path: Path, text: str) -> None:
    html = page.render(short_session(tmp_path, ("p", text)), [], Redactor())
    assert len(html) < 40_000 + 8 * len(text)
