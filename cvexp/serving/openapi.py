"""The interface in words for programs (OpenAPI 3.1), and a page of it for people."""

from __future__ import annotations

from html import escape
from typing import TYPE_CHECKING, Any

from cvexp.settings import VERSION

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from cvexp.serving.limits import Limits

_REFUSALS = {
    400: "The body is damaged: no JSON, no .npy file, no whole form.",
    401: "The token is missing or wrong.",
    408: "The body did not arrive in time.",
    404: "There is nothing at this path.",
    413: "The body, the image or the number of images is too large.",
    415: "The Content-Type is none that images come in.",
    422: "The values are no images of this model.",
    503: "The service is busy or shutting down; Retry-After says when to ask again.",
}
_ABOUT = (
    "An image classifier over HTTP. Where it can be reached by others, requests bring a token: Authorization: Bearer …"
)
_BINARY = {"type": "string", "format": "binary"}
_NUMBERS = {"type": "array", "items": {"type": ["number", "null"]}}
_ERROR = {
    "type": "object",
    "required": ["error", "hint"],
    "properties": {"error": {"type": "string"}, "hint": {"type": ["string", "null"]}},
}
_PREDICTION = {
    "type": "object",
    "description": "Logits and probabilities are in the order of class_names.",
    "properties": {
        "image": {"type": "string", "description": "The file's name, or the index in the array."},
        "class": {"type": "string", "description": "The likeliest class."},
        "probability": {"type": "number", "description": "Of that class."},
        "logits": _NUMBERS,
        "probabilities": _NUMBERS,
        "notes": {"type": "array", "items": {"type": "string"}, "description": "Lossy conversions of the file."},
    },
}
_PREDICTIONS = {
    "type": "object",
    "properties": {
        "schema_version": {"type": "integer"},
        "run_id": {"type": "string"},
        "run_name": {"type": "string"},
        "model_version": {"type": ["string", "null"], "description": "models:/NAME/VERSION, if from the registry."},
        "class_names": {"type": "array", "items": {"type": "string"}},
        "predictions": {"type": "array", "items": {"$ref": "#/components/schemas/Prediction"}},
    },
}
_EVIDENCE = {
    "method": {"type": "string", "description": "Grad-CAM, or gradient for a model without a layer that has maps."},
    "layer": {"type": ["string", "null"]},
    "found": {"type": "boolean", "description": "False where nothing raises the class's score by this method."},
    "seen": {"type": "string", "description": "The image as the model takes it, a PNG as a data URI."},
    "evidence": {"type": "string", "description": "What to lay over it, a transparent PNG as a data URI."},
}


def document(limits: Limits) -> dict[str, Any]:
    """The OpenAPI document of a service with these limits."""
    arrays = {
        "type": "object",
        "required": ["images"],
        "properties": {"images": {"type": "array", "description": "Integers from 0 to 255, (N, C, H, W)."}},
    }
    form = {"type": "object", "properties": {"image": {"type": "array", "items": _BINARY}}}
    bodies = {
        "image/png": {"schema": _BINARY},
        "image/jpeg": {"schema": _BINARY},
        "multipart/form-data": {"schema": form},
        "application/json": {"schema": arrays, "example": {"images": [[[[0, 255], [255, 0]]]]}},
        "application/x-npy": {"schema": _BINARY},
        "application/octet-stream": {"schema": _BINARY},
    }
    bounds = (
        f"At most {limits.max_bytes:,} bytes and {limits.max_images:,} images, {limits.max_pixels:,} pixels in files. "
        "Files of any size are fitted as the training images were; arrays are uint8 (N, C, H, W) of the model's shape, "
        "as JSON, as a .npy file, or as bytes alone."
    )
    explained = {"allOf": [_ref("Predictions"), {"type": "object", "properties": _EVIDENCE}]}
    return {
        "openapi": "3.1.0",
        "info": {"title": "cvexp serve", "version": VERSION, "description": _ABOUT},
        "paths": {
            "/predict": {
                "post": _work("Classes, probabilities and logits of images.", bounds, bodies, _ref("Predictions"))
            },
            "/explain": {"post": _work("Where in one image the evidence for its class is.", bounds, bodies, explained)},
            "/health": {"get": _read("Whether it is ready; 503 while it shuts down.", open_to_all=True)},
            "/model": {"get": _read("The model that is served: run, classes, image shape.")},
            "/metrics": {"get": _read("Counters and histograms for Prometheus.", kind="text/plain")},
        },
        "components": {
            "schemas": {"Prediction": _PREDICTION, "Predictions": _PREDICTIONS, "Error": _ERROR},
            "securitySchemes": {"token": {"type": "http", "scheme": "bearer"}},
        },
        "security": [{}, {"token": []}],
    }


def _ref(name: str) -> dict[str, str]:
    return {"$ref": f"#/components/schemas/{name}"}


def _work(summary: str, description: str, content: Mapping[str, Any], answer: Mapping[str, Any]) -> dict[str, Any]:
    refusals = {
        str(status): {"description": text, "content": {"application/json": {"schema": _ref("Error")}}}
        for status, text in _REFUSALS.items()
    }
    return {
        "summary": summary,
        "description": description,
        "requestBody": {"required": True, "content": content},
        "responses": {"200": {"description": "Done.", "content": {"application/json": {"schema": answer}}}, **refusals},
    }


def _read(summary: str, *, kind: str = "application/json", open_to_all: bool = False) -> dict[str, Any]:
    made: dict[str, Any] = {"summary": summary, "responses": {"200": {"description": "Done.", "content": {kind: {}}}}}
    return made | ({"security": [{}]} if open_to_all else {})


def page(document: Mapping[str, Any]) -> str:
    """The main part of an HTML page that says what the document says."""
    parts = [f"<h1>{escape(document['info']['title'])}</h1>", f"<p>{escape(document['info']['description'])}</p>"]
    for path, methods in document["paths"].items():
        for method, operation in methods.items():
            parts.append(f"<h2><code>{method.upper()} {escape(path)}</code></h2><p>{escape(operation['summary'])}</p>")
            parts.append(_body_of(operation))
    refusals = [(str(status), escape(text)) for status, text in _REFUSALS.items()]
    parts.append("<h2>Refusals</h2><p>Each is a JSON object of an <code>error</code> and a <code>hint</code>.</p>")
    parts.append(_table(("Status", "Meaning"), refusals))
    for name, schema in document["components"]["schemas"].items():
        fields = [
            (f"<code>{escape(field)}</code>", escape(_type_of(kind)), escape(kind.get("description", "")))
            for field, kind in schema["properties"].items()
        ]
        parts += [f"<h2>{escape(name)}</h2>", _table(("Field", "Type", "Meaning"), fields)]
    return "\n".join(filter(None, parts))


def _body_of(operation: Mapping[str, Any]) -> str:
    if "requestBody" not in operation:
        return ""
    kinds = ", ".join(f"<code>{escape(kind)}</code>" for kind in operation["requestBody"]["content"])
    return f"<p>{escape(operation['description'])}</p>\n<p>Content-Type: {kinds}</p>"


def _table(headers: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """An HTML table of cells that are HTML."""
    head = "".join(f"<th scope=col>{header}" for header in headers)
    body = "\n".join("<tr>" + "".join(f"<td>{cell}" for cell in row) for row in rows)
    return f"<table><thead><tr>{head}</thead><tbody>\n{body}\n</tbody></table>"


def _type_of(schema: Mapping[str, Any]) -> str:
    if "$ref" in schema:
        return str(schema["$ref"]).rpartition("/")[2]
    kind = schema.get("type", "")
    if isinstance(kind, list):
        return " or ".join(kind)
    return f"{_type_of(schema['items'])}, a list" if kind == "array" and "items" in schema else str(kind)
