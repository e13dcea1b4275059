"""Find the packages: the folders at the root, and the folders in them, are the subpackages of coterie.

pyproject.toml cannot express this mapping; it has everything else about the distribution.
"""

from setuptools import find_packages, setup

ROOMS = ("benchmark", "leaderboard", "methods", "tasks", "tracking")

setup(
    packages=[f"coterie.{name}" for name in find_packages(".", include=[*ROOMS, *(f"{room}.*" for room in ROOMS)])],
    package_dir={f"coterie.{room}": room for room in ROOMS},
)
