"""See tests/fuzz/test_parsers.py; these need the settings of the role."""

import pytest

from tests.fuzz.harness import check, kept
from tests.fuzz.hub.targets_hub import TARGETS
from tests.fuzz.test_parsers import drawn

BY_NAME = pytest.mark.parametrize("target", TARGETS, ids=lambda target: target.name)


@BY_NAME
def test_good_inputs_are_read_and_the_corpus_holds(target):
    good = [check(target, seed) for seed in target.seeds()]
    assert any(good)
    for data in kept(target.name):
        check(target, data)


@BY_NAME
def test_changed_inputs_are_read_or_refused(target):
    drawn(target, 1, fixed=True)


@pytest.mark.proof
@BY_NAME
def test_many_changed_inputs_are_read_or_refused(target):
    drawn(target, 8, fixed=True)
