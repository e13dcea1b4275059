"""Hypothesis without deadlines: on a busy machine they fail tests that are right."""

from hypothesis import settings

settings.register_profile("coterie", deadline=None)
settings.load_profile("coterie")
