"""How a field becomes an option: flag, help, completion, YAML key, validation and MLflow parameter come from it."""

import itertools
from collections.abc import Mapping
from dataclasses import MISSING, dataclass, fields
from typing import Any, ClassVar, Literal, NoReturn, TypeVar, get_args, get_origin

from cvexp.errors import ConfigError, nearest
from cvexp.text import shown

SEE_HELP = "see: cvexp train --help"
MAX_COUNT = 2**31 - 1
NONE = "none"
EXPECTED = {int: "an integer", float: "a number", str: "text"}

C = TypeVar("C", bound="Component")


@dataclass(frozen=True, slots=True)
class Option:
    """What users are told of a field; it stands in the field's annotation, beside its constraints.

    Attributes:
        help: One or two sentences for `--help`; defaults and choices are added to them.
        flag: By default `--` and the field's name with dashes.
        advanced: Whether only `--help-all` lists it.
        complete: What its values are completed from; fields of type Literal need nothing.
        combines: Names that a value may have, joined by commas: one of each group at most; `none` is without any.
        default_by: Another field, and the default in effect for each of its values; the field's own default is None.
    """

    help: str
    flag: str | None = None
    advanced: bool = False
    complete: Literal["models", "datasets"] | None = None
    combines: tuple[tuple[str, ...], ...] = ()
    default_by: tuple[str, Mapping[str, Any]] | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class Setting:
    """A field of a component: its type without constraints, its default (MISSING if required), its panel of --help."""

    name: str
    type: Any
    default: Any
    option: Option
    panel: str

    @property
    def flag(self) -> str:
        """As typed on the command line."""
        return self.option.flag or f"--{self.name.replace('_', '-')}"

    @property
    def choices(self) -> tuple[str, ...]:
        """Of a Literal, or what may be combined; empty for every other type."""
        if self.option.combines:
            return (NONE, *itertools.chain(*self.option.combines))
        return get_args(self.type) if get_origin(self.type) is Literal else ()

    @property
    def is_mapping(self) -> bool:
        """Whether it is given as NAME=VALUE, again and again."""
        return get_origin(self.type) is Mapping

    @property
    def expected(self) -> str:
        """What a value should be, in words."""
        kinds = [EXPECTED[one] for one in (self.type, *get_args(self.type)) if one in EXPECTED]
        return f"one of {', '.join(self.choices)}" if self.choices else kinds[0]

    def as_text(self, value: Any) -> Any:
        """`value`, but where text is wanted and YAML reads a whole number, as in `freeze: 2`, that number as text."""
        wants_text = str in (self.type, *get_args(self.type)) and not self.is_mapping
        return str(value) if wants_text and isinstance(value, int) else value

    def default_with(self, others: Mapping[str, Any]) -> Any:
        """The default in effect beside these values of other fields."""
        if self.option.default_by is None:
            return self.default
        other, defaults = self.option.default_by
        return defaults.get(others.get(other, ""))


class Component:
    """What the dataclasses of this package have in common; they are combined by inheritance, so none has slots."""

    PANEL: ClassVar[str]
    """The part of `--help` that lists the component's fields."""

    __dataclass_fields__: ClassVar[dict[str, Any]]

    def __post_init__(self) -> None:
        """Call `check` of every component this is made of."""
        for kind in type(self).__mro__:
            if issubclass(kind, Component) and "check" in vars(kind):
                kind.check(self)

    def check(self) -> None:
        """Refuse, by `refuse`, values that do not go together; components override it and do not call super."""

    def refuse(self, name: str, reason: str) -> NoReturn:
        """Raise ConfigError about the field called `name`, as `--flag value: reason`."""
        raise ConfigError(f"{settings_of(type(self))[name].flag} {_typed(getattr(self, name))}: {reason}", SEE_HELP)

    def combined(self, name: str) -> str:
        """The names in the field called `name`, in the order of its option's groups, however they were typed."""
        setting = settings_of(type(self))[name]
        value = getattr(self, name)
        names = [one.strip() for one in value.split(",")]
        for one in names:
            if one not in setting.choices:
                raise ConfigError(
                    f"{setting.flag} {_typed(value)}: unknown: {shown(one)}", nearest(one, setting.choices)
                )
        if NONE in names and names[1:]:
            self.refuse(name, f"{NONE} goes with no other")
        for group in setting.option.combines:
            if sum(one in group for one in names) > 1:
                self.refuse(name, f"at most one of {', '.join(group)}")
        return ",".join(sorted(names, key=setting.choices.index))

    def effective(self, name: str) -> Any:
        """The value in effect of the field called `name`: where it is None, the default beside the other fields."""
        value = getattr(self, name)
        return settings_of(type(self))[name].default_with(vars(self)) if value is None else value

    def params(self) -> dict[str, str]:
        """Every value in effect as an MLflow parameter, written as one would type it; mappings as `field.key`."""
        flat: dict[str, str] = {}
        for name in settings_of(type(self)):
            value = self.effective(name)
            items = value.items() if isinstance(value, Mapping) else ()
            flat |= {f"{name}.{key}": as_typed(item) for key, item in items}
            if not isinstance(value, Mapping):
                flat[name] = as_typed(value)
        return flat


_settings: dict[type[Component], dict[str, Setting]] = {}


def settings_of(kind: type[Component]) -> dict[str, Setting]:
    """The fields of a component, or of several combined, by name."""
    if kind not in _settings:
        _settings[kind] = {}
        for field in fields(kind):
            type_, *metadata = get_args(field.type)
            (option,) = (item for item in metadata if isinstance(item, Option))
            default = field.default if field.default_factory is MISSING else field.default_factory()
            owner: Any = next(one for one in kind.__mro__ if field.name in vars(one).get("__annotations__", ()))
            setting = Setting(name=field.name, type=type_, default=default, option=option, panel=owner.PANEL)
            _settings[kind][field.name] = setting
    return _settings[kind]


def as_typed(value: object) -> str:
    """A value as one would type it: `true` and `none` as YAML and the command line write them."""
    return str(value).lower() if value is None or isinstance(value, bool) else str(value)


def _typed(value: object) -> str:
    """A value as it was typed, cut where it is long."""
    if isinstance(value, str):
        return shown(value)[1:-1]
    return as_typed(value) if isinstance(value, bool) else shown(value)


def validated(kind: type[C], settings: Mapping[str, Any]) -> C:
    """Validate `settings`, values by field name from flags, a file or a call, and make them a component.

    Raises:
        ConfigError: An unknown name (the nearest valid one is named), a wrong type, or a value out of range.
    """
    known = settings_of(kind)
    for name, value in settings.items():
        if name not in known:
            raise ConfigError(f"unknown setting: {name!r}", nearest(name, known))
        if isinstance(value, bool) and known[name].type is not bool and not known[name].is_mapping:
            raise ConfigError(f"{known[name].flag}: expected {known[name].expected}, got {as_typed(value)}", SEE_HELP)
    from pydantic import ValidationError

    try:
        made: C = _adapter(kind).validate_python({name: known[name].as_text(value) for name, value in settings.items()})
        return made  # noqa: TRY300 - a branch of its own would have to repeat the type
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        flag, reason = known[str(first["loc"][0])].flag, str(first["msg"])
        if first["type"] == "missing":
            raise ConfigError(f"{flag} is required", SEE_HELP) from None
        raise ConfigError(f"{flag} {_typed(first.get('input'))}: {reason[0].lower() + reason[1:]}", SEE_HELP) from None


_adapters: dict[type[Component], Any] = {}


def _adapter(kind: type[Component]) -> Any:
    """Pydantic's validator of a component, which takes milliseconds to make."""
    if kind not in _adapters:
        from pydantic import TypeAdapter

        _adapters[kind] = TypeAdapter(kind)
    return _adapters[kind]
