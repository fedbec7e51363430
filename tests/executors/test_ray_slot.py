"""A slot takes each order once and keeps each event until the driver has it, whatever is lost on the way."""

from __future__ import annotations

import pytest

from cvexp.executors import ray_slot
from cvexp.executors.inline import open_inline
from cvexp.executors.seam import Ended, to_plain
from tests.executors.made import attempt

SECONDS = 5.0


@pytest.fixture
def slot(monkeypatch, tmp_path):
    monkeypatch.setattr(ray_slot, "open_executor", lambda _name, **options: open_inline(**options))
    monkeypatch.setattr("sys.modules", {**__import__("sys").modules, "__main__": ray_slot})
    monkeypatch.setenv("CVEXP_STATE_DIR", str(tmp_path))
    return ray_slot.RaySlot("tests.executors.made:run", ray_slot.place())


class Lossy:
    """A driver that loses every other reply, and sends its orders again until they are taken."""

    def __init__(self, slot):
        self.slot, self.orders, self.seen, self.n_orders, self.lost = slot, [], 0, 0, False

    def order(self, kind, content):
        self.n_orders += 1
        self.orders.append((self.n_orders, kind, content))

    def until_ended(self):
        found = []
        while not (found and isinstance(found[-1], Ended)):
            taken, plain = self.slot.turn(self.seen, self.orders, SECONDS)
            self.lost = not self.lost
            if not self.lost:
                self.orders = [order for order in self.orders if order[0] > taken]
                found += ray_slot.events_of(plain, self.seen)
                self.seen = max(n for n, _ in plain)
        return [(event.trial, type(event).__name__) for event in found], found[-1]


def test_what_is_lost_on_the_way_is_sent_again_and_taken_once(slot):
    driver = Lossy(slot)
    for trial in "ab":
        driver.order("submit", to_plain(attempt(trial)))
        names, _ = driver.until_ended()
        assert names == [(trial, name) for name in ("Started", "Epoch", "Epoch", "Epoch", "Ended")]


@pytest.mark.parametrize(("early", "status"), [(True, "FINISHED"), (False, "KILLED")])
def test_an_attempt_is_stopped_as_it_was_asked(slot, early, status):
    driver = Lossy(slot)
    driver.order("submit", to_plain(attempt("a", epochs=1000)))
    driver.order("stop", {"trial": "a", "early": early})
    assert driver.until_ended()[1].status == status


def test_a_slot_without_an_attempt_waits(slot):
    assert slot.turn(0, [], 0.01) == (0, [])
    assert slot.close([], kill=False) == 0


@pytest.mark.parametrize("host", ["here", "elsewhere"])
def test_runs_are_kept_where_the_driver_finds_them_or_else_where_they_stay(monkeypatch, tmp_path, host):
    monkeypatch.setenv("CVEXP_STATE_DIR", "")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "state"))
    monkeypatch.setattr("socket.gethostname", lambda: "here")
    slot = ray_slot.RaySlot("", {"host": host, "state_dir": "/the/driver's"})
    slot._choose_state_dir({"tracking_uri": "sqlite:////shared/mlflow.db"})
    assert not ray_slot.os.environ["CVEXP_STATE_DIR"]  # beside the database
    slot._choose_state_dir({"tracking_uri": "http://server:5000"})
    chosen = {"here": "/the/driver's", "elsewhere": str(tmp_path / "state" / "cvexp")}
    assert ray_slot.os.environ["CVEXP_STATE_DIR"] == chosen[host]
