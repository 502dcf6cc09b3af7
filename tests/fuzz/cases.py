"""Each parser against its corpus and against changed inputs; `pytest -m proof` draws eight times as many.

A file with TARGETS imports these; `scripts/fuzz.py` draws anew each time.
"""

import base64

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.fuzz.harness import Target, check, kept, mutate

__all__ = [
    "pytest_generate_tests",
    "test_changed_inputs_are_read_or_refused",
    "test_good_inputs_are_read_and_the_corpus_holds",
    "test_many_changed_inputs_are_read_or_refused",
]


def pytest_generate_tests(metafunc: pytest.Metafunc) -> None:
    """Run each test for each target of the file."""
    metafunc.parametrize("target", metafunc.module.TARGETS, ids=lambda target: target.name)


def drawn(target: Target, times: int) -> None:
    seeds = [*target.seeds(), *kept(target.name)]

    @settings(
        max_examples=target.examples * times,
        derandomize=True,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(st.randoms(use_true_random=False))
    def draw(rng):
        data = mutate(rng, seeds, target.shape, target.limit)
        try:
            check(target, data)
        except AssertionError as error:
            error.add_note(f"keep it: tests/fuzz/corpus/{target.name}/, base64 {base64.b64encode(data).decode()[:4000]}")
            raise

    draw()


def test_good_inputs_are_read_and_the_corpus_holds(target):
    good = [check(target, seed) for seed in target.seeds()]
    assert any(good), "no seed is read: this target would only ever see refusals"
    for data in kept(target.name):
        check(target, data)


def test_changed_inputs_are_read_or_refused(target):
    drawn(target, 1)


@pytest.mark.proof
def test_many_changed_inputs_are_read_or_refused(target):
    drawn(target, 8)
