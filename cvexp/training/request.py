"""What a run was asked to do, stored in its folder so that it can be resumed."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING

from cvexp import files
from cvexp.errors import RunError, StorageError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from cvexp.config import RunConfig
    from cvexp.training.session import Prepared

REQUEST = "request.json"


@dataclass(frozen=True, kw_only=True, slots=True)
class Request:
    """What a run was asked to do, and what else its bits and times depend on.

    `seeds` are those of its repeats, if any; `features_shared` is whether an earlier run had computed its features.
    """

    config: RunConfig
    threads: int
    evaluation_threads: int
    policy: str
    dataset_digest: str
    seeds: tuple[int, ...] = ()
    features_shared: bool = False


def request_of(prepared: Prepared, *, seeds: Sequence[int] = ()) -> Request:
    """What is about to be trained, as one of the repeats with these seeds."""
    return Request(
        config=prepared.config,
        threads=prepared.layout.threads,
        evaluation_threads=prepared.layout.evaluation_threads,
        policy=prepared.layout.policy,
        dataset_digest=prepared.dataset.digest,
        seeds=tuple(seeds),
        features_shared=prepared.cached is not None and prepared.cached.is_shared,
    )


def write_request(folder: Path, request: Request) -> None:
    """Write what is asked of the run in `folder`, atomically, in place of an earlier request.

    Raises:
        StorageError: The disk is full, or cannot be written.
    """
    content = json.dumps(asdict(request), indent=1, allow_nan=False, default=dict)
    try:
        files.write_atomically(folder / REQUEST, content.encode())
    except OSError as error:
        raise StorageError(f"cannot write to {folder}: {error.strerror or error}", "make room there") from error


def read_request(folder: Path) -> Request:
    """What `write_request` wrote, validated as if it had been typed; RunError if it is missing or damaged."""
    file = folder / REQUEST
    try:
        content = file.read_bytes()
    except OSError as error:
        raise RunError(f"cannot resume: {file} is missing or damaged", "start a new run") from error
    return parsed_request(content, file)


def parsed_request(content: bytes | str, source: Path | str) -> Request:
    """The request in what `write_request` wrote to `source`, validated likewise."""
    from cvexp.config import run_config
    from cvexp.config.seeds import seeds_of

    try:
        read = json.loads(content)
        seeds = read.get("seeds")  # earlier versions wrote none
        return Request(
            config=run_config(read["config"]),
            threads=int(read["threads"]),
            evaluation_threads=int(read["evaluation_threads"]),
            policy=str(read["policy"]),
            dataset_digest=str(read["dataset_digest"]),
            seeds=seeds_of(list(seeds), first=0, where="seeds") if seeds else (),
            features_shared=read.get("features_shared") is True,
        )
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise RunError(f"cannot resume: {source} is missing or damaged", "start a new run") from error
