"""The points at which the kill campaign hits a training are still in the code."""

from __future__ import annotations

import importlib
import operator

import pytest

from tests.faults.launch import POINTS


@pytest.mark.parametrize("point", POINTS)
def test_every_point_is_a_function_of_its_module(point):
    module, path, _ = POINTS[point]
    assert callable(operator.attrgetter(path)(importlib.import_module(module)))
