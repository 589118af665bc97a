"""How long rules take to decide about many pending images, beside one compiled alternation of the same globs.

.venv/bin/python tests/benchmarks/bench_rules.py
"""

from __future__ import annotations

import fnmatch
import re
import resource
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1]))

from rules import OWNER, rule

from worker.core.globs import normal
from worker.core.manifest.model import Newest
from worker.core.operation import Operation
from worker.core.reading import ObservedImage, Offer
from worker.core.rules.decide import Circumstances, decide
from worker.core.share import MemberStatus

IMAGES, RULES = 100_000, 50
GLOBS = {
    "that begin differently": [f"team{number:02}-golden-*" for number in range(RULES)],
    "that begin alike": [f"golden-team{number:02}-*" for number in range(RULES)],
    "that begin with a star": [f"*-team{number:02}-*" for number in range(RULES)],
}


def seconds(work: Callable[[], object]) -> float:
    """Return how long something takes, the best of three."""
    times = []
    for _ in range(3):
        began = time.process_time()
        work()
        times.append(time.process_time() - began)
    return min(times)


def main() -> None:
    """Print a line for each kind of glob."""
    for title, globs in GLOBS.items():
        names = [f"{globs[number % (RULES + 5) % RULES].replace('*', '')}x{number}" for number in range(IMAGES)]
        offers = {
            str(number): Offer(ObservedImage(str(number), name, OWNER, created_at=float(number)), MemberStatus.PENDING)
            for number, name in enumerate(names)
        }
        for what, newest in (("", None), (" with newest", Newest(3))):
            rules = [rule(glob, Operation.ACCEPT, glob, newest=newest) for glob in globs]
            one = re.compile("|".join(fnmatch.translate(glob) for glob in globs))
            alternation = seconds(lambda names=names, one=one: [one.match(normal(name)) for name in names])
            decided = seconds(
                lambda rules=rules, offers=offers: decide(rules, {OWNER}, offers, (), None, Circumstances(1e9))
            )
            times = f"{decided:.2f} s, an alternation {alternation:.2f} s: {decided / alternation:.1f} times"
            sys.stdout.write(f"{IMAGES:,} images, {RULES} rules {title}{what}: {times}\n")
    sys.stdout.write(f"{resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024:.0f} MB at most\n")


if __name__ == "__main__":
    main()
