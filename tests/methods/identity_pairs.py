"""Pairs of small packages that behave differently, so that their code must have different hashes.

Each maps the names of two sets of modules to their code; `method` is the module that is hashed, `PACKAGE` the package.
"""

from __future__ import annotations

TWO = {"a": "def f(): return 1\n", "b": "def f(): return 2\n"}
TWINS = {
    **TWO,
    "c": "from PACKAGE.a import f\ndef g(): return f()\n",
    "d": "from PACKAGE.b import f\ndef g(): return f()\n",
}
A, B = "from PACKAGE.a import f\n", "from PACKAGE.b import f\n"
RUN = "def run(): return f()\n"
G, H = "def g():\n    {}return f()\n", "def h():\n    {}return f()\n"
FIELD = "class Field:\n    def __init__(self, title): self.n = title\n"
METHOD_CLASS = "from coterie.methods import Method\nclass M(Method):\n    "
KEPT = "try:\n    raise KeyError({})\nexcept KeyError as error:\n    K = error.args\n"
PAIRS: dict[str, tuple[dict[str, str], dict[str, str]]] = {
    "imports in try and except": (
        {**TWO, "method": f"try:\n    {A}except ImportError:\n    {B}{RUN}"},
        {**TWO, "method": f"try:\n    {B}except ImportError:\n    {A}{RUN}"},
    ),
    "order of imports of one name": ({**TWO, "method": A + B + RUN}, {**TWO, "method": B + A + RUN}),
    "imports in if and else": (
        {**TWO, "method": f"if K:\n    {A}else:\n    {B}"},
        {**TWO, "method": f"if K:\n    {B}else:\n    {A}"},
    ),
    "imports of two functions": (
        {**TWO, "method": G.format(A + "    ") + H.format(B + "    ")},
        {**TWO, "method": G.format(B + "    ") + H.format(A + "    ")},
    ),
    "imports of two functions from other packages": (
        {"method": G.format("from math import log as f\n    ") + H.format("from cmath import log as f\n    ")},
        {"method": G.format("from cmath import log as f\n    ") + H.format("from math import log as f\n    ")},
    ),
    "import that hides a function": (
        {**TWO, "method": RUN.replace("run", "f") + G.format(A + "    ") + H.format("")},
        {**TWO, "method": RUN.replace("run", "f") + G.format("") + H.format(A + "    ")},
    ),
    "import used out of its scope": (
        {**TWO, "method": G.format(A + "    ") + H.format("")},
        {**TWO, "method": G.format("") + H.format(A + "    ")},
    ),
    "import of the name of a builtin": (
        {"method": "K = pow(2, 3)\nfrom math import pow\n"},
        {"method": "from math import pow\nK = pow(2, 3)\n"},
    ),
    "import before a lambda of its name": (
        {**TWO, "method": f"{A}f = lambda: 9\n"},
        {**TWO, "method": f"f = lambda: 9\n{A}"},
    ),
    "import before a function of its name": (
        {**TWO, "method": f"{A}def f(): return 9\n"},
        {**TWO, "method": f"def f(): return 9\n{A}"},
    ),
    "import with the name of a parameter": (
        {**TWO, "method": "from PACKAGE.a import f as x\ndef run(x, y): return x\n"},
        {**TWO, "method": "from PACKAGE.a import f as y\ndef run(x, y): return y\n"},
    ),
    "order of imports that a package passes on": (
        {**TWO, "__init__": A + B, "method": f"from PACKAGE import f\n{RUN}"},
        {**TWO, "__init__": B + A, "method": f"from PACKAGE import f\n{RUN}"},
    ),
    "helpers that differ by an import": (
        {**TWINS, "method": "from PACKAGE.c import g\nfrom PACKAGE.d import g as k\nK = g() - k()\n"},
        {**TWINS, "method": "from PACKAGE.d import g\nfrom PACKAGE.c import g as k\nK = g() - k()\n"},
    ),
    "helpers that differ by an import, as modules": (
        {**TWINS, "method": "from PACKAGE import c, d\nK = [c, d]\n"},
        {**TWINS, "method": "from PACKAGE import c, d\nK = [d, c]\n"},
    ),
    "default called reference": (
        {"method": "class Options:\n    reference: str = 'mean'\n"},
        {"method": "class Options:\n    reference: str = 'zero'\n"},
    ),
    "reference of another class": (
        {"method": "class Options:\n    reference = 'mean'\n"},
        {"method": "class Options:\n    reference = 'zero'\n"},
    ),
    "tiny of another class": (
        {"method": "class Options:\n    tiny = {'a': 1}\n"},
        {"method": "class Options:\n    tiny = {'a': 2}\n"},
    ),
    "tiny that is read": (
        {"method": f"{METHOD_CLASS}tiny = {{'a': 1}}\n    def run(self): return self.tiny\n"},
        {"method": f"{METHOD_CLASS}tiny = {{'a': 2}}\n    def run(self): return self.tiny\n"},
    ),
    "reference with another name": (
        {"method": f"{METHOD_CLASS}reference = mode = 'a'\n"},
        {"method": f"{METHOD_CLASS}reference = mode = 'b'\n"},
    ),
    "Field of a helper": (
        {"a": FIELD, "method": "from PACKAGE.a import Field\nK = Field(title=3).n\n"},
        {"a": FIELD, "method": "from PACKAGE.a import Field\nK = Field(title=4).n\n"},
    ),
    "Field of a module": (
        {"a": FIELD, "method": "from PACKAGE import a\nK = a.Field(title=3).n\n"},
        {"a": FIELD, "method": "from PACKAGE import a\nK = a.Field(title=4).n\n"},
    ),
    "public names of a star import": (
        {"a": "__all__ = ['f']\nf = q = 1\n", "method": "q = 7\nfrom PACKAGE.a import *\n"},
        {"a": "__all__ = ['f', 'q']\nf = q = 1\n", "method": "q = 7\nfrom PACKAGE.a import *\n"},
    ),
    "public names with another name": ({"method": "__all__ = K = ['a']\n"}, {"method": "__all__ = K = ['b']\n"}),
    "its own TYPE_CHECKING": (
        {"method": "TYPE_CHECKING = True\nif TYPE_CHECKING:\n    K = 1\n"},
        {"method": "TYPE_CHECKING = True\nif TYPE_CHECKING:\n    K = 2\n"},
    ),
    "message that is read": ({"method": KEPT.format("'a'")}, {"method": KEPT.format("'b'")}),
    "call in a message": (
        {"method": "def run(): raise KeyError(f'{L.append(1)}')\n"},
        {"method": "def run(): raise KeyError(f'{L.append(2)}')\n"},
    ),
    "annotation that a decorator reads": (
        {"method": "@register\ndef run(x: int): return x\n"},
        {"method": "@register\ndef run(x: str): return x\n"},
    ),
    "annotation that pydantic reads": (
        {"method": "from pydantic import validate_call\ndef f(x: int): return x\nrun = validate_call(f)\n"},
        {"method": "from pydantic import validate_call\ndef f(x: float): return x\nrun = validate_call(f)\n"},
    ),
    "side effect of a package": (
        {**TWO, "__init__": "print(1)\n", "method": A + RUN},
        {**TWO, "__init__": "print(2)\n", "method": A + RUN},
    ),
    "helper named in a string": (
        {"a": "K = 1\n", "method": "import importlib\nK = importlib.import_module('PACKAGE.a').K\n"},
        {"a": "K = 2\n", "method": "import importlib\nK = importlib.import_module('PACKAGE.a').K\n"},
    ),
    "docstring that is read": (
        {"method": "def f():\n    'x'\nK = len(f.__doc__)\n"},
        {"method": "def f():\n    'xyz'\nK = len(f.__doc__)\n"},
    ),
    "objects of one name in two modules": (
        {"method": "from coterie.benchmark.one import load\nload()\n"},
        {"method": "from coterie.benchmark.two import load\nload()\n"},
    ),
}
