"""On which lines the blocks of a document begin: the `[[share]]` and `[[rule]]` of a manifest."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import accumulate, pairwise

from worker.core.excerpts import Lines
from worker.core.places import locate


def lines_of_blocks(source: bytes, key: str, count: int) -> Sequence[int]:
    """Return the line, from 1, of each of so many blocks under a key of a document that can be read.

    Nearly always each stands below its own header, and nothing else looks like one: no second parser is needed then.
    """
    if not count:
        return ()
    if b'"""' not in source and b"'''" not in source:
        headers = rb"^[ \t]*\[\[[ \t]*" + key.encode() + rb"[ \t]*\]\]"
        starts = [found.start() for found in re.finditer(headers, source, re.MULTILINE)]
        if len(starts) == count:
            ends = (source.count(b"\n", *pair) for pair in pairwise((0, *starts)))
            return [1 + passed for passed in accumulate(ends)]
    paths = [(key, index) for index in range(count)]
    places, lines = locate(source, paths), Lines(source)
    return [lines.place(places[path].key)[0] for path in paths]
