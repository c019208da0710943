"""Notebooks as Markdown: cells in order, fences that hold, nothing of the output but errors."""

from __future__ import annotations

import json
import time
from typing import Any

import pytest

from agent.tools.github.notebooks import NotebookError, as_markdown
from tests.fakes.github import notebook


def _code(source: str | list[str], **more: Any) -> dict[str, Any]:
    return {"cell_type": "code", "metadata": {}, "source": source, "outputs": [], **more}


def test_cells_in_order_with_the_kernels_language() -> None:
    book = notebook(
        {"cell_type": "markdown", "metadata": {}, "source": "# A"},
        _code(["library(x)\n", "y <- 1"]),
        {"cell_type": "raw", "metadata": {}, "source": "raw text"},
        _code("   "),
        language="R",
    )
    assert as_markdown(book).markdown == "# A\n\n```r\nlibrary(x)\ny <- 1\n```\n\n```\nraw text\n```"


def test_without_a_kernel_it_is_python_and_an_odd_language_is_not_believed() -> None:
    for about in ({}, {"kernelspec": {"language": "a\n```\nb"}}, {"kernelspec": 3, "language_info": None}):
        book = json.dumps({"metadata": about, "cells": [_code("x")]})
        assert as_markdown(book).markdown == "```python\nx\n```"


def test_a_fence_in_the_code_does_not_end_the_cell() -> None:
    assert as_markdown(notebook(_code('s = """\n````\n"""'))).markdown.startswith("`````python\n")


@pytest.mark.parametrize("tag", ["hide", "hidden", "remove", "Remove-Cell", "hide_cell"])
def test_hidden_cells_are_left_out_and_counted(tag: str) -> None:
    book = as_markdown(notebook(_code("a = 1"), _code("b = 2", metadata={"tags": ["x", tag]})))
    assert (book.shown, book.hidden) == (1, 1)
    assert "b = 2" not in book.markdown


def test_outputs_are_left_out_but_errors_are_named() -> None:
    outputs = [
        {"output_type": "stream", "text": "PRINTED"},
        {"output_type": "error", "ename": "ValueError", "evalue": "bad\nvalue", "traceback": ["TRACE"]},
    ]
    markdown = as_markdown(notebook(_code("f()", outputs=outputs))).markdown
    assert markdown == "```python\nf()\n```\n\n[This cell ended with ValueError: bad value]"


def test_pictures_inside_of_markdown_are_left_out() -> None:
    cell = {"cell_type": "markdown", "source": f"![a](data:image/png;base64,{'QUJD' * 1000}) end"}
    assert as_markdown(notebook(cell)).markdown == "![a]((image/png left out)) end"


def test_the_format_of_old_notebooks() -> None:
    cells = [
        {"cell_type": "heading", "level": 2, "source": "Old"},
        {"cell_type": "code", "language": "python", "input": "print 1", "outputs": []},
    ]
    book = json.dumps({"nbformat": 3, "metadata": {"name": ""}, "worksheets": [{"cells": cells}]})
    assert as_markdown(book).markdown == "## Old\n\n```python\nprint 1\n```"


@pytest.mark.parametrize("text", ["", "[1]", "{}", '{"cells": {}}', '{"cells": [1]}', "[" * 100_000, "nul"])
def test_what_is_no_notebook(text: str) -> None:
    with pytest.raises(NotebookError):
        as_markdown(text)


@pytest.mark.parametrize(
    "odd",
    [
        {"cell_type": "code", "source": 3, "metadata": 4, "outputs": 5},
        {"cell_type": "code", "source": ["x", 3], "metadata": {"tags": "hide"}, "outputs": [None, {"output_type": []}]},
        {"cell_type": "heading", "source": "h", "level": "x"},
        {"cell_type": None, "source": "x"},
        {},
    ],
)
def test_odd_cells_do_no_harm(odd: dict[str, Any]) -> None:
    assert as_markdown(notebook(odd, _code("after"))).markdown.endswith("```python\nafter\n```")


def test_much_of_everything_takes_little_processor_time() -> None:
    hostile = ["`" * 200_000, "data:image/png;base64," * 20_000, "data:image/png;base64," + "A " * 200_000 + "!"]
    began_s = time.process_time()
    for source in hostile:
        as_markdown(notebook({"cell_type": "markdown", "source": source}, _code(source)))
    assert time.process_time() - began_s < 5
