"""Published partitions of layers, read as files of strangers, and the sizes of their coalitions.

A file ``MODEL_layerN_AFFINITY.npz`` holds one array, ``coalition_of_neuron`` [neurons]: the number of each neuron's
coalition. That is how the partitions of Hedonic Neurons (Chowdhury et al., arXiv 2509.23684) are published.
"""

from __future__ import annotations

import io
import re
import struct
import zipfile
import zlib
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from tokenize import TokenError
from typing import Any

import numpy as np

from coterie.leaderboard.statistics.sizes import Sizes, describe_sizes

ARRAY = "coalition_of_neuron"
NAME = re.compile(
    r"(?P<model>[A-Za-z0-9][A-Za-z0-9.-]{0,63})_layer(?P<layer>[0-9]{1,4})_(?P<affinity>[a-z0-9-]{1,32})\.npz"
)
MOST_NEURONS = 2**20  # the widest MLP layer of a published model has a tenth of it
MOST_BYTES = 8 * MOST_NEURONS + 4096  # of the array, decompressed: int64 and its header
MOST_FILES = 4096


class PartitionError(ValueError):
    """A file that is not a partition, or not one that is safe to read."""


@dataclass(frozen=True)
class Partition:
    """One layer's partition: where its name says that it comes from, and the sizes of its coalitions."""

    model: str
    affinity: str
    layer: int
    sizes: Sizes

    def to_dict(self) -> dict[str, Any]:
        return {"model": self.model, "affinity": self.affinity, "layer": self.layer, **asdict(self.sizes)}


def read_partitions(folder: Path) -> tuple[list[Partition], list[str]]:
    """The partitions of a folder by model, affinity and layer, and the reasons why other ``.npz`` files were left out.

    Raises :class:`PartitionError` where there is no such folder, or no or too many ``.npz`` files in it.
    """
    paths = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    if not 0 < len(paths) <= MOST_FILES:
        got = f"{len(paths)} of them" if folder.is_dir() else "no folder"
        raise PartitionError(
            f"{folder}: expected 1 to {MOST_FILES} .npz files, got {got}; fix: the folder that holds them"
        )
    found, refused = [], []
    for path in paths:
        try:
            found.append(read_partition(path))
        except PartitionError as error:
            refused.append(str(error))
    return sorted(found, key=lambda p: (p.model, p.affinity, p.layer)), refused


def read_partition(path: Path) -> Partition:
    """Read one file. Raises :class:`PartitionError` with expected and got; nothing is unpickled, nothing is extracted."""
    name = NAME.fullmatch(path.name)
    if name is None:
        raise PartitionError(f"{path.name!r}: expected a name like llama_layer7_pas.npz; fix: rename the file")
    if path.is_symlink() or not path.is_file():
        raise PartitionError(
            f"{path.name}: expected a file in this folder, got a link or something else; fix: copy it there"
        )
    try:
        coalition_of_neuron = _array(_member(path))
        groups = [g.tolist() for g in _groups(coalition_of_neuron)]
        sizes = describe_sizes(len(coalition_of_neuron), groups)
    except (ValueError, zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, RuntimeError) as error:
        raise PartitionError(
            f"{path.name}: {str(error)[:200]}; fix: an .npz with {ARRAY!r} [neurons], integers from 0"
        ) from None
    return Partition(name["model"], name["affinity"], int(name["layer"]), sizes)


def _member(path: Path) -> bytes:
    """The bytes of the archive's one array, never more than :data:`MOST_BYTES` of them, whatever its directory says."""
    if (size := path.stat().st_size) > MOST_BYTES:
        raise PartitionError(f"expected at most {MOST_BYTES:,} bytes, got {size:,}")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if [m.filename for m in members] != [f"{ARRAY}.npy"]:
            raise PartitionError(f"expected the one member {ARRAY}.npy, got {[m.filename for m in members[:5]]}")
        if members[0].file_size > MOST_BYTES:
            raise PartitionError(f"expected at most {MOST_BYTES:,} bytes decompressed, got {members[0].file_size:,}")
        with archive.open(members[0]) as member:
            content = member.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise PartitionError(f"expected at most {MOST_BYTES:,} bytes decompressed, got more")
    return content


def _array(content: bytes) -> np.ndarray:
    """The labels [neurons] of a ``.npy``. The header is checked against the bytes that are there before any array is made."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise PartitionError(f"expected .npy version 1.0, got {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    except (ValueError, TypeError, SyntaxError, TokenError) as error:  # what numpy's parser lets through
        raise PartitionError(f"expected a .npy header, got one that cannot be read: {str(error)[:120]}") from None
    if dtype.kind not in "iu" or len(shape) != 1 or not 0 < shape[0] <= MOST_NEURONS:
        raise PartitionError(f"expected 1 to {MOST_NEURONS:,} integers in one dimension, got {dtype} of shape {shape}")
    left = content[stream.tell() :]
    if len(left) != shape[0] * dtype.itemsize:
        raise PartitionError(f"expected {shape[0] * dtype.itemsize:,} bytes of {dtype}, got {len(left):,}")
    labels = np.frombuffer(left, dtype)
    if labels.min() < 0:
        raise PartitionError(f"expected coalition numbers from 0, got {labels.min()}")
    return labels


def _groups(labels: np.ndarray) -> list[np.ndarray]:
    """The players of every coalition: those of equal labels."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def summaries(partitions: Sequence[Partition]) -> list[dict[str, Any]]:
    """By affinity and model: the layers, and [mean, smallest, largest] over them of what shows a degenerate partition."""
    rows = []
    for affinity, model in sorted({(p.affinity, p.model) for p in partitions}):
        own = [p for p in partitions if (p.affinity, p.model) == (affinity, model)]
        spread = {}
        for measure in ("number", "largest_share", "singleton_share", "eligible", "covered_share"):
            values = [getattr(p.sizes, measure) for p in own]
            spread[measure] = [sum(values) / len(values), min(values), max(values)]
        rows.append({"affinity": affinity, "model": model, "layers": [p.layer for p in own], **spread})
    return rows
