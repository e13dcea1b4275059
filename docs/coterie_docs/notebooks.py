"""The executed notebooks of examples/ as pages: their text, code and kept outputs."""

from __future__ import annotations

import base64
import json
import re
from pathlib import Path
from typing import Any

EXAMPLES = Path(__file__).parent.parent.parent / "examples"
_ESCAPES = re.compile(r"\x1b\[[0-9;]*m")
_STYLE = re.compile(r"<style scoped>.*?</style>\s*", re.DOTALL)  # pandas brings one for each table


def pages() -> dict[str, str | bytes]:
    """Path in the site -> page, and the pictures in it."""
    made: dict[str, str | bytes] = {}
    for path in sorted(EXAMPLES.glob("*.ipynb")):
        parts = []
        for number, one in enumerate(json.loads(path.read_text())["cells"]):
            source = "".join(one["source"])
            if one["cell_type"] == "markdown":
                parts.append(source)
                continue
            parts.append(f"```python\n{source}\n```")
            for place, output in enumerate(one["outputs"]):
                parts.append(_shown(output, f"{path.stem}-{number}-{place}.png", made))
        parts.append(f"The notebook: `examples/{path.name}`, made by `python examples/execute.py {path.stem}`.")
        made[f"examples/{path.stem}.md"] = "\n\n".join(part for part in parts if part) + "\n"
    return made


def _shown(output: dict[str, Any], picture: str, made: dict[str, str | bytes]) -> str:
    """One output as Markdown; a picture is added to what is made."""
    if output["output_type"] == "stream":
        text = _ESCAPES.sub("", "".join(output["text"])).strip()
        return f"```text\n{text}\n```" if text else ""
    data = output["data"]
    if "image/png" in data:
        made[f"examples/{picture}"] = base64.b64decode(data["image/png"])
        return f"![{''.join(data.get('text/plain', 'a plot')).strip('<>')}]({picture})"
    if "text/html" in data:
        return f'<div class="output" markdown="0">{_STYLE.sub("", "".join(data["text/html"]))}</div>'
    return f"```text\n{''.join(data['text/plain'])}\n```"
