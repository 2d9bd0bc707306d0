"""Tries every receiver of `examples/receivers` against a real service; see `scripts/receivers`."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
import time
from pathlib import Path

from .receiver_kinds import KINDS, InstallFailed, Unavailable
from .receiver_trial import TrialFailed, trial


async def tried(kind: str) -> bool:
    """Whether the receiver of that kind did all that it should; says so, step by step."""
    print(f"\n{kind}", flush=True)
    begun = time.monotonic()
    with tempfile.TemporaryDirectory(prefix="receivers-") as folder:
        try:
            async with trial(kind, Path(folder)) as it:
                print(f"  {time.monotonic() - begun:4.1f} s  installed", flush=True)
                async for step in it.steps():
                    print(f"  {time.monotonic() - begun:4.1f} s  {step}", flush=True)
        except Unavailable as missing:
            print(f"  NOT TRIED: {missing}")
        except (TrialFailed, InstallFailed, RuntimeError) as failed:
            print(f"  FAILED: {failed}")
        else:
            return True
    return False


async def main() -> int:
    """0 if all that were asked for were tried and are good."""
    parser = argparse.ArgumentParser(prog="scripts/receivers", description=__doc__)
    parser.add_argument("--only", metavar="NAMES", help=f"some of {','.join(KINDS)}")
    only = parser.parse_args().only
    kinds = KINDS if only is None else tuple(only.split(","))
    if unknown := set(kinds) - set(KINDS):
        parser.error(f"no such receiver: {', '.join(sorted(unknown))}")
    bad = [kind for kind in kinds if not await tried(kind)]
    print(f"\nNot good: {', '.join(bad)}" if bad else f"\nAll good: {', '.join(kinds)}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(asyncio.run(main()))
