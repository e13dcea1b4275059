"""Train an adapter (LoRA and a head with one logit) for an objective. A training run that was killed can be resumed."""

from __future__ import annotations

import hashlib
import json
import math
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from coterie.tasks.collections.types import Candidate
from coterie.tasks.errors import RecipeError, TrainingError
from coterie.tasks.ndcg import NDCG
from coterie.tasks.rerankers.reranker import load_reranker
from coterie.tasks.rerankers.spec import RerankerSpec
from coterie.tasks.training.base import Progress
from coterie.tasks.training.data import TrainingData
from coterie.tasks.training.lora import adapter_tensors, add_lora, save_adapter, set_adapter_tensors
from coterie.tasks.training.spec import TrainingSpec
from coterie.tasks.training.state import (
    Position,
    discard_checkpoint,
    held_interrupts,
    random_state,
    read_checkpoint,
    set_random_state,
    write_checkpoint,
)
from coterie.tasks.training.warm_start import warm_start, weights_digest

AT_CHANCE = 0.97  # a model whose mean loss is above this share of chance has hardly learned anything
SAVE_EVERY = 300.0  # most seconds between checkpoints
Log = Callable[[str], None]


class _NotFiniteError(ArithmeticError):
    """A loss, gradient or score that is NaN or infinite."""


class AdapterTraining:
    """The training run of one adapter.

    Its state is saved in `folder/checkpoint.pt` (tensors and plain values) after every evaluation, every five minutes and
    on Ctrl-C, and stays there until `discard_checkpoint`.
    """

    def __init__(
        self, spec: RerankerSpec, data: TrainingData, recipe: TrainingSpec, folder: Path, device: str = "cpu"
    ) -> None:
        torch.manual_seed(recipe.seed)  # of the new head
        untuned = load_reranker(spec.model_copy(update={"adapter": None, "dtype": "float32"}), device, new_head=True)
        parameters = sum(p.numel() for p in untuned.model.parameters())
        self.rate_line, recipe = recipe.rate_line(parameters), recipe.resolved(parameters)
        self._tuned: Any = add_lora(untuned.model, recipe, untuned.row.head_modules).to(device)
        self._reranker = untuned  # peft replaced its modules in place: it is the tuned one now
        warm = warm_start(recipe, spec.base, self._state())
        if warm is not None:
            set_adapter_tensors(self._tuned, warm[0])
        self._data, self._folder, self._device = data, folder, device
        self.recipe = recipe  # resolved
        self._parameters = [p for p in self._tuned.parameters() if p.requires_grad]
        self._set_optimizer()
        self._draw, self._ndcg = np.random.default_rng(recipe.seed), NDCG(data.dev)
        self._width = 1 + recipe.hard_negatives + recipe.random_negatives
        self._centre, self._spread = self._standard()
        self.steps_to_do = recipe.steps  # a smaller number ends the training sooner on the same schedule
        self._at, self._best = Position(), self._state()
        parts = [
            spec.model_dump(mode="json", exclude={"adapter", "adapter_revision"}),
            recipe.model_dump(mode="json", exclude={"init_adapter", "init_adapter_revision", "card_queries"}),
            data.objective,
            list(data.queries),
            weights_digest(Path(spec.base)),
            warm[1] if warm else None,
        ]
        self._key = hashlib.sha256(json.dumps(parts).encode()).hexdigest()

    def run(self, log: Log, progress: Progress = lambda _step, _steps, _text: None) -> float:
        """Train until the last step or early stopping, save the best state and return its nDCG@10 on the dev queries.

        Raises `TrainingError` if loss or scores are no longer finite, after saving the best state if it is better than the
        untuned one. Raises `KeyboardInterrupt` after the step in which Ctrl-C was pressed.
        """
        self._resume(log)
        log(self.rate_line)
        try:
            with held_interrupts() as interrupted:
                if self._at.untuned_ndcg is None:
                    self._at.untuned_ndcg = self._evaluate()
                    log(
                        f"{self._data.objective} 0/{self.steps_to_do} dev nDCG@10 {self._at.untuned_ndcg:.3f} (untuned)"
                    )
                self._take_steps(log, progress, interrupted)
        except _NotFiniteError as error:
            raise self._broken(error) from None
        self._conclude(log)
        self._save()
        return self._at.best_ndcg

    def _take_steps(self, log: Log, progress: Progress, interrupted: Callable[[], bool]) -> None:
        at, started = self._at, time.monotonic() - self._at.seconds
        saved = time.monotonic()
        while at.step < self.steps_to_do and not self._out_of_patience():
            at.loss_sum, at.loss_steps = at.loss_sum + self._step(), at.loss_steps + 1
            at.step += 1
            at.seconds = time.monotonic() - started
            loss = at.loss_sum / at.loss_steps
            progress(at.step, self.steps_to_do, f"loss {loss:.3f}, best nDCG@10 {at.best_ndcg:.3f}")
            evaluated = at.step % self.recipe.evaluate_every == 0 or at.step == self.steps_to_do
            if evaluated:
                at.last_ndcg, at.last_loss, at.last_chance = self._evaluate(), loss, at.chance_sum / at.loss_steps
                at.loss_sum, at.chance_sum, at.loss_steps = 0.0, 0.0, 0
                log(
                    f"{self._data.objective} {at.step}/{self.steps_to_do} loss {loss:.3f} dev nDCG@10 {at.last_ndcg:.3f} "
                    f"(best {at.best_ndcg:.3f} at step {at.best_step}) {at.seconds:.0f}s"
                )
                if at.step == 2 * self.recipe.evaluate_every and at.step < self.steps_to_do and self._is_at_chance():
                    log(f"warning: {self._at_chance_line()}; fix: {self._advice(final=False)}")
            stop = interrupted()
            if evaluated or stop or time.monotonic() - saved > SAVE_EVERY:
                self._save_checkpoint()
                saved = time.monotonic()
            if stop:
                raise KeyboardInterrupt

    def _is_at_chance(self) -> bool:
        """Whether the mean loss since the last evaluation is no better than the loss of equal scores."""
        return self._at.last_loss is not None and self._at.last_loss > AT_CHANCE * self._at.last_chance

    def _at_chance_line(self) -> str:
        at, listwise = self._at, self._data.objective == "relevance"
        chance = f"ln of {self._width} documents" if listwise else "variance of the standardised objective"
        return (
            f"at step {at.step} the loss is {at.last_loss:.3f} and chance is {at.last_chance:.3f} ({chance}): hardly "
            f"anything has been learned; dev nDCG@10 is {at.last_ndcg:.3f}, untuned {at.untuned_ndcg or 0.0:.3f}"
        )

    def _advice(self, final: bool) -> str:
        """What to change. Only the end of training shows whether the learning rate is too large or too small."""
        recipe = self.recipe
        rate = f"training.learning_rate (now {recipe.learning_rate:g})"
        if not final:
            return f"wait for the end, or try another {rate}"
        if self._at.last_ndcg < (self._at.untuned_ndcg or 0.0):
            return f"try a smaller {rate} or a longer training.warmup (now {recipe.warmup})"
        return f"try a larger {rate} or more training.steps (now {recipe.steps})"

    def _conclude(self, log: Log) -> None:
        at = self._at
        if at.step < self.steps_to_do:
            log(f"stopped at step {at.step}: no better than {at.best_ndcg:.3f} for {self.recipe.patience} evaluations")
        problems = [self._at_chance_line()] if self._is_at_chance() else []
        if at.best_step == 0:
            problems.append(
                f"dev nDCG@10 never exceeded the untuned model's {at.untuned_ndcg:.3f} (last: {at.last_ndcg:.3f}), so the "
                f"untuned model is saved"
            )
        for problem in problems:
            log(f"warning: {problem}; fix: {self._advice(final=True)}")
        log(f"best: dev nDCG@10 {at.best_ndcg:.3f} at step {at.best_step} (untuned {at.untuned_ndcg:.3f})")

    def _broken(self, error: _NotFiniteError) -> TrainingError:
        """End a training run whose numbers are no longer finite, and return the error to raise.

        The best state is saved if it is better than the untuned one. The checkpoint is removed, because resuming from it
        would only lead to the same error.
        """
        at = self._at
        if at.untuned_ndcg is None:
            return TrainingError(
                f"{self._reranker.model.config.name_or_path}: expected finite scores from the untuned model, got {error}; "
                f"fix: a base with finite weights"
            )
        kept = "nothing is saved: no evaluation after step 0 was better than the untuned model"
        if at.best_step > 0:
            self._save()
            kept = f"the best state (dev nDCG@10 {at.best_ndcg:.3f} at step {at.best_step}) is saved in {self._folder}"
        discard_checkpoint(self._folder)
        return TrainingError(
            f"{self._data.objective}: expected finite numbers, got {error} at step {at.step + 1}; {kept}; fix: a smaller "
            f"training.learning_rate (now {self.recipe.learning_rate:g}) or training.precision: float32 (now "
            f"{self.recipe.precision})"
        )

    def _set_optimizer(self) -> None:
        recipe, warmup = self.recipe, max(1, self.recipe.warmup or 0)
        self._optimizer = torch.optim.AdamW(self._parameters, lr=recipe.learning_rate or 0.0, weight_decay=0.01)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda s: min(1.0, (s + 1) / warmup) * max(0.05, 1 - s / recipe.steps)
        )
        self._scaler = torch.amp.GradScaler(self._device, enabled=recipe.precision == "float16")

    def _step(self) -> float:
        """Take one optimiser step and return the loss."""
        self._tuned.train()
        rows, total = self._data.draw(self.recipe, self._draw), 0.0
        queries = [rows[i : i + self._width] for i in range(0, len(rows), self._width)]
        parts = np.array_split(np.arange(len(queries)), min(self.recipe.accumulate, len(queries)))
        for part in parts:
            share = len(part) / len(queries)
            loss, chance = self._loss([p for i in part for p in queries[i]])
            loss = loss * share
            total += loss.item()
            self._at.chance_sum += chance * share
            if not math.isfinite(total):
                raise _NotFiniteError(f"a loss of {total}")
            self._scaler.scale(loss).backward()
        self._scaler.unscale_(self._optimizer)
        norm = float(nn.utils.clip_grad_norm_(self._parameters, 1.0))
        if not math.isfinite(norm) and not self._scaler.is_enabled():  # the scaler of float16 skips such steps
            raise _NotFiniteError(f"a gradient of norm {norm}")
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad()
        self._schedule.step()
        return total

    def _loss(self, rows: Sequence[Candidate]) -> tuple[Tensor, float]:
        """The loss, and the loss of equal scores (for a scalar objective, equal to its mean)."""
        precision = self.recipe.precision
        kind = getattr(torch, precision)
        with torch.autocast(torch.device(self._device).type, dtype=kind, enabled=precision != "float32"):
            scores = self._scores(rows).float()
        if self._data.objective == "relevance":
            lists = scores.view(-1, self._width)
            first = torch.zeros(len(lists), dtype=torch.long, device=lists.device)
            return F.cross_entropy(lists, first), math.log(self._width)
        wanted = (self._data.values(rows) - self._centre) / self._spread
        return F.mse_loss(scores, torch.from_numpy(wanted).to(scores)), float((wanted**2).mean())

    def _scores(self, rows: Sequence[Candidate]) -> Tensor:
        return self._reranker.logits(self._reranker.inputs(rows))

    @torch.no_grad()
    def _evaluate(self) -> float:
        """nDCG@10 on the dev queries; keeps a copy of the state if it is the best so far."""
        self._tuned.eval()
        scores = torch.cat([self._scores(self._data.dev[i : i + 64]) for i in range(0, len(self._data.dev), 64)])
        if not torch.isfinite(scores).all():
            raise _NotFiniteError("a score of NaN or infinity on the dev queries")
        ndcg = float(self._ndcg.per_query(scores.double().cpu().numpy()).mean())
        if ndcg > self._at.best_ndcg:
            self._at.best_ndcg, self._at.best_step, self._best = ndcg, self._at.step, self._state()
        return ndcg

    def _out_of_patience(self) -> bool:
        first = self.recipe.evaluate_every  # patience starts at the first evaluation after step 0
        return self._at.step - max(self._at.best_step, first) >= self.recipe.patience * first

    def _standard(self) -> tuple[float, float]:
        """Mean and standard deviation of the objective over 20 drawn steps, which standardise what is learned."""
        if self._data.objective == "relevance":
            return 0.0, 1.0
        draw = np.random.default_rng([self.recipe.seed, 1])
        values = self._data.values([p for _ in range(20) for p in self._data.draw(self.recipe, draw)])
        if np.ptp(values) == 0:
            expected = (
                f"expected an objective that differs between training pairs (all {len(values)} drawn: {values[0]:g})"
            )
            raise RecipeError("objective", expected, self._data.objective)
        return float(values.mean()), float(values.std())

    def _state(self) -> dict[str, Tensor]:
        return adapter_tensors(self._tuned)

    def _save_checkpoint(self) -> None:
        write_checkpoint(
            self._folder,
            {
                "key": self._key,
                "at": asdict(self._at),
                "draw": json.dumps(self._draw.bit_generator.state),
                "random": random_state(self._device),
                "state": self._state(),
                "best": self._best,
                "optimizer": self._optimizer.state_dict(),
                "schedule": self._schedule.state_dict(),
                "scaler": self._scaler.state_dict(),
            },
        )

    def _resume(self, log: Log) -> None:
        """Continue from a checkpoint of this training run, if one exists. Raises `TrainingError` for that of another run."""
        saved = read_checkpoint(self._folder, self._key)
        if saved is None:
            return
        self._at, self._best = Position(**saved["at"]), saved["best"]
        self._draw.bit_generator.state = json.loads(saved["draw"])
        set_adapter_tensors(self._tuned, saved["state"])
        self._optimizer.load_state_dict(saved["optimizer"])
        self._schedule.load_state_dict(saved["schedule"])
        self._scaler.load_state_dict(saved["scaler"])
        set_random_state(saved["random"])
        log(f"resumed at step {self._at.step}")

    def _save(self) -> None:
        """Save the best state."""
        set_adapter_tensors(self._tuned, self._best)
        save_adapter(self._tuned, self._folder)
