"""Whether a name says that what goes by it is a secret: variables, JSON keys, headers, flags, fields of a form.

A name is taken apart into words (`apiKey`, `X-Api-Key`, `API_KEY` are all "api key"), because substrings lie:
a hotkey is no key, a tokenizer no token.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from functools import lru_cache
from typing import Literal

Secrecy = Literal["no", "doubtful", "yes"]

_WORD = re.compile(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+")

_ALWAYS = frozenset(
    "password passwords passwd passphrase passcode secret secrets apikey apikeys credential credentials cred creds "
    "authorization cookie cookies jwt bearer privatekey secretkey accesskey authkey".split()
)
"""Words that name a secret by themselves."""
_ENDINGS = ("password", "passwd", "passphrase", "apikey", "secretkey", "accesskey", "sshpass", "hftoken")
"""The same at the end of words written together: PGPASSWORD, openaiapikey."""
_KEY_OF = frozenset(
    "api secret access private signing encryption account master auth service subscription license session client "
    "storage shared deploy admin root".split()
)
"""What a key to something is called after. Any other `..._key` may as well be a column of a table."""
_PLAIN_KEY = frozenset(
    "primary foreign sort partition dict cache public hot map unique composite index group metric object lookup row "
    "state text image label input output target feature audio prompt column field item json config dataset message "
    "messages loss reward sample data query value attention past content split best monitor answer question response "
    "batch sequence node edge order join candidate natural translation i18n".split()
)
_PLAIN_TOKEN = frozenset(
    "pad eos bos unk sep cls mask stop special start end image video audio vision first last next per prev previous "
    "current prompt completion input output page continuation cursor decoder encoder prefix suffix middle fim "
    "separator newline space think thinking boundary chat user assistant system tool sync max min num n total avg "
    "mean reasoning cached generated predicted target source text word sub control extra additional added added "
    "placeholder box date punctuation".split()
)
_SECRET_TOKENS = frozenset(
    "api access auth hf hub bearer secret refresh github gitlab bot service user session".split()
)
"""Tokens in the plural are counted, unless they are the tokens of one of these."""
_PLAIN_PASS = frozenset("forward backward first second third single multi one two num by n last current render".split())
_PAT_OF = frozenset("gh github gitlab git azure ado devops access bitbucket jira atlassian databricks".split())
_AFTER = frozenset(
    "value prod production dev development test testing staging stage live base base64 b64 plain raw old new default "
    "backup main primary secondary read write readonly rw ro".split()
)
"""Words after which a name still holds what it says: HF_TOKEN_WRITE, secret_key_base."""
_ABOUT = frozenset(
    "file files filename path paths dir directory folder url uri name names id ids type types count counts size sizes "
    "length len limit limits budget ttl expiry expires expiration timeout index idx column columns format endpoint "
    "host port username region parallelism embedding embeddings classification sock socket enabled required min max "
    "days seconds s ms minutes hours ratio rate price cost usd per prefix suffix pattern regex hint helper policy "
    "consent error errors help description label position version env var variable store manager provider source "
    "command cmd logprob logprobs prob probs usage used check model text second status state valid dropout shape dim "
    "mode level placeholder fn func function callback class field header scheme realm iterations strength rotation "
    "reset request response ref reference refs uuid algorithm alg".split()
)
"""Last words of names that are about a secret, or about something else; they hold none."""
_NEVER = frozenset({("application", "credentials"), ("pwd",), ("old", "pwd"), ("oldpwd",)})
"""A path (GOOGLE_APPLICATION_CREDENTIALS), and where a shell stands."""
_DOUBTFUL_ALONE = frozenset({"token", "key", "auth", "pass", "pwd", "cred", "creds", "bearer"})


def is_secret_name(name: str) -> bool:
    """Whether something called `name` is likely to be a secret. For what is handed out or shown by name: the
    environment of a child, headers, settings, flags. Says yes in doubt (`token`, `key`, `KAGGLE_KEY`)."""
    return secrecy(name) != "no"


@lru_cache(maxsize=4096)
def secrecy(name: str) -> Secrecy:
    """The same with the doubt told apart, for texts and data of all kinds: `key`, `token` and `sort_by_key` are words
    of programs too, so that what goes by such a name has to look like a secret itself."""
    words = tuple(word.lower() for word in _WORD.findall(name[:200]))
    if not words or words in _NEVER or words[-2:] in _NEVER:
        return "no"
    if words[-3:] == ("access", "key", "id"):
        return "yes"
    while len(words) > 1 and words[-1] in _AFTER:
        words = words[:-1]
    if words[-1] in _ABOUT:
        return "no"
    found = _of_last(words)
    if found == "no" and name.isupper():  # a variable or constant may say more after it: GITHUB_TOKEN_FOR_CI
        found = max((_of_last(words[:end]) for end in range(1, len(words))), key=_RANK.index, default="no")
    return found


_RANK: tuple[Secrecy, ...] = ("no", "doubtful", "yes")


def _of_last(words: tuple[str, ...]) -> Secrecy:
    """By the last word and the one before."""
    last, before = words[-1], words[-2] if len(words) > 1 else ""
    if not before and last in _DOUBTFUL_ALONE:
        return "doubtful"
    if last in _ALWAYS or last.endswith(_ENDINGS):
        return "yes"
    rule = _BY_WORD.get(last)
    return rule(before) if rule is not None else "no"


def _of_key(before: str) -> Secrecy:
    if before in _KEY_OF:
        return "yes"
    return "no" if before in _PLAIN_KEY else "doubtful"


def _of_token(before: str) -> Secrecy:
    return "no" if before in _PLAIN_TOKEN else "yes"


def _of_tokens(before: str) -> Secrecy:
    return "yes" if before in _SECRET_TOKENS and before not in ("user", "session") else "no"


def _of_pass(before: str) -> Secrecy:
    return "no" if before in _PLAIN_PASS else "doubtful"


_BY_WORD: Mapping[str, Callable[[str], Secrecy]] = {
    "key": _of_key,
    "keys": lambda before: "yes" if before in ("api", "secret", "access", "private") else "no",
    "token": _of_token,
    "tokens": _of_tokens,
    "pass": _of_pass,
    "pwd": lambda before: "yes",
    "pat": lambda before: "yes" if before in _PAT_OF else "doubtful" if before else "no",
    "auth": lambda before: "doubtful",
}
