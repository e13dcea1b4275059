"""The executed notebooks of examples/ as pages: text, code and stored outputs."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_STYLE = re.compile(r"<style scoped>.*?</style>\s*", re.DOTALL)  # pandas adds this to every table


def pages() -> dict[str, str | bytes]:
    """Each notebook as a page, and the pictures in it, by path in the site."""
    files: dict[str, str | bytes] = {}
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        parts = []
        for number, cell in enumerate(json.loads(path.read_text())["cells"]):
            source = "".join(cell["source"])
            if cell["cell_type"] == "markdown":
                parts.append(source)
                continue
            parts.append(f"```python\n{source}\n```")
            for place, output in enumerate(cell["outputs"]):
                parts.append(_output(output, f"{path.stem}-{number}-{place}.png", files))
        parts.append(
            f"This page is `examples/{path.name}`. `python examples/execute.py {path.stem}` executes it again."
        )
        files[f"examples/{path.stem}.md"] = "\n\n".join(part for part in parts if part) + "\n"
    return files


def _output(output: dict[str, Any], picture: str, files: dict[str, str | bytes]) -> str:
    """The output as Markdown. If it is a picture, add it to `files`."""
    if output["output_type"] == "stream":
        text = _ESCAPES.sub("", "".join(output["text"])).strip()
        return f"```text\n{text}\n```" if text else ""
    data = output["data"]
    if "image/png" in data:
        files[f"examples/{picture}"] = base64.b64decode(data["image/png"])
        return f"![{''.join(data.get('text/plain', 'a plot')).strip('<>')}]({picture})"
    if "text/html" in data:
        return f'<div class="output" markdown="0">{_STYLE.sub("", "".join(data["text/html"]))}</div>'
    return f"```text\n{''.join(data['text/plain'])}\n```"
