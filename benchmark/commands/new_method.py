"""`coterie new-method`: a commented method that runs as generated, and its tests."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from importlib.resources import files
from pathlib import Path
from string import Template

from coterie.benchmark.errors import ExitCode, UsageError, exit_on_user_error, writing
from coterie.methods.registry import list_methods
from coterie.tracking.text import slug

_NAME = re.compile(r"[a-z][a-z0-9]*([._-][a-z0-9]+)*")
_LONGEST = 64


def new_method_command(name: str, folder: Path) -> ExitCode:
    """Write both files and print what to do next. Overwrites nothing."""
    with exit_on_user_error():
        module = re.sub(r"[.-]", "_", name)
        _check_name(name, module, folder)
        file, test = folder / f"{module}.py", folder / f"test_{module}.py"
        words = {
            "name": name,
            "title": name.replace("-", " ").replace("_", " ").capitalize(),
            "class_name": "".join(part.capitalize() for part in module.split("_")) + "Method",
            "file": file.name,
            "test_file": test.name,
        }
        templates = files("coterie.benchmark.commands") / "templates"
        for path in (file, test):
            if path.exists():
                raise UsageError(f"{path}: exists already; fix: another name, or --folder for another folder")
        with writing(folder, "--folder for another"):
            folder.mkdir(parents=True, exist_ok=True)
            for path, template in ((file, "method.py.txt"), (test, "test_method.py.txt")):
                text = Template((templates / template).read_text("utf8")).substitute(words)
                # mode x fails if the file was created in the meantime
                with open(path, "x", encoding="utf8", newline="\n") as opened:
                    opened.write(text)
    print(f"Written: {file}, {test}\nNext:\n  coterie check {file}\n  coterie run --include {file}\n  pytest {test}")
    return ExitCode.OK


def _check_name(name: str, module: str, folder: Path) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        suggestion = slug(name.lower().replace("_", "-"), _LONGEST).lstrip("-0123456789")
        raise UsageError(
            f"method name {name!r}: expected a lower-case letter, followed by letters, digits and single '-', '_' or '.', "
            f"at most {_LONGEST} characters; fix: coterie new-method {suggestion or 'my-method'}"
        )
    known = list_methods()
    if name in known:
        raise UsageError(
            f"method name {name!r}: taken ({known[name].summary()}); fix: coterie new-method {name}-2, or another name"
        )
    if shadowed := _shadowed(module, folder):
        raise UsageError(f"method name {name!r}: {shadowed}; fix: coterie new-method my-{name}, or another name")


def _shadowed(module: str, folder: Path) -> str | None:
    """Why a file of this name could not be imported, or which module it would hide; None if neither."""
    if keyword.iskeyword(module):
        return f"expected a name that Python can import, got its keyword {module!r}"
    hides = f"expected an unused name, but {module}.py would hide"
    if module in sys.stdlib_module_names:
        return f"{hides} Python's module {module!r}"
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # a module without a spec, such as __main__
        return None
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or [])]
    own = folder.resolve()
    if module == "coterie" or any(place and Path(place).resolve().parent != own for place in places):
        return f"{hides} the installed package {module!r}"
    return None
