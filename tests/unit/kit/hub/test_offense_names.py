"""The names of offences: each is in the catalogue, and read in the reader's language."""

from django.utils import translation
from fairwitness_core.rules.offenses import GROUP_A

from fairwitness.kit.offenses import NAMES, spoken


def test_every_name_of_the_core_can_be_spoken():
    assert sorted(NAMES) == sorted(GROUP_A.values())
    with translation.override("en"):
        assert {code: spoken(code) for code in GROUP_A} == dict(GROUP_A)
    with translation.override("es"):
        assert all(spoken(code) != GROUP_A[code] for code in GROUP_A)
        assert spoken("nibrs:240") == "robo de un vehículo"
        assert spoken("nibrs:zzz") == "nibrs:zzz"
