"""The parts under the documentation tools: splitting books and pages, words, addresses, commands."""

from __future__ import annotations

import shlex
from typing import Any
from urllib.parse import parse_qsl, urlsplit

import pytest
from hypothesis import given
from hypothesis import strategies as st

from agent.tools.arguments import ArgumentError
from agent.tools.docs.addresses import is_hub_docs, page_address
from agent.tools.docs.curl import curl_command
from agent.tools.docs.html_pages import sidebar_pages, text_of
from agent.tools.docs.libraries import packages_of
from agent.tools.docs.llms_txt import MAX_PAGES, read_pages
from agent.tools.docs.openapi import read_api
from agent.tools.docs.passages import MAX_HEADINGS, MAX_PASSAGE_CHARS, heading_offset, passages_of
from agent.tools.docs.words import match_expression, name_parts
from agent.tools.docs_tools import EXPLORE_PARAMETERS, GLOSSES

TEXTS = st.lists(
    st.sampled_from(["# A", "## B c", "```", "~~~", "", "text", "x" * 700, "y" * 4000, "# in code?", "| a | b |"]),
    max_size=40,
).map("\n".join)


@given(TEXTS)
def test_passages_are_the_page_piece_by_piece(text: str) -> None:
    passages = list(passages_of(text))
    assert "".join(passage.content for passage in passages) == text
    assert all(0 < len(passage.content) <= MAX_PASSAGE_CHARS for passage in passages)
    lines = text.split("\n")
    for passage in passages:
        shown = "\n".join(lines[passage.first_line - 1 : passage.last_line])
        assert passage.content.rstrip("\n") in shown


def test_a_passage_begins_at_a_heading_but_not_at_a_comment_in_code() -> None:
    text = "# Top\n\n## First [[first]]\n\na\n\n```python\n# comment\n```\n\n## Second\n\nb\n"
    found = [(passage.heading, passage.first_line, passage.last_line) for passage in passages_of(text)]
    assert found == [("First", 1, 10), ("Second", 11, 13)]
    assert heading_offset(text, "second") == text.index("## Second")
    assert heading_offset(text, "first") == text.index("## First")
    assert heading_offset(text, "comment") is None


def test_a_book_is_split_only_where_a_listed_address_follows() -> None:
    lines = """# Trl
## Docs
- [One](https://h/one.md)
- [Two [x]](https://h/two.md): what it says
- [Elsewhere](https://evil/x)

### One
https://h/one.md

### Not a page
https://h/other.md
### One
https://h/one.md
end of one
""".splitlines(keepends=True)

    def address(url: str) -> str | None:
        return url.removesuffix(".md") if url.startswith("https://h/") else None

    pages = list(read_pages(lines, address))
    assert [(page.title, page.url) for page in pages] == [("One", "https://h/one"), ("Two [x]", "https://h/two")]
    text = pages[0].text or ""
    assert text.startswith("### Not a page") and text.endswith("end of one\n")
    assert (pages[1].text, pages[1].about) == (None, "what it says")
    assert next(read_pages(lines, address, is_cut=True)).text is None


def test_words_of_names() -> None:
    """Defect 8: a class is found by its parts, an argument by its whole name."""
    assert name_parts("SFTTrainer takes max_seq_length and GRPOConfig") == "SFT Trainer max seq length GRPO Config"
    assert match_expression('SFTTrainer" OR NEAR(') == '"sfttrainer" OR "or" OR "near" OR "sft" OR "trainer"'
    assert match_expression("?! --") == ""


@pytest.mark.parametrize(
    ("given_url", "url", "markdown", "fragment"),
    [
        ("https://huggingface.co/docs/trl/x.md?a=b#c", "{hub}/docs/trl/x", "{hub}/docs/trl/x.md", "c"),
        ("/docs/trl/x#c", "{hub}/docs/trl/x", "{hub}/docs/trl/x.md", "c"),
        ("docs/trl/x?a", "{hub}/docs/trl/x", "{hub}/docs/trl/x.md", ""),
        ("hf.co/docs/trl/", "{hub}/docs/trl", "{hub}/docs/trl.md", ""),
        ("https://gradio.app/llms.txt#blocks", "{gradio}/llms.txt", "{gradio}/llms.txt", "blocks"),
        (
            "https://huggingface.co:8443/docs/x",
            "https://huggingface.co:8443/docs/x",
            "https://huggingface.co:8443/docs/x.md",
            "",
        ),
        ("https://x.gradio.app/a", "https://x.gradio.app/a", "https://x.gradio.app/a.md", ""),
    ],
)
def test_query_and_fragment_go_before_md_is_added(given_url: str, url: str, markdown: str, fragment: str) -> None:
    """Defect 11."""
    environ = {"HF_ENDPOINT": "http://127.0.0.1:1/", "GRADIO_BASE_URL": "http://127.0.0.1:2"}
    at = {"hub": "http://127.0.0.1:1", "gradio": "http://127.0.0.1:2"}
    address = page_address(given_url, environ)
    assert (address.url, address.markdown_url, address.fragment) == (url.format(**at), markdown.format(**at), fragment)


@pytest.mark.parametrize("url", ["/docs/../api/whoami-v2", "/docs/%2e%2e/api", "https://me:pw@huggingface.co/docs/x"])
def test_addresses_that_are_no_plain_pages(url: str) -> None:
    with pytest.raises(ArgumentError):
        page_address(url, {})


def test_who_is_told_who_asks() -> None:
    """Defect 1: the token is for documentation on the Hub alone."""
    assert is_hub_docs("https://huggingface.co/docs/trl/x.md", {})
    assert not is_hub_docs("https://huggingface.co/api/whoami-v2", {})
    assert not is_hub_docs("https://huggingface.co.evil.org/docs/x", {})
    assert not is_hub_docs("http://huggingface.co/docs/x", {})
    assert not is_hub_docs("https://huggingface.co/docs/x", {"HF_ENDPOINT": "http://127.0.0.1:1"})


def test_a_page_of_html_as_text() -> None:
    html = (
        b"<body><nav>menu</nav><main><h1>Title</h1><p>Some <b>bold</b> words.</p><ul><li>one</li></ul>"
        b"<pre><code>def f():\n    pass</code></pre><p hidden>secret</p><script>x()</script></main></body>"
    )
    expected = "# Title\n\nSome bold words.\n\n- one\n\n```\ndef f():\n    pass\n```"
    assert text_of(html) == expected
    assert text_of(b"") == ""


@pytest.mark.parametrize("html", [b"<div>" * 200_000, b"<nav><main></b>" * 100_000])
def test_a_page_made_to_keep_the_parser_busy(html: bytes) -> None:
    """Each of these would take the parser minutes."""
    assert text_of(html) == ""
    assert list(sidebar_pages(html, lambda url: url)) == []


def test_long_pages_are_not_taken_for_deep_ones() -> None:
    assert text_of(b"<div><p>a<br><b>b</b></div>" * 5_000).startswith("a\nb\n\na\nb")


def test_all_libraries() -> None:
    assert len(GLOSSES) == 40
    assert EXPLORE_PARAMETERS["properties"]["endpoint"]["enum"] == list(GLOSSES)
    assert [len(packages_of(name)) for name in ("trl", "optimum", "courses", "gradio")] == [1, 6, 12, 1]
    assert packages_of("courses")[0].base({}) == "https://huggingface.co/learn/llm-course"
    assert packages_of("optimum")[5].base({}) == "https://huggingface.co/docs/optimum-tpu"


# --- the API ---------------------------------------------------------------------------------------------------------

DOCUMENT: dict[str, Any] = {
    "servers": [{"url": "https://evil.example/v1"}],
    "tags": [{"name": "repos"}],
    "paths": {
        "/api/{kind}/{name}/it's": {
            "parameters": [
                {"name": "kind", "in": "path", "schema": {"type": "string", "enum": ["models", "datasets"]}},
                {"$ref": "#/components/parameters/Name"},
                {"name": "depth", "in": "query", "schema": {"type": "integer"}},
            ],
            "post": {
                "tags": ["repos", "other"],
                "operationId": "doIt",
                "parameters": [
                    {"name": "depth", "in": "query", "required": True, "example": 3},
                    {"name": "q", "in": "query", "example": "a b&c='$(id)`id`"},
                    {"name": "X-Kind", "in": "header", "required": True, "schema": {"type": "string"}},
                ],
                "requestBody": {"$ref": "#/components/requestBodies/Body"},
                "responses": {"200": {"$ref": "#/components/responses/Fine"}},
            },
        },
    },
    "components": {
        "parameters": {"Name": {"name": "name", "in": "path", "required": True, "schema": {"type": "string"}}},
        "requestBodies": {"Body": {"content": {"application/json": {"schema": {"$ref": "#/components/schemas/Job"}}}}},
        "responses": {"Fine": {"description": "All is well"}},
        "schemas": {
            "Job": {
                "type": "object",
                "required": ["title"],
                "properties": {
                    "title": {"type": "string", "example": "it's"},
                    "count": {"type": "integer"},
                    "kind": {"anyOf": [{"const": "a"}, {"const": "b"}]},
                    "parent": {"$ref": "#/components/schemas/Job"},
                    "labels": {"type": "array", "items": {"type": ["string", "null"]}},
                },
            }
        },
    },
}


def test_an_endpoint_with_everything_resolved() -> None:
    """Defect 12: parameters of the path are merged in, references followed, in bodies too."""
    (endpoint,) = read_api(DOCUMENT).endpoints
    assert [(each.name, each.place, each.required) for each in endpoint.parameters] == [
        ("kind", "path", True),
        ("name", "path", True),
        ("depth", "query", True),
        ("q", "query", False),
        ("X-Kind", "header", True),
    ]
    assert {name: endpoint.body[name] for name in ("title", "count", "kind", "labels")} == {
        "title": "it's",
        "count": 0,
        "kind": "a",
        "labels": ["..."],
    }
    assert endpoint.body["parent"]["title"] == "it's"  # a type inside of itself comes to an end
    assert endpoint.responses == (("200", "All is well"),)
    assert read_api(DOCUMENT).tags == ("other", "repos")


def test_the_command_is_safe_in_a_shell() -> None:
    """Defect 12: the shell puts in the token, the query is inside of the quotes, the body is the schema's."""
    api = read_api(DOCUMENT)
    command = curl_command(api.endpoints[0], "https://huggingface.co" + api.base_path)
    assert '-H "Authorization: Bearer $HF_TOKEN"' in command
    words = shlex.split(command.replace("\\\n", ""))
    assert words[:3] == ["curl", "-X", "POST"]
    address = urlsplit(words[3])
    assert (address.netloc, address.path) == ("huggingface.co", "/v1/api/models/NAME/it's")
    assert parse_qsl(address.query) == [("depth", "3"), ("q", "a b&c='$(id)`id`")]
    assert "X-Kind: X_KIND" in words
    assert '"title": "it\'s"' in words[words.index("-d") + 1]


@pytest.mark.parametrize(
    "document",
    [None, [], {"paths": []}, {"paths": {"/x": None, "/y": {"get": 3}}}, {"paths": {"/x": {"$ref": "#/paths/~1x"}}}],
)
def test_a_document_that_is_none(document: Any) -> None:
    assert read_api(document).endpoints == ()


def test_broken_parts_of_a_document() -> None:
    odd = {
        "parameters": [3, {"$ref": "http://x"}, {"name": 1}],
        "requestBody": {"content": []},
        "responses": {"200": 1},
    }
    (endpoint,) = read_api({"paths": {"/x": {"get": odd}}, "servers": [{"url": "http://[x"}]}).endpoints
    assert (endpoint.has_body, endpoint.responses) == (False, (("200", ""),))
    assert curl_command(endpoint, "https://h").startswith("curl 'https://h/x'")


def test_so_many_headings_of_a_page_begin_a_passage_and_nothing_of_it_is_lost() -> None:
    text = "## a\n\nx\n\n" * (MAX_HEADINGS + 1_000)
    passages = list(passages_of(text))
    assert "".join(passage.content for passage in passages) == text
    assert MAX_HEADINGS <= len(passages) < MAX_HEADINGS + 100


def test_so_many_links_of_a_list_are_looked_at_and_sections_of_an_overview_read() -> None:
    asked: list[str] = []

    def address(link: str) -> str | None:
        asked.append(link)
        return link if link.startswith("in") else None

    lines = [*(f"- [a](out/{number})\n" for number in range(MAX_PAGES - 1)), *["- [b](in/1)\n", "- [c](in/2)\n"]]
    assert [page.url for page in read_pages(lines, address)] == ["in/1"]
    assert len(asked) == MAX_PAGES
    headings = (f"## h{number}\n" for number in range(MAX_HEADINGS + 10))
    assert len(list(read_pages(headings, address, prose_url="u"))) == MAX_HEADINGS
