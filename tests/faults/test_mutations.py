"""The list of safeguards that `mutations.py` removes is about the code as it is."""

from __future__ import annotations

import pytest

from tests.faults.mutations import MUTATIONS, ROOT


@pytest.mark.parametrize("mutation", MUTATIONS, ids=lambda mutation: mutation.name)
def test_what_a_mutation_replaces_is_there_once_and_its_tests_exist(mutation):
    assert (ROOT / mutation.file).read_text().count(mutation.old) == 1
    for test in mutation.tests:
        file, _, name = test.partition("::")
        assert f"def {name}" in (ROOT / file).read_text()
