"""What one request, and all of them together, may take; and the answer to one that is refused."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping

MIB = 2**20


@dataclass(frozen=True, kw_only=True, slots=True)
class Limits:
    """Bounds on what the service accepts.

    Attributes:
        max_bytes: Of one body; a larger one is refused with 413.
        max_buffered: Of all bodies that are held at once; while there are more, 503.
        max_images: Of one request; 413.
        max_pixels: Of one image file before it is fitted; 413. A small file may claim to hold billions.
        timeout: Seconds until a body has arrived, else 408, and until its answer has been computed, else 503.
        max_batch: Images of one forward pass.
        max_wait_ms: How long a forward pass waits for more images; 0 takes those that are there.
        max_waiting: Images that wait for a forward pass; while there are more, 503.
    """

    max_bytes: int = 10 * MIB
    max_buffered: int = 256 * MIB
    max_images: int = 256
    max_pixels: int = 50_000_000
    timeout: float = 30.0
    max_batch: int = 32
    max_wait_ms: float = 0.0
    max_waiting: int = 1024


@dataclass(eq=False)
class Refusal(Exception):  # noqa: N818 - an answer to the client, not an error of the service
    """A request that is not answered with predictions: an HTTP status, what was wrong, and what to do instead."""

    status: int
    what: str
    hint: str = ""
    headers: Mapping[str, str] = field(default_factory=dict)

    def __str__(self) -> str:
        return self.what


def busy(what: str) -> Refusal:
    """503: the same request can be answered later."""
    return Refusal(503, what, "try again in a second", {"retry-after": "1"})
