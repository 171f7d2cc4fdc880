"""The one tree of exceptions: every message names the value, the rule and the way out, in one line."""

import re
from collections.abc import Iterable, Mapping
from contextlib import suppress
from difflib import get_close_matches


class SearchError(Exception):
    """Something the user can mend. The command line prints it in one line and exits with status 2."""


class OptionError(SearchError):
    """An option's value breaks its rule."""


class SpaceError(SearchError):
    """A search space, candidate or network cannot be built as asked."""


class TaskError(SearchError):
    """A data set is missing, damaged or not usable for classification."""


class LedgerError(SearchError):
    """A ledger holds a line that cannot be read."""


class RunError(SearchError):
    """A run folder cannot be used: foreign, locked, of another configuration, or not writable."""


class DamageError(RunError):
    """A file that a run keeps cannot be read, is damaged or was edited.

    Attributes:
        fault: which file, and what is wrong with it.
        way_out: what to do.
    """

    def __init__(self, fault: str, way_out: str) -> None:
        super().__init__(fault, way_out)
        self.fault, self.way_out = fault, way_out

    def __str__(self) -> str:
        return f"{self.fault}: {self.way_out}"


class ClusterError(SearchError):
    """Workers cannot be had as asked: no cluster, another token, too few resources, other versions."""


class LostError(ClusterError):
    """The workers that computed something died, whoever it was: of memory that ran short, or of what they computed."""


class DamageWarning(UserWarning):
    """A file of a run is damaged, and what it held is made anew. The command line prints it as a note."""


def one_line(error: BaseException, most: int = 200) -> str:
    r"""What an error says, in one line; the name of its type where it says nothing, or cannot.

    >>> one_line(ValueError("two\nlines")), one_line(ValueError())
    ('two lines', 'ValueError')
    """
    text = error.strerror if isinstance(error, OSError) and error.strerror else ""
    with suppress(Exception):  # of a person's own: its text may raise in turn
        text = text or str(error)
    return " ".join(text.split())[:most] or type(error).__name__


def typed_line(error: BaseException, most: int = 200) -> str:
    """The same behind the name of its type, as the last line of a traceback.

    >>> typed_line(ValueError("no")), typed_line(ValueError())
    ('ValueError: no', 'ValueError')
    """
    kind, said = type(error).__name__, one_line(error, most)
    return kind if said == kind else f"{kind}: {said}"


NEAR = 0.7  # share of letters that two names have in common, in order, from which they are called near
SHOWN = 30  # names that are listed before the rest is counted


def unknown(
    what: str,
    value: object,
    known: Iterable[str],
    *,
    elsewhere: Mapping[str, str] | None = None,
    meant: Mapping[str, str] | None = None,
) -> str:
    """One-line message for a name that is not among ``known``.

    It proposes names that are near in letters, or that have the value as one of their words; or else says what there
    is.

    Args:
        what: what the name is of.
        value: the name.
        known: the names there are.
        elsewhere: names that are known in another place -> that place.
        meant: words that people write -> the name here that means the same.

    >>> unknown("space", "autosn", ["autosnn", "snasnet"])
    "unknown space 'autosn' (did you mean 'autosnn'?); known: autosnn, snasnet"
    >>> unknown("option", "--epochs", ["--few-shot-epochs", "--paths"])
    "unknown option '--epochs' (did you mean '--few-shot-epochs'?); known: --few-shot-epochs, --paths"
    >>> unknown("option", "--paths", ["--out"], elsewhere={"--paths": "search"})
    "unknown option '--paths' (it is of search); known: --out"
    """
    names, text, elsewhere = list(known), str(value), elsewhere or {}
    hint = ""
    if text in elsewhere:
        here = with_word(text, names)
        hint = f" (it is of {elsewhere[text]}{f', here are {_or(here)}' if here else ''})"
    elif near := near_names(text, names, meant or {}):
        hint = f" (did you mean {_or(near)}?)"
    elif near := near_names(text, elsewhere, {}):
        hint = f" (did you mean {near[0]!r} of {elsewhere[near[0]]}?)"
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return f"unknown {what} {text[:80]!r}{hint}; known: {', '.join(names[:SHOWN]) or 'none'}{more}"


def near_names(text: str, names: Iterable[str], meant: Mapping[str, str]) -> list[str]:
    """Of names, up to three that may have been meant: by meaning, or the nearest in letters, or with it as a word."""
    names, bare = list(names), text.strip("-").lower()
    if (said := meant.get(bare)) in names:
        return [said]
    plain = {name.strip("-").lower(): name for name in names}
    if near := get_close_matches(bare, plain, n=1, cutoff=NEAR):
        return [plain[near[0]]]
    return with_word(text, names)


def with_word(text: str, names: Iterable[str]) -> list[str]:
    """Of names, up to three that have a text as one of their words."""
    bare = text.strip("-").lower()
    return [name for name in names if len(bare) > 2 and bare in re.split(r"[^a-z0-9]+", name.lower())][:3]


def _or(names: Iterable[str]) -> str:
    return " or ".join(map(repr, names))
