"""Where the texts of a domain come from, as written in a task file: one model per kind of collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    ConfigDict,
    Field,
    StrictBool,
    StrictInt,
    field_validator,
    model_validator,
)

from coterie.tasks.config.names import check_domain_name
from coterie.tasks.config.paths import expand_home

LocalPath = Annotated[str, AfterValidator(expand_home)]


class _Source(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    """Name of the domain; by default derived from the collection."""
    relevant_from: StrictInt = Field(default=1, ge=1)
    """Lowest grade that counts as relevant; lower ones become 0."""
    binary: StrictBool = False
    """Whether all relevant grades become 1."""
    pool: Literal["bm25", "judged"] = "bm25"
    """The source of a query's candidates if there is no run: BM25 over all documents, or the query's judged documents."""

    @model_validator(mode="before")
    @classmethod
    def _set_default_name(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("name"):
            return {**values, "name": cls.default_name(values)}
        return values

    @field_validator("name")
    @classmethod
    def _check_name(cls, name: str) -> str:
        return check_domain_name(name)

    @classmethod
    def default_name(cls, values: dict[str, Any]) -> str:
        """The domain's name if the task file gives none."""
        raise NotImplementedError

    def paths(self) -> dict[str, str]:
        """The fields that hold paths, with their values."""
        return {}

    def files(self) -> list[Path]:
        """The files that may be read, whether they exist or not, and the folders that are read whole."""
        return [Path(path) for _, path in sorted(self.paths().items())]

    def resolved_in(self, folder: Path) -> Self:
        """The specification with paths that are relative to the task file's folder made absolute."""
        return self.model_copy(update={field: str(folder / path) for field, path in self.paths().items()})


class PydocSource(_Source):
    """The docstrings of installed packages, by domain."""

    collection: Literal["pydoc"]
    domain: str
    """One of the collection's domains, such as `pandas`."""

    @model_validator(mode="after")
    def _judgements_are_fixed(self) -> Self:
        if (self.relevant_from, self.binary, self.pool) != (1, False, "bm25"):
            raise ValueError(
                "relevant_from, binary, pool: expected none of these for pydoc, whose judgements are binary"
            )
        return self

    @classmethod
    def default_name(cls, values: dict[str, Any]) -> str:
        return str(values.get("domain"))


class BeirSource(_Source):
    """A folder with `corpus.jsonl` and `queries.jsonl`, and judgements as BEIR's TSV or TREC qrels; all may be gzipped."""

    collection: Literal["beir"]
    path: LocalPath
    """The folder."""
    qrels: LocalPath | None = Field(
        default=None, description="default: qrels/test.tsv, else qrels.trec, else qrels.tsv"
    )
    """File of judgements, relative to the folder."""
    run: LocalPath | None = Field(default=None, description="a TREC run whose documents are the candidates")
    """File of a run, relative to the folder."""

    @classmethod
    def default_name(cls, values: dict[str, Any]) -> str:
        return Path(str(values.get("path"))).name

    def paths(self) -> dict[str, str]:
        return {"path": self.path}

    def qrels_files(self) -> tuple[str, ...]:
        """The files that may hold the judgements; the first that exists is read."""
        return (self.qrels,) if self.qrels else ("qrels/test.tsv", "qrels.trec", "qrels.tsv")

    def files(self) -> list[Path]:
        names = ["queries.jsonl", "corpus.jsonl", *self.qrels_files(), *([self.run] if self.run else [])]
        return [Path(self.path, f"{name}{suffix}") for name in names for suffix in ("", ".gz")]


class TrecSource(_Source):
    """Separate files for queries, documents, judgements and a run."""

    collection: Literal["trec"]
    queries: LocalPath
    """TSV (id, text) or JSON lines."""
    documents: LocalPath
    """TSV (id, text) or JSON lines."""
    qrels: LocalPath
    """TREC qrels."""
    run: LocalPath | None = None
    """TREC run whose documents are the candidates."""

    @classmethod
    def default_name(cls, values: dict[str, Any]) -> str:
        return Path(str(values.get("qrels"))).name.split(".")[0]

    def paths(self) -> dict[str, str]:
        return {k: v for k in ("queries", "documents", "qrels", "run") if (v := getattr(self, k)) is not None}


class Top1000Source(_Source):
    """MS MARCO's top-1000 file: query id, passage id, query and passage, separated by tabs, without a header."""

    collection: Literal["msmarco-top1000"]
    path: LocalPath
    """The top-1000 file."""
    qrels: LocalPath
    """TREC qrels."""

    @classmethod
    def default_name(cls, values: dict[str, Any]) -> str:
        return Path(str(values.get("path"))).name.split(".")[0]

    def paths(self) -> dict[str, str]:
        return {"path": self.path, "qrels": self.qrels}


class IrDatasetsSource(_Source):
    """A dataset of the package ir_datasets; its scoreddocs, if any, are the candidates."""

    collection: Literal["ir_datasets"]
    id: str
    """The dataset's id, such as `beir/scifact/test`."""

    @classmethod
    def default_name(cls, values: dict[str, Any]) -> str:
        return str(values.get("id")).replace("/", "-")


class HuggingFaceSource(_Source):
    """A Hugging Face dataset: BEIR's three configurations, or rows of a query and its passages.

    If `positive` is given, each row of `split` is a query with relevant texts and, in the column `negatives`, other texts;
    together they are its candidates. Otherwise the configurations `corpus`, `queries` and `qrels` are read, with BEIR's
    columns. The code of a dataset is never run.
    """

    collection: Literal["huggingface"]
    dataset: LocalPath
    """Hub id or local folder."""
    revision: str | None = None
    """Commit, branch or tag; None: the newest. The task's fingerprint identifies the texts in any case."""
    split: str = "test"
    """Split of the rows or of the judgements."""
    query: str = "query"
    """Column of the query."""
    positive: str | None = None
    """Column of the relevant texts, a string or a list."""
    negatives: str | None = None
    """Column of other texts, a string or a list."""
    qrels: str | None = "qrels"
    """Configuration of the judgements."""
    qrels_dataset: LocalPath | None = None
    """Dataset of the judgements, if it differs from `dataset`."""
    qrels_revision: str | None = None
    """Revision of that dataset."""

    @classmethod
    def default_name(cls, values: dict[str, Any]) -> str:
        return Path(str(values.get("dataset"))).name

    def paths(self) -> dict[str, str]:
        return {k: v for k in ("dataset", "qrels_dataset") if (v := getattr(self, k)) is not None}

    def resolved_in(self, folder: Path) -> Self:
        """The same as for other sources, except that a dataset that is not in the folder is a hub id and stays unchanged."""
        local = {field: folder / path for field, path in self.paths().items()}
        return self.model_copy(update={field: str(path) for field, path in local.items() if path.exists()})


DomainSpec = Annotated[
    PydocSource | BeirSource | TrecSource | Top1000Source | IrDatasetsSource | HuggingFaceSource,
    Field(discriminator="collection"),
]
