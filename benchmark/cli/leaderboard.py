"""The commands of the leaderboard: options and help only."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from coterie.benchmark.cli.app import App
from coterie.benchmark.cli.options import OUTPUT, OutputFolder

leaderboard_app = App(invoke_without_command=True)


@leaderboard_app.callback()
def leaderboard(
    context: typer.Context,
    output_folder: OutputFolder = OUTPUT,
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Output folders or submissions to print instead; writes nothing; repeatable.",
        ),
    ] = None,
    update: Annotated[
        Path | None,
        typer.Option(
            "--update",
            metavar="FILE",
            help="Markdown file in which to replace the section between the coterie:leaderboard markers.",
        ),
    ] = None,
) -> None:
    """Compile and print the leaderboard from records.

    Runs nothing. To build a web site: coterie leaderboard build.

    Example, the published leaderboard: coterie leaderboard --from leaderboard/submissions
    """
    if context.invoked_subcommand is None:
        from coterie.benchmark.commands.leaderboard import leaderboard_command

        raise typer.Exit(leaderboard_command(output_folder, tuple(sources or ()), update))


@leaderboard_app.command("build")
def leaderboard_build(
    sources: Annotated[
        list[Path] | None,
        typer.Option(
            "--from",
            metavar="FOLDER",
            help="Output folder, submissions or MLflow artifacts; repeatable. Default: coterie-out.",
        ),
    ] = None,
    site: Annotated[
        Path, typer.Option("--site", metavar="FOLDER", help="Folder of the site; an earlier site is replaced.")
    ] = Path("coterie-site"),
) -> None:
    """Build the leaderboard as a static web site.

    It has an overview, all results, and one page per task, method and set of coalitions, with the reports that
    `coterie transitions`, `coterie inspect` and `coterie fidelity` wrote next to the records. The site works from file://
    and without a network: open index.html, or copy the folder to any web server.

    Example: coterie leaderboard build --from coterie-out --site coterie-site
    """
    from coterie.benchmark.commands.leaderboard import build_command

    raise typer.Exit(build_command(tuple(sources or (OUTPUT,)), site))
