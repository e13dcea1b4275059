"""The arithmetic of the diagram, and that both drawings show it faithfully."""

from __future__ import annotations

import json
import re
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import torch

from coterie.benchmark.transitions.page import page
from coterie.benchmark.transitions.picture import draw
from coterie.benchmark.transitions.report import LayerArrays, Options, layer_coalitions, layer_pair
from coterie.leaderboard.display.sankey import sankey
from coterie.leaderboard.reports.flow import Diagram, diagram
from coterie.leaderboard.reports.transitions import TransitionsReport

HOSTILE = "</script><script>alert(1)</script>$\\frac{1}{$<b>&"


def report(name: str = "a/task", layers: int = 3, seed: int = 0, options: Options | None = None) -> TransitionsReport:
    """A report on random weights and coalitions of 40 neurons per layer."""
    options = options or Options(draws=20)
    rng, generator = np.random.default_rng(seed), torch.Generator().manual_seed(seed)
    found, arrays = [], []
    for layer in range(layers):
        cuts = np.sort(rng.choice(np.arange(1, 40), 9, replace=False))
        groups = [part.tolist() for part in np.split(rng.permutation(40), cuts)]
        found.append(layer_coalitions(layer, 40, groups, options.smallest, from_record=False))
        shape = (2, 40, 8), (40, 8), (40,)
        reads, writes, activity = (torch.randn(s, generator=generator) for s in shape)
        arrays.append(LayerArrays(reads, writes.pow(3), activity.abs()))
    pairs = [layer_pair(found[i], found[i + 1], arrays[i], arrays[i + 1], options) for i in range(layers - 1)]
    return TransitionsReport(
        coterie_version="0",
        task_name=name,
        task_fingerprints=[f"{layer:064x}" for layer in range(layers)],
        method=name,
        code_hash="",
        budget=1,
        seed=0,
        all_pairs=options.all_pairs,
        smallest=options.smallest,
        draws=options.draws,
        warnings=[name],
        layers=found,
        pairs=pairs,
    )


@pytest.mark.parametrize("show", [2, 5, 50])
@pytest.mark.parametrize("limit", [0.05, 0.15, None])
@pytest.mark.parametrize(("seed", "all_pairs"), [(0, False), (1, True), (2, True)])
def test_flows_conserve_neurons(show: int, limit: float | None, seed: int, all_pairs: bool) -> None:
    made = report(seed=seed, options=Options(alpha=limit, beta=limit, all_pairs=all_pairs, draws=20))
    shown = diagram(made, show)
    for column, layer in enumerate(made.layers[:-1]):
        leaving = [f for f in shown.flows if shown.nodes[f.source].column == column and f.event != "emerge"]
        assert sum(f.neurons for f in leaving) == pytest.approx(sum(len(c.members) for c in layer.coalitions))
        new = {row.target for row in made.pairs[column].targets if row.event == "emerge"}
        coming = sum(f.neurons for f in shown.flows if f.event == "emerge" and shown.nodes[f.source].column == column)
        assert coming == sum(len(c.members) for c in made.layers[column + 1].coalitions if c.number in new)
    assert sum(node.kind in ("coalition", "others") for node in shown.nodes) == sum(
        min(len(layer.coalitions), show + 1) for layer in made.layers
    )
    assert bool(shown.note) == (show < max(len(layer.coalitions) for layer in made.layers))


@pytest.mark.parametrize("show", [2, 50])
def test_nodes_do_not_overlap_and_are_as_tall_as_their_flows(show: int) -> None:
    shown = diagram(report(), show)
    for column in range(3):
        nodes = [node for node in shown.nodes if node.column == column]
        assert nodes[0].top == 0
        assert nodes[-1].bottom == pytest.approx(1) or len(nodes) == 1
        assert all(upper.bottom < lower.top for upper, lower in pairwise(nodes))
    for i, node in enumerate(shown.nodes):
        flows = [sum(f.neurons for f in shown.flows if end(f) == i) for end in (lambda f: f.source, lambda f: f.target)]
        assert max(flows) * shown.per_neuron == pytest.approx(node.bottom - node.top)
    assert all(shown.nodes[f.target].column == shown.nodes[f.source].column + 1 for f in shown.flows)
    ends = [(f.source, f.target) for f in shown.flows]
    assert ends == sorted(ends)


def test_the_figure_contains_the_diagrams_nodes_and_flows() -> None:
    shown = diagram(report(), 5)
    (trace,) = json.loads(json.dumps(sankey(shown), allow_nan=False))["data"]
    assert trace["type"] == "sankey"
    assert trace["link"]["value"] == pytest.approx([f.neurons for f in shown.flows])
    assert trace["link"]["source"] == [f.source for f in shown.flows]
    assert [len(trace["node"][field]) for field in ("label", "x", "y", "color")] == [len(shown.nodes)] * 4
    assert all(0 < place < 1 for place in (*trace["node"]["x"], *trace["node"]["y"]))


def test_the_page_is_self_contained_and_escapes_names() -> None:
    made = report(HOSTILE)
    html = page(made, diagram(made, 5))
    assert "alert(1)" in html
    assert "<script>alert" not in html
    assert "default-src 'none'" in html
    outside = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert not re.search(r"(src|href)\s*=\s*[\"']?(https?:)?//", outside)
    assert not re.search(r"<script[^>]*\ssrc=", html)


def test_the_picture_accepts_any_name(tmp_path: Path) -> None:
    made = report(HOSTILE)
    draw(diagram(made, 5), HOSTILE, tmp_path / "a.png", tmp_path / "a.svg")
    assert (tmp_path / "a.png").stat().st_size > 10_000
    assert "<script" not in (tmp_path / "a.svg").read_text()


def test_a_report_without_coalitions_is_drawn(tmp_path: Path) -> None:
    empty = report(options=Options(smallest=100, draws=20))
    shown = diagram(empty, 5)
    assert (shown.nodes, shown.flows) == ((), ())
    draw(shown, "nothing", tmp_path / "a.png", tmp_path / "a.svg")
    assert "<td>\N{EN DASH}</td>" in page(empty, shown)
    assert {c.share for pair in empty.pairs for c in pair.counts} == {None}


def test_random_coalitions_are_at_chance_level() -> None:
    options = Options(draws=20, alpha=0.2, beta=0.2)
    boards = [report(layers=2, seed=seed, options=options).pairs[0].counts for seed in range(40)]
    for rows in zip(*boards, strict=True):
        differences = [float(row.share or 0) - float(row.chance or 0) for row in rows]
        assert abs(np.mean(differences)) < 4 * np.std(differences) / len(differences) ** 0.5
    by_event = {rows[0].event: np.mean([row.chance for row in rows]) for rows in zip(*boards, strict=True)}
    assert sum(by_event[event] for event in ("persist", "split", "merge", "vanish")) == pytest.approx(1)
    assert min(by_event.values()) > 0.01, "every event must occur for the comparison to mean anything"


def test_a_single_layer_is_drawn() -> None:
    assert isinstance(diagram(report(layers=1), 5), Diagram)
