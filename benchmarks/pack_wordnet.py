"""Packs WordNet 3.0's index and exception files into the table that comes with the package.

    apt-get download wordnet-base && dpkg-deb -x wordnet-base_*.deb wordnet
    python -m benchmarks.pack_wordnet wordnet/usr/share/wordnet

The directory may as well be /usr/share/wordnet, or NLTK's `corpora/wordnet`. Of each lemma stay
the synsets that it has in common with others, by new numbers `#0`, `#1` and so on: no lemma begins
with `#`. The same files give the same bytes. The licence is taken from the head of `index.noun`.
"""

from __future__ import annotations

import sys
import zlib
from collections import Counter
from pathlib import Path

from uhrqa.benchmarks.wordnet import DETACHMENTS, TABLE

NOTICE = TABLE.with_name("WORDNET.txt")
INTRODUCTION = """\
wordnet.z is made from the index and exception files of WordNet 3.0 by
`python -m benchmarks.pack_wordnet`: lemmas, irregular forms, and which lemmas share a synset.
WordNet comes under the following licence.

"""


def pack(folder: Path) -> bytes:
    """The table of a directory of WordNet's files."""
    lines: list[str] = []
    for name in DETACHMENTS:
        lines += [f"= {name}", *_lemma_lines(folder / f"index.{name}")]
        lines += [f"~ {name}", *map(" ".join, map(str.split, _lines(folder / f"{name}.exc")))]
    return zlib.compress("\n".join(lines).encode(), 9)


def _lemma_lines(path: Path) -> list[str]:
    """Each lemma with the numbers of the synsets that it shares.

    A line is `lemma pos synset_cnt p_cnt [ptr_symbol...] sense_cnt tagsense_cnt offset...`.
    """
    offsets: dict[str, list[str]] = {}
    for line in _lines(path):
        if line.strip() and not line.startswith(" "):
            lemma, _, count, *rest = line.split()
            offsets[lemma] = rest[-int(count) :]
    owners = Counter(offset for own in offsets.values() for offset in set(own))
    numbers: dict[str, str] = {}
    found = []
    for lemma, own in offsets.items():
        shared = [offset for offset in own if owners[offset] > 1]
        names = [numbers.setdefault(offset, f"#{len(numbers):x}") for offset in shared]
        found.append(" ".join([lemma, *names]))
    return found


def _lines(path: Path) -> list[str]:
    return path.read_text(encoding="utf-8").splitlines()


def notice(folder: Path) -> str:
    """WordNet's licence, from the head of its files."""
    head = [line for line in _lines(folder / "index.noun") if line.startswith("  ")]
    return INTRODUCTION + "\n".join(line[2:].partition(" ")[2].rstrip() for line in head) + "\n"


def main() -> None:
    """Write the table and its notice."""
    folder = Path(sys.argv[1] if len(sys.argv) > 1 else "/usr/share/wordnet")
    packed = pack(folder)
    TABLE.write_bytes(packed)
    NOTICE.write_text(notice(folder), encoding="utf-8")
    print(f"{TABLE}: {len(packed)} bytes")


if __name__ == "__main__":
    main()
