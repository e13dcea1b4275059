"""The example that shows why a readout without the final norm has no synergy."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from types import ModuleType

import pytest
import torch

from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.rerankers.reranker import load_reranker
from tests.tasks.tiny import pairs, save_reranker

EXAMPLE = Path(__file__).parents[2] / "examples" / "additive_readout.py"


@pytest.fixture(scope="module")
def example() -> Iterator[ModuleType]:
    spec = importlib.util.spec_from_file_location("additive_readout", EXAMPLE)
    assert spec is not None
    assert spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module  # dataclasses look up their module
    spec.loader.exec_module(module)
    yield module
    del sys.modules[spec.name]


def test_only_the_head_without_the_norm_is_additive(example: ModuleType, tmp_path: Path) -> None:
    rows = list(example.rows(save_reranker(tmp_path), layer=1, texts=pairs(), pairs=20))
    assert [(r.readout, r.dtype) for r in rows] == [
        (name, dtype) for dtype in ("float64", "float32") for name in ("head alone, no norm", "lens", "score")
    ]
    for row in rows:
        assert row.refused == (row.readout == "head alone, no norm")
        assert row.single > 1e-4
        if row.refused:
            assert row.ratio < (1e-12 if row.dtype == "float64" else 1e-4)
        else:
            assert row.ratio > 1e-3
    exact, rounded = rows[1:3], rows[4:6]
    for a, b in zip(exact, rounded, strict=True):
        assert a.synergy == pytest.approx(b.synergy, rel=0.01)


def test_head_without_the_norm_reads_the_residual_stream_after_the_layer(example: ModuleType, tmp_path: Path) -> None:
    """Compared with a hook on the layer and with columns of the down projection removed by hand."""
    loaded = load_reranker(save_reranker(tmp_path).model_copy(update={"dtype": "float64"}))
    texts, head = pairs(), loaded.model.score.weight.detach()[0]
    game = example.HeadAlone(RerankerGame(loaded, texts, SiteSpec(1, readout="lens")), head)
    layer = loaded.model.model.layers[1]
    seen: dict[str, torch.Tensor] = {}
    layer.mlp.down_proj.register_forward_pre_hook(lambda _m, a: seen.update(z=a[0][0, -1]))
    layer.register_forward_hook(lambda _m, _a, out: seen.update(h=(out[0] if isinstance(out, tuple) else out)[0, -1]))
    outputs = game.ablate(game.masks([(), (3,), (3, 7)]))
    for column, tokens in enumerate(loaded.encode(texts)):
        with torch.no_grad():
            loaded.model(input_ids=torch.tensor([tokens]))
        taken = [[], [3], [3, 7]]
        writes = layer.mlp.down_proj.weight.detach()
        expected = [(seen["h"] - writes[:, group] @ seen["z"][group]) @ head for group in taken]
        torch.testing.assert_close(outputs[:, column], torch.stack(expected), rtol=1e-9, atol=1e-9)
    assert all(not torch.equal(a, b) for a, b in pairwise(outputs))
