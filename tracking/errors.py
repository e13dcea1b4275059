"""The errors of `tracking/`. The user can fix all of them: one line with what was expected, what was found and the fix."""

from __future__ import annotations


class TrackingError(Exception):
    """The output folder or the MLflow store cannot be used."""


class StoreError(TrackingError):
    """The output folder with its records cannot be used."""


class MlflowError(TrackingError):
    """The MLflow store cannot be used."""


class MlflowUnavailableError(MlflowError):
    """The MLflow store cannot be reached or does not answer; what is missing can be logged later."""
