"""Secrets removed from text before it is stored or shown: credentials in addresses, values of secret keys."""

import re

_LONGEST = 4000
"""Characters of a secret; unbounded, a hostile text could make the search take hours."""

_CREDENTIALS = re.compile(
    r"(?<=://)(?:"
    rf"[^/\s:@\[\]]*:\S{{0,{_LONGEST}}}@"  # user:password, also with characters that should have been encoded
    r"|[^/\s]*@"  # user alone
    # A blank in the password; but a port, after which a text goes on, is none.
    rf"|[^/\s:@\[\]]*:(?!\d+(?:[/?#\s,;:'\")\]]|$))[^\n@]{{0,{_LONGEST}}}@(?:\S{{0,{_LONGEST}}}@)?"
    r")"
)
_KEY = (
    r"(?:[\w.-]{0,40}(?:password|passwd|passphrase|pwd|secret|token|credential|signature"
    r"|(?:api|access|account|private|shared|ssl)[-_.]?key)[\w.-]{0,40}"
    r"|(?:[\w.-]{0,40}[-_.])?(?:auth|authorization|pass|key|sig|sas|jwt))"
)
"""Names of keys whose values are secrets."""

_SECRETS = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        # ?key=value&…: up to the `&`, over blanks too where there is one
        rf"([?&]{_KEY}=)(?!\*)(?:[^&'\"\n]+(?=&)|(?:[^&\s'\"]|['\"](?=\w))+)",
        # ;KEY=value;… and ;KEY={value};…, as ODBC has it
        rf"((?:;\s*|odbc_connect=){_KEY}\s*=\s*)(?!\*)(?:\{{(?:[^}}]|\}}\}}){{0,{_LONGEST}}}\}}|[^;&'\"\n]+(?=;)|[^;&\s'\"]+)",
        # the same percent-encoded, once or more often
        (
            rf"((?:%(?:25)*(?:3F|26|3B)|odbc_connect=)(?:\+|%20)*{_KEY}%(?P<n>(?:25)*)3D)"
            rf"(?:%(?P=n)7B(?:%(?P=n)7D%(?P=n)7D|(?!%(?P=n)7D)[^&\s]){{0,{_LONGEST}}}%(?P=n)7D"
            rf"|(?:(?!%(?P=n)(?:3B|26))[^&\s'\"])+)"
        ),
        # libpq's `host=h password=…`
        r"(\b(?:ssl)?(?:password|passwd|pwd)=)(?!\*)[^&;\s'\"]+",
    )
)
_UNENCODED = re.compile(r"https?://[^/\s:@\[\]]+:(?!\d*(?:[/?#]|$))[^@/?#]*[/?#]\S*@")


def without_credentials(text: str) -> str:
    """`text` without the `user:password@` part of URIs, and with `***` as the value of `password=` and its like.

    Also where the password holds characters that a URI wants percent-encoded. What looks like a port, a path and an
    `@` in it goes too: it may be a password.
    """
    text = _CREDENTIALS.sub("", text)
    for secret in _SECRETS:
        text = secret.sub(r"\1***", text)
    return text


def password_needs_encoding(uri: str) -> bool:
    """Whether an http address holds a password with a raw `/`, `?` or `#`, after which it is not a valid address."""
    return _UNENCODED.match(uri) is not None
