"""Build inspection cards from a record and its task, with every number compared to random sets of the same size."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from coterie.benchmark.errors import UsageError
from coterie.benchmark.inspection.alignment import Alignment, alignments
from coterie.benchmark.inspection.firing import Firing, firing_of
from coterie.benchmark.protocol.bench import Bench
from coterie.benchmark.protocol.judged_game import Group
from coterie.benchmark.protocol.settings import Settings
from coterie.leaderboard.reports.card import (
    Against,
    Card,
    Inspection,
    PairExample,
    QueryExample,
    Signal,
    Token,
    TokenKind,
)
from coterie.leaderboard.statistics.bootstrap import bootstrap_weights, ratio_interval
from coterie.methods.coalitions import Coalitions
from coterie.tasks.reranker_game import RerankerGame
from coterie.tasks.task import Task
from coterie.tracking.record import Record

SHOWN_PAIRS = 5
SHOWN_TOKENS = 12
SHOWN_QUERIES = 3


@dataclass(frozen=True)
class _Case:
    """A coalition with its random controls, and their columns in the measured arrays."""

    number: int
    """Position in the record, from 0."""
    members: Group
    """Its players."""
    evaluated: bool
    """Whether the protocol evaluates it."""
    controls: list[Group]
    """Random sets of the same size."""

    @property
    def groups(self) -> list[Group]:
        """The coalition first, then its controls."""
        return [self.members, *self.controls]


@dataclass(frozen=True)
class _Measured:
    """What all cards of a record share: measurements of K distinct sets."""

    game: RerankerGame
    """The judge's game on the held-out queries."""
    bench: Bench
    """The judge's workbench, for effects and drops of nDCG."""
    column: dict[Group, int]
    """The column of each set in the arrays below."""
    firing: Firing
    """Firing per token."""
    pairs: np.ndarray
    """Firing per pair, shape (pairs, K)."""
    agreement: np.ndarray
    """Mean correlation of two members, shape (K,)."""
    by_token: np.ndarray
    """Share of the variance explained by the token, shape (K,)."""
    signals: list[Alignment]
    """Alignment with each classical signal."""

    def columns(self, case: _Case) -> list[int]:
        """The columns of a coalition and then of its controls."""
        return [self.column[group] for group in case.groups]


def inspect_record(record: Record, task: Task, settings: Settings, number: int | None) -> Inspection:
    """Make the card of one coalition of the record, or of every coalition that the protocol evaluates.

    Raises `UsageError` for a task without texts, a record without coalitions, players that the task does not have, and a
    number that the record does not have.
    """
    game = task.heldout
    if not isinstance(game, RerankerGame):
        raise UsageError(
            f"{record.task_name}: expected a task of query-document texts, got a planted game, whose pairs have no words that "
            f"a coalition could respond to; fix: use a record of a reranker's task or of planted/llama"
        )
    coalitions, bench = _coalitions(record, game), Bench(task, settings)
    cases = _cases(coalitions, bench, number)
    measured = _measure(cases, game, bench)
    shown, texts = (sum(map(len, rows)) for rows in (game.token_ids(), game.all_token_ids()))
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
        tokens_are="all tokens" if shown == texts else "only the token that is read out: no later layer mixes tokens",
        controls=settings.controls,
        warnings=list(task.warnings),
        cards=[_card(case, measured) for case in cases],
    )


def _coalitions(record: Record, game: RerankerGame) -> Coalitions:
    if record.coalitions is None:
        raise UsageError(
            f"expected a record with coalitions, got one that is {record.status}: {record.reason!r}; fix: choose another record"
        )
    if record.coalitions.n_players != game.n_players:
        raise UsageError(
            f"expected coalitions of the task's {game.n_players} players, got {record.coalitions.n_players} players; "
            f"fix: use a record of this task"
        )
    try:
        return Coalitions.of(game.n_players, record.coalitions.groups)
    except ValueError as error:
        raise UsageError(f"the record's {error}; fix: use an unmodified record") from None


def _cases(coalitions: Coalitions, bench: Bench, number: int | None) -> list[_Case]:
    evaluated = set(bench.eligible(coalitions))
    if number is not None and not 0 <= number < len(coalitions.groups):
        raise UsageError(
            f"--coalition: expected 0 to {len(coalitions.groups) - 1}, got {number}; fix: choose one of the record's coalitions"
        )
    if number is None and not evaluated:
        sizes = ", ".join(map(str, sorted(coalitions.sizes, reverse=True)[:5])) or "none"
        raise UsageError(
            f"expected a coalition of an eligible size, got none among {len(coalitions.groups)} (largest sizes: {sizes}); "
            f"fix: --coalition N inspects any coalition"
        )
    return [
        _Case(i, group, group in evaluated, bench.control_groups(len(group)))
        for i, group in enumerate(coalitions.groups)
        if (group in evaluated if number is None else i == number)
    ]


def _measure(cases: Sequence[_Case], game: RerankerGame, bench: Bench) -> _Measured:
    """Measure every distinct set of the cases once, all of them together."""
    groups = list(dict.fromkeys(group for case in cases for group in case.groups))
    firing = firing_of(game, groups)
    pairs = firing.pairs
    bench.heldout.prepare(groups)
    return _Measured(
        game=game,
        bench=bench,
        column={group: column for column, group in enumerate(groups)},
        firing=firing,
        pairs=pairs,
        agreement=firing.agreement(groups),
        by_token=firing.explained_by_token(),
        signals=alignments(pairs, bench.signals, game.query_of_pair, bench.settings.resamples),
    )


def _card(case: _Case, m: _Measured) -> Card:
    columns = m.columns(case)
    own = columns[0]
    signals = [_signal(alignment, columns) for alignment in m.signals]
    best = max((s for s in signals if s.r2 is not None), key=lambda s: s.r2.value, default=None)  # type: ignore[union-attr]
    drops, reason = _drops(case, m)
    effects = m.bench.heldout.effects(case.groups)
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
        agreement=_against(m.agreement[columns]),
        by_token=_against(m.by_token[columns]),
        best_signal=best,
        best_r2=_best(best, m.signals, columns),
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


def _signal(alignment: Alignment, columns: list[int]) -> Signal:
    r2, correlation, own = alignment.r2, alignment.correlation, columns[0]
    if r2 is None or correlation is None:
        return Signal(name=alignment.name, r2=None, correlation=None, reason=alignment.reason)
    low, high = (None if ends is None else float(ends[own]) for ends in (alignment.low, alignment.high))
    against = _against(r2[columns], low, high, alignment.reason)
    return Signal(name=alignment.name, r2=against, correlation=float(correlation[own]))


def _best(best: Signal | None, signals: Sequence[Alignment], columns: list[int]) -> Against | None:
    """R2 of the best signal against each control's best: taking the best of several signals favours both alike."""
    if best is None or best.r2 is None:
        return None
    largest = np.max([s.r2[columns] for s in signals if s.r2 is not None], axis=0)
    return _against(largest, best.r2.low, best.r2.high, best.r2.reason)


def _drops(case: _Case, m: _Measured) -> tuple[np.ndarray | None, str | None]:
    if "judgements" not in m.bench.provides:
        return None, "no relevance judgements: nothing is relevant in a planted task"
    return m.bench.heldout.ndcg_drops(case.groups), None


def _over_queries(rows: np.ndarray, bench: Bench) -> Against:
    """Mean over queries of the first row, with its bootstrap interval, against the means of the others: (sets, queries)."""
    weights = bootstrap_weights(rows.shape[1], bench.settings.resamples)
    interval = ratio_interval(rows[0], np.ones(rows.shape[1]), weights)
    found = _against(rows.mean(1), interval.low, interval.high, interval.reason)
    if found is None:
        raise ValueError("expected finite effects, got none; fix: use a task whose scores are finite")
    return found


def _against(
    values: np.ndarray, low: float | None = None, high: float | None = None, reason: str | None = None
) -> Against | None:
    """The first value against the others, shape (sets,); None if it, or all of the others, are not finite."""
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


def _queries(game: RerankerGame, drops: np.ndarray | None, sign: int) -> list[QueryExample]:
    """The queries with the largest drops (sign 1) or gains (sign -1), largest first; queries without any are left out."""
    if drops is None:
        return []
    texts = {p.query_id: p.query for p in game.pairs}
    order = np.argsort(-sign * drops[0], kind="stable")[:SHOWN_QUERIES]
    return [
        QueryExample(query_id=game.query_ids[i], query=texts[game.query_ids[i]], ndcg_drop=float(drops[0, i]))
        for i in order
        if sign * drops[0, i] > 0
    ]


def _pair(m: _Measured, column: int, position: int) -> PairExample:
    pair, where = m.game.pairs[position], m.firing.of_pair(position)
    texts = m.game.token_strings(m.firing.ids[where].tolist())
    return PairExample(
        query_id=pair.query_id,
        document_id=pair.document_id,
        query=pair.query,
        firing=float(m.pairs[position, column]),
        score=float(m.game.scores[position]),
        objective=pair.objective if "judgements" in m.bench.provides else None,
        tokens=[
            Token(text=text, firing=float(value))
            for text, value in zip(texts, m.firing.tokens[where, column], strict=True)
        ],
    )
