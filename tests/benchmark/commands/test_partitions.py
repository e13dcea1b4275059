"""Published partitions: reading, refusing and printing them."""

from __future__ import annotations

import io
import json
import struct
import warnings
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from coterie.benchmark.cli.main import app
from coterie.benchmark.commands import published_partitions
from coterie.benchmark.commands.published_partitions import (
    ARRAY,
    PartitionError,
    read_partition,
    read_partitions,
    summaries,
)

PUBLISHED = Path(__file__).parents[4] / "shared" / "data" / "published_partitions"


def save(path: Path, labels: object, **more: object) -> Path:
    np.savez_compressed(path, **{ARRAY: np.asarray(labels), **more})  # type: ignore[arg-type]
    return path


def archive(path: Path, *members: tuple[str, bytes]) -> Path:
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as file:
        for name, content in members:
            file.writestr(name, content)
    return path


def npy(labels: np.ndarray) -> bytes:
    stream = io.BytesIO()
    np.save(stream, labels, allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize("dtype", ["int16", "uint8", "<i8", ">i4"])
def test_players_with_equal_labels_form_a_coalition(tmp_path: Path, dtype: str) -> None:
    labels = np.array([0, 0, 3, 0, 2, 3, 0, 7] + [0] * 16, dtype)
    partition = read_partition(save(tmp_path / "llama_layer7_pas.npz", labels))
    assert (partition.model, partition.layer, partition.affinity) == ("llama", 7, "pas")
    sizes = partition.sizes
    assert (sizes.n_players, sizes.number, sizes.largest) == (24, 4, 20)
    assert sizes.singleton_share == 2 / 24
    assert (sizes.eligible, sizes.covered_share) == (1, 2 / 24)


def test_summaries_contain_mean_and_range_over_layers(tmp_path: Path) -> None:
    save(tmp_path / "m_layer9_oca.npz", [0, 0, 1, 2])
    save(tmp_path / "m_layer10_oca.npz", [0, 0, 0, 0])
    save(tmp_path / "m_layer9_pas.npz", [0, 1, 2, 3])
    found, refused = read_partitions(tmp_path)
    assert not refused
    assert [(p.affinity, p.layer) for p in found] == [("oca", 9), ("oca", 10), ("pas", 9)]
    first, second = summaries(found)
    assert first["layers"] == [9, 10]
    assert first["largest_share"] == [0.75, 0.5, 1.0]
    assert second["singleton_share"] == [1.0, 1.0, 1.0]


NAMED = "m_layer1_pas.npz"
HEADER = npy(np.zeros(4, np.int16))[:-8]


@pytest.mark.parametrize(
    ("make", "says"),
    [
        (lambda f: save(f / "evil;rm.npz", [0]), "expected a name like"),
        (lambda f: (f / NAMED).write_bytes(b"PK nothing"), "not a zip file"),
        (lambda f: archive(f / NAMED, ("../../etc/x.npy", npy(np.zeros(4, int)))), "expected only the member"),
        (lambda f: save(f / NAMED, [0, 1], more=[1]), "expected only the member"),
        (lambda f: archive(f / NAMED, (f"{ARRAY}.npy", npy(np.array([{}, {}], object)))), "got object of shape"),
        (lambda f: save(f / NAMED, [0.5, 1.0]), "got float64"),
        (lambda f: save(f / NAMED, [[0, 1]]), r"of shape (1, 2)"),
        (lambda f: save(f / NAMED, np.zeros(0, int)), "of shape (0,)"),
        (lambda f: save(f / NAMED, [0, -1]), "expected coalition numbers from 0, got -1"),
        (lambda f: archive(f / NAMED, (f"{ARRAY}.npy", b"no array")), "expected a .npy header"),
        (lambda f: archive(f / NAMED, (f"{ARRAY}.npy", HEADER + b"\0" * 6)), "expected 8 bytes of int16, got 6"),
        (
            lambda f: archive(f / NAMED, (f"{ARRAY}.npy", HEADER.replace(b"(4,),", b"(10**9,),"))),
            "expected a .npy header",
        ),
        (
            lambda f: archive(f / NAMED, (f"{ARRAY}.npy", HEADER.replace(b"(4,), }      ", b"(400000000,),}"))),
            "expected 1 to 1,048,576 integers",
        ),
        (lambda f: archive(f / NAMED, (f"{ARRAY}.npy", b"\0" * 9_000_000)), "bytes decompressed, got 9,000,000"),
        (lambda f: (f / NAMED).symlink_to(save(f / "target", [0, 1])), "got a link"),
    ],
)
def test_unsafe_or_invalid_file_is_refused_with_a_reason(make: object, says: str, tmp_path: Path) -> None:
    make(tmp_path)  # type: ignore[operator]
    found, refused = read_partitions(tmp_path)
    reasons = [reason for reason in refused if says in reason]
    assert reasons, refused
    assert not [p for p in found if p.model == "m"]


def test_zip_bomb_that_declares_a_small_size_is_refused(tmp_path: Path) -> None:
    path = archive(tmp_path / NAMED, (f"{ARRAY}.npy", b"\0" * 9_000_000))
    raw = bytearray(path.read_bytes())
    for signature, offset in ((b"PK\1\2", 24), (b"PK\3\4", 22)):  # uncompressed size in the directory and the header
        at = raw.index(signature) + offset
        assert struct.unpack_from("<I", raw, at)[0] == 9_000_000
        struct.pack_into("<I", raw, at, 100)
    path.write_bytes(raw)
    with pytest.raises(PartitionError, match=NAMED):
        read_partition(path)


CHANGES = st.lists(st.tuples(st.integers(0, 10_000), st.integers(0, 255)), min_size=1, max_size=4)


@settings(max_examples=200, deadline=None)
@given(damage=CHANGES, inside=st.booleans())
@example(damage=[(185, 128), (378, 8)], inside=False)  # a name that is not UTF-8
def test_damaged_files_are_read_or_refused_without_a_crash(
    damage: list[tuple[int, int]], inside: bool, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Change bytes in the array and its header, or in the archive around it."""
    path, content = tmp_path_factory.mktemp("damaged") / NAMED, bytearray(npy(np.arange(9, dtype=np.int16)))
    if not inside:
        content = bytearray(archive(path, (f"{ARRAY}.npy", bytes(content))).read_bytes())
    for at, byte in damage:
        content[at % len(content)] = byte
    if inside:
        archive(path, (f"{ARRAY}.npy", bytes(content)))
    else:
        path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # numpy may warn of a header that another Python wrote
        found, refused = read_partitions(path.parent)
    assert len(found) + len(refused) == 1
    assert all("fix:" in reason for reason in refused)


def test_large_files_and_folders_are_not_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    save(tmp_path / NAMED, np.random.default_rng(0).integers(0, 99, 999))
    monkeypatch.setattr(published_partitions, "MOST_BYTES", 100)
    with pytest.raises(PartitionError, match="expected at most 100 bytes"):
        read_partition(tmp_path / NAMED)
    monkeypatch.setattr(published_partitions, "MOST_FILES", 0)
    with pytest.raises(PartitionError, match="got 1; fix"):
        read_partitions(tmp_path)


def test_command_prints_and_writes_tables_and_names_refused_files(tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    save(folder / "llama_layer7_pas.npz", [0] * 20 + [1, 2, 3, 3])
    arguments = ["partitions", str(folder), "--json", str(tmp_path / "s.json"), "--markdown", str(tmp_path / "s.md")]
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 0, result.output
    assert "83.3%" in result.output
    assert "| llama | pas | 7 | 24 | 4 | 83.3% | 8.3% | 1 | 8.3% |" in (tmp_path / "s.md").read_text()
    written = json.loads((tmp_path / "s.json").read_text())
    assert written["partitions"][0]["largest"] == 20
    (folder / "x.npz").write_bytes(b"")
    result = CliRunner().invoke(app, arguments)
    assert result.exit_code == 1
    assert "left out: 'x.npz': expected a name" in result.stderr


@pytest.mark.parametrize("make", [lambda f: None, lambda f: f.mkdir(), lambda f: (f.mkdir(), save(f / "x.npz", [0]))])
def test_folder_without_partitions_exits_with_2(make: object, tmp_path: Path) -> None:
    make(tmp_path / "in")  # type: ignore[operator]
    result = CliRunner().invoke(app, ["partitions", str(tmp_path / "in")])
    assert result.exit_code == 2
    assert "fix:" in result.stderr


@pytest.mark.skipif(not PUBLISHED.is_dir(), reason="the published partitions are not part of the repository")
def test_published_partitions_are_degenerate() -> None:
    found, refused = read_partitions(PUBLISHED)
    assert (len(found), refused) == (48, [])
    for row in summaries(found):
        if row["affinity"] == "pas":
            assert 0.83 < row["largest_share"][0] < 0.9
            assert row["covered_share"][2] < 0.05
        else:
            assert 0.57 < row["singleton_share"][0] < 0.65
