"""What a slot of a cluster has, and how many of them a cluster has room for."""

import pytest

from cvexp.errors import ConfigError
from cvexp.executors.ray_cluster import n_slots_of
from cvexp.executors.registry import open_executor
from cvexp.executors.slots import Slot, slot_of

TWO, EIGHT = {"CPU": 2.0}, {"CPU": 8.0, "GPU": 2.0}


def test_a_slot_has_what_was_typed_and_its_device_follows() -> None:
    assert slot_of({}) == Slot()
    assert slot_of({"cpus": "4", "partition": "night"}, others=["partition"]).others == {"partition": "night"}
    assert [slot_of({"gpus": gpus}).device for gpus in "01"] == [None, "cuda"]


@pytest.mark.parametrize(
    ("given", "what"),
    [
        ({"cpu": "4"}, "did you mean 'cpus'"),
        ({"cpus": "0"}, "not a whole number from 1"),
        ({"cpus": "two"}, "not a whole number from 1"),
        ({"gpus": "-1"}, "not a whole number from 0"),
    ],
)
def test_a_slot_that_cannot_be_is_refused(given: dict[str, str], what: str) -> None:
    with pytest.raises(ConfigError) as error:
        slot_of(given)
    assert what in " ".join(error.value.lines())


@pytest.mark.parametrize(
    ("slot", "asked", "found"),
    [
        (Slot(), None, (1, 10)),
        (Slot(cpus=3), None, (3, 2)),
        (Slot(cpus=3), 1, (3, 1)),
        (Slot(), 2, (4, 2)),
        (Slot(), 5, (2, 5)),
        (Slot(gpus=1), None, (1, 2)),
        (Slot(gpus=1), 1, (8, 1)),
    ],
)
def test_slots_are_counted_where_they_have_room(slot: Slot, asked: int | None, found: tuple[int, int]) -> None:
    assert n_slots_of([TWO, EIGHT], slot, asked) == found


@pytest.mark.parametrize(("slot", "asked"), [(Slot(cpus=9), None), (Slot(), 11), (Slot(gpus=3), None)])
def test_more_than_there_is_room_for_is_refused(slot: Slot, asked: int | None) -> None:
    with pytest.raises(ConfigError, match=r"its nodes have 2 \+ 8 \(2 GPUs\) CPUs"):
        n_slots_of([TWO, EIGHT], slot, asked)


def test_slots_of_this_machine_are_not_described() -> None:
    with pytest.raises(ConfigError, match="--slot is for slots elsewhere"):
        open_executor("inline", slot={"cpus": "1"})
