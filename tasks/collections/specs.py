"""Where the texts of a domain come from, as it is written in a task file: one model a kind of collection."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Any, Literal, Self

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, field_validator, model_validator

from coterie.tasks.config.names import domain_name
from coterie.tasks.config.numbers import Flag, Whole
from coterie.tasks.config.paths import at_home

Local = Annotated[str, AfterValidator(at_home)]


class _Source(BaseModel):
    """What all kinds have. Grades below ``relevant_from`` become 0; ``binary`` makes the others 1.

    ``pool`` says where a query's candidates come from when there is no run: BM25 over all documents, or its judged ones.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    relevant_from: Whole = Field(default=1, ge=1)
    binary: Flag = False
    pool: Literal["bm25", "judged"] = "bm25"

    @model_validator(mode="before")
    @classmethod
    def _named(cls, values: Any) -> Any:
        if isinstance(values, dict) and not values.get("name"):
            return {**values, "name": cls.default_name(values)}
        return values

    @field_validator("name")
    @classmethod
    def _can_name(cls, name: str) -> str:
        return domain_name(name)

    @classmethod
    def default_name(cls, values: dict[str, Any]) -> str:
        raise NotImplementedError

    def paths(self) -> dict[str, str]:
        """The fields that hold paths."""
        return {}

    def files(self) -> list[Path]:
        """The files that are read, whether they exist or not, and the folders that are read with all that is in them."""
        return [Path(path) for _, path in sorted(self.paths().items())]


class PydocSource(_Source):
    """The docstrings of installed packages, by domain."""

    collection: Literal["pydoc"]
    domain: str

    @model_validator(mode="after")
    def _as_it_is(self) -> Self:
        if (self.relevant_from, self.binary, self.pool) != (1, False, "bm25"):
            raise ValueError(
                "relevant_from, binary, pool: expected none of them for pydoc, whose judgements are binary"
            )
        return self

    @classmethod
    def default_name(cls, values: dict[str, Any]) -> str:
        return str(values.get("domain"))


class BeirSource(_Source):
    """A folder with ``corpus.jsonl`` and ``queries.jsonl`` (or ``.gz``), judgements as BEIR's TSV or as TREC qrels."""

    collection: Literal["beir"]
    path: Local
    qrels: Local | None = Field(default=None, description="default: qrels/test.tsv, else qrels.trec, else qrels.tsv")
    run: Local | None = Field(default=None, description="a TREC run whose documents are the candidates")

    @classmethod
    def default_name(cls, values: dict[str, Any]) -> str:
        return Path(str(values.get("path"))).name

    def paths(self) -> dict[str, str]:
        return {"path": self.path}

    def judgements(self) -> tuple[str, ...]:
        """The files that may hold the judgements; the first that exists does."""
        return (self.qrels,) if self.qrels else ("qrels/test.tsv", "qrels.trec", "qrels.tsv")

    def files(self) -> list[Path]:
        names = ["queries.jsonl", "corpus.jsonl", *self.judgements(), *([self.run] if self.run else [])]
        return [Path(self.path, f"{name}{end}") for name in names for end in ("", ".gz")]


class TrecSource(_Source):
    """Single files: queries (id, text) as TSV, documents as TSV or JSON lines, TREC qrels, and a TREC run if there is one."""

    collection: Literal["trec"]
    queries: Local
    documents: Local
    qrels: Local
    run: Local | None = None

    @classmethod
    def default_name(cls, values: dict[str, Any]) -> str:
        return Path(str(values.get("qrels"))).name.split(".")[0]

    def paths(self) -> dict[str, str]:
        return {k: v for k in ("queries", "documents", "qrels", "run") if (v := getattr(self, k)) is not None}


class Top1000Source(_Source):
    """MS MARCO's top-1000 file: query id, passage id, query, passage, separated by tabs, no header."""

    collection: Literal["msmarco-top1000"]
    path: Local
    qrels: Local

    @classmethod
    def default_name(cls, values: dict[str, Any]) -> str:
        return Path(str(values.get("path"))).name.split(".")[0]

    def paths(self) -> dict[str, str]:
        return {"path": self.path, "qrels": self.qrels}


class IrDatasetsSource(_Source):
    """A dataset of ir_datasets; its scoreddocs are the candidates where there are any."""

    collection: Literal["ir_datasets"]
    id: str

    @classmethod
    def default_name(cls, values: dict[str, Any]) -> str:
        return str(values.get("id")).replace("/", "-")


class HuggingFaceSource(_Source):
    """A Hugging Face dataset, by hub id or local folder: BEIR's three configurations, or rows of query and passages.

    With ``positive`` given, each row of ``split`` is a query with relevant texts (a string or a list) and, in the column
    ``negatives``, others; they are its candidates. Without, the configurations ``corpus``, ``queries`` and ``qrels``
    (columns as in BEIR) are read; the last may have another name, and be of another dataset (``qrels_dataset`` at
    ``qrels_revision``). Without a revision the hub's newest is taken; the task's fingerprint tells its texts. No code of
    a dataset is ever run.
    """

    collection: Literal["huggingface"]
    dataset: Local
    revision: str | None = None
    split: str = "test"
    query: str = "query"
    positive: str | None = None
    negatives: str | None = None
    qrels: str | None = "qrels"
    qrels_dataset: Local | None = None
    qrels_revision: str | None = None

    @classmethod
    def default_name(cls, values: dict[str, Any]) -> str:
        return Path(str(values.get("dataset"))).name

    def paths(self) -> dict[str, str]:
        return {k: v for k in ("dataset", "qrels_dataset") if (v := getattr(self, k)) is not None}


DomainSpec = Annotated[
    PydocSource | BeirSource | TrecSource | Top1000Source | IrDatasetsSource | HuggingFaceSource,
    Field(discriminator="collection"),
]


def resolve(spec: Any, folder: Path) -> Any:
    """The specification with paths relative to the task file's folder made absolute.

    A Hugging Face dataset that is no folder there is a hub id.
    """
    changed = {
        field: str(folder / path)
        for field, path in spec.paths().items()
        if not isinstance(spec, HuggingFaceSource) or (folder / path).exists()
    }
    return spec.model_copy(update=changed)
