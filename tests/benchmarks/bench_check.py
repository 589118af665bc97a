"""How long `check` takes for 100,000 shares, and how much memory; a script to run by hand.

Two manifests: one block of a thousand named images for a hundred projects, and a hundred blocks, each with a thousand
ids of its own. The baseline of each is a process that only parses the same TOML. The aim is at most 2 s and 150 MB.
A third manifest is the second with every id damaged: 100,000 problems, placed and told.
"""

from __future__ import annotations

import random
import subprocess
import sys
import tempfile
import uuid
from pathlib import Path

PROJECTS, IMAGES = 100, 1000
BASELINE = "import sys, tomli; tomli.loads(open(sys.argv[1], 'rb').read().decode())"
MEASURE = """
import resource, subprocess, sys, time
begun = time.perf_counter()
done = subprocess.run(sys.argv[1:], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
seconds = time.perf_counter() - begun
print(seconds, resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 1024, done.returncode)
"""


def measure(*command: str) -> tuple[float, float, int]:
    """Return seconds, peak MB and exit code of a command: the quickest of three runs."""
    runs = []
    for _ in range(3):
        measured = [sys.executable, "-c", MEASURE, sys.executable, *command]
        seconds, peak, code = subprocess.run(measured, capture_output=True, text=True, check=True).stdout.split()
        runs.append((float(seconds), float(peak), int(code)))
    return min(runs)


def manifests() -> dict[str, str]:
    """Write the three manifests."""
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
    head = f"version = 1\n{projects}"
    return {
        "one block": head + declared + block("*", names),
        "own ids": head + own,
        "all wrong": head + own.replace('  "', '  "x'),
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
            sys.stdout.write(
                f"{name:10} {len(text) / 1e6:5.1f} MB: {seconds:5.2f} s ({seconds / base:4.1f} x {base:.2f} s), "
                f"{peak:4.0f} MB peak ({base_peak:.0f} MB), exit {code}\n"
            )


if __name__ == "__main__":
    main()
