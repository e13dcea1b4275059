"""Checkpoints on disk and on the hub, before their weights are loaded: what they are, their hash, what is wrong with them."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from coterie.tasks.errors import RerankerError
from coterie.tasks.rerankers.readouts import check_labels, is_language_model

if TYPE_CHECKING:
    from transformers import PreTrainedConfig

    from coterie.tasks.rerankers.spec import RerankerSpec

_WEIGHTS = ("*.safetensors", "*.safetensors.index.json", "config.json", "adapter_config.json")
_NOT_TOKENIZER = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".gguf", ".ckpt")
DTYPE_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


@dataclass(frozen=True)
class RerankerSize:
    """What a checkpoint's configuration says of it; ``bytes`` are those of the weights in the spec's dtype.

    ``encoder_layers`` are those of the encoder where a decoder follows, else 0. ``window`` is how many tokens back a layer
    sees where that is limited. ``pools_all`` is whether all tokens of the last layer reach the score. ``replay`` says in
    words how layers after the site are computed.
    """

    model_type: str
    layers: int
    d_model: int
    players: int
    parameters: int
    bytes: int
    encoder_layers: int = 0
    window: int | None = None
    pools_all: bool = False
    replay: str = ""
    experts: int = 0


def describe(spec: RerankerSpec) -> RerankerSize:
    """The size of a reranker from its configuration alone, and all that can be checked there; no weights are read.

    Raises :class:`RerankerError` where the configuration cannot be had (neither a folder, nor in the hub's cache, nor on
    a hub that can be reached), where the readout does not fit it, and where the template is longer than its positions.
    """
    import torch

    from coterie.tasks.rerankers.architectures import architecture_for, layers_in
    from coterie.tasks.rerankers.site import Site

    check_reachable(spec.base, spec.revision)
    if spec.adapter is not None:
        check_reachable(spec.adapter, spec.adapter_revision, "adapter_config.json")
    with one_line_errors(spec.base):
        kind, config = model_class(spec)
    row = architecture_for(config, spec.readout)
    check_length(spec, config)
    with torch.device("meta"), one_line_errors(spec.base):
        model = kind.from_config(config, trust_remote_code=False)
        layers = layers_in(model, row)
        players = Site(row, layers[0], "neurons" if row.experts is None else "expert:0").n_players
    if spec.adapter is not None:
        adapter_file(spec.adapter, "adapter_config.json", spec.adapter_revision)
        if Path(spec.adapter).is_dir():
            from coterie.tasks.rerankers.adapters import tensor_names

            tensor_names(spec)
    parameters = sum(p.numel() for p in model.parameters())
    uses_window = getattr(config, "use_sliding_window", True)
    return RerankerSize(
        model_type=str(config.model_type),
        layers=len(layers),
        d_model=int(config.hidden_size),
        players=players,
        parameters=parameters,
        bytes=parameters * DTYPE_BYTES[spec.dtype],
        encoder_layers=int(config.num_layers) if row.decoder is not None else 0,
        window=getattr(config, "sliding_window", None) if uses_window else None,
        pools_all=row.pooled in ("mean", "decoder"),
        replay="over distinct tokens, the last layer at the last token alone"
        if row.rotary
        else "by the model's own layers",
        experts=int(getattr(config, "num_local_experts", 0)) if row.experts is not None else 0,
    )


def model_class(spec: RerankerSpec, new_head: bool = False) -> tuple[Any, PreTrainedConfig]:
    """The class that loads a reranker of this readout, and the checkpoint's configuration for it.

    ``new_head`` allows a base without a head. Raises :class:`RerankerError` where the checkpoint is one of another kind.
    """
    from transformers import (
        AutoModelForCausalLM,
        AutoModelForSeq2SeqLM,
        AutoModelForSequenceClassification,
    )

    config = model_config(spec)
    made_as = [str(name) for name in config.architectures or []]
    classifies = any("ForSequenceClassification" in name for name in made_as)
    if is_language_model(spec.readout):
        if classifies:
            raise RerankerError(
                f"{spec.base}: expected a language model for a readout of words, got {made_as[0]}; fix: reranker.readout: "
                f"{{kind: logit}}, or labels"
            )
        if config.is_encoder_decoder and getattr(config, "decoder_start_token_id", None) is None:
            raise RerankerError(
                f"{spec.base}: config.json: decoder_start_token_id: expected the token that the decoder starts with, got none; "
                f"fix: 0 for T5"
            )
        return AutoModelForSeq2SeqLM if config.is_encoder_decoder else AutoModelForCausalLM, config
    if not classifies:  # a base without a head, which the adapter brings
        if spec.readout.kind == "logit":
            config.num_labels = 1
        if (
            spec.adapter is None
            and not new_head
            and any("ForCausalLM" in n or "ForConditionalGeneration" in n for n in made_as)
        ):
            raise RerankerError(
                f"{spec.base}: expected a classification head in the checkpoint, got a language model ({made_as[0]}); fix: "
                f"reranker.readout: {{kind: yes-no, yes: ..., no: ...}}, or an adapter that brings its head"
            )
    check_labels(spec.readout, config, spec.base)
    return AutoModelForSequenceClassification, config


def model_config(spec: RerankerSpec) -> PreTrainedConfig:
    """The configuration of the base as it is published."""
    from transformers import AutoConfig

    with one_line_errors(spec.base):
        config: PreTrainedConfig = AutoConfig.from_pretrained(
            spec.base, revision=spec.revision, trust_remote_code=False
        )
    return config


def concrete_class(spec: RerankerSpec) -> type:
    """The class of transformers that a reranker is loaded as."""
    with one_line_errors(spec.base):
        kind, config = model_class(spec)
    found = kind._model_mapping[type(config)]
    chosen: type = found[0] if isinstance(found, tuple) else found
    return chosen


def most_tokens(config: PreTrainedConfig) -> int | None:
    """How many tokens a network has positions for; None where positions are relative, and any number goes."""
    most: int | None = getattr(config, "max_position_embeddings", None)
    if config.model_type == "t5" or not getattr(config, "position_biased_input", True):
        return None
    if most is not None and config.model_type in ("roberta", "xlm-roberta"):  # positions start after the padding's
        return most - (1 if config.pad_token_id is None else int(config.pad_token_id)) - 1
    rope: Any = getattr(config, "rope_parameters", None) or {}
    if (
        most is not None and rope.get("rope_type") == "longrope"
    ):  # beyond, all factors change with the longest of a batch
        return min(most, int(rope.get("original_max_position_embeddings", most)))
    return most


def check_length(spec: RerankerSpec, config: PreTrainedConfig) -> None:
    most = most_tokens(config)
    if most is not None and spec.template.max_length > most:
        raise RerankerError(
            f"{spec.base}: reranker.template.max_length: expected at most {most}, the positions of this model, got "
            f"{spec.template.max_length}; fix: max_length: {most}"
        )


def weights_hash(spec: RerankerSpec) -> str:
    """SHA-256 of the weight and configuration files; of a hub checkpoint, of its id and commit.

    What the tokenizer does is in the task's fingerprint by the tokens of its pairs.
    """
    parts = [spec.dtype, spec.template.model_dump(), spec.readout.model_dump()]
    digest = hashlib.sha256(json.dumps(parts).encode())
    for source, revision in ((spec.base, spec.revision), (spec.adapter, spec.adapter_revision)):
        if source is None:
            continue
        folder = Path(source)
        files = sorted(_weight_files(folder)) if folder.is_dir() else []
        if not files:
            digest.update(f"{source}@{_commit(source, revision)}".encode())
        for file in files:
            digest.update(file.relative_to(folder).as_posix().encode())
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


def _weight_files(folder: Path) -> set[Path]:
    """The files of weights and configuration, with those in other folders that an index of shards names."""
    files = {file for pattern in _WEIGHTS for file in folder.glob(pattern)}
    for index in folder.glob("*.safetensors.index.json"):
        try:
            shards = set(json.loads(index.read_text("utf8"))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # loading says what is wrong with it
        files |= {folder / str(shard) for shard in shards if (folder / str(shard)).is_file()}
    return files


def tokenizer_state(spec: RerankerSpec) -> list[str]:
    """What tells one state of the tokenizer from another without loading it: every file of the base but its weights, and
    the versions of the packages.
    """
    state = [f"{name} {version(name)}" for name in ("transformers", "tokenizers")]
    folder = Path(spec.base)
    if not folder.is_dir():
        return [*state, f"{spec.base}@{_commit(spec.base, spec.revision)}"]
    for path in sorted(folder.iterdir()):
        if path.is_file() and path.suffix not in _NOT_TOKENIZER:
            with path.open("rb") as content:
                state.append(f"{path.name} {hashlib.file_digest(content, 'sha256').hexdigest()}")
    return state


def adapter_file(adapter: str, name: str, revision: str | None) -> Path:
    """A file of an adapter, local or of the hub. Raises :class:`RerankerError` where it does not exist, or is a pickle."""
    folder = Path(adapter)
    if not folder.is_dir():
        return _from_hub(adapter, name, revision)
    if not (folder / name).is_file():
        there = sorted(p.name for p in folder.iterdir())
        if not any(one.startswith("adapter_") for one in there):
            raise RerankerError(
                f"{adapter}: expected an adapter ({name}), got {there[:6] or 'an empty folder'}; fix: coterie train "
                f"TASK.yaml where this task trains it, else the path"
            )
        raise RerankerError(
            f"{adapter}: expected {name}, got {there[:6]}; fix: save the adapter with safetensors (a .bin is a pickle, "
            f"which is never loaded)"
        )
    return folder / name


@contextmanager
def one_line_errors(source: str, *but: type[Exception]) -> Iterator[None]:
    """Turn what loading a checkpoint raises, ``but`` these, into one :class:`RerankerError` line."""
    try:
        yield
    except Exception as error:  # of the libraries alone: whatever a file of others makes them raise
        if isinstance(error, (RerankerError, *but)) or type(error).__name__ == "UnknownArchitectureError":
            raise
        if isinstance(error, ImportError):  # device_map without accelerate, flash attention without its package
            raise RerankerError(f"{source}: {_one_line(error)}") from None
        if Path(source).is_dir():
            raise RerankerError(
                f"{source}: expected a checkpoint in hub layout (config.json, *.safetensors, tokenizer), got: {_one_line(error)}"
            ) from None
        raise RerankerError(
            f"{source}: expected a folder, or a hub id that is in the cache or can be reached, got: {_one_line(error)}; "
            f"fix: hf download {source} (and HF_TOKEN where access is granted on request)"
        ) from None


def check_reachable(source: str, revision: str | None, name: str = "config.json") -> None:
    """Fail at once, without minutes of retries, where a checkpoint is neither a folder nor cached and the hub is away."""
    from huggingface_hub import constants

    if Path(source).is_dir():
        return
    if Path(source).is_absolute() or source.startswith(("./", "../")):
        made = "its base" if name == "config.json" else "its adapter"
        raise RerankerError(
            f"{source}: expected a folder with {name}, got none; fix: the path, or coterie train TASK.yaml where the task "
            f"makes {made} itself"
        )
    if _commit(source, revision) != str(revision) or "HTTPS_PROXY" in os.environ:
        return
    host = urlsplit(constants.ENDPOINT)
    try:
        if constants.HF_HUB_OFFLINE:
            raise OSError("HF_HUB_OFFLINE is set")
        socket.create_connection((host.hostname, host.port or 443), timeout=5).close()
    except OSError as error:
        raise RerankerError(
            f"{source}: expected a folder, or a hub id that is in the cache or can be reached, got neither ({host.hostname}: "
            f"{error}); fix: on a machine with a network, hf download {source} (and HF_TOKEN where access is on request)"
        ) from None


def _from_hub(source: str, name: str, revision: str | None) -> Path:
    from huggingface_hub import hf_hub_download
    from huggingface_hub.errors import EntryNotFoundError

    check_reachable(source, revision, name)
    try:
        with one_line_errors(source, EntryNotFoundError):
            return Path(hf_hub_download(source, name, revision=revision))
    except EntryNotFoundError:
        raise RerankerError(
            f"{source}: expected {name} in the repository, got none (a .bin is a pickle, which is never loaded); fix: a revision "
            f"that has it, or a local copy saved with safetensors (docs/tasks.md)"
        ) from None


def _commit(source: str, revision: str | None) -> str:
    """The commit of a hub checkpoint in the cache, where its files lie under ``snapshots/COMMIT``; else the revision."""
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "adapter_config.json"):
        with one_line_errors(source):
            cached = try_to_load_from_cache(source, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached).parent.name
    return str(revision)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    if isinstance(error, KeyError | AttributeError | TypeError):
        text = f"{type(error).__name__}: {text}"
    return text if len(text) <= 300 else text[:297] + "..."


__all__ = ["DTYPE_BYTES", "RerankerError", "RerankerSize", "describe", "most_tokens", "weights_hash"]
