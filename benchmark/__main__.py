"""``python -m coterie.benchmark`` is ``coterie``."""

from coterie.benchmark.cli.main import main

main()
