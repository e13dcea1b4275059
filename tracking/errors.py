"""The errors of `tracking/`, all of which the user can fix. Each is one line: what was expected and found, and the fix."""

from __future__ import annotations


class TrackingError(Exception):
    """The output folder or the MLflow store cannot be used."""


class StoreError(TrackingError):
    """The output folder with its records cannot be used."""


class MlflowError(TrackingError):
    """The MLflow store cannot be used."""


class MlflowUnavailableError(MlflowError):
    """The MLflow store cannot be reached or does not answer; whatever it lacks can be logged later."""
