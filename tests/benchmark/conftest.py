"""A small real task: a random Llama with an adapter, on the installed docstrings."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.settings import Settings
from coterie.tasks.registry import get_reranker_spec
from coterie.tasks.reranker_task import RerankerTask, plan_reranker_task
from coterie.tasks.task_spec import RerankerTaskSpec
from tests.tasks.tiny import save_reranker


@pytest.fixture(scope="session")
def task_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("task")
    save_reranker(folder, layers=2)
    spec = {
        "name": "tiny/relevance",
        "summary": "A random reranker.",
        "reranker": {"base": "base", "adapter": "adapter", "template": {"max_length": 24}},
        "layer": 0,
        "data": {
            "source": {"collection": "pydoc", "domain": "deep-learning"},
            "transfer": [{"collection": "pydoc", "domain": "pandas"}, {"collection": "pydoc", "domain": "mlflow"}],
            "candidates": 4,
            "queries": {"discovery": 4, "heldout": 12, "transfer": 10},
        },
    }
    path = folder / "task.yaml"
    path.write_text(yaml.safe_dump(spec))
    return path


@pytest.fixture(scope="session")
def spec(task_file: Path, pydoc_domains: object) -> RerankerTaskSpec:
    return get_reranker_spec(str(task_file))


@pytest.fixture(scope="session")
def task(spec: RerankerTaskSpec) -> RerankerTask:
    return plan_reranker_task(spec).load()


@pytest.fixture(scope="session")
def settings() -> Settings:
    return Settings(max_coalitions=3, largest_share=0.5, pairs=3, leave_one_outs=2, control_pairs=20, resamples=200)


@pytest.fixture
def bench(task: RerankerTask, settings: Settings) -> Bench:
    return Bench(task, settings)
