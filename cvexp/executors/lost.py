"""What becomes of an attempt whose worker is lost: its run is given up, unless it had finished."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from cvexp.errors import CvexpError
from cvexp.executors.seam import Ended, Lost, Started
from cvexp.settings import StoreSettings
from cvexp.tracking.attempts import give_up

if TYPE_CHECKING:
    from cvexp.executors.seam import Attempt, Event


@dataclass(slots=True)
class Runs:
    """The runs of a driver's attempts, by trial; those that could not be given up wait until the store answers."""

    _ids: dict[str, str] = field(default_factory=dict)
    _waiting: list[tuple[StoreSettings, str, str]] = field(default_factory=list)

    def settle(self, event: Event, attempt: Attempt) -> Event:
        """The event, but where the worker of the attempt is lost: the end of its run, if that had finished."""
        if isinstance(event, Started):
            self._ids[event.trial] = event.run_id
        if isinstance(event, Ended):
            self._ids.pop(event.trial, None)
        if not isinstance(event, Lost) or not (run_id := self._ids.pop(event.trial, "")):
            return event
        settings = StoreSettings(tracking_uri=attempt.store["tracking_uri"], experiment=attempt.store["experiment"])
        try:
            run = give_up(settings, run_id, event.reason)
        except CvexpError:
            self._waiting.append((settings, run_id, event.reason))
            return event
        if run.status != "FINISHED":
            return event
        return Ended(
            trial=event.trial,
            number=event.number,
            run_id=run.run_id,
            run_name=run.name,
            status="FINISHED",
            metrics=run.metrics,
        )

    def give_up_waiting(self) -> None:
        """Try again to give up what could not be; what still cannot is left to whoever drives next."""
        waiting, self._waiting = self._waiting, []
        for settings, run_id, reason in waiting:
            try:
                give_up(settings, run_id, reason)
            except CvexpError:
                self._waiting.append((settings, run_id, reason))
