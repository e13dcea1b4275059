"""The commands of the board; as in :mod:`coterie.benchmark.cli.main`, names and options only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coterie.benchmark.cli.app import App
from coterie.benchmark.cli.tracking import OUTPUT

leaderboard_app = App(invoke_without_command=True)


@leaderboard_app.callback()
def leaderboard(
    context: typer.Context,
    output_folder: Annotated[
        Path, typer.Option("--output-folder", help="Where the records lie and the board is written.")
    ] = OUTPUT,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", help="Print the board of these instead, write nothing: output folders, submissions; repeatable."
        ),
    ] = None,
    update: Annotated[
        Path | None,
        typer.Option("--update", help="Markdown file whose section between coterie:leaderboard markers is replaced."),
    ] = None,
) -> None:
    """Compile and print the board of an output folder again, from its records; nothing is run. `build` makes a site.

    The published board: coterie leaderboard --from leaderboard/submissions
    """
    if context.invoked_subcommand is None:
        from coterie.benchmark.commands.leaderboard import leaderboard_command

        raise typer.Exit(leaderboard_command(output_folder, tuple(sources or ()), update))


@leaderboard_app.command("build")
def leaderboard_build(
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--from", help="Output folder, submissions or MLflow artifacts; repeatable. Default: coterie-out."
        ),
    ] = None,
    site: Annotated[Path, typer.Option("--site", help="Folder of the site; what was built before is replaced.")] = Path(
        "coterie-site"
    ),
) -> None:
    """Build the board as a static site: overview, all results, a page each task, method and set of coalitions.

    What `coterie transitions`, `coterie inspect` and `coterie fidelity` wrote beside the records is shown where it belongs.
    It works from file:// and asks nothing of the network: open index.html, or copy the folder to any web server.
    """
    from coterie.benchmark.commands.leaderboard import build_command

    raise typer.Exit(build_command(tuple(sources or (OUTPUT,)), site))
