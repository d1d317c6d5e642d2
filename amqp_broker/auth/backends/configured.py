"""From the configuration to the chain of backends it names."""

from __future__ import annotations

from collections.abc import Callable
from urllib.parse import urlsplit

from amqp_broker.auth.backend import AuthBackend
from amqp_broker.auth.backends.chain import Chain, Link
from amqp_broker.auth.backends.internal import InternalBackend
from amqp_broker.auth.errors import AuthConfigError
from amqp_broker.auth.fetching import Fetch
from amqp_broker.auth.users import Users
from amqp_broker.config import Config, HttpAuth


def make_chain(config: Config, users: Users, fetch: Fetch, now: Callable[[], float]) -> Chain:
    """Make each backend that is named once, and put them in order.

    Raises:
        AuthConfigError: one of them lacks its settings, or what it is made with.
    """
    made: dict[str, AuthBackend] = {}

    def backend(name: str) -> AuthBackend:
        if name not in made:
            made[name] = _make(name, config, users, fetch, now)
        return made[name]

    return Chain([Link(backend(entry.authn), backend(entry.authz or entry.authn)) for entry in config.auth_backends])


def _make(name: str, config: Config, users: Users, fetch: Fetch, now: Callable[[], float]) -> AuthBackend:
    if name == "internal":
        return InternalBackend(users)
    if name == "http":
        if config.auth_http is None:
            raise AuthConfigError("the backend http needs to know where it is (auth_http)")
        _check_urls(config.auth_http)
        from amqp_broker.auth.backends.http import HttpBackend  # seldom needed, slow to import

        return HttpBackend(config.auth_http, fetch, now)
    if config.auth_oauth2 is None:
        raise AuthConfigError("the backend oauth2 needs to know whose tokens to take (auth_oauth2)")
    try:
        from amqp_broker.auth.backends.oauth import OAuthBackend
    except ImportError:
        raise AuthConfigError("the backend oauth2 needs an extra: pip install 'trio-amqp-broker[oauth]'") from None
    return OAuthBackend(config.auth_oauth2, fetch, now)


def _check_urls(options: HttpAuth) -> None:
    for url in (options.user_path, options.vhost_path, options.resource_path, options.topic_path):
        try:
            parts = urlsplit(url)
            is_good = parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
        except ValueError:
            is_good = False
        if not is_good:
            raise AuthConfigError(f"{url!r} is no URL that begins with http:// or https:// and a host")
