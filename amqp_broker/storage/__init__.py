"""Storage: what was confirmed is never lost. One journal of segments, its checkpoint, and the way back from them.

Knows no protocol and no queue: it stores octets and says when they are safe. Only `committer` and `stream_committer`
import trio. The format stands in docs/journal-format.md.
"""
