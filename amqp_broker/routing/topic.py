"""Topic exchange: a trie of the words of its binding keys (rules 3.24 and 3.25).

A key is followed through all patterns at once. A node is visited at most once for a key, with the set
of all places in the key that it can be reached at: bit i of an integer stands for "the first i words
lead here", so a word, `*` and `#` are each a shift or a mask of that integer. The work is bounded by
the nodes of the trie, however hostile the patterns; a binding whose words don't occur costs nothing.

The trie holds patterns in a normal form, for `#.#` matches what `#` does and `#.*` what `*.#` does:
below a `#` there are only words. A binding's identity keeps the key as it was written.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import ClassVar, Final

import attrs

from amqp_broker.routing.binding import Binding, BindingKey, Destination
from amqp_codec import Properties, Table

STAR: Final = "*"
HASH: Final = "#"


def split_key(key: str) -> list[str]:
    """Cut a key into its words: none in the empty key, two empty ones in `.`."""
    return key.split(".") if key else []


def normal_form(words: Sequence[str]) -> list[str]:
    """Rewrite each run of wildcards as its `*` followed by at most one `#`."""
    normal: list[str] = []
    pending_hash = False
    for word in words:
        if word == HASH:
            pending_hash = True
            continue
        if word != STAR and pending_hash:
            normal.append(HASH)
            pending_hash = False
        normal.append(word)
    if pending_hash:
        normal.append(HASH)
    return normal


@attrs.define(eq=False)
class _Node:
    """A prefix of patterns. Wildcards have their own fields, as a word of a key may be `*` or `#`."""

    words: Final[dict[str, _Node]] = attrs.field(factory=dict)
    star: _Node | None = None
    hash: _Node | None = None
    bindings: Final[dict[BindingKey, Binding]] = attrs.field(factory=dict)

    def child(self, word: str) -> _Node | None:
        if word == HASH:
            return self.hash
        return self.star if word == STAR else self.words.get(word)

    def set_child(self, word: str, child: _Node | None) -> None:
        if word == HASH:
            self.hash = child
        elif word == STAR:
            self.star = child
        elif child is None:
            del self.words[word]
        else:
            self.words[word] = child

    @property
    def is_empty(self) -> bool:
        return not (self.words or self.bindings or self.star or self.hash)


@attrs.define(eq=False)
class TopicMatcher:
    """Bindings by pattern."""

    depends_on_message: ClassVar[bool] = False

    _root: Final[_Node] = attrs.field(factory=_Node, init=False)

    @property
    def is_empty(self) -> bool:
        """True when no binding has left anything behind."""
        return self._root.is_empty

    def check(self, routing_key: str, arguments: Table) -> None:
        """Accept any number of `#`, as RabbitMQ did before 4.3.5 (rule 3.25)."""

    def add(self, binding: Binding) -> None:
        node = self._root
        for word in normal_form(split_key(binding.routing_key)):
            child = node.child(word)
            if child is None:
                child = _Node()
                node.set_child(word, child)
            node = child
        node.bindings[binding.key] = binding

    def remove(self, binding: Binding) -> None:
        path: list[tuple[_Node, str]] = []
        node = self._root
        for word in normal_form(split_key(binding.routing_key)):
            path.append((node, word))
            child = node.child(word)
            if child is None:
                raise KeyError(binding.key)
            node = child
        del node.bindings[binding.key]
        while path and node.is_empty:
            node, word = path.pop()
            node.set_child(word, None)

    def match(self, routing_keys: Sequence[str], _properties: Properties | None) -> Iterator[Destination]:
        for routing_key in routing_keys:
            for node in self._reach(split_key(routing_key)):
                for binding in node.bindings.values():
                    yield binding.destination

    def _reach(self, words: list[str]) -> Iterator[_Node]:
        """Find the nodes that the whole key leads to."""
        end = 1 << len(words)
        everywhere = 2 * end - 1
        places: dict[str, int] = {}
        for place, word in enumerate(words):
            places[word] = places.get(word, 0) | 1 << place

        pending = [(self._root, 1)]
        while pending:
            node, ways = pending.pop()
            if ways & end:
                yield node
            if node.hash is not None:
                # Any number of words more: all places from the first one on.
                pending.append((node.hash, everywhere & -(ways & -ways)))
            ways &= ~end
            if not ways:
                continue
            if node.star is not None:
                pending.append((node.star, ways << 1))
            if not node.words:
                continue
            if ways & (ways - 1) == 0:  # one place only, as always where no `#` came before
                child = node.words.get(words[ways.bit_length() - 1])
                if child is not None:
                    pending.append((child, ways << 1))
                continue
            # Over the smaller of the two, so that neither a long key nor a broad node makes it dear.
            if len(node.words) < len(places):
                for word, child in node.words.items():
                    before = ways & places.get(word, 0)
                    if before:
                        pending.append((child, before << 1))
            else:
                for word, at in places.items():
                    before = ways & at
                    if before and (child := node.words.get(word)) is not None:
                        pending.append((child, before << 1))
