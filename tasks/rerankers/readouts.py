"""From a model's outputs to its relevance score: one logit, or the difference of two labels or tokens."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn

from coterie.tasks.config.text import nearest
from coterie.tasks.errors import RerankerError
from coterie.tasks.rerankers.spec import LabelsReadout, LogitReadout, ScoreReadout, YesNoReadout, is_language_model

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

Columns = tuple[int, int | None]  # index of the output that is read, and of the one that is subtracted


def check_labels(readout: ScoreReadout, config: PreTrainedConfig, where: str) -> None:
    """Raise `RerankerError` if the classifier that a configuration describes does not have the outputs to read."""
    labels = [str(label) for _, label in sorted(config.id2label.items())]
    if isinstance(readout, LogitReadout) and len(labels) != 1:
        raise RerankerError(
            f"{where}: expected a classifier with one logit, got {len(labels)} labels {labels[:6]}; fix: reranker.readout: "
            f"{{kind: labels, positive: {labels[-1]}, negative: {labels[0]}}}, whichever of them means relevant"
        )
    if isinstance(readout, LabelsReadout):
        for label in (readout.positive, readout.negative):
            if label is not None and label not in labels:
                raise RerankerError(
                    f"{where}: reranker.readout: expected one of the labels {labels[:6]}, got {label!r}; fix: use one of these"
                )


def columns_of(
    readout: ScoreReadout, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, where: str
) -> Columns:
    """The outputs that a readout takes. Raises `RerankerError` for a label or a token that does not exist."""
    if isinstance(readout, YesNoReadout):
        no = None if readout.no is None else _token(readout.no, tokenizer, config, where)
        return _token(readout.yes, tokenizer, config, where), no
    check_labels(readout, config, where)
    if isinstance(readout, LogitReadout):
        return 0, None
    number_of = {str(label): int(number) for number, label in config.id2label.items()}
    return number_of[readout.positive], None if readout.negative is None else number_of[readout.negative]


def _token(name: str, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, where: str) -> int:
    vocabulary = tokenizer.get_vocab()
    if name in vocabulary:
        if vocabulary[name] >= config.vocab_size:
            raise RerankerError(
                f"{where}: reranker.readout: expected a token that the model can produce, got {name!r} with id "
                f"{vocabulary[name]}, but the model has {config.vocab_size} outputs; fix: use the tokenizer of this model"
            )
        return int(vocabulary[name])
    pieces = tokenizer.convert_ids_to_tokens(tokenizer(name, add_special_tokens=False)["input_ids"])
    near = [spelled for spelled in (f"▁{name}", f"Ġ{name}") if spelled in vocabulary]
    near = near or nearest(name, vocabulary, most=1, cutoff=0.7)
    raise RerankerError(
        f"{where}: reranker.readout: expected a token of the vocabulary, got {name!r}, which the tokenizer writes as "
        f"{pieces[:6]}; fix: give one token, spelled as in the vocabulary" + (f" ({near[0]!r}?)" if near else "")
    )


def logit_cap(config: PreTrainedConfig, readout: ScoreReadout) -> float | None:
    """The soft cap of a language model's logits; None if it has none, or the readout is a classifier's."""
    cap: float | None = getattr(config, "final_logit_softcapping", None) if is_language_model(readout) else None
    return cap


def capped(logits: Tensor, cap: float | None) -> Tensor:
    """`cap * tanh(logits / cap)`, as Gemma 2 limits its logits; unchanged without a cap."""
    return logits if cap is None else cap * torch.tanh(logits / cap)


def selected(logits: Tensor, columns: Columns) -> Tensor:
    """The score [...] from all of a model's outputs [..., outputs]."""
    first, second = columns
    score = logits[..., first]
    return score if second is None else score - logits[..., second]


class ScoreHead(nn.Module):
    """A model's last linear map, restricted to the outputs that are read.

    `logit = (w x + b) * scale`, then `cap * tanh(logit / cap)` if the model caps its logits, then first minus second.
    """

    def __init__(self, linear: nn.Linear, columns: Columns, scale: float = 1.0, cap: float | None = None) -> None:
        super().__init__()
        rows = torch.tensor([c for c in columns if c is not None], device=linear.weight.device)
        self._cap = cap
        self.weight = linear.weight.detach()[rows] * scale
        self.bias = None if linear.bias is None else linear.bias.detach()[rows] * scale
        if cap is None and len(rows) == 2:  # without a cap the score is linear: one row is enough
            self.weight = self.weight[:1] - self.weight[1:]
            self.bias = None if self.bias is None else self.bias[:1] - self.bias[1:]

    def forward(self, x: Tensor) -> Tensor:
        """The score [..., 1] from the head's input [..., d_model]."""
        logits = capped(nn.functional.linear(x, self.weight, self.bias), self._cap)
        return logits if logits.shape[-1] == 1 else logits[..., :1] - logits[..., 1:]


def score_head(model: Any, head: nn.Module, readout: ScoreReadout, columns: Columns) -> nn.Module:
    """A module that returns the score [..., 1]: the classifier itself if it has a single logit."""
    if isinstance(readout, LogitReadout):
        return head
    config = model.config
    scaled = is_language_model(readout) and getattr(config, "scale_decoder_outputs", False)  # T5 with a tied head
    scale = config.d_model**-0.5 if scaled else 1.0
    return ScoreHead(head, columns, scale, logit_cap(config, readout))  # type: ignore[arg-type]
