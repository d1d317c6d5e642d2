"""What a client wants an answer to be packed in.

Source: RFC 9110, 12.5.3.
"""

from __future__ import annotations


def accepts_gzip(accept_encoding: str) -> bool:
    """Whether a header `accept-encoding` names gzip, and not only to refuse it."""
    for coding in accept_encoding.lower().split(","):
        name, _, weight = coding.partition(";")
        if name.strip() == "gzip":
            return weight.replace(" ", "").rstrip("0.") != "q="
    return False
