"""The HTTP interface: POST /predict and /explain, GET /health, /metrics, /model, /docs, /openapi.json and the form."""

from __future__ import annotations

import asyncio
import hmac
import logging
import time
from typing import TYPE_CHECKING, Any

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response

from cvexp.serving.answers import encoded, predictions
from cvexp.serving.batcher import Batcher
from cvexp.serving.explainer import EXPLAIN_SECONDS
from cvexp.serving.intake import Intake
from cvexp.serving.limits import Refusal, busy
from cvexp.serving.metrics import Metrics
from cvexp.serving.pages import pages

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping

    from starlette.types import Receive, Scope, Send

    from cvexp.serving.bodies import Images
    from cvexp.serving.explainer import Explainer
    from cvexp.serving.limits import Limits
    from cvexp.serving.served import Served

    Handler = Callable[[Request], Awaitable[Response]]

_LOG = logging.getLogger("cvexp.serving")

WORK = ("/predict", "/explain")
"""What takes images: refused while the service drains, and waited for before it ends."""
_OPEN = ("/", "/health", "/docs", "/openapi.json")
"""What needs no token: nothing there is of the model or of its users."""
_CLIENT_LEFT = 499
_RETRY = {"retry-after": "1", "connection": "close"}


class Service:
    """One model behind HTTP, and what was asked of it so far.

    Attributes:
        served: The model of requests that come from now on; those under way keep the one they began with.
        is_draining: Once true, requests for work are refused.
        n_running: Requests for work that are under way.
        trouble: Why the model could not be looked up again the last time; empty while all is well.
    """

    def __init__(
        self,
        served: Served,
        *,
        limits: Limits,
        n_threads: int = 1,
        token: str = "",
        hosts: frozenset[str] | None = None,
        explainer: Explainer | None = None,
    ) -> None:
        self.served, self.limits, self.explainer = served, limits, explainer
        self.is_draining, self.n_running, self.trouble = False, 0, ""
        self._token, self._hosts = token.encode(), hosts
        self._intake = Intake(limits, n_threads=n_threads)
        self._metrics = Metrics(n_waiting=lambda: self._batcher.n_waiting)
        self._batcher = Batcher(limits, on_batch=self._metrics.batch)
        self._metrics.model(served, is_swap=False)
        answered = 2 * limits.timeout  # to send a body, and to wait for its answer
        self._seconds = {"/predict": answered, "/explain": answered + EXPLAIN_SECONDS}
        self._routes: dict[str, tuple[str, Handler]] = {
            "/predict": ("POST", self._predict),
            "/explain": ("POST", self._explain),
            "/health": ("GET", self._health),
            "/model": ("GET", self._model),
            "/metrics": ("GET", self._prometheus),
            **{path: ("GET", page) for path, page in pages(limits).items()},
        }

    def swap(self, served: Served) -> None:
        """Serve another model from now on."""
        self.served = served
        self._metrics.model(served, is_swap=True)

    def close(self) -> None:
        """End the threads."""
        self._intake.close()
        self._batcher.close()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """The ASGI application: check what every request has to bring, answer it, and count it."""
        if scope["type"] != "http":
            return
        began, path = time.perf_counter(), scope["path"]
        is_work = path in WORK
        self.n_running += is_work
        status = _CLIENT_LEFT
        try:
            response = await self._response(Request(scope, receive), path)
            status = response.status_code
            await response(scope, receive, send)
        except ClientDisconnect:
            pass
        finally:
            self.n_running -= is_work
            self._metrics.request(path if path in self._routes else "other", status, time.perf_counter() - began)

    async def _response(self, request: Request, path: str) -> Response:
        try:
            answer = self._handler(request, path)
            async with asyncio.timeout(self._seconds.get(path)):
                return await answer(request)
        except Refusal as refusal:
            return refused(refusal)
        except TimeoutError:
            return refused(busy(f"no answer within {self._seconds[path]:g} seconds"))
        except ClientDisconnect:
            raise
        except Exception:  # noqa: BLE001 - the service goes on, and its log says why
            _LOG.exception("%s failed", path)
            return refused(Refusal(500, "the service failed to answer", "its log says why"))

    def _handler(self, request: Request, path: str) -> Handler:
        """What answers a request that may be answered; Refusal for any other."""
        self._check(request, path)
        method, answer = self._routes.get(path, ("", None))
        if answer is None:
            raise Refusal(404, "there is nothing at this path", "see /docs")
        if request.method not in (method, "HEAD" if method == "GET" else method):
            raise Refusal(405, f"{path} is for {method}", "see /docs", {"allow": method})
        return answer

    def _check(self, request: Request, path: str) -> None:
        """Refusal for a request by another name than the service's, without its token, or while it drains."""
        headers = request.headers
        if self._hosts is not None and _host(headers.get("host", "")) not in self._hosts:
            raise Refusal(421, "the service is not known by this name", "ask for 127.0.0.1 or localhost")
        if self._token and path not in _OPEN:
            scheme, _, given = headers.get("authorization", "").partition(" ")
            if scheme.lower() != "bearer" or not hmac.compare_digest(given.strip().encode(), self._token):
                raise Refusal(401, "a token is needed", "send Authorization: Bearer …", {"www-authenticate": "Bearer"})
        if self.is_draining and path in WORK:
            raise Refusal(503, "the service is shutting down", "ask another one", _RETRY)

    async def _predict(self, request: Request) -> Response:
        served = self.served
        images = await self._intake.images(request, served)
        logits = await self._batcher.logits(served, images.pixels)
        return as_json(predictions(served, images, logits))

    async def _explain(self, request: Request) -> Response:
        """The prediction for one image, and where in it the evidence for its class is."""
        served = self.served
        if self.explainer is None:
            what = "an ONNX file holds no weights that gradients could be taken of"
            raise Refusal(404, what, "serve the run, or its .pt or .safetensors file")
        images: Images = await self._intake.images(request, served)
        if len(images.pixels) > 1:
            raise Refusal(422, f"{len(images.pixels)} images to explain", "send one at a time")
        logits = await self._batcher.logits(served, images.pixels)
        answer = predictions(served, images, logits)
        evidence = await self.explainer.evidence(served, images.pixels[0], int(logits[0].argmax()))
        return as_json({**answer, **evidence})

    async def _health(self, _request: Request) -> Response:
        state = "draining" if self.is_draining else "ready"
        document = {"status": state, "trouble": self.trouble or None}
        return as_json(document, status=503 if self.is_draining else 200)

    async def _model(self, _request: Request) -> Response:
        served = self.served
        return as_json(
            {
                "run_id": served.run_id,
                "run_name": served.name,
                "model_version": served.version or None,
                "class_names": served.class_names,
                "image_shape": served.image_shape,
                "fitting": {"resize": served.fitting.resize, "interpolation": served.fitting.interpolation},
                "explains": None if self.explainer is None else self.explainer.state,
            }
        )

    async def _prometheus(self, _request: Request) -> Response:
        return Response(self._metrics.text(), media_type="text/plain; version=0.0.4; charset=utf-8")


def as_json(document: dict[str, Any], *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """A response with a JSON document."""
    return Response(encoded(document), status_code=status, headers=headers, media_type="application/json")


def refused(refusal: Refusal) -> Response:
    """The response to a request that is refused."""
    document = {"error": refusal.what, "hint": refusal.hint or None}
    return as_json(document, status=refusal.status, headers=refusal.headers)


def _host(value: str) -> str:
    """The name in a Host header, without its port."""
    text = value.lower()
    return text[1:].partition("]")[0] if text.startswith("[") else text.partition(":")[0]
