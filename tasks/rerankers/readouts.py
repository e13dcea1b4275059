"""Which of a model's outputs is its relevance score: the one logit, a difference of labels, or of two words' logits."""

from __future__ import annotations

from difflib import get_close_matches
from typing import TYPE_CHECKING, Annotated, Any, Literal, Self

import torch
from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import Tensor, nn

from coterie.tasks.errors import RerankerError

if TYPE_CHECKING:
    from transformers import PreTrainedConfig, PreTrainedTokenizerBase

Columns = tuple[int, int | None]  # outputs that are read: the first one, less the second where there is one


class _Readout(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class LogitReadout(_Readout):
    """The only logit of a classifier."""

    kind: Literal["logit"] = "logit"


class LabelsReadout(_Readout):
    """The logit of one label of a classifier, less that of another, by their names in ``id2label``."""

    kind: Literal["labels"]
    positive: str
    negative: str | None = None

    @model_validator(mode="after")
    def _two_labels(self) -> Self:
        if self.positive == self.negative:
            raise ValueError(f"expected two labels, got {self.positive!r} twice; fix: leave negative out")
        return self


class YesNoReadout(_Readout):
    """The logit of one token, less that of another, of a language model.

    Of a decoder it is read at the last token, of an encoder-decoder at the decoder's first step. The tokens are given as the
    vocabulary spells them (``yes``, or with SentencePiece's mark ``▁true``).
    """

    kind: Literal["yes-no"]
    yes: str
    no: str | None = None

    @model_validator(mode="after")
    def _two_tokens(self) -> Self:
        if self.yes == self.no:
            raise ValueError(f"expected two tokens, got {self.yes!r} twice; fix: leave no out")
        return self


ScoreReadout = Annotated[LogitReadout | LabelsReadout | YesNoReadout, Field(discriminator="kind")]


def is_language_model(readout: ScoreReadout) -> bool:
    """Whether the score is read from the logits of words."""
    return isinstance(readout, YesNoReadout)


def check_labels(readout: ScoreReadout, config: PreTrainedConfig, where: str) -> None:
    """Raise :class:`RerankerError` where the classifier that a configuration describes has other outputs than are read."""
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
                    f"{where}: reranker.readout: expected labels of {labels[:6]}, got {label!r}; fix: one of these"
                )


def columns_of(
    readout: ScoreReadout, config: PreTrainedConfig, tokenizer: PreTrainedTokenizerBase, where: str
) -> Columns:
    """The outputs that a readout takes. Raises :class:`RerankerError` for a label or a token that does not exist."""
    if isinstance(readout, YesNoReadout):
        yes, no = (
            None if name is None else _token(name, tokenizer, config, where) for name in (readout.yes, readout.no)
        )
        return int(yes or 0), no
    check_labels(readout, config, where)
    if isinstance(readout, LogitReadout):
        return 0, None
    of = {str(label): int(number) for number, label in config.id2label.items()}
    return of[readout.positive], None if readout.negative is None else of[readout.negative]


def _token(name: str, tokenizer: PreTrainedTokenizerBase, config: PreTrainedConfig, where: str) -> int:
    vocabulary = tokenizer.get_vocab()
    if name in vocabulary:
        if vocabulary[name] >= config.vocab_size:
            raise RerankerError(
                f"{where}: reranker.readout: expected a token that the model can say, got {name!r} with number "
                f"{vocabulary[name]} of {config.vocab_size}; fix: the tokenizer of this model"
            )
        return int(vocabulary[name])
    pieces = tokenizer.convert_ids_to_tokens(tokenizer(name, add_special_tokens=False)["input_ids"])
    near = [spelled for spelled in (f"▁{name}", f"Ġ{name}") if spelled in vocabulary]
    near = near or get_close_matches(name, vocabulary, n=1, cutoff=0.7)
    raise RerankerError(
        f"{where}: reranker.readout: expected a token of the vocabulary, got {name!r}, which the tokenizer writes as "
        f"{pieces[:6]}; fix: one token, spelled as in the vocabulary" + (f" ({near[0]!r}?)" if near else "")
    )


def selected(logits: Tensor, columns: Columns) -> Tensor:
    """The score [...] from all of a model's outputs [..., outputs]."""
    first, second = columns
    score = logits[..., first]
    return score if second is None else score - logits[..., second]


class ScoreHead(nn.Module):
    """A model's last linear map, for the outputs that are read alone.

    ``logit = (w x + b) * scale``, ``cap * tanh(logit / cap)`` where the model caps its logits, then first less second.
    """

    def __init__(self, linear: nn.Linear, columns: Columns, scale: float = 1.0, cap: float | None = None) -> None:
        super().__init__()
        rows = torch.tensor([c for c in columns if c is not None], device=linear.weight.device)
        self._cap = cap
        self.weight = linear.weight.detach()[rows] * scale
        self.bias = None if linear.bias is None else linear.bias.detach()[rows] * scale
        if cap is None and len(rows) == 2:  # linear: one row does it, in the precision of the weights
            self.weight = self.weight[:1] - self.weight[1:]
            self.bias = None if self.bias is None else self.bias[:1] - self.bias[1:]

    def forward(self, x: Tensor) -> Tensor:
        """The score [..., 1]."""
        logits = nn.functional.linear(x, self.weight, self.bias)
        if self._cap is not None:
            logits = self._cap * torch.tanh(logits / self._cap)
        return logits if logits.shape[-1] == 1 else logits[..., :1] - logits[..., 1:]


def score_head(model: Any, head: nn.Module, readout: ScoreReadout, columns: Columns) -> nn.Module:
    """The module that ends in the score [..., 1]: the classifier itself where it has one logit."""
    if isinstance(readout, LogitReadout):
        return head
    config = model.config
    words = is_language_model(readout)
    cap = getattr(config, "final_logit_softcapping", None) if words else None
    scaled = words and getattr(config, "scale_decoder_outputs", False)  # T5, where embeddings and head are tied
    return ScoreHead(head, columns, config.d_model**-0.5 if scaled else 1.0, cap)  # type: ignore[arg-type]
