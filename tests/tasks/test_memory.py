"""The estimate of a task's memory exceeds what the engine holds, and the suggested fixes work."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from coterie.tasks.collections.data_spec import DataSpec, QueryCounts
from coterie.tasks.engine.replay import ReplayEngine
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.errors import DoesNotFitError
from coterie.tasks.memory import check_fits, need_of
from coterie.tasks.rerankers.reranker import load_reranker
from coterie.tasks.rerankers.size import RerankerSize, describe
from coterie.tasks.rerankers.spec import RerankerSpec, Template
from coterie.tasks.task_spec import RerankerTaskSpec
from tests.tasks.tiny import pairs, save_reranker

SIZE = RerankerSize("llama", 32, 4096, 14_336, 8_000_000_000, 32_000_000_000)


def spec_of(reranker: RerankerSpec, data: dict[str, Any] | None = None, **changes: Any) -> RerankerTaskSpec:
    source: Any = {"collection": "beir", "path": "somewhere"}
    return RerankerTaskSpec(
        name="my/own",
        summary="Mine.",
        reranker=reranker,
        data=DataSpec(source=source, **(data or {})),
        **{"layer": 16, **changes},
    )


def held(value: Any) -> dict[int, int]:
    """Bytes of every tensor and array that an object holds, by storage: views count once."""
    if isinstance(value, Tensor):
        storage = value.untyped_storage()
        return {storage.data_ptr(): storage.nbytes()}
    parts = value if isinstance(value, list | tuple) else getattr(value, "__dict__", {}).values()
    return {pointer: size for part in parts for pointer, size in held(part).items()}


@pytest.mark.parametrize("model_type", ["llama", "gpt_neox", "gpt2"])
@pytest.mark.parametrize(
    ("layer", "readout", "intervention"), [(0, "score", "zero"), (1, "score", "base"), (1, "lens", "mean")]
)
def test_engine_holds_no_more_than_the_estimate(
    tmp_path: Path, model_type: str, layer: int, readout: Any, intervention: Any
) -> None:
    rows = [pair for seed in range(5) for pair in pairs(seed=seed)]
    checkpoint = save_reranker(tmp_path, model_type)
    longest = max(map(len, load_reranker(checkpoint).encode(rows)))
    template = Template(max_length=longest)  # the estimate assumes that every pair is as long as the template allows
    checkpoint = checkpoint.model_copy(update={"template": template})
    reranker = load_reranker(checkpoint)
    engine = ReplayEngine(reranker, rows, SiteSpec(layer, intervention, readout))
    engine._ablations.add_low_rank_forms()
    data = {"candidates": len(rows) // 4, "queries": QueryCounts(discovery=2, heldout=2)}
    need = need_of(
        spec_of(checkpoint, data, layer=layer, readout=readout, intervention=intervention), describe(checkpoint)
    )
    assert need.pairs == len(rows)
    kept = {
        p: b
        for batch in engine._prefix.batches
        for part in (batch.residual, batch.z, *(p.residual for p in batch.parts))
        for p, b in held(part).items()
    }
    for batch in engine._prefix.batches:
        if batch.low_rank is not None:
            kept |= held([batch.low_rank._keys, batch.low_rank._values])
    total = sum(kept.values())
    assert total <= need.cache
    assert total >= need.cache / 3, "an estimate far above the truth would refuse tasks that fit"


@given(
    candidates=st.integers(2, 200),
    queries=st.integers(2, 400),
    length=st.integers(8, 512),
    gigabytes=st.integers(1, 4000),
    layer=st.sampled_from([0, 30, 31]),
    dtype=st.sampled_from(["float32", "bfloat16"]),
)
def test_every_suggested_fix_makes_the_task_fit(
    candidates: int, queries: int, length: int, gigabytes: int, layer: int, dtype: Any
) -> None:
    reranker = RerankerSpec(base="x", template=Template(max_length=length), dtype=dtype)
    data = {"candidates": candidates, "queries": QueryCounts(discovery=queries, heldout=queries)}
    spec, memory = spec_of(reranker, data, layer=layer), gigabytes * 10**9
    size = SIZE if dtype == "float32" else RerankerSize("llama", 32, 4096, 14_336, 8_000_000_000, 16_000_000_000)
    if need_of(spec, size).total <= memory:
        check_fits(spec, size, memory, "cpu")
        return
    with pytest.raises(
        DoesNotFitError, match=r"expected a task that fits into .* of cpu, got one that needs .*; fix: "
    ) as caught:
        check_fits(spec, size, memory, "cpu")
    text = str(caught.value)
    if found := re.search(r"data.candidates: (\d+)", text):
        fewer = spec_of(reranker, {**data, "candidates": int(found[1])}, layer=layer)
        check_fits(fewer, size, memory, "cpu")
    if found := re.search(r"discovery (\d+), heldout (\d+), transfer \d+", text):
        counts = QueryCounts(discovery=int(found[1]), heldout=int(found[2]))
        check_fits(spec_of(reranker, {**data, "queries": counts}, layer=layer), size, memory, "cpu")
    if found := re.search(r"max_length: (\d+)", text):
        shorter = reranker.model_copy(update={"template": Template(max_length=int(found[1]))})
        check_fits(spec_of(shorter, data, layer=layer), size, memory, "cpu")
    if "half the size" in text:
        half = RerankerSize("llama", 32, 4096, 14_336, 8_000_000_000, 16_000_000_000)
        check_fits(spec_of(reranker.model_copy(update={"dtype": "bfloat16"}), data, layer=layer), half, memory, "cpu")
