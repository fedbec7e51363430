"""Flags made from the fields of configuration components."""

import functools
import inspect
from collections.abc import Callable, Iterable, Mapping
from dataclasses import MISSING, dataclass
from typing import Annotated, Any, get_args

import typer
from typer.core import TyperCommand, TyperGroup, TyperOption

from cvexp.config.model import parse_model_args
from cvexp.config.option import Component, Setting, settings_of

Verb = Callable[..., None]
KEYWORD = inspect.Parameter.KEYWORD_ONLY
HELP_ALL = "--help-all"
WIDEST = 20
"""Characters of choices that stand beside a flag; more of them are part of its help."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Given:
    """What was typed: values of the components' fields by name, and every option as it is spelt, by parameter."""

    settings: Mapping[str, Any]
    flags: Mapping[str, str]

    def of(self, kind: type[Component]) -> dict[str, Any]:
        """The values that belong to one component."""
        return {name: value for name, value in self.settings.items() if name in settings_of(kind)}


class Group(TyperGroup):
    """All verbs; what precedes the verb is flags only."""

    def get_params(self, ctx: Any) -> list[Any]:
        """As typer, but with a default for its own flags: it would load pydantic to find that None is not True."""
        parameters = super().get_params(ctx)
        for parameter in parameters:
            parameter.default = parameter.default or False
        return parameters


class Command(TyperCommand):
    """A verb that lists its advanced options only for `--help-all`."""

    def get_help_option_names(self, ctx: Any) -> list[str]:
        """As typer, in a fixed order."""
        more = [HELP_ALL] if getattr(self.callback, "advanced", ()) else []
        return sorted([*super().get_help_option_names(ctx), *more])

    def format_help(self, ctx: Any, formatter: Any) -> None:
        """As typer; options that are hidden here are still completed."""
        advanced = getattr(self.callback, "advanced", None)
        in_full = HELP_ALL in (ctx.obj or {}).get("arguments", ())
        for option in self.get_params(ctx):
            if isinstance(option, TyperOption) and advanced is not None:
                option.hidden = option.name in advanced and not in_full
                option.rich_help_panel = option.rich_help_panel or "General"
                if HELP_ALL in option.opts:
                    option.help = f"Show this message and exit; {HELP_ALL} lists every option."
        super().format_help(ctx, formatter)


def with_flags(*kinds: type[Component], only: Iterable[str] = (), examples: str = "") -> Callable[[Verb], Verb]:
    """Give a verb the flags of components; its parameter `given` receives what was typed, as `Given`.

    `only` are names of the fields wanted, by default all; `examples` end the text of `--help`.
    """
    known = {name: one for kind in kinds for name, one in settings_of(kind).items()}
    chosen = {name: known[name] for name in only or known}

    def decorate(verb: Verb) -> Verb:
        own = dict(inspect.signature(verb, eval_str=True).parameters)
        del own["given"]
        parameters = {
            **{name: one for name, one in own.items() if one.kind is not KEYWORD},
            **{name: _parameter(one) for name, one in chosen.items()},
            **own,
            "ctx": inspect.Parameter("ctx", KEYWORD, annotation=typer.Context),
        }

        @functools.wraps(verb)
        def command(**values: Any) -> None:
            verb(**{name: values[name] for name in own}, given=_given(values["ctx"], chosen))

        vars(command).update(
            __signature__=inspect.Signature([one.replace(kind=KEYWORD) for one in parameters.values()]),
            advanced={name for name, one in chosen.items() if one.option.advanced},
            epilog=examples,
        )
        command.__annotations__ = {name: one.annotation for name, one in parameters.items()}
        return command

    return decorate


def info(setting: Setting, *, panel: str | None = None) -> Any:
    """What an annotation has to say for typer to make a setting's flag; that of a required one is an argument."""
    option, choices = setting.option, setting.choices

    def complete(incomplete: str) -> list[str]:
        before, comma, typed = incomplete.rpartition(",") if option.combines else ("", "", incomplete)
        return [before + comma + name for name in choices or _known(option.complete) if name.startswith(typed)]

    completion = complete if choices or option.complete else None
    if setting.default is MISSING:
        return typer.Argument(help=option.help, autocompletion=completion, show_default=False)
    text, metavar = option.help, "|".join(choices)
    if len(metavar) > WIDEST:
        text, metavar = f"{text.rstrip('.')}: {', '.join(choices[:-1])} or {choices[-1]}.", "NAME"
    if option.combines:
        text, metavar = (
            f"{text.rstrip('.')}; or together, as {option.combines[0][0]},{option.combines[-1][0]}.",
            "NAMES",
        )
    if option.default_by:
        text += f" Without it: {', '.join(f'{name} {value:g}' for name, value in option.default_by[1].items())}."
    return typer.Option(
        setting.flag,
        help=text,
        metavar="NAME=VALUE" if setting.is_mapping else metavar or None,
        autocompletion=completion,
        show_default=setting.default not in (None, {}),
        rich_help_panel=panel,
    )


def _known(kind: str | None) -> Iterable[str]:
    if kind == "models":
        from cvexp.models.registry import entries

        return entries()
    from cvexp.data.registry import specs

    return specs()


def _parameter(setting: Setting) -> inspect.Parameter:
    kind: Any = next((one for one in get_args(setting.type) if one in (int, float)), setting.type)
    kind = str if setting.choices else list[str] if setting.is_mapping else kind
    default = None if setting.default in (MISSING, {}) else setting.default
    if default is None:
        kind |= None
    return inspect.Parameter(
        setting.name, KEYWORD, default=default, annotation=Annotated[kind, info(setting, panel=setting.panel)]
    )


def _given(ctx: typer.Context, chosen: Mapping[str, Setting]) -> Given:
    sources = {one: ctx.get_parameter_source(one.name) for one in ctx.command.params}
    flags = {one.name: one.opts[0] for one, source in sources.items() if source and source.name != "DEFAULT"}
    settings = {name: ctx.params[name] for name in chosen if name in flags}
    if "model_args" in settings:
        settings["model_args"] = parse_model_args(settings["model_args"])
    return Given(settings=settings, flags=flags)
