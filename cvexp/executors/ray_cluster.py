"""Joining a Ray cluster, or starting one on this machine alone, and how many slots it has."""

from __future__ import annotations

import contextlib
import logging
import os
import secrets
import signal
import socket
import sys
import tempfile
import threading
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from cvexp.errors import ConfigError
from cvexp.executors.slots import missing
from cvexp.text import shown

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

    from cvexp.executors.slots import Slot

OBJECT_STORE_BYTES = 100 * 1024**2
"""Of a cluster that cvexp starts; what travels is a few kilobytes."""
CONNECT_SECONDS = 3.0

_ENVIRONMENT = {
    "RAY_USAGE_STATS_ENABLED": "0",
    "RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO": "0",  # else Ray warns about what it will do some day
    "RAY_worker_niceness": "0",  # of a cluster that cvexp starts: by default 15, after everything else there
    "RAY_NUM_REDIS_GET_RETRIES": "8",  # seconds to wait for a cluster that answers, but not with its name
}


def ray_library() -> Any:
    """Ray, imported; raises ConfigError where it is not installed."""
    for name, value in _ENVIRONMENT.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise missing("Ray", "ray") from error
    return ray


def join(address: str | None) -> list[dict[str, float]]:
    """Join the cluster at `host:port`, or at the environment's RAY_ADDRESS, or on this machine; nodes' resources.

    Raises:
        ConfigError: There is none, or it refuses.
    """
    options: dict[str, Any] = {"address": address or os.environ.get("RAY_ADDRESS") or "auto"}
    if options["address"] == "local":  # its ports are open to the network, and take code; Ray reads this when imported
        os.environ |= {"RAY_AUTH_MODE": "token", "RAY_AUTH_TOKEN": secrets.token_hex(32)}
    ray = ray_library()
    if options["address"] == "local":
        options |= {"include_dashboard": False, "object_store_memory": OBJECT_STORE_BYTES}
    else:
        _check_address(options["address"])
    with _signals_kept(), _native_stderr() as said:
        try:
            ray.init(**options, namespace="cvexp", log_to_driver=False, logging_level=logging.CRITICAL)
        except Exception as error:
            raise _refused(address, error, said()) from error
    _quieten(ray)
    return [node["Resources"] for node in ray.nodes() if node["Alive"]]


def _quieten(ray: Any) -> None:
    """Keep what Ray says of nodes off stdout, where results belong: there is no setting for that, and events say it."""
    worker = ray._private.worker  # noqa: SLF001 - as said
    if hasattr(worker, "print_to_stdstream"):
        worker.print_to_stdstream = lambda *_, **__: None


@contextlib.contextmanager
def _signals_kept() -> Iterator[None]:
    """Have signals handled after the block as before it: Ray takes SIGTERM, which is the driver's."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    handlers = {number: signal.getsignal(number) for number in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in handlers.items():
            signal.signal(number, handler)


@contextlib.contextmanager
def _native_stderr() -> Iterator[Callable[[], str]]:
    """Keep what Ray's compiled part writes to stderr in the block off the terminal; yields what reads it."""
    with tempfile.TemporaryFile() as file:
        sys.stderr.flush()
        before = os.dup(2)
        os.dup2(file.fileno(), 2)

        def said() -> str:
            file.seek(0)
            return file.read().decode(errors="replace")

        try:
            yield said
        finally:
            os.dup2(before, 2)
            os.close(before)


def _check_address(address: str) -> None:
    """Refuse at once what Ray would refuse after minutes."""
    if address == "auto":
        return
    host, _, port = address.rpartition(":")
    if "://" in address or not (host and port.isascii() and port.isdigit()):
        raise ConfigError(
            f"--address {shown(address)}: not the address of a Ray cluster",
            "for example: --address 10.0.0.1:6379 (the head's), or --address local",
        )
    try:
        socket.create_connection((host, int(port)), timeout=CONNECT_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise _unreachable(address, str(getattr(error, "strerror", None) or error).lower()) from error


def _unreachable(address: str | None, why: str) -> ConfigError:
    where = f"at {shown(address)}" if address else "on this machine"
    return ConfigError(
        f"no Ray cluster can be joined {where}: {why}",
        "start one: RAY_AUTH_MODE=token ray start --head; on other machines: ray start --address HOST:6379",
        "or let cvexp start one on this machine alone: --address local",
    )


def _refused(address: str | None, error: Exception, said: str) -> ConfigError:
    if "AuthenticationError" in type(error).__name__ or "InvalidAuthToken" in said:
        return ConfigError(
            f"the Ray cluster at {shown(address or 'auto')} refuses this machine's token, or there is none",
            "set RAY_AUTH_MODE=token, and RAY_AUTH_TOKEN (or the file ~/.ray/auth_token) to the cluster's own",
        )
    return _unreachable(address, (str(error).strip().splitlines() or [type(error).__name__])[0][:160])


def _described(node: dict[str, float]) -> str:
    gpus = f" ({node['GPU']:g} GPUs)" if "GPU" in node else ""
    return f"{node.get('CPU', 0):g}{gpus}"


def room_for(slot: Slot, node: dict[str, float]) -> int:
    """How many such slots a node with these resources has room for."""
    by_cpus = int(node.get("CPU", 0) // (slot.cpus or 1))
    return min(by_cpus, int(node.get("GPU", 0) // slot.gpus)) if slot.gpus else by_cpus


def n_slots_of(nodes: Sequence[dict[str, float]], slot: Slot, asked: int | None) -> tuple[int, int]:
    """CPUs of a slot, and how many slots there are.

    Without `cpus`, a slot has one where nothing is said, and where a number of slots is asked for as many as leave room
    for them all.

    Raises:
        ConfigError: No node has room for a slot, or all of them together have none for as many as asked.
    """

    def room(cpus: int) -> int:
        return sum(room_for(replace(slot, cpus=cpus), node) for node in nodes)

    most = max((int(node.get("CPU", 0)) for node in nodes), default=0)
    if slot.cpus is not None or asked is None:
        cpus = slot.cpus or 1
    else:
        cpus = next((n for n in range(most, 0, -1) if room(n) >= asked), 1)
    n_slots = room(cpus)
    if n_slots < (asked or 1):
        has = " + ".join(_described(node) for node in nodes)
        gpus = f" and {slot.gpus} GPUs" if slot.gpus else ""
        raise ConfigError(
            f"{asked or 1} slots of {cpus} CPUs{gpus}: the cluster has room for {n_slots}; its nodes have {has} CPUs",
            "ask for fewer --workers, or for less with --slot",
        )
    return cpus, asked or n_slots
