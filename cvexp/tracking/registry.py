"""Read the store's model registry: versions of named models, each the logged model of a run, and their aliases.

Other people write to it too, so that what it answers is checked: names, numbers, run ids, how much of it there is.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from cvexp.errors import RunError, StoreError
from cvexp.runs import MODEL_URI
from cvexp.text import shown
from cvexp.tracking.mlflow_errors import translated

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from cvexp.tracking.store import Store

FORMS = f"{MODEL_URI}NAME@ALIAS, {MODEL_URI}NAME/VERSION or {MODEL_URI}NAME/latest"
WEIGHTS, FORMAT = "cvexp.weights_sha256", "cvexp.format"
"""Tags of a version: the digest of the run's weights when it was registered, and which of its models it is."""

LATEST = "latest"
MAX_NAMES, MAX_VERSIONS, MAX_TAGS, MAX_TAG_CHARACTERS = 1000, 1000, 200, 5000
"""Of what is read from a registry."""

SHOWN_NAMES = 5
_RUN_ID = re.compile(r"[0-9a-f]{32}")
_NUMBER = re.compile(r"[0-9]{1,9}")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelVersion:
    """A version of a registered model.

    Attributes:
        run_id: Of the run behind it.
        aliases: That mean this version.
        tags: Its proof, as `cvexp register` wrote it, or whatever others wrote.
        source: Where its files are.
    """

    name: str
    version: int
    run_id: str
    aliases: tuple[str, ...] = ()
    tags: Mapping[str, str] = field(default_factory=dict)
    source: str = ""

    @property
    def uri(self) -> str:
        """What to type for it."""
        return f"{MODEL_URI}{self.name}/{self.version}"


def resolve(store: Store, uri: str) -> ModelVersion:
    """The version that `models:/NAME@ALIAS`, `models:/NAME/VERSION` or `models:/NAME/latest` means.

    Raises:
        RunError: There is no such name, version or alias, or no run is behind it.
        StoreError: The registry cannot be read.
    """
    name, number, alias = _parsed(uri)
    with translated(store.settings):
        model = registered(store, name)
        if model is None:
            raise _unknown_name(store, name)
        if alias and alias not in _aliases(model):
            raise _unknown_alias(name, alias, model)
        version = _number(_aliases(model)[alias] if alias else number or _latest(model))
        found = None if version is None else version_of(store, name, version)
    if found is None:
        raise _unknown_version(name, number, model)
    if not _RUN_ID.fullmatch(found.run_id):
        again = store.settings.command("register", "RUN", "--name", name)
        raise RunError(f"no run is behind {shown(uri)}: cvexp did not register it", f"register one: {again}")
    return found


def holder(store: Store, name: str, alias: str) -> ModelVersion | None:
    """The version that an alias means now; None where it means none, or where there is no such model."""
    with translated(store.settings):
        model = registered(store, name)
        version = None if model is None else _number(_aliases(model).get(alias, ""))
        return None if version is None else version_of(store, name, version)


def _parsed(uri: str) -> tuple[str, str, str]:
    """The name in a URI, and a version's number or an alias; neither for the latest version."""
    rest = uri.removeprefix(MODEL_URI)
    name, slash, last = rest.rpartition("/")
    if slash and (last.lower() == LATEST or _NUMBER.fullmatch(last)) and "/" not in name and name.strip():
        return name, "" if last.lower() == LATEST else last, ""
    name, at, alias = rest.rpartition("@")
    if at and "/" not in rest and name.strip() and alias.strip():
        return name, "", "" if alias.lower() == LATEST else alias
    raise RunError(f"cannot read {shown(uri)}", f"valid: {FORMS}")


def _number(text: object) -> int | None:
    """A version's number, from 1 on, or None for anything else."""
    return int(str(text)) if _NUMBER.fullmatch(str(text)) and int(str(text)) else None


def registered(store: Store, name: str) -> Any:
    """MLflow's registered model of that name, or None. Raises what MLflow does."""
    from mlflow.exceptions import MlflowException

    try:
        return store.client.get_registered_model(name)
    except MlflowException as error:
        if error.error_code in ("RESOURCE_DOES_NOT_EXIST", "INVALID_PARAMETER_VALUE"):
            return None
        raise


def version_of(store: Store, name: str, version: int) -> ModelVersion | None:
    """A version, or None where there is none. Raises what MLflow does."""
    from mlflow.exceptions import MlflowException

    try:
        return checked(store.client.get_model_version(name, str(version)))
    except MlflowException as error:
        if error.error_code == "RESOURCE_DOES_NOT_EXIST":
            return None
        raise


def checked(found: Any) -> ModelVersion:
    """MLflow's version with what cvexp uses of it, in bounds; raises StoreError where it has no number."""
    version = _number(found.version)
    if version is None:
        raise StoreError(f"the registry answers with a version that is no number: {shown(found.version)}")
    tags = list((found.tags or {}).items())[:MAX_TAGS]
    return ModelVersion(
        name=str(found.name),
        version=version,
        run_id=str(found.run_id or ""),
        aliases=tuple(sorted(str(one) for one in list(found.aliases or [])[:MAX_TAGS])),
        tags={str(key): str(value)[:MAX_TAG_CHARACTERS] for key, value in tags},
        source=str(found.source or ""),
    )


def _aliases(model: Any) -> dict[str, str]:
    return {str(alias): str(version) for alias, version in list((model.aliases or {}).items())[:MAX_NAMES]}


def _latest(model: Any) -> int | None:
    numbers = [_number(one.version) for one in list(model.latest_versions or [])[:MAX_NAMES]]
    return max((one for one in numbers if one), default=None)


def _unknown_name(store: Store, name: str) -> RunError:
    names = [str(one.name) for one in store.client.search_registered_models(max_results=MAX_NAMES)]
    start = store.settings.command("register", "RUN", "--name", "NAME")
    return RunError(f"no model is registered as {shown(name)}", _nearest(name, names) or f"register one: {start}")


def _unknown_alias(name: str, alias: str, model: Any) -> RunError:
    forms = {one: f"{MODEL_URI}{name}@{one}" for one in _aliases(model)}
    latest = _latest(model)
    hint = _nearest(alias, forms) or (f"its latest version: {MODEL_URI}{name}/{latest}" if latest else "")
    return RunError(f"{shown(name)} has no alias {shown(alias)}", hint or "it has no versions either")


def _unknown_version(name: str, number: str, model: Any) -> RunError:
    latest = _latest(model)
    what = f"{shown(name)} has no version{f' {number}' if number else 's'}"
    return RunError(what, f"the latest: {MODEL_URI}{name}/{latest}" if latest else "register one: cvexp register")


def _nearest(name: str, known: Iterable[str]) -> str:
    """A hint for a mistyped name; empty where nothing is known."""
    names = list(known)
    if close := difflib.get_close_matches(name, names, n=1, cutoff=0.6):
        return f"did you mean {shown(close[0])}?"
    listed = ", ".join(shown(one) for one in names[:SHOWN_NAMES])
    more = f" and {len(names) - SHOWN_NAMES} more" if len(names) > SHOWN_NAMES else ""
    return f"there are: {listed}{more}" if names else ""
