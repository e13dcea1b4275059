"""What a board needs of a submission's `verification.json`: whether it covers these very files. Nothing is scored again."""

from __future__ import annotations

import hashlib
import json
from datetime import datetime
from pathlib import Path

from pydantic import BaseModel, ConfigDict

from coterie.leaderboard.entries.submission import MANIFEST
from coterie.tracking.store import Unreadable


class Proof(BaseModel):
    """A verification, as far as a board needs it; `coterie verify` writes more."""

    model_config = ConfigDict(extra="ignore", frozen=True)

    submission: str
    """SHA-256 of the manifest as compact JSON."""

    protocol: str
    """Protocol under which the coalitions were scored again."""

    date: str
    """Date of the verification, ISO 8601."""

    files: dict[str, str] = {}
    """Path -> SHA-256 of every file that the manifest lists."""

    def covers(self, path: str, data: bytes, protocol: str) -> bool:
        """Whether a record with this path, content and protocol is the one that was verified."""
        return self.protocol == protocol and self.files.get(path) == hashlib.sha256(data).hexdigest()

    @property
    def text(self) -> str:
        """The text of the badge."""
        return f"re-scored from scratch under protocol {self.protocol} on {self.date[:10]}"


def read_proof(path: Path) -> Proof | Unreadable:
    """The proof in a `verification.json`, with the files of the manifest next to it, or why it proves nothing."""
    try:
        proof = Proof.model_validate(json.loads(path.read_text("utf8")))
        datetime.fromisoformat(proof.date)
        manifest = json.loads(path.with_name(MANIFEST).read_text("utf8"))
        compact = json.dumps(manifest, separators=(",", ":"), ensure_ascii=False)
        if hashlib.sha256(compact.encode()).hexdigest() != proof.submission:
            raise ValueError("it verifies a manifest other than the one next to it; fix: coterie verify")
        return proof.model_copy(update={"files": dict(manifest["files"])})
    except (OSError, ValueError, KeyError, TypeError, RecursionError) as error:
        return Unreadable(path, f"not a verification: {' '.join(str(error).split())[:200]}")
