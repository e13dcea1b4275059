"""The errors of `leaderboard/`. Users can fix all of them: one line with what was expected, what was found and the fix."""

from __future__ import annotations


class LeaderboardError(ValueError):
    """Files that a board cannot be made from or written to."""


class SourceError(LeaderboardError):
    """A folder that cannot be read from or written to."""


class SectionError(LeaderboardError):
    """A document without a section to update."""


class HostileError(LeaderboardError):
    """An untrusted file that is refused."""

    def __init__(self, expected: str, got: str) -> None:
        super().__init__(f"expected {expected}, got {got}")
        self.expected, self.got = expected, got
