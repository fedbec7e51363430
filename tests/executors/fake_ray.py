"""What RayExecutor uses of Ray, in this process: actors are objects, calls are made when they are waited for."""

from __future__ import annotations

import socket
from types import SimpleNamespace


class RayError(Exception):
    """As Ray's."""


class RayActorError(RayError):
    """As Ray's."""


class ActorDiedError(RayActorError):
    """As Ray's."""


class ActorUnavailableError(RayActorError):
    """As Ray's."""


class RayTaskError(RayError):
    """As Ray's."""

    cause = None


class FakeRay:
    """Attributes: `trouble` by slot, in the order they were opened, is raised by its calls; `slots` are the objects."""

    def __init__(self):
        names = (RayError, RayActorError, ActorDiedError, ActorUnavailableError, RayTaskError)
        self.exceptions = SimpleNamespace(**{kind.__name__: kind for kind in names})
        self.exceptions.ObjectLostError = self.exceptions.NodeDiedError = ActorDiedError
        self.slots, self.trouble, self.silent = [], {}, set()
        self.hosts = [socket.gethostname()]
        self.is_up = True

    def remote(self, kind):
        return SimpleNamespace(options=lambda **_: SimpleNamespace(remote=lambda *words: self._opened(kind, words)))

    def _opened(self, kind, words):
        n = len(self.slots)
        self.slots.append(kind(*words))
        return SimpleNamespace(n=n, **{name: _Method(n, name) for name in ("about", "turn", "close")})

    def wait(self, refs, **_options):
        ready = [ref for ref in refs if ref.n not in self.silent]
        return ready, [ref for ref in refs if ref not in ready]

    def get(self, ref):
        if ref.n in self.trouble:
            raise self.trouble[ref.n]
        return getattr(self.slots[ref.n], ref.name)(*ref.words, **ref.options)

    def kill(self, handle):
        self.trouble[handle.n] = ActorDiedError("killed")

    def nodes(self):
        return [{"Alive": True, "NodeManagerHostname": host} for host in self.hosts]

    def shutdown(self):
        self.is_up = False


class _Method:
    def __init__(self, n, name):
        self._n, self._name = n, name

    def remote(self, *words, **options):
        return _Ref(n=self._n, name=self._name, words=words, options=options)


class _Ref:
    """Compared and hashed by identity, as Ray's references are by what they stand for."""

    def __init__(self, **call):
        vars(self).update(call)
