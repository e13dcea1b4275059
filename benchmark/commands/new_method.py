"""``coterie new-method``: a commented method that runs as it is, and its tests."""

from __future__ import annotations

import importlib.util
import keyword
import re
import sys
from importlib.resources import files
from pathlib import Path
from string import Template

from coterie.benchmark.errors import UsageError, exit_on_user_error
from coterie.methods.registry import list_methods

_NAME = re.compile(r"[a-z][a-z0-9]*([._-][a-z0-9]+)*")
_LONGEST = 64


def new_method_command(name: str, folder: Path) -> int:
    """Write both files and print what to do next. Exit code 2 for a name or a file that cannot be taken."""
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
        try:
            folder.mkdir(parents=True, exist_ok=True)
            for path, template in ((file, "method.py.txt"), (test, "test_method.py.txt")):
                text = Template((templates / template).read_text("utf8")).substitute(words)
                with open(path, "x", encoding="utf8", newline="\n") as opened:  # never over a file that came meanwhile
                    opened.write(text)
        except OSError as error:
            raise UsageError(f"{folder}: cannot be written: {error.strerror}; fix: --folder for another") from None
    print(f"Written: {file}, {test}\nNext:\n  coterie check {file}\n  coterie run --include {file}\n  pytest {test}")
    return 0


def _check_name(name: str, module: str, folder: Path) -> None:
    if not _NAME.fullmatch(name) or len(name) > _LONGEST:
        slug = re.sub(r"[^a-z0-9]+", "-", name.lower()).strip("-0123456789")[:_LONGEST].strip("-")
        raise UsageError(
            f"method name {name!r}: expected a lower-case letter, then letters, digits and single '-', '_', '.', "
            f"at most {_LONGEST}; fix: coterie new-method {slug or 'my-method'}"
        )
    known = list_methods()
    if name in known:
        raise UsageError(
            f"method name {name!r}: taken ({known[name].summary()}); fix: coterie new-method {name}-2, or another name"
        )
    if shadowed := _shadowed(module, folder):
        raise UsageError(f"method name {name!r}: {shadowed}; fix: coterie new-method my-{name}, or another name")


def _shadowed(module: str, folder: Path) -> str | None:
    """What a file of this name would stand in the way of, or why it could not be imported."""
    if keyword.iskeyword(module):
        return f"expected a name that Python can import, got its keyword {module!r}"
    taken = f"expected a name of its own, and {module}.py would stand in the way of"
    if module in sys.stdlib_module_names:
        return f"{taken} Python's module {module!r}"
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):  # a module without a spec, such as __main__
        return None
    places = [] if spec is None else [spec.origin, *(spec.submodule_search_locations or [])]
    own = folder.resolve()
    if module == "coterie" or any(place and Path(place).resolve().parent != own for place in places):
        return f"{taken} the installed package {module!r}"
    return None
