from __future__ import annotations

import pytest

from cvexp.config.seeds import as_list, listed, seeds_of
from cvexp.errors import ConfigError


def test_a_number_counts_from_the_first_seed_on():
    assert seeds_of("5", first=42, where="--seeds") == (42, 43, 44, 45, 46)
    assert seeds_of(2, first=7, where="seeds:") == (7, 8)
    assert seeds_of(" 1 ", first=0, where="--seeds") == (0,)


def test_a_list_keeps_its_order():
    assert seeds_of("3,1, 2", first=42, where="--seeds") == (3, 1, 2)
    assert seeds_of([9], first=42, where="seeds:") == (9,)


def test_a_list_is_read_as_it_is_written():
    for seeds in [(42,), (0, 7, 2**63 - 1)]:
        assert listed(as_list(seeds), where="tag") == seeds


@pytest.mark.parametrize(
    ("value", "complaint"),
    [
        ("0", "--seeds 0: a number of seeds is from 1 to 1,000"),
        ("-3", "--seeds -3: a number of seeds is from 1 to 1,000"),
        ("1001", "from 1 to 1,000"),
        ("a", "--seeds a: expected a number of seeds, or a list of them"),
        ("", "expected a number of seeds"),
        ("1,", "expected a number of seeds"),
        ("1.5", "expected a number of seeds"),
        ("1 2", "expected a number of seeds"),
        ("٣", "expected a number of seeds"),
        ("1,1", "--seeds 1,1: seed 1 is given twice"),
        ("1,-2", "seed -2 is not from 0 to 2**63 - 1"),
        (f"1,{2**63}", "is not from 0 to 2**63 - 1"),
        (",".join(map(str, range(1001))), "that list is too long"),
        (",".join(str(10**18 + n) for n in range(300)), "that list is too long"),
        (True, "expected a number of seeds"),
        (2.0, "expected a number of seeds"),
        ([], "expected a number of seeds"),
        ([1, "2"], "expected a number of seeds"),
        ([True], "expected a number of seeds"),
        ({1: 2}, "expected a number of seeds"),
    ],
)
def test_what_names_no_seeds_is_refused_in_three_lines(value, complaint):
    with pytest.raises(ConfigError) as refused:
        seeds_of(value, first=42, where="--seeds")
    assert complaint in refused.value.what
    assert len(refused.value.lines()) <= 3
    assert all(len(line) < 250 for line in refused.value.lines())


def test_a_number_of_seeds_does_not_count_beyond_the_largest_seed():
    with pytest.raises(ConfigError, match="is not from 0"):
        seeds_of(2, first=2**63 - 1, where="--seeds")
