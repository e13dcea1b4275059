"""Published partitions of layers, read as untrusted files, and the sizes of their coalitions.

A file `MODEL_layerN_AFFINITY.npz` contains one array, `coalition_of_neuron`, shape (neurons,): the number of each neuron's
coalition. The partitions of Hedonic Neurons (Chowdhury et al., arXiv 2509.23684) are published in this form.
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

from coterie.benchmark.errors import UsageError
from coterie.leaderboard.statistics.sizes import Sizes, describe_sizes

ARRAY = "coalition_of_neuron"
NAME = re.compile(
    r"(?P<model>[A-Za-z0-9][A-Za-z0-9.-]{0,63})_layer(?P<layer>[0-9]{1,4})_(?P<affinity>[a-z0-9-]{1,32})\.npz"
)
MOST_NEURONS = 2**20  # ten times the widest MLP layer of a published model
MOST_BYTES = 8 * MOST_NEURONS + 4096  # of the decompressed array: int64 and a header
MOST_FILES = 4096


class PartitionError(UsageError):
    """A file that is not a partition, or is not safe to read."""


@dataclass(frozen=True)
class Partition:
    """The partition of one layer. Model, affinity and layer come from the file's name."""

    model: str
    """Name of the model."""
    affinity: str
    """Affinity that the partition was found with."""
    layer: int
    """Index of the layer."""
    sizes: Sizes
    """Sizes of its coalitions."""

    def to_dict(self) -> dict[str, Any]:
        """The fields, with those of `sizes`, for JSON."""
        return {"model": self.model, "affinity": self.affinity, "layer": self.layer, **asdict(self.sizes)}


def read_partitions(folder: Path) -> tuple[list[Partition], list[str]]:
    """The partitions in a folder, by model, affinity and layer, and one line on each `.npz` file that was refused.

    Raises `PartitionError` if the folder does not exist, or has no or too many `.npz` files.
    """
    paths = sorted(folder.glob("*.npz")) if folder.is_dir() else []
    if not 0 < len(paths) <= MOST_FILES:
        got = str(len(paths)) if folder.is_dir() else "no folder"
        raise PartitionError(
            f"{folder}: expected 1 to {MOST_FILES} .npz files, got {got}; fix: name the folder of the files"
        )
    found, refused = [], []
    for path in paths:
        try:
            found.append(read_partition(path))
        except PartitionError as error:
            refused.append(str(error))
    return sorted(found, key=lambda p: (p.model, p.affinity, p.layer)), refused


def read_partition(path: Path) -> Partition:
    """Read one file, without unpickling or extracting anything. Raises `PartitionError`."""
    name = NAME.fullmatch(path.name)
    if name is None:
        raise PartitionError(f"{path.name!r}: expected a name like llama_layer7_pas.npz; fix: rename the file")
    if path.is_symlink() or not path.is_file():
        raise PartitionError(
            f"{path.name}: expected a plain file, got a link or a special file; fix: replace it with a copy of the file"
        )
    try:
        coalition_of_neuron = _array(_member(path))
        groups = [g.tolist() for g in _groups(coalition_of_neuron)]
        sizes = describe_sizes(len(coalition_of_neuron), groups)
    except (ValueError, zipfile.BadZipFile, zlib.error, struct.error, OSError, EOFError, RuntimeError) as error:
        raise PartitionError(
            f"{path.name}: {str(error)[:200]}; fix: save {ARRAY!r} as integers from 0, shape (neurons,)"
        ) from None
    return Partition(name["model"], name["affinity"], int(name["layer"]), sizes)


def _member(path: Path) -> bytes:
    """The bytes of the archive's only array. Reads at most `MOST_BYTES`, whatever size the archive declares."""
    if (size := path.stat().st_size) > MOST_BYTES:
        raise PartitionError(f"expected at most {MOST_BYTES:,} bytes, got {size:,}")
    with zipfile.ZipFile(path) as archive:
        members = archive.infolist()
        if [m.filename for m in members] != [f"{ARRAY}.npy"]:
            raise PartitionError(f"expected only the member {ARRAY}.npy, got {[m.filename for m in members[:5]]}")
        if members[0].file_size > MOST_BYTES:
            raise PartitionError(f"expected at most {MOST_BYTES:,} bytes decompressed, got {members[0].file_size:,}")
        with archive.open(members[0]) as member:
            content = member.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise PartitionError(f"expected at most {MOST_BYTES:,} bytes decompressed, got more")
    return content


def _array(content: bytes) -> np.ndarray:
    """The labels in a `.npy` file, shape (neurons,). The header is checked against the data before an array is made."""
    stream = io.BytesIO(content)
    try:
        version = np.lib.format.read_magic(stream)
        if version != (1, 0):
            raise PartitionError(f"expected .npy version 1.0, got {version}")
        shape, _, dtype = np.lib.format.read_array_header_1_0(stream)
    except (ValueError, TypeError, SyntaxError, TokenError) as error:  # numpy's parser raises all of these
        raise PartitionError(f"expected a .npy header, got an unreadable one: {str(error)[:120]}") from None
    if dtype.kind not in "iu" or len(shape) != 1 or not 0 < shape[0] <= MOST_NEURONS:
        raise PartitionError(f"expected 1 to {MOST_NEURONS:,} integers in one dimension, got {dtype} of shape {shape}")
    data = content[stream.tell() :]
    if len(data) != shape[0] * dtype.itemsize:
        raise PartitionError(f"expected {shape[0] * dtype.itemsize:,} bytes of {dtype}, got {len(data):,}")
    labels = np.frombuffer(data, dtype)
    if labels.min() < 0:
        raise PartitionError(f"expected coalition numbers from 0, got {labels.min()}")
    return labels


def _groups(labels: np.ndarray) -> list[np.ndarray]:
    """The players of each coalition: those with the same label."""
    order = np.argsort(labels, kind="stable")
    return np.split(order, np.flatnonzero(np.diff(labels[order])) + 1)


def summaries(partitions: Sequence[Partition]) -> list[dict[str, Any]]:
    """Per affinity and model: the layers, and [mean, smallest, largest] over them of the measures of degeneracy."""
    rows = []
    for affinity, model in sorted({(p.affinity, p.model) for p in partitions}):
        group = [p for p in partitions if (p.affinity, p.model) == (affinity, model)]
        spread = {}
        for measure in ("number", "largest_share", "singleton_share", "eligible", "covered_share"):
            values = [getattr(p.sizes, measure) for p in group]
            spread[measure] = [sum(values) / len(values), min(values), max(values)]
        rows.append({"affinity": affinity, "model": model, "layers": [p.layer for p in group], **spread})
    return rows
