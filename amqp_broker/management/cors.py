"""Which pages of other sites may use the API: browsers ask first, and keep answers from those that may not.

Source: Fetch, https://fetch.spec.whatwg.org/#http-cors-protocol; the headers are those of RabbitMQ.
"""

from __future__ import annotations

from collections.abc import Mapping

from amqp_broker.config import Config
from amqp_broker.management.errors import ApiError

ANYBODY = "*"


SAFE_METHODS = frozenset({"GET", "HEAD", "OPTIONS"})

FOREIGN_SITES = frozenset({"cross-site", "same-site"})
"""What browsers say of requests that another site's page makes (W3C Fetch Metadata)."""


def check_site(config: Config, method: str, asked: Mapping[str, str]) -> None:
    """Let no page of another site change anything: browsers send along the password that they remember for this one.

    Programs say nothing of a site, and may do as they like.

    Raises:
        ApiError: 403.
    """
    origin, site = asked.get("origin"), asked.get("sec-fetch-site")
    if method in SAFE_METHODS or origin is None or {origin, ANYBODY} & set(config.management_cors_origins):
        return
    is_foreign = origin.partition("://")[2] != asked.get("host") if site is None else site in FOREIGN_SITES
    if is_foreign:
        raise ApiError(403, "forbidden", "A page of another site may not do that")


def cors_headers(config: Config, asked: Mapping[str, str], allow: str) -> dict[str, str]:
    """What an answer says about it; nothing to sites that may not, and where no site asks.

    Args:
        config: `management_cors_origins`, `management_cors_max_age_s`.
        asked: the headers of the request.
        allow: the methods that its path knows.
    """
    origin = asked.get("origin")
    if origin is None or not {origin, ANYBODY} & set(config.management_cors_origins):
        return {}
    headers = {"access-control-allow-origin": origin, "access-control-allow-credentials": "true"}
    if "access-control-request-method" in asked:
        headers["access-control-allow-methods"] = allow
        headers["access-control-max-age"] = str(config.management_cors_max_age_s)
        if "access-control-request-headers" in asked:
            headers["access-control-allow-headers"] = asked["access-control-request-headers"]
    return headers
