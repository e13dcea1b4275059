"""Checkpoints on disk and on the hub, before their weights are loaded: what they are, their hash, what is wrong with them."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from coterie.tasks.reranker import RerankerSpec

_HASHED = ("*.safetensors", "config.json", "adapter_config.json", "tokenizer.json", "tokenizer_config.json")
DTYPE_BYTES = {"float64": 8, "float32": 4, "bfloat16": 2, "float16": 2}


class RerankerError(ValueError):
    """A checkpoint that would load but give wrong scores, or that does not load."""


@dataclass(frozen=True)
class RerankerSize:
    """What a checkpoint's configuration tells of its size; ``bytes`` are those of the weights in the spec's dtype."""

    model_type: str
    layers: int
    d_model: int
    players: int
    parameters: int
    bytes: int


def describe(spec: RerankerSpec) -> RerankerSize:
    """The size of a reranker from its configuration alone; no weights are read.

    Raises :class:`RerankerError` where the configuration cannot be had: neither a folder, nor in the hub's cache, nor on
    a hub that can be reached.
    """
    import torch
    from transformers import AutoConfig, AutoModelForSequenceClassification

    from coterie.tasks.architectures import architecture_of, layers_of
    from coterie.tasks.site import Site

    _check_reachable(spec.base, spec.revision)
    with told(spec.base):
        config = AutoConfig.from_pretrained(spec.base, revision=spec.revision, trust_remote_code=False, num_labels=1)
    with torch.device("meta"):
        model = AutoModelForSequenceClassification.from_config(config, trust_remote_code=False)
        row, layers = architecture_of(model), layers_of(model)
        players = Site(row, layers[0], "neurons" if row.experts is None else "expert:0").n_players
    if spec.adapter is not None and not Path(spec.adapter).is_dir():
        _from_hub(spec.adapter, "adapter_config.json", spec.adapter_revision)
    parameters = sum(p.numel() for p in model.parameters())
    return RerankerSize(
        model_type=str(config.model_type),
        layers=len(layers),
        d_model=int(config.hidden_size),
        players=players,
        parameters=parameters,
        bytes=parameters * DTYPE_BYTES[spec.dtype],
    )


def check_adapter(adapter: str, revision: str | None, headless: bool) -> None:
    """Refuse an adapter whose weights are a pickle, or that lacks the head that it promises or that its
    base has not (``headless``).
    """
    folder, name = Path(adapter), "adapter_model.safetensors"
    if folder.is_dir() and not (folder / name).is_file():
        raise RerankerError(
            f"{adapter}: expected {name}, got {sorted(p.name for p in folder.iterdir())[:6]}; fix: save the adapter with "
            f"safetensors (a .bin is a pickle, which is never loaded)"
        )
    path = folder / name if folder.is_dir() else _from_hub(adapter, name, revision)
    from safetensors import safe_open

    with told(adapter), safe_open(str(path), framework="pt") as weights:
        names = list(weights.keys())
    config = folder / "adapter_config.json" if folder.is_dir() else _from_hub(adapter, "adapter_config.json", revision)
    promised = bool(json.loads(config.read_text("utf8")).get("modules_to_save"))
    if (headless or promised) and not any(".score." in key or ".classifier." in key for key in names):
        raise RerankerError(
            f"{adapter}: expected the classification head in the adapter, got none: its base's own, or a random one, "
            f"would be used; fix: save the adapter with task type SEQ_CLS and modules_to_save=['score']"
        )


def weights_hash(spec: RerankerSpec) -> str:
    """SHA-256 of the weight, configuration and tokenizer files; of a hub checkpoint, of its id and commit."""
    parts = [spec.dtype, spec.template.model_dump()]
    digest = hashlib.sha256(json.dumps(parts).encode())
    for source, revision in ((spec.base, spec.revision), (spec.adapter, spec.adapter_revision)):
        if source is None:
            continue
        folder = Path(source)
        files = sorted({f for pattern in _HASHED for f in folder.glob(pattern)}) if folder.is_dir() else []
        if not files:
            digest.update(f"{source}@{_commit(source, revision)}".encode())
        for file in files:
            digest.update(file.name.encode())
            with file.open("rb") as content:
                digest.update(hashlib.file_digest(content, "sha256").digest())
    return digest.hexdigest()


@contextmanager
def told(source: str) -> Iterator[None]:
    """Turn what loading a checkpoint raises into one :class:`RerankerError` line."""
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError
    from safetensors import SafetensorError

    try:
        yield
    except RerankerError:
        raise
    except ImportError as error:  # device_map without accelerate, flash attention without its package
        raise RerankerError(f"{source}: {_one_line(error)}") from None
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError, HfHubHTTPError, HFValidationError) as error:
        if Path(source).is_dir():
            raise RerankerError(
                f"{source}: expected a checkpoint in hub layout (config.json, *.safetensors, tokenizer), got: {_one_line(error)}"
            ) from None
        raise RerankerError(
            f"{source}: expected a folder, or a hub id that is in the cache or can be reached, got: {_one_line(error)}; "
            f"fix: hf download {source} (and HF_TOKEN where access is granted on request)"
        ) from None


def _check_reachable(source: str, revision: str | None) -> None:
    """Fail at once, without minutes of retries, where a checkpoint is neither a folder nor cached and the hub is away."""
    from huggingface_hub import constants

    if Path(source).is_dir() or _commit(source, revision) != str(revision) or "HTTPS_PROXY" in os.environ:
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

    with told(source):
        return Path(hf_hub_download(source, name, revision=revision))


def _commit(source: str, revision: str | None) -> str:
    """The commit of a hub checkpoint in the cache, where its files lie under ``snapshots/COMMIT``; else the revision."""
    from huggingface_hub import try_to_load_from_cache

    for name in ("config.json", "adapter_config.json"):
        with told(source):
            cached = try_to_load_from_cache(source, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached).parent.name
    return str(revision)


def _one_line(error: BaseException) -> str:
    text = " ".join(str(error).split())
    return text if len(text) <= 300 else text[:297] + "..."
