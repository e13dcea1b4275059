"""Find and hash the files of a checkpoint, in a folder or on the hub, and report every problem with them in one line."""

from __future__ import annotations

import hashlib
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from importlib.metadata import version
from pathlib import Path
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

from coterie.tasks.errors import RerankerError, TaskError, one_line

if TYPE_CHECKING:
    from coterie.tasks.rerankers.spec import RerankerSpec

CONFIG, ADAPTER_CONFIG, ADAPTER_WEIGHTS = "config.json", "adapter_config.json", "adapter_model.safetensors"
_HASHED = ("*.safetensors", "*.safetensors.index.json", CONFIG, ADAPTER_CONFIG)
_NOT_TOKENIZER = (".safetensors", ".bin", ".pt", ".pth", ".h5", ".msgpack", ".onnx", ".gguf", ".ckpt")
_LONGEST_REASON = 300


def weights_hash(spec: RerankerSpec) -> str:
    """SHA-256 of the weight and configuration files; for a hub checkpoint, of its id and commit.

    The tokenizer is not included: the task's fingerprint covers the tokens that it produces.
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
            digest.update(bytes.fromhex(file_sha256(file)))
    return digest.hexdigest()


def file_sha256(path: Path) -> str:
    """SHA-256 of a file's content, hexadecimal."""
    with path.open("rb") as content:
        return hashlib.file_digest(content, "sha256").hexdigest()


def _weight_files(folder: Path) -> set[Path]:
    """The weight and configuration files, including shards in other folders that an index names."""
    files = {file for pattern in _HASHED for file in folder.glob(pattern)}
    for index in folder.glob("*.safetensors.index.json"):
        try:
            shards = set(json.loads(index.read_text("utf8"))["weight_map"].values())
        except (ValueError, KeyError, TypeError, AttributeError):
            continue  # loading reports what is wrong with it
        files |= {folder / str(shard) for shard in shards if (folder / str(shard)).is_file()}
    return files


def tokenizer_state(spec: RerankerSpec) -> list[str]:
    """What identifies the tokenizer without loading it: package versions, and hashes of the base's files except weights."""
    state = [f"{name} {version(name)}" for name in ("transformers", "tokenizers")]
    folder = Path(spec.base)
    if not folder.is_dir():
        return [*state, f"{spec.base}@{_commit(spec.base, spec.revision)}"]
    files = (path for path in sorted(folder.iterdir()) if path.is_file() and path.suffix not in _NOT_TOKENIZER)
    return [*state, *(f"{path.name} {file_sha256(path)}" for path in files)]


def adapter_file(adapter: str, name: str, revision: str | None) -> Path:
    """A file of an adapter in a folder or on the hub. Raises `RerankerError` if it does not exist or is a pickle."""
    folder = Path(adapter)
    if not folder.is_dir():
        return _from_hub(adapter, name, revision)
    if not (folder / name).is_file():
        found = sorted(p.name for p in folder.iterdir())
        if not any(one.startswith("adapter_") for one in found):
            raise RerankerError(
                f"{adapter}: expected an adapter ({name}), got {found[:6] or 'an empty folder'}; fix: coterie train "
                f"TASK.yaml if this task trains it, otherwise correct the path"
            )
        raise RerankerError(
            f"{adapter}: expected {name}, got {found[:6]}; fix: save the adapter with safetensors (a .bin is a pickle, "
            f"which is never loaded)"
        )
    return folder / name


@contextmanager
def one_line_errors(source: str, *but: type[Exception]) -> Iterator[None]:
    """Turn whatever loading a checkpoint raises, except `but`, into a `RerankerError` of one line."""
    try:
        yield
    except Exception as error:  # the libraries raise almost anything for a broken file
        if isinstance(error, (TaskError, *but)):
            raise
        if isinstance(error, ImportError):  # device_map without accelerate, flash attention without its package
            raise RerankerError(f"{source}: {_reason(error)}") from None
        if Path(source).is_dir():
            raise RerankerError(
                f"{source}: expected a checkpoint in hub layout (config.json, *.safetensors, tokenizer), got: {_reason(error)}"
            ) from None
        raise RerankerError(
            f"{source}: expected a folder, or a hub id in the cache or on a reachable hub, got: {_reason(error)}; "
            f"fix: hf download {source} (with HF_TOKEN for a gated model)"
        ) from None


def check_reachable(source: str, revision: str | None, name: str = CONFIG) -> None:
    """Raise `RerankerError` if a checkpoint is neither a folder nor in the cache, and the hub does not answer.

    The hub is tried once: the libraries' own retries take minutes.
    """
    from huggingface_hub import constants

    if Path(source).is_dir():
        return
    if Path(source).is_absolute() or source.startswith(("./", "../")):
        made = "base" if name == CONFIG else "adapter"
        raise RerankerError(
            f"{source}: expected a folder with {name}, got none; fix: correct the path, or coterie train TASK.yaml if the "
            f"task trains its own {made}"
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
            f"{source}: expected a folder, or a hub id in the cache or on a reachable hub, got neither ({host.hostname}: "
            f"{error}); fix: on a machine with a network, hf download {source} (with HF_TOKEN for a gated model)"
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
            f"{source}: expected {name} in the repository, got none (a .bin is a pickle, which is never loaded); fix: use a "
            f"revision that has it, or a local copy saved with safetensors (docs/tasks.md)"
        ) from None


def _commit(source: str, revision: str | None) -> str:
    """The commit of a hub checkpoint in the cache, whose files are in `snapshots/COMMIT`; otherwise the revision."""
    from huggingface_hub import try_to_load_from_cache

    for name in (CONFIG, ADAPTER_CONFIG):
        with one_line_errors(source):
            cached = try_to_load_from_cache(source, name, revision=revision)
        if isinstance(cached, str):
            return Path(cached).parent.name
    return str(revision)


def _reason(error: BaseException) -> str:
    text = one_line(error, _LONGEST_REASON + 1)
    if isinstance(error, KeyError | AttributeError | TypeError):  # their text alone says little
        text = f"{type(error).__name__}: {text}"
    return text if len(text) <= _LONGEST_REASON else text[: _LONGEST_REASON - 3] + "..."
