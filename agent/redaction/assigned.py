"""Secrets by the name they are given to: `HF_TOKEN=...`, `"api_key": "..."`, `--password ...`, `<secret>...</secret>`.

Only the value is found, never its quotes or the separator, so that code stays code. What is no value but a reference to
one (`token = os.environ["HF_TOKEN"]`, `api_key=api_key`, `$TOKEN`) is left alone, and so is prose ("The token: it is").
How much a value has to look like a secret depends on how surely the name means one, and on how it is written down.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from agent.light_dataclass import dataclass
from agent.redaction.found import Found, lowered
from agent.redaction.looks import is_class_name, is_mixed, is_placeholder, looks_random
from agent.redaction.names import Secrecy, is_secret_name, secrecy

_NAMED = re.compile(
    r"""(?P<word>(?:token|secret|pass|pwd|key|cred|auth|cookie|jwt|bearer|pat)[\w-]{0,48}+)
    (?P<close>\\*+["'`]\]?|\])?+
    (?P<sep>
        [ \t]{0,40}+(?::[ \t]{0,4}+[A-Za-z_][A-Za-z_.\[\], |]{0,40}?[ \t]{0,4}=(?=[ \t]{0,4}[^\s=])  # token: str =
          | :?={1,3}>? | ::? | %3[dDaA] )[ \t]{0,40}+
      | ,[ \t]{0,4}+(?=\\*+["'])                                                 # setenv("HF_TOKEN", "...")
      | ,\s{0,40}+(?:(?!default)[a-z_]{1,20}=[\w.]{1,40},\s{0,40}+){0,4}+default\s?=\s?(?=["'])  # add_argument("--x"
      | [ \t]{1,4}(?![ \t=:])                                                      # --token ...
      | >
    )""",
    re.VERBOSE | re.ASCII,
)
"""For a text in lower case: five times as fast as to ignore case."""
_QUOTE = re.compile(r"""(?P<prefix>[rRbBuUfF]{0,2})(?P<quote>\\*+(?:\"\"\"|'''|["'`]))""")
_BODIES = {quote: re.compile(rf"(?:[^{quote}\\\n]|\\[^\n]){{1,1000}}+(?={quote})") for quote in ('"', "'", "`")}
_RUN = re.compile(r"""[^\s"'`\\]{1,256}+""")
_BARE = re.compile(r"""[^\s"'`,;|&<>(){}\[\]\\]{1,256}+""")
_ENV_VALUE = re.compile(r"""(?:[^\s"'`\\{}]|'(?=\w)){1,4000}+(?=[ \t]{0,40}(?:\r?\n|\Z|\\[nr]|["']))""")
"""A value in a file of variables, with all that a shell would end it at."""
_LINE_START = re.compile(r"(?:\A|[\n\r\"']|\\n)[ \t+>-]*(?:(?:export|set|ENV|ARG|declare -x)[ \t]+)?\Z")
_BLOCK = re.compile(r"[|>][+-]?[ \t]*(?:\r?\n|\\n)[ \t]+")
"""What follows in YAML where the value is on the next lines."""
_LIST = re.compile(r"[(\[]\s{0,40}+(?=[rbuRBU]?\\*[\"'])")
_NEXT_ITEM = re.compile(r"\\*[\"']\s{0,40}+,\s{0,40}+(?=[rbuRBU]?\\*[\"'])")
_WITHIN = re.compile(
    r"""(?:
        (?:\w{1,40}\.){0,4}(?:\w{0,20}Field|Option|Argument|Parameter|Header|Cookie|Query|field|mapped_column|attrib)
        \([^()"'\n]{0,80}?(?:\bdefault\s?=\s?)?
      | (?:\w{1,40}\.){0,4}(?:Secret|SecretStr|SecretBytes|str|String)\(\s{0,40}
      | [\w.]{1,80}[(\[][^()\[\]\n]{0,100}+[)\]]\s{0,3}(?:or|\|\||\?\?)\s{1,3}
    )[bru]?(?P<quote>["'])(?P<value>[^"'\\\n]{4,400}+)(?P=quote)""",
    re.VERBOSE,
)
"""`Field(default="...")`, `SecretStr("...")`, `os.getenv("X") or "..."`."""
_LOOKED_UP = re.compile(r"(?:getenv|environ\.get|setdefault|setenv|config)\(\s{0,3}\\*[\"']\Z")
_HEADER = re.compile(r"[Xx]-[\w-]+|(?:[A-Z][a-z]+-)+[A-Z][a-z]+")
_BASE64 = re.compile(r"[A-Za-z0-9+/]{6,}={1,2}")
_IDENTIFIER = re.compile(r"-?[A-Za-z_]\w*(?:\.[A-Za-z_]\w*)*")
_CONSTANT = re.compile(r"[A-Z]{3,15}(?:_[A-Z0-9]{1,15}){1,8}")
_UNLIKE_WORDS = re.compile(r"[0-9A-Z]")
_NUMBER = re.compile(r"[-+]?[\d.,_]{1,20}(?:e[-+]?\d{1,3})?", re.IGNORECASE)
_PATH = re.compile(r"(?:~|\.{1,2})?/|[A-Za-z][\w+.-]{0,20}://|[A-Za-z]:\\")
_WORDS = frozenset(
    """string str text bool boolean object number optional required bearer basic oauth oauth2 env environment keyring
    default disabled enabled prompt auto option options flag flags argument arguments parameter parameters value file
    authentication authorization stdin manager field fields header headers valid invalid expired the this that
    is""".split()
)
"""What stands after a secret's name in descriptions of it."""
_LONGEST_NAME, _JUDGED_CHARS = 64, 256


@dataclass(frozen=True, slots=True)
class _Given:
    """A name with a separator, and where its value begins."""

    name: str
    level: Secrecy
    at: int
    before: str
    close: str
    sep: str
    ahead: str
    """What stands before the name."""

    @property
    def starts_line(self) -> bool:
        """Whether nothing but `export` or a mark stands before it."""
        return _LINE_START.search(self.ahead) is not None

    @property
    def is_looked_up(self) -> bool:
        """Whether it is what is asked for: `getenv("NAME", ...`."""
        return _LOOKED_UP.search(self.ahead) is not None

    @property
    def is_flag(self) -> bool:
        return self.name.startswith("-")

    @property
    def is_tight(self) -> bool:
        """`NAME=value`, as shells and addresses have it."""
        return self.sep in ("=", "%3D", "%3d") and not self.close

    @property
    def is_password(self) -> bool:
        return re.search(r"pass(?!word_?hash)|pwd|passphrase|secret", self.name, re.IGNORECASE) is not None

    @property
    def is_token(self) -> bool:
        return self.name.lower().endswith("token")

    @property
    def is_constant(self) -> bool:
        return self.name.isupper()

    @property
    def is_field(self) -> bool:
        """In a query, a connection string or XML: no code has that."""
        return self.sep == ">" or (self.is_tight and self.before in ("?", "&", ";"))


def find_assigned(text: str) -> Iterator[Found]:
    """The values of secrets in `text`, by their names, in order and apart."""
    done = 0
    for match in _NAMED.finditer(lowered(text)):
        if match.start() < done:
            continue
        given = _given(text, match, done)
        for span in _values(text, given) if given is not None else ():
            done = span[1]
            yield Found(*span)


def _given(text: str, match: re.Match[str], lowest: int) -> _Given | None:
    start, limit = match.start(), max(lowest, match.start() - _LONGEST_NAME)
    while start > limit and (text[start - 1] in "_-" or (text[start - 1].isascii() and text[start - 1].isalnum())):
        start -= 1
    if start == limit and limit > lowest:
        return None  # a run of letters, no name
    name = text[start : match.end("word")]
    sep = match["sep"].strip(" \t") or " "
    sep = "," if sep.startswith(",") else sep
    if start and text[start - 1] == "\\" and name[:1] in "nrt":  # a line end written as two characters
        name = name[1:]
    before = text[start - 1 : start] if start else ""
    is_odd = (
        (sep == " " and not name.startswith("-"))
        or (sep == ">" and before not in "</")
        or (sep == "," and not match["close"])
    )
    is_connection = before == ";" and name.lower() == "pwd"  # where a shell stands is not said there
    if is_odd or ((level := secrecy(name)) == "no" and not is_connection):
        return None
    ahead = text[max(0, start - 24) : start] if start > 24 else "\n" + text[:start]
    return _Given(
        name,
        "yes" if is_connection else level,
        match.end(),
        before,
        match["close"] or "",
        sep,
        ahead,
    )


def _values(text: str, given: _Given) -> Iterator[tuple[int, int]]:
    """Where the value is, or the values in a list, if they are secrets."""
    is_sure = given.level == "yes" or given.name == "token"
    items = _LIST.match(text, given.at) if is_sure and given.sep in _ASSIGNS else None
    if items is None:
        span = _value(text, given)
        if span is not None:
            yield span
        return
    at: int | None = items.end()
    while at is not None and (quote := _QUOTE.match(text, at)) is not None:
        body = _body(text, quote)
        end = quote.end() + len(body)
        if body and not _is_reference(body) and _is_item(given, body):
            end = _to_the_end(_RUN, text, end, len(body))
            yield quote.end(), end
        following = _NEXT_ITEM.match(text, end)
        at = following.end() if following is not None else None


_ASSIGNS = ("=", ":", ":=", "=>")


def _is_item(given: _Given, body: str) -> bool:
    """Whether one of more values that stand together is a secret: there may be a user's name among them."""
    is_password = given.level == "yes" and re.search(r"pass|pwd", given.name, re.IGNORECASE) is not None
    return (is_password and not re.search(r"\s", body)) or _is_likely("token", body)


def _value(text: str, given: _Given) -> tuple[int, int] | None:
    """Where the value is, if it is a secret."""
    quote = _QUOTE.match(text, given.at)
    if quote is not None:
        start, body = quote.end(), _body(text, quote)
        is_code = "f" in quote["prefix"].lower() and "{" in body
        is_secret = body and not is_code and _is_quoted_secret(given, body)
        return (start, _to_the_end(_RUN, text, start + len(body), len(body))) if is_secret else None
    if given.sep in ("==", "==="):
        return None
    return (_of_line(text, given) if given.is_tight else None) or _bare(text, given)


def _bare(text: str, given: _Given) -> tuple[int, int] | None:
    """The value where it has no quotes."""
    block = _BLOCK.match(text, given.at) if given.sep == ":" else None
    at = block.end() if block is not None else given.at
    found = _BARE.match(text, at)
    if found is None:
        return None
    value = found[0].rstrip(".,:;!?") if not given.is_tight else found[0]
    after = text[found.end() : found.end() + 1]
    if not value or after in ("(", "[", "{"):
        return _within(text, given)
    if given.level == "doubtful" and not given.is_constant and _UNLIKE_WORDS.search(value) is None:
        return None  # asked first since it is quickly answered
    is_secret = _is_bare_secret(given, value, after) or (block is not None and _is_likely("token", value))
    if not is_secret:
        return None
    return at, _to_the_end(_BARE, text, at + len(value), len(value))


def _of_line(text: str, given: _Given) -> tuple[int, int] | None:
    """The value up to the end of its line in a file of variables: `DB_PASSWORD=a&b;c(d`."""
    is_variable = given.level == "yes" and given.is_constant and given.starts_line
    is_entry = given.ahead.endswith("- ") and given.is_password
    line = _ENV_VALUE.match(text, given.at) if is_variable or is_entry else None
    if line is None or not re.search(r"[()\[\];&<>|',]", value := line[0]):
        return None
    first = re.split(r"[;&|<>,]", value, maxsplit=1)[0]
    is_code = re.match(r"[\w.]*[(\[].*[)\]][,;]?$|[(\[]", value) is not None or value.endswith((",", "("))
    if is_code or _is_reference(value) or (first and (_is_reference(first) or _NUMBER.fullmatch(first))):
        return None
    return line.span() if len(value) >= 6 and is_mixed(value) else None


def _within(text: str, given: _Given) -> tuple[int, int] | None:
    """The value in a call that makes one of it, or that is taken for want of another."""
    if given.sep not in _ASSIGNS and not given.sep.endswith("="):
        return None
    call = _WITHIN.match(text, given.at)
    if call is None or _is_reference(call["value"]) or not _is_item(given, call["value"]):
        return None
    return call.span("value")


def _to_the_end(run: re.Pattern[str], text: str, end: int, length: int) -> int:
    """Where a value ends that was longer than what was looked at to judge it."""
    while length == _JUDGED_CHARS and (more := run.match(text, end)) is not None:
        end, length = more.end(), len(more[0])
    return end


def _body(text: str, quote: re.Match[str]) -> str:
    """What is quoted, whole, or as far as one word goes where that is not to be seen."""
    body = _BODIES[quote["quote"]].match(text, quote.end()) if quote["quote"] in _BODIES else None
    if body is None:
        body = _RUN.match(text, quote.end())
    return body[0] if body is not None else ""


def _is_reference(value: str) -> bool:
    """Whether `value` names where a secret is, or what it is."""
    if value.lower() in _WORDS or is_placeholder(value) or (len(value) < 4 and not re.search(r"\w", value)):
        return True
    if _PATH.match(value):
        return not looks_random(value.rsplit("/", 1)[-1])
    is_name = len(value) <= _LONGEST_NAME and _IDENTIFIER.fullmatch(value) is not None
    is_name = is_name or (len(value) <= _LONGEST_NAME and _HEADER.fullmatch(value) is not None)
    return is_name and not looks_random(value) and is_secret_name(value)


def _is_name_itself(name: str, value: str) -> bool:
    """Whether `value` is what a cookie is called, or the name once more: `AUTH_PENDING = "auth_pending"`."""
    if is_mixed(value) or "=" in value:
        return False
    plain_name, plain_value = (re.sub(r"[-_]", "", text).lower() for text in (name, value))
    return plain_name.endswith(("cookie", "cookiebase")) or (
        plain_value in plain_name and re.search("[-_]", value) is not None
    )


def is_secret_value(name: str, value: str) -> bool:
    """Whether `value`, a whole text that goes by `name`, is a secret: for data, where there is no code around it."""
    level = secrecy(name)
    if level == "no" or _is_reference(value) or _is_name_itself(name, value):
        return False
    is_after_flag = name.startswith("-") and name.lower().endswith("token") and not value.startswith("-")
    return level == "yes" or is_after_flag or _is_likely(name, value)


def _is_likely(name: str, value: str) -> bool:
    """Whether `value` looks like a secret, for a name that may mean something else."""
    if re.search(r"\s", value) or not value.isascii() or is_class_name(value) or _CONSTANT.fullmatch(value):
        return False
    if name.lower().endswith(("token", "pass", "pwd", "auth")):
        return (len(value) >= 8 and is_mixed(value)) or looks_random(value)
    return looks_random(value) and not re.search(r"[/.\s]", value)


def _is_quoted_secret(given: _Given, body: str) -> bool:
    if _is_reference(body) or _is_name_itself(given.name, body):
        return False
    if re.search(r"\s", body):  # a sentence about it, or the text between two strings
        begins = r"[a-z0-9]|[A-Za-z].*[0-9]" if given.is_constant and given.is_tight else r"[a-z0-9]"
        return given.is_password and given.level == "yes" and re.match(begins, body) is not None and given.sep != ","
    if not is_mixed(body) and re.match(r"[+,%)\]}.;:{<]", body) and len(body) < 16:
        return False  # the quote was the end of a string: "token: "+text+"..."
    if given.is_looked_up and given.is_constant and given.is_password and given.level == "yes":
        return len(body) >= 6
    if given.sep == "," or (given.level == "doubtful" and not given.is_flag):
        return _is_likely(given.name, body)
    return True


def _is_bare_secret(given: _Given, value: str, after: str) -> bool:
    if _is_reference(value) or _NUMBER.fullmatch(value):
        return (
            given.is_tight and given.level == "yes" and given.is_constant and re.fullmatch(r"\d{6,}", value) is not None
        )
    if is_class_name(value):
        return False
    is_name = _IDENTIFIER.fullmatch(value) is not None
    if is_name and "." in value and not is_mixed(value):
        return False  # secret.name
    random = looks_random(value)
    if given.level == "yes" and given.sep == ":" and not given.close and _is_of_yaml(given, value, after):
        return True
    if given.level == "doubtful" and given.is_constant and given.is_tight and given.name.endswith("_PASS"):
        return len(value) >= 6 and after not in (")", ",")
    if given.close or given.level == "doubtful":
        return (random and not (given.close and is_name)) or (given.is_token and _is_strict_flag(given, value))
    if random:
        return not (is_name and "." in value and "-" not in value)
    if (
        given.is_flag
        or given.is_field
        or (given.is_tight and after == ";" and given.is_password and not given.name.islower())
    ):
        return (is_mixed(value) and len(value) >= 6) or (given.is_password and len(value) >= 8)
    if given.is_constant and given.is_tight:
        is_argument = is_name and (given.before in ("(", ",") or after in (",", ")"))
        return not is_argument
    shortest = 6 if given.is_password else 8
    strong = is_mixed(value) and len(value) >= shortest
    return strong and ((given.is_constant and not (is_name and given.sep != ":")) or (given.is_tight and not is_name))


def _is_of_yaml(given: _Given, value: str, after: str) -> bool:
    """`password: aHVudGVyMg==`, and `ROOT_PASSWORD: rootroot` alone on its line."""
    is_alone = after in ("", "\n", "\r") and given.is_constant and len(value) >= 6
    return _BASE64.fullmatch(value) is not None or (is_alone and re.search(r"PASS|PWD", given.name) is not None)


def _is_strict_flag(given: _Given, value: str) -> bool:
    return (given.is_flag or given.is_field) and is_mixed(value) and len(value) >= 6
