"""Find the packages: the folders at the root are the subpackages of coterie, and so are the folders in them.

Everything else about the distribution stands in pyproject.toml, which has no way to say this.
"""

from setuptools import find_packages, setup

ROOMS = ("benchmark", "leaderboard", "methods", "tasks", "tracking")

setup(
    packages=[f"coterie.{name}" for name in find_packages(".", include=[*ROOMS, *(f"{room}.*" for room in ROOMS)])],
    package_dir={f"coterie.{room}": room for room in ROOMS},
)
