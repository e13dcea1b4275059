"""Run the command line: `python -m coterie.benchmark` does the same as `coterie`."""

from coterie.benchmark.cli.main import main

main()
