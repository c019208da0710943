"""A loopback dataset viewer, and the Hub's page of each of its datasets, on one address.

Shapes and errors as the viewer's OpenAPI description has them: `/is-valid`, `/splits`, `/size`, `/info`, `/first-rows`,
`/rows`, `/statistics`, `/parquet`; the Hub's `/api/datasets/{id}`. A token reads what it is among the
`readers` of.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from tests.fakes.http_base import Exchange, HttpFake

Json = dict[str, Any]
GOOD_TOKEN = "hf_reader_of_the_fake"
VIEWER = ("is-valid", "splits", "size", "info", "first-rows", "rows", "statistics", "parquet")
ABILITIES = {"viewer": True, "preview": True, "search": True, "filter": True, "statistics": True}


def value(dtype: str = "string") -> Json:
    """A plain feature."""
    return {"dtype": dtype, "_type": "Value"}


CHAT = [{"role": value(), "content": value()}]
"""Conversations, as the viewer describes them: a list with a struct in it."""


@dataclass(frozen=True)
class Fault:
    """An error answer in place of the real one. `code` goes into X-Error-Code."""

    status: int
    code: str = ""
    error: str = "it went wrong"
    cause: str = ""


NOT_READY = Fault(500, "ResponseNotReady", "The server is busier than usual and the response is not ready yet.")


@dataclass
class FakeDataset:
    """A dataset; every config has the same features and rows. `splits` are (config, split, number of rows).

    `faults` are answered in turn by an endpoint before the real answer; those of `broken` stay.
    """

    features: Json = field(default_factory=lambda: {"text": value()})
    rows: Sequence[Json] = ({"text": "first"}, {"text": "second"})
    splits: Sequence[tuple[str, str, int]] = (("default", "train", 12_500), ("default", "test", 1_250))
    gated: bool | str = False
    private: bool = False
    disabled: bool = False
    readers: frozenset[str] = frozenset()
    renamed_to: str = ""
    tags: Sequence[str] = ("license:mit",)
    pending: Sequence[Json] = ()
    failed: Sequence[Json] = ()
    partial: bool = False
    statistics: Sequence[Json] = ()
    cut: Mapping[int, Sequence[str]] = field(default_factory=dict)
    abilities: Json = field(default_factory=lambda: dict(ABILITIES))
    bytes_per_row: int = 1_000
    faults: dict[str, list[Fault]] = field(default_factory=dict)
    broken: dict[str, Fault] = field(default_factory=dict)

    def is_open_to(self, token: str) -> bool:
        """Whether this token (or nobody, with "") may read the rows."""
        return token in self.readers or not (self.gated or self.private)


class DatasetsServer(HttpFake):
    """Serves `datasets` by their names."""

    def __init__(self) -> None:
        super().__init__()
        self.datasets: dict[str, FakeDataset] = {}
        self.hub_fault: Fault | None = None
        self.bad_tokens: frozenset[str] = frozenset()

    def add(self, name: str, **fields: Any) -> FakeDataset:
        """Have a dataset."""
        self.datasets[name] = FakeDataset(**fields)
        return self.datasets[name]

    @property
    def environ(self) -> dict[str, str]:
        """The environment in which this is the Hub and its viewer."""
        return {"HF_ENDPOINT": self.url, "DATASETS_SERVER_BASE_URL": self.url}

    def asked(self, endpoint: str) -> list[dict[str, str]]:
        """The queries that an endpoint of the viewer got."""
        return [request.query for request in self.requests if request.path == f"/{endpoint}"]

    async def respond(self, exchange: Exchange) -> None:
        """Answer one request."""
        path = exchange.request.path.strip("/")
        token = exchange.request.headers.get("authorization", "").removeprefix("Bearer ")
        if path.startswith("api/datasets/"):
            await self._page(exchange, path.removeprefix("api/datasets/"), token)
        elif path in VIEWER:
            await self._viewer(exchange, path, token)
        else:
            await super().respond(exchange)

    async def _page(self, exchange: Exchange, name: str, token: str) -> None:
        if self.hub_fault is not None:
            return await _fail(exchange, self.hub_fault)
        if token in self.bad_tokens:
            return await _fail(exchange, Fault(401, "", "Invalid credentials in Authorization header"))
        dataset = self.datasets.get(name)
        if dataset is None or (dataset.private and token not in dataset.readers):
            fault = Fault(404, "RepoNotFound", "Repository not found")
            return await _fail(
                exchange, fault if token else Fault(401, "RepoNotFound", "Invalid username or password.")
            )
        if dataset.renamed_to:
            is_elsewhere = "://" in dataset.renamed_to
            location = dataset.renamed_to if is_elsewhere else f"/api/datasets/{dataset.renamed_to}"
            await exchange.head(307, {"Location": location}, length_bytes=0)
            return await exchange.body(b"", last=True)
        page = {
            "id": name,
            "gated": dataset.gated,
            "private": dataset.private,
            "disabled": dataset.disabled,
            "lastModified": "2026-03-04T05:06:07.000Z",
            "tags": list(dataset.tags),
        }
        return await exchange.json(200, page)

    async def _viewer(self, exchange: Exchange, endpoint: str, token: str) -> None:
        query = exchange.request.query
        if "dataset" not in query:
            return await _fail(exchange, Fault(422, "MissingRequiredParameter", "Parameter 'dataset' is required"))
        dataset = self.datasets.get(query["dataset"])
        if dataset is None or dataset.renamed_to or not dataset.is_open_to(token):
            if token:
                text = "The dataset does not exist, or is not accessible with the current credentials."
                return await _fail(exchange, Fault(404, "ExternalAuthenticatedError", text))
            text = "The dataset does not exist, or is not accessible without authentication (private or gated)."
            return await _fail(exchange, Fault(401, "ExternalUnauthenticatedError", text))
        if queue := dataset.faults.get(endpoint):
            return await _fail(exchange, queue.pop(0))
        if endpoint in dataset.broken:
            return await _fail(exchange, dataset.broken[endpoint])
        wanted = (query.get("config"), query.get("split"))
        known = {(config, split) for config, split, _ in dataset.splits}
        if endpoint in ("first-rows", "rows", "statistics") and wanted not in known:
            return await _fail(exchange, Fault(404, "ResponseNotFound", "The config or split does not exist."))
        return await exchange.json(200, _ANSWERS[endpoint](query["dataset"], dataset, query))


async def _fail(exchange: Exchange, fault: Fault) -> None:
    body: Json = {"error": fault.error}
    if fault.cause:
        body |= {"cause_exception": "ValueError", "cause_message": fault.cause, "cause_traceback": ["Traceback"]}
    await exchange.json(fault.status, body, {"X-Error-Code": fault.code} if fault.code else {})


def _splits(name: str, dataset: FakeDataset, _query: Mapping[str, str]) -> Json:
    splits = [{"dataset": name, "config": config, "split": split} for config, split, _ in dataset.splits]
    return {"splits": splits, "pending": list(dataset.pending), "failed": list(dataset.failed)}


def _size(name: str, dataset: FakeDataset, _query: Mapping[str, str]) -> Json:
    splits = [
        {
            "dataset": name,
            "config": config,
            "split": split,
            "num_bytes_parquet_files": rows * dataset.bytes_per_row,
            "num_bytes_memory": rows * dataset.bytes_per_row * 2,
            "num_rows": rows,
            "num_columns": len(dataset.features),
            "estimated_num_rows": rows * 10 if dataset.partial else None,
        }
        for config, split, rows in dataset.splits
    ]
    size = {"dataset": {"dataset": name, "num_rows": sum(each["num_rows"] for each in splits)}, "splits": splits}
    return {"size": size, "pending": [], "failed": [], "partial": dataset.partial}


def _info(_name: str, dataset: FakeDataset, query: Mapping[str, str]) -> Json:
    splits = {s: {"name": s, "num_examples": rows} for config, s, rows in dataset.splits if config == query["config"]}
    info = {"features": dataset.features, "splits": splits, "config_name": query["config"], "download_size": 1}
    return {"dataset_info": info, "partial": dataset.partial}


def _feature_list(dataset: FakeDataset) -> list[Json]:
    return [{"feature_idx": i, "name": name, "type": each} for i, (name, each) in enumerate(dataset.features.items())]


def _first_rows(_name: str, dataset: FakeDataset, _query: Mapping[str, str]) -> Json:
    rows = []
    for index, row in enumerate(dataset.rows[:100]):
        cut = list(dataset.cut.get(index, ()))
        cells = {key: str(cell)[:20] if key in cut else cell for key, cell in row.items()}
        rows.append({"row_idx": index, "row": cells, "truncated_cells": cut})
    return {"features": _feature_list(dataset), "rows": rows, "truncated": bool(dataset.cut)}


def _rows(_name: str, dataset: FakeDataset, query: Mapping[str, str]) -> Json:
    start, length = int(query.get("offset", 0)), int(query.get("length", 100))
    rows = [
        {"row_idx": start + index, "row": row, "truncated_cells": []}
        for index, row in enumerate(dataset.rows[start : start + length])
    ]
    total = len(dataset.rows)
    return {"features": _feature_list(dataset), "rows": rows, "num_rows_total": total, "num_rows_per_page": 100}


def _statistics(_name: str, dataset: FakeDataset, query: Mapping[str, str]) -> Json:
    rows = next(rows for config, split, rows in dataset.splits if (config, split) == (query["config"], query["split"]))
    return {"num_examples": rows, "statistics": list(dataset.statistics), "partial": dataset.partial}


def _parquet(name: str, dataset: FakeDataset, query: Mapping[str, str]) -> Json:
    files = [
        {
            "dataset": name,
            "config": config,
            "split": split,
            "url": f"https://huggingface.co/datasets/{name}/resolve/refs%2Fconvert%2Fparquet/{config}/"
            f"{'partial-' if dataset.partial else ''}{split}/000{index}.parquet",
            "filename": f"000{index}.parquet",
            "size": rows * dataset.bytes_per_row // 2,
        }
        for config, split, rows in dataset.splits
        if config == query.get("config", config)
        for index in range(2)
    ]
    return {"parquet_files": files, "pending": [], "failed": [], "partial": dataset.partial}


_ANSWERS = {
    "is-valid": lambda _name, dataset, _query: dataset.abilities,
    "splits": _splits,
    "size": _size,
    "info": _info,
    "first-rows": _first_rows,
    "rows": _rows,
    "statistics": _statistics,
    "parquet": _parquet,
}
