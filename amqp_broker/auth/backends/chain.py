"""Several backends in order: the first that knows a client lets it in, and answers for it from then on."""

from __future__ import annotations

from collections.abc import Sequence

import attrs

from amqp_broker.auth.backend import AuthBackend, Credentials, Identify, Identity


@attrs.frozen
class Link:
    """One entry of `auth_backends`: who finds out who a client is, and who says what it may do."""

    authenticator: AuthBackend
    authorizer: AuthBackend


class Chain:
    """The backends in the order of the configuration."""

    def __init__(self, links: Sequence[Link]) -> None:
        self._links = tuple(links)

    def authenticate(self, credentials: Credentials, done: Identify) -> None:
        """Ask one after the other until one lets the client in; None when none does."""
        self._ask(0, credentials, done)

    def _ask(self, index: int, credentials: Credentials, done: Identify) -> None:
        if index == len(self._links):
            done(None)
            return
        link = self._links[index]

        def answered(identity: Identity | None) -> None:
            if identity is None:
                self._ask(index + 1, credentials, done)
            elif identity.authorizer is link.authorizer:
                done(identity)
            else:
                done(attrs.evolve(identity, authorizer=link.authorizer))

        link.authenticator.authenticate(credentials, answered)
