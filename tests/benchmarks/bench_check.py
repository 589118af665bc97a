"""How much processor time `check` takes for 100,000 shares, and how much memory; a script to run by hand.

Three manifests: one block of a thousand named images for a hundred projects; a hundred blocks, each with a thousand
ids of its own; and one table for each share. The baseline of each is a process that only parses the same TOML, so that
the ratios hold on any machine. The aim is at most LIMITS of it: 1.3 times what reading by hand took, before the form of
a manifest was declared. Two more are the second with every id damaged and the third with every status misspelt: 100,000
problems, placed and told, which have no limit.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

PROJECTS, IMAGES = 100, 1000
LIMITS = {"own ids": (4.1, 3.6), "one each": (3.2, 2.2)}
BASELINE = "import sys, tomli; tomli.loads(open(sys.argv[1], 'rb').read().decode())"
MEASURE = """
import resource, subprocess, sys
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
used = resource.getrusage(resource.RUSAGE_CHILDREN)
print(used.ru_utime + used.ru_stime, used.ru_maxrss / 1024, done.returncode)
"""


def measure(*command: str) -> tuple[float, float, int]:
    """Return seconds of processor time, peak MB and exit code of a command: the least of three runs."""
    runs = []
    for _ in range(3):
        measured = [sys.executable, "-c", MEASURE, sys.executable, *command]
        seconds, peak, code = subprocess.run(measured, capture_output=True, text=True, check=True).stdout.split()
        runs.append((float(seconds), float(peak), int(code)))
    return min(runs)


def manifests() -> dict[str, str]:
    """Write the manifests."""
    rng = random.Random(1)

    def image() -> str:
        return str(uuid.UUID(int=rng.getrandbits(128)))

    def block(projects: str, images: list[str]) -> str:
        listed = "".join(f'  "{image}",\n' for image in images)
        return f'[[share]]\nprojects = ["{projects}"]\nstatus = "accepted"\nimages = [\n{listed}]\n'

    projects = "".join(f'[projects.p-{n:04}]\nid = "{rng.getrandbits(128):032x}"\n' for n in range(PROJECTS))
    names = [f"image-{n:04}" for n in range(IMAGES)]
    declared = "[images]\n" + "".join(f'{name} = "{image()}"\n' for name in names)
    own = "".join(block(f"p-{n:04}", [image() for _ in names]) for n in range(PROJECTS))
    each = "".join(block(f"p-{n:04}", [name]) for n in range(PROJECTS) for name in names)
    head = f"version = 1\n{projects}"
    return {
        "one block": head + declared + block("*", names),
        "own ids": head + own,
        "one each": head + declared + each,
        "ids wrong": head + own.replace('  "', '  "x'),
        "all wrong": head + declared + each.replace('"accepted"', '"acepted"'),
    }


def main() -> None:
    """Print a line for each manifest."""
    with tempfile.TemporaryDirectory() as place:
        for name, text in manifests().items():
            manifest, config = Path(place, "manifest.toml"), Path(place, "config.toml")
            manifest.write_text(text)
            config.write_text('[cloud]\nregion = "eu-west-101"\n')
            base, base_peak, _ = measure("-c", BASELINE, str(manifest))
            seconds, peak, code = measure("-m", "worker", "check", "--config", str(config))
            time, memory = seconds / base, peak / base_peak
            most_time, most_memory = LIMITS.get(name, (float("inf"), float("inf")))
            verdict = "" if time <= most_time and memory <= most_memory else "  MORE THAN THE LIMIT"
            sys.stdout.write(
                f"{name:10} {len(text) / 1e6:5.1f} MB: {seconds:5.2f} s ({time:5.2f} x {base:.2f} s), "
                f"{peak:4.0f} MB peak ({memory:4.2f} x {base_peak:.0f} MB), exit {code}{verdict}\n"
            )


if __name__ == "__main__":
    main()
