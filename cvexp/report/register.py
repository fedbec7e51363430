"""How a registration is shown."""

from typing import Any

from cvexp.jobs.register import Alias, RegisterResult
from cvexp.report.terminal import hint, say
from cvexp.results import Metric
from cvexp.text import clean


def show(result: RegisterResult) -> None:
    """Print the version, its proof in one line, and where the alias is now and why."""
    what = "registered" if result.is_new else "registered before"
    say(f"{result.uri}  {what}: run {result.run_name}", "bold")
    if proof := _proof(result):
        say(proof)
    if result.alias is not None:
        for line in _alias(result, result.alias):
            say(line)
    hint(result.note)


def _proof(result: RegisterResult) -> str:
    """Accuracy with its intervals, and the latency, as the version's tags have them."""
    tags, key = result.tags, Metric.TEST_ACCURACY.value
    parts = []
    if key in tags:
        limits = [tags.get(f"{key}_{name}") for name in ("low", "high")]
        between = f" (95% {_read(limits[0], '.2%')} to {_read(limits[1], '.2%')})" if all(limits) else ""
        parts.append(f"test accuracy {_read(tags[key], '.2%')}{between}")
    if "seeds/accuracy_mean" in tags:
        parts.append(f"{_read(tags['seeds/accuracy_mean'], '.2%')} over {tags.get('seeds/n')} seeds")
    own = f"export/{tags.get('cvexp.format')}/latency_ms"
    if (latency := tags.get(own, tags.get(Metric.LATENCY_MS))) is not None:
        parts.append(f"{_read(latency, '.3g')} ms for one image")
    return ", ".join(parts)


def _read(text: str | None, form: str) -> str:
    """A number; a version that was registered before may hold anything."""
    try:
        return format(float(text or ""), form)
    except ValueError:
        return clean(text)


def _alias(result: RegisterResult, alias: Alias) -> list[str]:
    """Where the alias is, and what was found out about the two versions."""
    found = alias.promotion
    why = [] if found is None else [line for line in (_sentence(found.text), _sentence(found.speed)) if line]
    if not alias.moved:
        return [*why, f"{alias.name} stays on version {alias.previous}"]
    if alias.previous == result.version:
        return [f"{alias.name} is this version already"]
    before = "" if alias.previous is None else f", before it was version {alias.previous}"
    return [*why, f"{alias.name} is this version now{before}"]


def _sentence(text: str) -> str:
    return f"{text[0].upper() if text.startswith(('cannot', 'these')) else text[0]}{text[1:]}." if text else ""


def why_it_stays(name: str, alias: Alias) -> str:
    """Why an alias was not moved, as the first line of an error."""
    found = alias.promotion
    verdict = {"worse": "is worse", "tied": "is as accurate, and not shown to be faster"}
    why = alias.trouble if found is None else f"this run {verdict.get(found.verdict, 'is not shown to be better')}"
    return f"{name}@{alias.name} stays on version {alias.previous}: {why}"


def document(result: RegisterResult) -> dict[str, Any]:
    """The result for `--json`."""
    alias = result.alias
    found = None if alias is None else alias.promotion
    return {
        "run_id": result.run_id,
        "run_name": result.run_name,
        "name": result.name,
        "version": result.version,
        "uri": result.uri,
        "new": result.is_new,
        "source": result.source,
        "tags": dict(result.tags),
        "alias": None
        if alias is None
        else {
            "name": alias.name,
            "previous": alias.previous,
            "moved": alias.moved,
            "verdict": None if found is None else found.verdict,
            "text": alias.trouble if found is None else found.text,
            "speed": "" if found is None else found.speed,
        },
        "note": result.note,
    }
