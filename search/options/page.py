"""The page of all options, made of their declarations: ``python -m search.options.page > docs/options.md``."""

from collections.abc import Iterable

from search.options.config import PARTS, TITLES
from search.options.declare import Declared, declared
from search.options.pruning import PruningOptions, TicketsOfRun
from search.options.sources import PRESETS

HEAD = """\
# Options

This page is made of the options' declarations by `python -m search.options.page > docs/options.md`.

A flag is a word of the command line. The same name with `_` for `-` is its name in config.json.
`--config FILE.toml` reads options from a file, below a table for each part. Every run leaves such a `config.toml`.
Flags take the place of the file, and the file takes the place of `--preset`.
"""
KINDS = {bool: "switch", int: "number", float: "number", str: "text", tuple: "list"}


def page() -> str:
    """The page, in Markdown."""
    lines = [HEAD, "## Presets\n", "| preset | search | sweep |", "|---|---|---|"]
    for name, budgets in PRESETS.items():
        told = (", ".join(f"`{key}` {value}" for key, value in budgets[verb].items()) for verb in ("search", "sweep"))
        lines.append(f"| {name} | {' | '.join(one or 'the defaults' for one in told)} |")
    for part, kind in PARTS.items():
        lines += _section(TITLES[part], f"[{part}]", declared(kind).values())
    own = {**declared(PruningOptions), **declared(TicketsOfRun)}
    lines += _section("prune: lottery tickets of a run that is there", "", own.values())
    return "\n".join(lines) + "\n"


def _section(title: str, table: str, options: Iterable[Declared]) -> list[str]:
    """A heading, and a table with a row an option."""
    head, _, about = title.partition(":")
    lines = ["", f"## {head}{f' (`{table}` in a file)' if table else ''}", ""]
    lines += [f"{about.strip()[:1].upper()}{about.strip()[1:]}.", ""] if about else []
    return [*lines, "| flag | in a file | kind | default | what it does | verbs |", "|---|---|---|---|---|---|"] + [
        _row(one) for one in options if one.option.verbs
    ]


def _row(one: Declared) -> str:
    """A row of the table."""
    default = ("on" if one.default else "off") if one.kind is bool else one.default
    if default in (None, ()):
        default = one.option.unset
    listed = ",".join(map(str, default)) if isinstance(default, tuple) else str(default)
    kind = KINDS[one.kind] if one.option.range is None else f"{one.option.range[0]:g} to {one.option.range[1]:g}"
    cells = (f"`{one.flag}`", f"`{one.field}`", kind, listed, one.option.about, ", ".join(one.option.verbs))
    return f"| {' | '.join(cell.replace('|', '/') for cell in cells)} |"


if __name__ == "__main__":
    print(page(), end="")
