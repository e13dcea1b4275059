"""`coterie doctor`: print what coterie finds on this machine, and what to do about each problem."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, replace
from pathlib import Path

from rich.console import Console
from rich.markup import escape

from coterie.benchmark.commands.doctor_probes import PROBES, Finding, Level, Place
from coterie.benchmark.errors import ExitCode, Terminated
from coterie.benchmark.quantities import format_count
from coterie.tracking.uris import without_secrets

_MARKS: dict[Level, str] = {
    "ok": "",
    "note": "[dim]optional:[/] ",
    "warning": "[yellow]warning:[/] ",
    "problem": "[red]problem:[/] ",
}


def doctor_command(output_folder: Path, tracking_uri: str | None, as_json: bool) -> ExitCode:
    """Print the findings as text or JSON. Returns `FAILED` if `coterie run` needs something that is broken."""
    sections = examine(Place(output_folder, tracking_uri))
    problems = sum(finding.level == "problem" for findings in sections.values() for finding in findings)
    if as_json:
        found = {section: [asdict(finding) for finding in findings] for section, findings in sections.items()}
        print(json.dumps({"works": not problems, "sections": found}, indent=2))
    else:
        _print(sections, problems)
    return ExitCode.FAILED if problems else ExitCode.OK


def examine(place: Place) -> dict[str, list[Finding]]:
    """The findings of all probes, by section. A probe that fails is itself a finding."""
    sections: dict[str, list[Finding]] = {}
    for section, probe in PROBES.items():
        findings = sections[section] = []
        try:
            findings.extend(probe(place))
        except (KeyboardInterrupt, Terminated):
            raise
        except (
            BaseException
        ) as error:  # the machine may be broken in any way, and a broken package may raise SystemExit
            what = without_secrets(f"cannot be examined: {type(error).__name__}: {error}")
            findings.append(Finding(section.lower(), what, "problem", "repair the installation"))
        sections[section] = [replace(finding, value=" ".join(finding.value.split())) for finding in findings]
    return sections


def _print(sections: Mapping[str, Sequence[Finding]], problems: int) -> None:
    console = Console(highlight=False, soft_wrap=True)
    for section, findings in sections.items():
        console.print(f"[bold]{section}[/bold]")
        width = max((len(finding.name) for finding in findings), default=0)
        for finding in findings:
            fix = f"; fix: {finding.fix}" if finding.fix else ""
            console.print(f"  {finding.name:<{width}}  {_MARKS[finding.level]}{escape(finding.value + fix)}")
        console.print()
    if problems:
        console.print(f"coterie run would fail: see the {format_count(problems, 'problem')} above.")
    else:
        console.print("coterie run would work on this machine.")
