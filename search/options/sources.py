"""Where options come from beside the command line: a preset, and a configuration file that every run leaves, too."""

import tomllib
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from search.options.config import OPTIONS, PART_OF, PARTS, RENAMED, TITLES, Config, configure, to_json, values_of
from search.options.declare import Declared, declared
from search.options.needs import spelled
from spaces.errors import OptionError, one_line, unknown
from spaces.files import read_file, reason
from spaces.paths import user_path

Tell = Callable[[str], None]
PRESETS: Mapping[str, Mapping[str, Mapping[str, Any]]] = {  # preset -> verb -> budgets
    "quick": {
        "search": {"candidates": 60, "supernet_epochs": 4, "finalists": 2, "finalist_epochs": 2},
        "sweep": {"candidates": 16, "train_epochs": 3},
    },
    "standard": {"search": {}, "sweep": {}},
    "thorough": {
        "search": {
            **{"candidates": 1000, "supernet_epochs": 40, "finalists": 8, "finalist_pool": 16, "finalist_epochs": 40},
        },
        "sweep": {"candidates": 200, "train_epochs": 40},
    },
}
AXES = {"space": str, "data": str, "seed": int}  # of a sweep, which may have several
NOT_MADE_AGAIN = ("out", "export_optuna")  # where results went
KINDS = {bool: "true or false", int: "a whole number", float: "a number", str: "a text", tuple: "a list"}


def merged(verb: str, given: Mapping[str, Any], *, preset: str | None, file: str | None, tell: Tell) -> dict[str, Any]:
    """The options that a preset, a file and the command line give, by flat name; the later take the earlier's place.

    Args:
        verb: ``search`` or ``sweep``; in a sweep, ``space``, ``data`` and ``seed`` may be lists.
        given: what the command line gives.
        preset: name of a preset.
        file: path of a file as ``read_toml`` takes.
        tell: is told, a line each, what a preset sets, and what takes the place of what.

    Raises:
        OptionError: there is no such preset, or the file cannot be taken.
    """
    if preset is not None and preset not in PRESETS:
        raise OptionError(f"--preset: {unknown('preset', preset, PRESETS)}")
    budgets = {} if preset is None else PRESETS[preset][verb]
    read = {} if file is None else read_toml(file, verb)
    wanted = {**read, **given}
    for name, value in read.items():
        if name in given and given[name] != value:
            tell(f"{_shown(name, given[name])} takes the place of {_shown(name, value)} in {file!r}")
    for name, value in budgets.items():
        now = wanted.get(name, value)
        if now != value:
            tell(f"{_shown(name, now)} takes the place of {_shown(name, value)} of preset {preset}")
    if preset is not None:
        standing = [
            _shown(name, value) for name, value in budgets.items() if {**read, **given}.get(name, value) == value
        ]
        tell(f"preset {preset} sets {', '.join(standing) or 'nothing beside the defaults'}")
    return {**budgets, **wanted}


def read_toml(path: str, verb: str = "search") -> dict[str, Any]:
    """The options in a TOML file, by flat name: a table for each part of the configuration, as in a run's config.toml.

    Raises:
        OptionError: the file cannot be read, a table or key is unknown, or a value is of another type.
    """
    at = f"--config {path!r}"
    text = ""
    try:
        text = read_file(user_path(path, "--config")).decode()
        tables = tomllib.loads(text)
    except OSError as error:
        raise OptionError(
            f"{at} cannot be read ({reason(error)}): give a TOML file, as the config.toml of a run"
        ) from error
    except UnicodeDecodeError as error:
        raise OptionError(f"{at} is not TOML ({one_line(error)}): write it in UTF-8") from error
    except tomllib.TOMLDecodeError as error:
        last = f"at line {len(text.splitlines())}, the end"
        said = one_line(error).replace("at end of document", last)
        raise OptionError(f"{at} is not TOML ({said}): mend it there") from error
    found: dict[str, Any] = {}
    for part, table in tables.items():
        if part not in PARTS or not isinstance(table, dict):
            if part in OPTIONS:
                raise OptionError(f"{at}: {part!r} stands outside its table: write it below [{PART_OF[part]}]")
            raise OptionError(f"{at}: {unknown('table', part, PARTS)}")
        for key, value in table.items():
            one = _option(part, key, at)
            if verb not in one.option.verbs and one.name not in ("constraints", *(AXES if verb == "sweep" else ())):
                raise OptionError(f"{at}: [{part}] {key} is no option of {verb}: take it out")
            found[one.name] = _typed(one, value, f"{at}: [{part}] {key}", verb)
    return found


def _option(part: str, key: str, at: str) -> Declared:
    """The option that a key in a table names: as its field, or as its flag."""
    options = declared(PARTS[part])
    by_field = {one.field: one for one in options.values()}
    name = key.replace("-", "_")
    name = RENAMED.get(name, name)
    if name in by_field or name in options:
        return by_field.get(name) or options[name]
    if name in OPTIONS:
        raise OptionError(f"{at}: {key!r} is an option of [{PART_OF[name]}], not of [{part}]: move it there")
    raise OptionError(f"{at}: [{part}] {unknown('key', key, by_field)}")


def _typed(one: Declared, value: Any, where: str, verb: str) -> Any:  # noqa: ANN401
    """A value of a file as its option takes it; raises OptionError where it is of another type."""
    if verb == "sweep" and one.name in AXES:
        values = value if isinstance(value, list) else [value]
        if values and all(isinstance(item, AXES[one.name]) and not isinstance(item, bool) for item in values):
            return values
        raise OptionError(f"{where} is {value!r}: give {KINDS[AXES[one.name]]}, or a list of them")
    value = tuple(value) if isinstance(value, list) else value
    if value is None or not one.fits(value):
        raise OptionError(f"{where} is {value!r}: give {KINDS[one.kind]}")
    return value


def to_toml(config: Config) -> str:
    """A file that makes a run again: what differs from the defaults, without its folder and without credentials."""
    import tomli_w

    verb = "search" if config.sweep.train_epochs is None else "sweep"
    plain, usual = to_json(config), values_of(configure(verb))
    tables: dict[str, dict[str, Any]] = {}
    for name, one in OPTIONS.items():
        value = plain[name]
        stays = value == (list(usual[name]) if one.kind is tuple else usual[name])
        if not (value is None or stays or name in NOT_MADE_AGAIN):
            tables.setdefault(PART_OF[name], {})[one.field] = value
    head = f"# `python launch.py {verb} --config config.toml` makes this run again.\n"
    return head + "".join(
        f"\n# {TITLES[part].partition(':')[0]}\n{tomli_w.dumps({part: table})}" for part, table in tables.items()
    )


def write_toml(path: Path, config: Config) -> None:
    """Writes ``to_toml`` to a file of a run."""
    from spaces.files import write_atomic

    write_atomic(path, to_toml(config))


def _shown(name: str, value: object) -> str:
    return spelled(name, tuple(map(str, value)) if isinstance(value, list) else value)
