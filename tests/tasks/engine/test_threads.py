"""Threads do all the work, raise its errors and leave the number of threads unchanged."""

from __future__ import annotations

import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from coterie.tasks.engine.replay import ReplayEngine
from coterie.tasks.engine.site_spec import SiteSpec
from coterie.tasks.engine.threads import evenly, for_each
from coterie.tasks.rerankers.reranker import load_reranker
from tests.tasks.engine.test_replay import random_masks
from tests.tasks.tiny import pairs, save_reranker

CPU = torch.device("cpu")


@pytest.fixture
def four_threads() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(4)
    yield
    torch.set_num_threads(before)


@pytest.mark.usefixtures("four_threads")
def test_threads_share_the_cores_and_do_every_piece_once() -> None:
    done, own, meet = [], set(), threading.Barrier(2, timeout=600)

    def work(piece: int) -> None:
        if piece < 2:
            meet.wait()  # two pieces are under way at the same time, or this fails
        done.append(piece)
        own.add(torch.get_num_threads())

    for_each(range(9), work, CPU)
    assert sorted(done) == list(range(9))
    assert own == {1}
    for_each(range(2), work, CPU)
    assert own == {1, 2}
    assert torch.get_num_threads() == 4


@pytest.mark.usefixtures("four_threads")
def test_error_in_a_thread_is_raised() -> None:
    def work(piece: int) -> None:
        if piece == 3:
            raise ValueError("piece 3")

    with pytest.raises(ValueError, match="piece 3"):
        for_each(range(9), work, CPU)
    assert torch.get_num_threads() == 4


@pytest.mark.parametrize("layer", [0, 1])
@pytest.mark.parametrize("model_type", ["llama", "gpt_neox", "bert"])
def test_threads_change_no_result(tmp_path: Path, model_type: str, layer: int) -> None:
    engine = ReplayEngine(
        load_reranker(save_reranker(tmp_path, model_type)), pairs(), SiteSpec(layer), tokens_at_once=64
    )
    masks = random_masks(12, engine.n_players)
    alone, before = engine.outputs(masks), torch.get_num_threads()
    torch.set_num_threads(3)
    try:
        together = engine.outputs(masks)
    finally:
        torch.set_num_threads(before)
    assert not together.requires_grad
    torch.testing.assert_close(together, alone, rtol=1e-5, atol=1e-5)


@given(st.integers(0, 60), st.integers(0, 20))
def test_runs_are_even_and_equally_many_per_thread(n: int, largest: int) -> None:
    items, threads = list(range(n)), torch.get_num_threads()
    runs = evenly(items, largest)
    assert [i for run in runs for i in run] == items
    sizes = [len(run) for run in runs]
    assert max(sizes, default=0) <= max(1, largest)
    assert max(sizes, default=0) - min(sizes, default=0) <= 1
    assert len(runs) % threads == 0 or len(runs) == n
