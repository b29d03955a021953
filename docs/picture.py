"""Draws `docs/ask.svg`, the README's picture, from a real run: `python docs/picture.py`."""

import os
import re
import subprocess
import sys
import sysconfig
from pathlib import Path

from rich.console import Console
from rich.text import Text

ROOT = Path(__file__).parents[1]
WIDTH = 88
ARGUMENTS = ["ask", "examples/scene.tif", "Where are the tennis courts?"]


def main() -> None:
    """Run `uhrqa ask` in a terminal of fixed width and draw what it prints."""
    command = str(Path(sysconfig.get_path("scripts")) / "uhrqa")
    terminal = {"COLUMNS": str(WIDTH), "FORCE_COLOR": "1", "TERM": "xterm-256color"}
    run = subprocess.run(
        [command, *ARGUMENTS],
        cwd=ROOT,
        env=os.environ | terminal,
        capture_output=True,
        text=True,
        check=True,
    )
    with Path(os.devnull).open("w") as nowhere:
        console = Console(record=True, width=WIDTH, file=nowhere, force_terminal=True)
        console.print(Text(f'$ uhrqa ask examples/scene.tif "{ARGUMENTS[2]}"', style="bold"))
        console.print(Text.from_ansi(run.stderr.rstrip()))
        console.print(Text(run.stdout.rstrip(), style="bold green"))
        drawn = console.export_svg(title="uhrqa")
    # Whoever looks at it should not fetch a font from somebody's server.
    (ROOT / "docs" / "ask.svg").write_text(re.sub(r"@font-face \{.*?\}\s*", "", drawn, flags=re.S))


if __name__ == "__main__":
    sys.exit(main())
