"""Secrets found in text, and removed before it is stored or shown: credentials in addresses, values of secret keys."""

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
_ASSIGNED = re.compile(
    r"(?:password|passwd|passphrase|secret|token|credential|(?:api|access|account|private|auth)[-_.]?key)[\w.-]{0,40}"
    r"[\"']?\s{0,8}(?::=|[:=])\s{0,8}(?:[\"'][^\"'\s{}$<>]{8,}[\"']|(?<==)[^\"'\s(){}\[\]$<>,;]{8,}$)",
    re.IGNORECASE | re.MULTILINE,
)
"""A literal that is assigned to a name of a secret, as code, YAML and .env files write it."""

_KNOWN = re.compile(
    r"-----BEGIN [A-Z ]{0,40}PRIVATE KEY|\b(?:AKIA|ASIA)[A-Z0-9]{16}\b|\bgh[opsur]_\w{20,}|\bgithub_pat_\w{20,}"
    r"|\bglpat-[\w-]{16,}|\bxox[abprs]-[\w-]{10,}|\bsk-[\w-]{20,}|\bhf_\w{20,}|\bAIza[\w-]{30,}|\beyJ[\w-]{10,}\.eyJ[\w-]{10,}"
)
"""What keys and tokens of well-known services look like."""

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


def holds_secret(text: str) -> bool:
    """Whether a text, such as source code, seems to hold a password, a key or a token."""
    return bool(_KNOWN.search(text) or _ASSIGNED.search(text)) or without_credentials(text) != text
