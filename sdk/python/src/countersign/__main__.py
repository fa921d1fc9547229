"""`python -m countersign build`: makes a component of a project."""

from __future__ import annotations

import argparse
import sys
from pathlib import Path

from countersign import build


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m countersign", description="Builds Countersign agents.")
    commands = parser.add_subparsers(dest="command", required=True)
    building = commands.add_parser("build", help="make a component of a project")
    building.add_argument("folder", nargs="?", type=Path, default=Path("."), help="where pyproject.toml is")
    building.add_argument("--output", type=Path, help="the component; otherwise dist/NAME.wasm in the folder")
    arguments = parser.parse_args()
    try:
        build.run(arguments.folder, arguments.output)
    except build.BuildError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
