"""Draw the pictures of docs/concepts.md. This script computes every number in them on small planted games.

python docs/pictures.py [FOLDER]      # default: docs/images/concepts
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Sequence
from itertools import combinations
from math import cos, pi, sin
from pathlib import Path

import numpy as np

from coterie.methods.affinity_oca import oca
from coterie.methods.hedonic import Preferences, everyone_together, players_of, standing, top_cover
from coterie.methods.msa import Evidence
from coterie.methods.msa.exact import evaluate_all, exact
from coterie.tasks.planted.game import PlantedGame, Planting
from coterie_docs.svg import Canvas, Point

FOLDER = Path(__file__).parent / "images" / "concepts"
K = 2  # number of best friends that count in the pictures of hedonic games


def effects(game: PlantedGame, groups: Sequence[Sequence[int]]) -> np.ndarray:
    """f(A) of each group A: mean drop of the output when A is ablated, in standard deviations of the unablated outputs."""
    outputs = game.ablate(game.masks([(), *map(tuple, groups)])).numpy()
    drops: np.ndarray = (outputs[0] - outputs[1:]).mean(1) / outputs[0].std()
    return drops


def game_picture() -> str:
    """A sketch of what is ablated and what is measured, without numbers."""
    c = Canvas(760, 300)
    c.box((10, 110), 130, 80)
    c.text((75, 145), "query,")
    c.text((75, 165), "document")
    c.arrow((140, 150), (188, 150))
    for layer in range(4):
        chosen = layer == 2
        c.box((190, 232 - 66 * layer), 330, 52, fill="fill" if chosen else "none", stroke="one" if chosen else "soft")
        c.text((202, 262 - 66 * layer), f"layer {layer}", 13, "start", "one" if chosen else "soft", chosen)
        for i in range(9):
            ablated = chosen and i in (2, 5)
            at = (278 + 27 * i, 258.0 - 66 * layer)
            c.circle(at, 9, "none" if ablated else ("fill" if not chosen else "one"), "two" if ablated else "soft")
            if ablated:
                c.line((at[0] - 6, at[1] - 6), (at[0] + 6, at[1] + 6), "two", 2)
                c.line((at[0] - 6, at[1] + 6), (at[0] + 6, at[1] - 6), "two", 2)
    c.arrow((520, 150), (568, 150))
    c.box((570, 110), 180, 80)
    c.text((660, 143), "s(x; A)", 16, bold=True)
    c.text((660, 168), "instead of s(x; {})", 13, color="soft")
    c.text((660, 225), "f(A): how much the score", 13, color="two")
    c.text((660, 243), "falls on average", 13, color="two")
    return c.svg("A reranker of four layers; two neurons of one layer, the set A, are ablated, and the score changes")


def lattice_picture() -> str:
    """All eight coalitions in a game of three neurons, two of which are planted as a group."""
    game = PlantedGame(Planting(sizes=(2,), rule="graded", additive=1, seed=5))
    i, j = game.truth[0]
    [other] = set(range(3)) - {i, j}
    players = sorted((i, j, other))
    sets = [s for size in range(4) for s in combinations(players, size)]
    f = dict(zip(sets, effects(game, sets), strict=True))
    c = Canvas(760, 380)
    place: dict[tuple[int, ...], Point] = {
        s: (110 + 140 * (1 if len(s) in (0, 3) else number), 340 - 100 * len(s))
        for size in range(4)
        for number, s in enumerate(s for s in sets if len(s) == size)
    }
    for small, large in ((a, b) for a in sets for b in sets if len(b) == len(a) + 1 and set(a) < set(b)):
        c.line(place[small], place[large])
    for s, at in place.items():
        group = set(s) == {i, j}
        c.box((at[0] - 50, at[1] - 24), 100, 48, stroke="two" if group else "ink")
        c.text((at[0], at[1] - 5), "{" + ", ".join(map(str, s)) + "}", 13, color="two" if group else "ink", bold=group)
        c.text((at[0], at[1] + 14), f"f = {f[s]:.2f}", 13)
    lines: list[tuple[str, str]] = []
    for a, b in combinations(players, 2):
        psi = f[a, b] - f[a,] - f[b,]
        together = {a, b} == {i, j}
        lines.append(
            (
                f"psi({a}, {b}) = {f[a, b]:.2f} - {f[a,]:.2f} - {f[b,]:.2f} = {_signed(psi)}",
                "two" if together else "soft",
            )
        )
    c.text((490, 90), "Synergy of each pair", 15, "start", bold=True)
    for row, (words, color) in enumerate(lines):
        c.text((490, 122 + 28 * row), words, 14, "start", color)
    c.text((490, 222), f"{i} and {j} work together:", 14, "start")
    c.text((490, 242), "losing both costs more than", 14, "start")
    c.text((490, 262), "the sum of the two losses.", 14, "start")
    c.text((490, 290), f"{other} matters, but acts alone.", 14, "start", "soft")
    return c.svg("The eight coalitions of three neurons with their effects, and the synergy of each pair")


def hedonic_game() -> tuple[Preferences, PlantedGame]:
    """Seven neurons, with preferences by OCA under some noise: two planted groups of three, and one neuron outside both."""
    game = PlantedGame(Planting(sizes=(3, 3), additive=1, noise=0.6))
    return Preferences.of(oca(game.activations(), game.write_vectors())), game


def choice_sets_picture() -> str:
    """The exact top-covering algorithm round by round: which neurons each one wants, and which sets want nobody outside."""
    preferences, game = hedonic_game()
    rounds = top_cover(preferences, K)
    leaves = {int(i): number for number, groups in enumerate(rounds) for group in groups for i in group}
    place = _seats(game)
    c = Canvas(760, 330)
    for number, groups in enumerate(rounds):
        x = 30 + 370 * number
        c.text((x, 24), f"Round {number + 1}", 15, "start", bold=True)
        alive = np.array([i for i in sorted(leaves) if leaves[i] >= number])
        seen = everyone_together(preferences, alive, K)
        for i, choice in zip(seen.player, seen.choice, strict=True):
            for j in (
                int(p) for p, key in zip(players_of(choice), choice, strict=True) if key != np.iinfo(np.int64).max
            ):
                out = any(int(i) in group for group in groups)
                c.arrow(_at(place, int(i), x), _at(place, j, x), "two" if out else "soft", short=21, aside=5)
        for i in sorted(leaves):
            out = leaves[i] == number
            gone = leaves[i] < number
            c.circle(_at(place, i, x), 19, "none" if gone else "fill", "two" if out else "soft", 3 if out else 1.5)
            c.text((_at(place, i, x)[0], _at(place, i, x)[1] + 5), i, 14, color="soft" if gone else "ink", bold=out)
        names = "  ".join("{" + ", ".join(map(str, group)) + "}" for group in groups)
        c.text((x, 318), f"new coalitions: {names}", 14, "start", "two")
    return c.svg(
        f"Arrows from each neuron to its {K} best friends; sets that no arrow leaves become coalitions, round by round"
    )


def blocking_picture() -> str:
    """An unstable partition: three neurons would all rather be with each other."""
    preferences, game = hedonic_game()
    [one, two] = game.truth
    partition = [np.array([*one[:2], two[0]]), np.array([one[2], *two[1:]])]
    mine = standing(preferences, partition, K)[0]
    theirs = standing(preferences, [np.array(one)], K)[0]
    seats = {0: [(52, 82), (128, 82), (90, 152)], 1: [(238, 82), (200, 152), (276, 152)]}
    c = Canvas(760, 250)
    c.text((20, 26), "A partition into two coalitions", 15, "start", bold=True)
    for number, group in enumerate(partition):
        c.box((18 + 148 * number, 45), 144, 146, fill="none", stroke="soft", round_=18)
        for i, at in zip(map(int, group), seats[number], strict=True):
            c.circle(at, 21, "fill", "two" if i in one else "soft", 3 if i in one else 1.5)
            c.text((at[0], at[1] + 5), i, 14)
    c.box((24, 54), 246, 56, fill="none", stroke="two", round_=24, dashed=True)
    c.text((20, 225), "blocked by {" + ", ".join(map(str, one)) + "}, dashed", 14, "start", "two")
    c.text((400, 26), "Utility now, and in the dashed set", 15, "start", bold=True)
    for row, i in enumerate(one):
        y = 74 + 44 * row
        c.text((400, y), f"neuron {i}", 14, "start")
        c.text((480, y), f"{mine[i]:.2f}", 14, "start", "soft")
        c.arrow((520, y - 5), (556, y - 5), "two")
        c.text((566, y), f"{theirs[i]:.2f}", 14, "start", "two", bold=True)
        c.box((610, y - 13), 130 * mine[i], 7, "soft", "none", 2)
        c.box((610, y - 4), 130 * theirs[i], 7, "two", "none", 2)
    c.text((400, 225), f"utility: mean affinity to the {K} best friends in the set", 13, "start", "soft")
    return c.svg(
        "Three neurons in two coalitions would each gain by forming a coalition of their own: they block the partition"
    )


def modes_picture() -> str:
    """Exact Shapley modes of six neurons in two groups, from all 64 coalitions."""
    game = PlantedGame(Planting(sizes=(3, 3)), n_queries=6, depth=2)
    evidence = Evidence(game)
    evaluate_all(evidence)
    modes = exact(evidence).modes
    order = [i for group in game.truth for i in group]
    largest = np.abs(modes).max()
    c = Canvas(760, 330)
    for row, i in enumerate(order):
        y = 52 + 36 * row + (12 if row >= 3 else 0)
        c.text((92, y + 22), f"neuron {i}", 14, "end")
        for column, value in enumerate(modes[i]):
            c.box((104 + 38 * column, y), 35, 32, "one" if value > 0 else "two", "none", 3, abs(value) / largest)
    for number, group in enumerate(game.truth):
        y = 52 + 120 * number
        c.line((572, y), (572, y + 104), "ink", 2)
        c.text((586, y + 48), "{" + ", ".join(map(str, group)) + "}", 15, "start", bold=True)
        c.text((586, y + 68), "the same pattern", 13, "start", "soft")
    c.text((104, 36), "query-document pairs", 14, "start", "soft")
    if not np.allclose(modes.sum(0), evidence.total):
        raise ValueError(f"modes: expected columns that sum to {evidence.total}, got {modes.sum(0)}")
    c.text((104, 308), "each column sums to v(N) - v(empty) of its pair", 14, "start", "soft")
    return c.svg(
        "Six rows, one per neuron. A cell is the neuron's contribution to the score of one pair. Rows of a group look alike"
    )


def excess_picture() -> str:
    """A coalition's synergy beside that of twenty random sets of the same size."""
    game = PlantedGame(Planting(sizes=(4,) * 6, additive=8, noise=0.5))
    rng = np.random.default_rng(1)  # not 0, which deals the players to groups
    size = len(game.truth[0])
    groups = [game.truth[0], *(tuple(rng.permutation(game.n_players)[:size].tolist()) for _ in range(20))]
    single = effects(game, [(i,) for i in range(game.n_players)])
    joint = effects(game, groups) - np.array([single[list(group)].sum() for group in groups])
    mine, control = joint[0], joint[1:]
    low, high = min(0.0, float(joint.min())), float(joint.max())

    def x(value: float) -> float:
        return 60 + 620 * (value - low) / (high - low)

    c = Canvas(760, 230)
    c.line((40, 150), (720, 150), "ink")
    for value in np.arange(np.ceil(low * 5) / 5, high + 0.01, 0.2):
        c.line((x(value), 146), (x(value), 154), "ink")
        c.text((x(value), 172), f"{abs(value):.1f}" if abs(value) < 1e-9 else f"{value:.1f}", 12, color="soft")
    for number, value in enumerate(np.sort(control)):
        c.circle((x(value), 132 - 15 * (number % 3)), 5, "soft", "none")
    c.circle((x(mine), 132), 8, "two", "none")
    c.text((x(mine), 108), "the coalition", 14, color="two", bold=True)
    mean = float(control.mean())
    c.line((x(mean), 60), (x(mean), 150), "one", 2, dashed=True)
    c.arrow((x(mean), 52), (x(mine), 52), "one")
    c.text(
        ((x(mean) + x(mine)) / 2, 40),
        f"excess over random: {mine:.2f} - {_bracketed(mean)} = {mine - mean:.2f}",
        15,
        color="one",
        bold=True,
    )
    c.text(
        (40, 205),
        f"synergy_joint: f(C) minus the sum of its {size} members' own effects; grey: 20 random sets of {size}",
        13,
        "start",
        "soft",
    )
    return c.svg(
        "A coalition's joint synergy beside those of twenty random sets of its size. The board ranks the distance to their mean"
    )


def _signed(value: float) -> str:
    return f"{0.0:.2f}" if abs(value) < 0.005 else f"{value:+.2f}"


def _bracketed(value: float) -> str:
    return f"{value:.2f}" if value >= 0 else f"({value:.2f})"


def _seats(game: PlantedGame) -> dict[int, Point]:
    """Positions: a triangle for each planted group, and the other neurons below, between the two."""
    seats: dict[int, Point] = {}
    for number, group in enumerate(game.truth):
        for turn, i in enumerate(group):
            angle = pi / 2 + 2 * pi * turn / 3
            seats[i] = (80 + 165 * number + 58 * cos(angle), 120 - 58 * sin(angle))
    for i in set(range(game.n_players)) - set(seats):
        seats[i] = (162.0, 255.0)
    return seats


def _at(place: dict[int, Point], i: int, x: float) -> Point:
    return place[i][0] + x, place[i][1] + 10


PICTURES: dict[str, Callable[[], str]] = {
    "game": game_picture,
    "lattice": lattice_picture,
    "choice-sets": choice_sets_picture,
    "blocking": blocking_picture,
    "modes": modes_picture,
    "excess": excess_picture,
}


def main() -> None:
    """Write all pictures."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else FOLDER
    folder.mkdir(parents=True, exist_ok=True)
    for name, draw in PICTURES.items():
        (folder / f"{name}.svg").write_text(draw())


if __name__ == "__main__":
    main()
