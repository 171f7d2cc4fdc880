"""Credentials in what people write, as ``s3://KEY:SECRET@bucket``: they are used, and neither kept nor shown."""

import re
from collections.abc import Iterable
from typing import Any
from urllib.parse import unquote

HIDDEN = "***"
NAMES = (  # schemes where what stands alone before an @ is the name of a user or a container
    *("ftp", "ftps", "sftp", "ssh", "smb", "hdfs", "webhdfs", "arrow_hdfs"),
    *("abfs", "abfss", "adl", "wasb", "wasbs"),
)
FILES = ("file", "local")  # whose paths may hold a question mark
_LOGIN = re.compile(r"([^/@:]*):(.*)@", re.DOTALL)  # to the last @: a password may hold one
_TOKEN = re.compile(r"([^/@:]+)@")
_IN_TEXT = re.compile(r"[\w.+:-]+://[^\s'\"<>]+")


def without_credentials(value: str) -> str:
    """A URI, or ``--option=URI``, with ``***`` for its password or token and for its query; other texts as they are.

    >>> without_credentials("ftp://me:secret@host/folder"), without_credentials("s3://bucket/key?token=1")
    ('ftp://me:***@host/folder', 's3://bucket/key?***')
    >>> without_credentials("https://token@host"), without_credentials("sftp://me@host"), without_credentials("a:b@c")
    ('https://***@host', 'sftp://me@host', 'a:b@c')
    """
    parts = re.fullmatch(r"(.*?)(://)(.*)", value, re.DOTALL)
    if not parts:
        return value
    head, mark, rest = parts.groups()
    scheme = re.split(r"[^\w.+-]", head.lower())[-1]
    login = ""
    if found := _LOGIN.match(rest):
        login = f"{found[1]}:{HIDDEN}@"
    elif (found := _TOKEN.match(rest)) and scheme not in NAMES:
        login = f"{HIDDEN}@"
    if login:
        rest = rest[found.end() :]
    if scheme not in FILES and "?" in rest:
        rest = f"{rest.partition('?')[0]}?{HIDDEN}"
    return f"{head}{mark}{login}{rest}"


def has_gap(value: str) -> bool:
    """Whether credentials were left out of a URI.

    >>> has_gap("ftp://me:***@host"), has_gap("ftp://me@host")
    (True, False)
    """
    return "://" in value and bool(re.search(r"[:/]\*\*\*@|\?\*\*\*$", value))


def without_gap(value: str) -> str:
    """A URI whose credentials were left out, as one that never had any: those of the environment are then used.

    >>> without_gap("ftp://me:***@host/folder"), without_gap("s3://bucket/key?***"), without_gap("https://***@host")
    ('ftp://me@host/folder', 's3://bucket/key', 'https://host')
    """
    return re.sub(r"\?\*\*\*$", "", re.sub(r"/\*\*\*@", "/", re.sub(r":\*\*\*@", "@", value)))


def hide(text: str, sources: Iterable[str] = ()) -> str:
    """A text, such as a message, without the credentials of the URIs in it, nor those of ``sources`` by themselves.

    >>> hide("cannot read ftp://me:secret@host/x (login secret refused)", ["ftp://me:secret@host/x"])
    'cannot read ftp://me:***@host/x (login *** refused)'
    """
    for secret in sorted({one for source in sources for one in _secrets(source)}, key=len, reverse=True):
        text = text.replace(secret, HIDDEN)
    return _IN_TEXT.sub(lambda found: without_credentials(found[0]), text)


def hide_all(value: Any) -> Any:  # noqa: ANN401
    """Plain JSON data with ``without_credentials`` of every text."""
    if isinstance(value, str):
        return without_credentials(value)
    if isinstance(value, dict):
        return {key: hide_all(one) for key, one in value.items()}
    return [hide_all(one) for one in value] if isinstance(value, list) else value


def _secrets(source: str) -> set[str]:
    """What of a URI, or of ``name:password@host``, is secret; what has less than four letters would hide too much."""
    rest = source.partition("://")[2] or source
    found = {match[2] for match in [_LOGIN.match(rest)] if match}
    if without_credentials(source) != source:
        found |= {match[1] for match in [_TOKEN.match(rest)] if match}
        query = rest.partition("?")[2]
        found |= {query, *(part.partition("=")[2] for part in query.split("&"))}
    return {form for one in found for form in (one, unquote(one)) if len(form) > 3}
