"""``python -m coterie.benchmark`` is ``coterie``."""

from coterie.benchmark.cli import main

main()
