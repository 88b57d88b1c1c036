"""Groups of statements keep the order in which values are made and read."""

import numpy as np
import pytest

from ohmgrid.sim.cxxrtl.activity import _groups, _Statement


def random_statements(rng: np.random.Generator) -> list[_Statement]:
    """Return statements in an order of their evaluation, in submodules of any size and depth."""
    places = [""]
    for k in range(rng.integers(1, 12)):
        outer = places[rng.integers(len(places))]
        places.append(f"{outer}.m{k}" if outer else f"m{k}")
    chances = rng.dirichlet(np.full(len(places), 0.5))
    statements: list[_Statement] = []
    for k in range(rng.integers(1, 120)):
        near = range(max(0, k - int(rng.integers(1, 40))), k)
        reads = {f"n{j}" for j in rng.choice(near, rng.integers(3))} if near else set()
        if rng.integers(3) == 0:
            reads.add(f"r{rng.integers(8)}")
        written = f"r{k % 8}" if k < 8 else f"n{k}"
        place = places[rng.choice(len(places), p=chances)]
        statements.append(
            _Statement(f"statement {k}", place, 1, frozenset({written}), frozenset(reads))
        )
    return statements


@pytest.mark.parametrize("worth", [1, 2, 3, 5, 8, 13, 21, 36])
def test_no_group_reads_what_a_later_one_makes(rng, worth):
    state = {f"r{k}" for k in range(8)}
    for _ in range(100):
        statements = random_statements(rng)
        ordered = [s for group in _groups(statements, state, worth) for s in group]
        assert sorted(s.text for s in ordered) == sorted(s.text for s in statements)
        made = {name for s in statements for name in s.writes} - state
        seen: set[str] = set()
        for statement in ordered:
            late = statement.reads & made - seen
            assert not late, f"{statement.text} in {statement.place} comes before {late}"
            seen |= statement.writes
        assert len(_groups(statements, state, 10**9)) == 1


def test_what_is_of_one_place_stays_together_in_every_rank():
    """``big`` is worth a group only with ``big.other``, which is worth one itself: so ``big`` is of
    one place with the top. Of the first rank ``big.other`` has too little for a group; joined with
    ``big`` it would be enough, and would tear ``big`` from the top, which it reads and is read by.
    """
    top, big, other = "", "big", "big.other"

    def statement(name: str, place: str, *reads: str) -> _Statement:
        return _Statement(name, place, 1, frozenset({name}), frozenset(reads))

    statements = [
        statement("a", top),
        statement("b", big, "a"),
        statement("c", top, "b"),
        *(statement(f"early{k}", other) for k in range(2)),
        *(statement(f"late{k}", other, "c") for k in range(2)),
    ]
    groups = _groups(statements, set(), 3)
    assert [[s.text for s in group] for group in groups] == [
        ["a", "b", "c", "early0", "early1"],
        ["late0", "late1"],
    ]
