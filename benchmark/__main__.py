"""`python -m coterie.benchmark` is the command `coterie`."""

from coterie.benchmark.cli.main import main

main()
