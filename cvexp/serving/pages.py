"""The pages: a form to drop an image on, and the interface in words. They load nothing from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import re
from pathlib import Path
from typing import TYPE_CHECKING

from starlette.responses import Response

from cvexp.serving import openapi
from cvexp.serving.answers import encoded

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from starlette.requests import Request

    from cvexp.serving.limits import Limits

_FOLDER = Path(__file__).parent


def pages(limits: Limits) -> dict[str, Callable[[Request], Awaitable[Response]]]:
    """What answers GET, by path."""
    document = openapi.document(limits)
    docs = (_FOLDER / "docs.html").read_text(encoding="utf-8").replace("<!-- interface -->", openapi.page(document))
    return {
        "/": _html((_FOLDER / "form.html").read_text(encoding="utf-8")),
        "/docs": _html(docs),
        "/openapi.json": _fixed(encoded(document), "application/json", {}),
    }


def _html(text: str) -> Callable[[Request], Awaitable[Response]]:
    """A page that may run its own scripts and styles, talk to this service, and do nothing else."""
    allowed = {kind: _digests(text, tag) for kind, tag in (("script-src", "script"), ("style-src", "style"))}
    policy = [
        "default-src 'none'",
        *(f"{kind} {digests}" for kind, digests in allowed.items() if digests),
        "img-src 'self' data: blob:",
        "connect-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    ]
    headers = {
        "content-security-policy": "; ".join(policy),
        "x-content-type-options": "nosniff",
        "referrer-policy": "no-referrer",
        "cache-control": "no-cache",
    }
    return _fixed(text.encode(), "text/html; charset=utf-8", headers)


def _digests(text: str, tag: str) -> str:
    found = re.findall(rf"<{tag}>(.*?)</{tag}>", text, re.DOTALL)
    return " ".join(f"'sha256-{base64.b64encode(hashlib.sha256(one.encode()).digest()).decode()}'" for one in found)


def _fixed(content: bytes, media_type: str, headers: dict[str, str]) -> Callable[[Request], Awaitable[Response]]:
    async def answer(_request: Request) -> Response:
        return Response(content, headers=headers, media_type=media_type)

    return answer
