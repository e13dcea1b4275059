"""LoRA on the MLP modules and a one-logit head, fine-tuned for an objective; killed at any time, it goes on where it was."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from peft import LoraConfig, get_peft_model, get_peft_model_state_dict, set_peft_model_state_dict
from torch import Tensor, nn
from transformers import PreTrainedModel
from transformers.pytorch_utils import Conv1D

from coterie.tasks.architectures import architecture_of, layers_of
from coterie.tasks.collections.types import Candidate
from coterie.tasks.ndcg import NDCG
from coterie.tasks.reranker import RerankerSpec, load_reranker
from coterie.tasks.training.data import TrainingData
from coterie.tasks.training.spec import TrainingError, TrainingSpec

CHECKPOINT = "checkpoint.pt"
Log = Callable[[str], None]
Progress = Callable[[int, int, str], None]


@dataclass
class _Progress:
    """Where a training stands: all that a checkpoint holds beside tensors."""

    step: int = 0
    best_ndcg: float = -1.0
    best_step: int = 0
    seconds: float = 0.0


class AdapterTraining:
    """One fine-tuning, its state on disk after every evaluation (``folder/checkpoint.pt``, tensors and plain values)."""

    def __init__(
        self, spec: RerankerSpec, data: TrainingData, recipe: TrainingSpec, folder: Path, device: str = "cpu"
    ) -> None:
        torch.manual_seed(recipe.seed)  # the head that is not there yet
        untuned = load_reranker(spec.model_copy(update={"adapter": None, "dtype": "float32"}), device, new_head=True)
        model = untuned.model
        head = architecture_of(model).head.rsplit(".", 1)[-1]
        lora = LoraConfig(
            task_type="SEQ_CLS",
            r=recipe.rank,
            lora_alpha=recipe.alpha,
            target_modules=list(recipe.targets) or mlp_modules(model),
            modules_to_save=[head],
            fan_in_fan_out=any(isinstance(module, Conv1D) for module in model.modules()),
        )
        self._tuned: Any = get_peft_model(model, lora).to(device)
        self._reranker = untuned  # its modules are the tuned ones: peft puts LoRA in place
        self._data, self._recipe, self._folder, self._device = data, recipe, folder, device
        self._parameters = [p for p in self._tuned.parameters() if p.requires_grad]
        self._optimizer = torch.optim.AdamW(self._parameters, lr=recipe.learning_rate, weight_decay=0.01)
        self._schedule = torch.optim.lr_scheduler.LambdaLR(
            self._optimizer, lambda s: min(1.0, (s + 1) / 50) * max(0.05, 1 - s / recipe.steps)
        )
        self._scaler = torch.amp.GradScaler(device, enabled=recipe.precision == "float16")
        self._draw, self._ndcg = np.random.default_rng(recipe.seed), NDCG(data.dev)
        self._centre, self._spread = self._standard()
        self.steps_to_do = recipe.steps  # fewer end the training sooner on the same schedule
        self._at, self._best = _Progress(), self._state()
        self._key = hashlib.sha256(
            json.dumps(
                [spec.model_dump(mode="json"), recipe.model_dump(mode="json"), data.objective, list(data.queries)]
            ).encode()
        ).hexdigest()

    def run(self, log: Log, progress: Progress = lambda _step, _steps, _text: None) -> float:
        """Train to the end or to early stopping and save the best state; returns its nDCG@10 on the dev queries."""
        self._resume(log)
        started, total, since = time.monotonic() - self._at.seconds, 0.0, 0
        while self._at.step < self.steps_to_do and not self._out_of_patience():
            total, since = total + self._step(), since + 1
            self._at.step += 1
            self._at.seconds = time.monotonic() - started
            progress(
                self._at.step, self.steps_to_do, f"loss {total / since:.3f}, best nDCG@10 {self._at.best_ndcg:.3f}"
            )
            if self._at.step % self._recipe.evaluate_every == 0 or self._at.step == self.steps_to_do:
                ndcg = self._evaluate()
                log(
                    f"{self._data.objective} {self._at.step} loss {total / since:.3f} "
                    f"dev nDCG@10 {ndcg:.3f} {self._at.seconds:.0f}s"
                )
                total, since = 0.0, 0
                self._save_checkpoint()
        if self._at.step < self.steps_to_do:
            log(
                f"stopped at step {self._at.step}: no better than {self._at.best_ndcg:.3f} for {self._recipe.patience} times"
            )
        log(f"best: dev nDCG@10 {self._at.best_ndcg:.3f} at step {self._at.best_step}")
        self._save()
        return self._at.best_ndcg

    def _step(self) -> float:
        """One optimiser step; the loss."""
        self._tuned.train()
        rows, total = self._data.draw(self._recipe, self._draw), 0.0
        width = 1 + self._recipe.hard_negatives + self._recipe.random_negatives
        queries = [rows[i : i + width] for i in range(0, len(rows), width)]
        parts = np.array_split(np.arange(len(queries)), min(self._recipe.accumulate, len(queries)))
        for part in parts:
            share = len(part) / len(queries)
            loss = self._loss([p for i in part for p in queries[i]], width) * share
            self._scaler.scale(loss).backward()
            total += loss.item()
        self._scaler.unscale_(self._optimizer)
        nn.utils.clip_grad_norm_(self._parameters, 1.0)
        self._scaler.step(self._optimizer)
        self._scaler.update()
        self._optimizer.zero_grad()
        self._schedule.step()
        return total

    def _loss(self, rows: Sequence[Candidate], width: int) -> Tensor:
        precision = self._recipe.precision
        kind = getattr(torch, precision)
        with torch.autocast(torch.device(self._device).type, dtype=kind, enabled=precision != "float32"):
            scores = self._scores(rows).float()
        if self._data.objective == "relevance":
            lists = scores.view(-1, width)
            return F.cross_entropy(lists, torch.zeros(len(lists), dtype=torch.long, device=lists.device))
        wanted = (self._data.values(rows) - self._centre) / self._spread
        return F.mse_loss(scores, torch.from_numpy(wanted).to(scores))

    def _scores(self, rows: Sequence[Candidate]) -> Tensor:
        tokens = self._reranker.encode(rows)
        ids = self._reranker.pad(tokens)
        lengths = torch.tensor([len(t) for t in tokens], device=ids.device)
        return self._reranker.logits(ids, lengths)

    @torch.no_grad()
    def _evaluate(self) -> float:
        """nDCG@10 on the dev queries; the state is kept where it is the best so far."""
        self._tuned.eval()
        scores = torch.cat([self._scores(self._data.dev[i : i + 64]) for i in range(0, len(self._data.dev), 64)])
        ndcg = float(self._ndcg.per_query(scores.double().cpu().numpy()).mean())
        if ndcg > self._at.best_ndcg:
            self._at.best_ndcg, self._at.best_step, self._best = ndcg, self._at.step, self._state()
        return ndcg

    def _out_of_patience(self) -> bool:
        return self._at.step - self._at.best_step >= self._recipe.patience * self._recipe.evaluate_every

    def _standard(self) -> tuple[float, float]:
        """Mean and standard deviation of the objective over 20 drawn steps: the units of the scores that are learned."""
        draw = np.random.default_rng([self._recipe.seed, 1])
        values = self._data.values([p for _ in range(20) for p in self._data.draw(self._recipe, draw)])
        return float(values.mean()), float(values.std()) or 1.0

    def _state(self) -> dict[str, Tensor]:
        return {name: value.detach().cpu().clone() for name, value in get_peft_model_state_dict(self._tuned).items()}

    def _save_checkpoint(self) -> None:
        self._folder.mkdir(parents=True, exist_ok=True)
        temporary = self._folder / f".{CHECKPOINT}.{os.getpid()}"
        torch.save(
            {
                "key": self._key,
                "at": asdict(self._at),
                "draw": json.dumps(self._draw.bit_generator.state),
                "state": self._state(),
                "best": self._best,
                "optimizer": self._optimizer.state_dict(),
                "schedule": self._schedule.state_dict(),
                "scaler": self._scaler.state_dict(),
            },
            temporary,
        )
        os.replace(temporary, self._folder / CHECKPOINT)

    def _resume(self, log: Log) -> None:
        """Go on from a checkpoint of the same training. Raises :class:`TrainingError` for one of another."""
        path = self._folder / CHECKPOINT
        if not path.exists():
            return
        saved = torch.load(path, weights_only=True, map_location=self._device)  # tensors and plain values only
        if saved["key"] != self._key:
            raise TrainingError(
                f"{path}: expected a checkpoint of this training, got one of another specification or other queries; "
                f"fix: delete it to start anew"
            )
        self._at, self._best = _Progress(**saved["at"]), saved["best"]
        self._draw.bit_generator.state = json.loads(saved["draw"])
        set_peft_model_state_dict(self._tuned, saved["state"])
        self._optimizer.load_state_dict(saved["optimizer"])
        self._schedule.load_state_dict(saved["schedule"])
        self._scaler.load_state_dict(saved["scaler"])
        log(f"resumed at step {self._at.step}")

    def _save(self) -> None:
        """Save the best state in hub layout, the base named relative to the folder where it is a folder."""
        set_peft_model_state_dict(self._tuned, self._best)
        self._tuned.save_pretrained(self._folder)
        config_path = self._folder / "adapter_config.json"
        config = json.loads(config_path.read_text())
        base = Path(config["base_model_name_or_path"])
        if base.is_dir():
            config["base_model_name_or_path"] = os.path.relpath(base.resolve(), self._folder.resolve())
        config["target_modules"] = sorted(config["target_modules"])  # a set: its order changes from run to run
        config["modules_to_save"] = sorted(set(config["modules_to_save"]))  # peft adds its own names for the head
        config_path.write_text(json.dumps(config, indent=1, sort_keys=True) + "\n")
        (self._folder / "README.md").unlink(missing_ok=True)  # peft's empty card; ours is written from measurements
        (self._folder / CHECKPOINT).unlink(missing_ok=True)


def mlp_modules(model: PreTrainedModel) -> list[str]:
    """Names for LoRA of the linear modules in the MLPs, such as ``mlp.up_proj``. Raises :class:`TrainingError` for none."""
    row = architecture_of(model)
    names = {
        f"{path}.{name}".strip(".")
        for layer in layers_of(model)
        for path in (*row.mlp, row.down)
        for name, module in layer.get_submodule(path).named_modules()
        if isinstance(module, nn.Linear | Conv1D)
    }
    if not names:
        raise TrainingError(
            f"{model.config.model_type}: its MLP has no linear modules; fix: name the modules in training.targets"
        )
    return sorted(names)
