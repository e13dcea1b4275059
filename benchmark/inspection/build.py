"""From a record and its task to cards: every number beside that of random sets of the same size."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from coterie.benchmark.errors import UsageError
from coterie.benchmark.inspection.alignment import Alignment, alignments
from coterie.benchmark.inspection.firing import Firing, Group, firing_of
from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.settings import Settings
from coterie.leaderboard.reports.card import (
    Against,
    Card,
    Inspection,
    ShownPair,
    ShownQuery,
    Signal,
    Token,
    TokenKind,
)
from coterie.leaderboard.statistics.bootstrap import bootstrap_weights, ratio_interval
from coterie.methods.coalitions import Coalitions
from coterie.tasks.planted.task import PlantedTask
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.signals import SIGNALS, signal_values, statistics_of
from coterie.tasks.task import Task
from coterie.tracking.record import Record

SHOWN_PAIRS = 5
SHOWN_TOKENS = 12
SHOWN_QUERIES = 3


@dataclass(frozen=True)
class _Case:
    """A coalition with its random sets, and their columns in what was measured of all sets at once."""

    number: int
    members: Group
    evaluated: bool
    controls: list[Group]
    columns: list[int]  # the coalition's first, then those of its controls


@dataclass(frozen=True)
class _Measured:
    """What all cards of a record share."""

    game: RerankerGame
    bench: Bench
    firing: Firing
    pairs: np.ndarray  # [pairs, K] firing by pair
    agreement: np.ndarray  # [K]
    by_token: np.ndarray  # [K]
    signals: list[Alignment]


def inspect_record(record: Record, task: Task | PlantedTask, settings: Settings, number: int | None) -> Inspection:
    """The card of one coalition of the record, or of all that the protocol evaluates.

    Raises ``UsageError`` for a task without texts, a record without coalitions, players that the task lacks, and a
    number that is none of the record's.
    """
    game = task.heldout
    if not isinstance(game, RerankerGame):
        raise UsageError(
            f"{record.task_name}: expected a task of query-document texts, got a planted game: its pairs are numbers without "
            f"words, so there is nothing that a coalition could be about; fix: a record of a reranker's task, or of planted/llama"
        )
    coalitions, bench = _coalitions(record, game), Bench(task, settings)
    cases = _cases(coalitions, bench, number)
    groups = list(dict.fromkeys(group for case in cases for group in (case.members, *case.controls)))
    place = {group: i for i, group in enumerate(groups)}
    for case in cases:
        case.columns.extend(place[group] for group in (case.members, *case.controls))
    firing = firing_of(game, groups)
    by_pair = firing.pairs
    measured = _Measured(
        game=game,
        bench=bench,
        firing=firing,
        pairs=by_pair,
        agreement=firing.agreement(groups),
        by_token=firing.told_by_token(),
        signals=alignments(by_pair, _signals(game, bench), game.query_of_pair, settings.resamples),
    )
    bench.heldout.prepare(groups)
    shown = sum(len(row) for row in game.token_ids())
    texts = sum(len(row) for row in game.all_token_ids())
    return Inspection(
        task_name=record.task_name,
        method_name=record.method_name,
        method=record.method.selector,
        seed=record.seed,
        record=record.identity_digest,
        task_fingerprint=record.identity.task_fingerprint,
        layer=record.task.layer,
        n_players=game.n_players,
        players=record.task.players,
        heldout_queries=len(game.query_ids),
        heldout_pairs=len(game.pairs),
        heldout_tokens=shown,
        tokens_are="all tokens" if shown == texts else "the token that is read out, alone: no later layer mixes tokens",
        controls=settings.controls,
        warnings=list(getattr(task, "warnings", ())),
        cards=[_card(case, measured) for case in cases],
    )


def _signals(game: RerankerGame, bench: Bench) -> Mapping[str, np.ndarray]:
    """The protocol's signals of the held-out pairs; of a planted reranker's words with statistics from these pairs alone."""
    if not isinstance(bench.task, PlantedTask):
        return bench.signals
    statistics = statistics_of({p.document_id: p.document for p in game.pairs}.values())
    texts = [(p.query, p.document) for p in game.pairs]
    return {name: signal_values(name, texts, statistics) for name in SIGNALS}


def _coalitions(record: Record, game: RerankerGame) -> Coalitions:
    if record.coalitions is None:
        raise UsageError(
            f"expected a record with coalitions, got one that is {record.status}: {record.reason!r}; fix: another"
        )
    if record.coalitions.n_players != game.n_players:
        raise UsageError(
            f"expected coalitions of the task's {game.n_players} players, got of {record.coalitions.n_players}; "
            f"fix: the record of this task"
        )
    try:
        return Coalitions.of(game.n_players, record.coalitions.groups)
    except ValueError as error:
        raise UsageError(f"the record's {error}; fix: an unchanged record") from None


def _cases(coalitions: Coalitions, bench: Bench, number: int | None) -> list[_Case]:
    evaluated = set(bench.eligible(coalitions))
    if number is not None and not 0 <= number < len(coalitions.groups):
        raise UsageError(
            f"--coalition: expected 0 to {len(coalitions.groups) - 1}, got {number}; fix: one of the record's coalitions"
        )
    if number is None and not evaluated:
        sizes = ", ".join(map(str, sorted(coalitions.sizes, reverse=True)[:5])) or "none"
        raise UsageError(
            f"expected a coalition of an eligible size, got none among {len(coalitions.groups)} (largest sizes: {sizes}); "
            f"fix: --coalition N shows any"
        )
    return [
        _Case(i, group, group in evaluated, [_first(order, len(group)) for order in bench.orders], [])
        for i, group in enumerate(coalitions.groups)
        if (group in evaluated if number is None else i == number)
    ]


def _first(order: np.ndarray, size: int) -> Group:
    """The control of a size: the first players of a random order, as in :meth:`Bench.controls`, of any size."""
    return tuple(sorted(order[:size].tolist()))


def _card(case: _Case, m: _Measured) -> Card:
    own = case.columns[0]
    signals = [_signal(alignment, case) for alignment in m.signals]
    best = max((s for s in signals if s.r2 is not None), key=lambda s: s.r2.value, default=None)  # type: ignore[union-attr]
    drops, reason = _drops(case, m)
    effects = m.bench.heldout.effects([case.members, *case.controls])
    ids, means, counts = m.firing.kinds(own)
    kinds = [
        TokenKind(text=text, firing=float(mean), occurrences=int(count))
        for text, mean, count in zip(m.game.token_strings(ids.tolist()), means, counts, strict=True)
    ]
    order = np.argsort(-m.pairs[:, own], kind="stable")
    return Card(
        number=case.number,
        members=list(case.members),
        evaluated=case.evaluated,
        silent_members=int((~m.firing.varies[list(case.members)]).sum()),
        agreement=_against(m.agreement[case.columns]),
        by_token=_against(m.by_token[case.columns]),
        best_signal=best,
        best_r2=_best(best, m.signals, case),
        signals=signals,
        effect=_over_queries(effects, m.bench),
        ndcg_drop=None if drops is None else _over_queries(drops, m.bench),
        ndcg_reason=reason,
        loses_most=_queries(m.game, drops, 1),
        gains_most=_queries(m.game, drops, -1),
        tokens_high=kinds[:SHOWN_TOKENS],
        tokens_low=kinds[: -SHOWN_TOKENS - 1 : -1],
        fires_most=[_pair(m, own, int(i)) for i in order[:SHOWN_PAIRS]],
        fires_least=[_pair(m, own, int(i)) for i in order[: -SHOWN_PAIRS - 1 : -1]],
    )


def _signal(alignment: Alignment, case: _Case) -> Signal:
    r2, correlation, own = alignment.r2, alignment.correlation, case.columns[0]
    if r2 is None or correlation is None:
        return Signal(name=alignment.name, r2=None, correlation=None, reason=alignment.reason)
    low, high = (None if ends is None else float(ends[own]) for ends in (alignment.low, alignment.high))
    against = _against(r2[case.columns], low, high, alignment.reason)
    return Signal(name=alignment.name, r2=against, correlation=float(correlation[own]))


def _best(best: Signal | None, signals: Sequence[Alignment], case: _Case) -> Against | None:
    """The best signal's R2 beside each random set's largest over signals: choosing the best of several flatters both."""
    if best is None or best.r2 is None:
        return None
    largest = np.max([s.r2[case.columns] for s in signals if s.r2 is not None], axis=0)
    return _against(largest, best.r2.low, best.r2.high, best.r2.reason)


def _drops(case: _Case, m: _Measured) -> tuple[np.ndarray | None, str | None]:
    if "judgements" not in m.bench.gives:
        return None, "no judgements of relevance: nothing is relevant in a planted task"
    return m.bench.heldout.ndcg_drops([case.members, *case.controls]), None


def _over_queries(rows: np.ndarray, bench: Bench) -> Against:
    """The mean over queries of the first row [Q], its bootstrap interval, and the means of the other rows."""
    weights = bootstrap_weights(rows.shape[1], bench.settings.resamples)
    interval = ratio_interval(rows[0], np.ones(rows.shape[1]), weights)
    found = _against(rows.mean(1), interval.low, interval.high, interval.reason)
    if found is None:
        raise ValueError("expected finite effects of every set, got none; fix: a task whose scores are finite")
    return found


def _against(
    values: np.ndarray, low: float | None = None, high: float | None = None, reason: str | None = None
) -> Against | None:
    """The first value against the others; None where it, or all of the others, are no numbers."""
    own, controls = float(values[0]), values[1:][np.isfinite(values[1:])]
    if not np.isfinite(own) or not len(controls):
        return None
    return Against(
        value=own,
        low=low,
        high=high,
        reason=reason,
        control=float(controls.mean()),
        share_of_controls=float((controls >= own).mean()),
    )


def _queries(game: RerankerGame, drops: np.ndarray | None, sign: int) -> list[ShownQuery]:
    """The queries with the largest drops (sign 1) or gains (sign -1), largest first, those without any left out."""
    if drops is None:
        return []
    texts = {p.query_id: p.query for p in game.pairs}
    order = np.argsort(-sign * drops[0], kind="stable")[:SHOWN_QUERIES]
    return [
        ShownQuery(query_id=game.query_ids[i], query=texts[game.query_ids[i]], ndcg_drop=float(drops[0, i]))
        for i in order
        if sign * drops[0, i] > 0
    ]


def _pair(m: _Measured, column: int, position: int) -> ShownPair:
    pair, where = m.game.pairs[position], m.firing.of_pair(position)
    texts = m.game.token_strings(m.firing.ids[where].tolist())
    return ShownPair(
        query_id=pair.query_id,
        document_id=pair.document_id,
        query=pair.query,
        firing=float(m.pairs[position, column]),
        score=float(m.game.scores[position]),
        objective=pair.objective if "judgements" in m.bench.gives else None,
        tokens=[
            Token(text=text, firing=float(value))
            for text, value in zip(texts, m.firing.tokens[where, column], strict=True)
        ],
    )
