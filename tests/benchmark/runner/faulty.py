"""Methods that misbehave in every possible way, included by the tests of the runner."""

import ctypes
import os
import signal
import subprocess
import sys
import time
from dataclasses import dataclass

import numpy as np

from coterie.methods.base import Method
from coterie.methods.coalitions import Coalitions
from coterie.tasks.game import Capability


@dataclass(frozen=True)
class Raises(Method):
    """Raises."""

    name = "raises"
    sees = frozenset()
    reference = "a test"

    def discover(self, game, budget, rng):
        raise RuntimeError("it broke on purpose")


@dataclass(frozen=True)
class Greedy(Method):
    """Spends one evaluation more than its budget."""

    name = "greedy"
    sees = frozenset({Capability.ABLATIONS})
    reference = "a test"

    def discover(self, game, budget, rng):
        game.ablate(game.masks([()] * budget))
        game.ablate(game.masks([()]))
        return Coalitions.of(game.n_players, [(0, 1)])


@dataclass(frozen=True)
class Faulty(Method):
    """Does what `fault` says; with `none` it proposes a pair."""

    name = "faulty"
    sees = frozenset({Capability.ABLATIONS})
    reference = "a test"

    fault: str = "none"
    path: str = ""

    def discover(self, game, budget, rng):
        getattr(self, self.fault)()
        return Coalitions.of(game.n_players, [(0, 1)])

    def none(self):
        pass

    def exit(self):
        sys.exit(3)

    def hard_exit(self):
        os._exit(3)

    def segfault(self):
        ctypes.string_at(0)

    def killed(self):
        os.kill(os.getpid(), signal.SIGKILL)

    def hang(self):
        time.sleep(1000)

    def hang_with_child(self):
        child = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(1000)"])
        with open(self.path, "w") as file:
            file.write(str(child.pid))
        time.sleep(1000)

    def hang_holding_the_interpreter(self):
        ctypes.PyDLL(None).sleep(1000)  # a C function called through PyDLL keeps the GIL

    def hog(self):
        hoard = []
        while True:
            hoard.append(np.ones(2**22))
            time.sleep(0.002)

    def chatter(self):
        print('{"kind": "finished"}')  # noqa: T201
        sys.stdout.write("no line end")
        sys.stderr.write("é")
        os.write(1, b"\xff\xfe\n")
        if sys.stdin.read():
            raise AssertionError("requests must not reach a method")

    def slow(self):
        time.sleep(0.2)

    def fill_the_disk(self):
        with open(self.path, "wb") as file:
            while True:
                file.write(b"x" * 2**20)
                file.flush()

    def counts(self):
        with open(self.path, "a") as file:
            file.write("run\n")
        time.sleep(0.2)
