from __future__ import annotations

import subprocess
import sys

import uhrqa


def test_public_names_are_those_that_can_be_imported() -> None:
    assert uhrqa.__all__ == sorted(uhrqa.__all__)
    assert set(uhrqa.__all__) == set(uhrqa._HOMES)
    for name in uhrqa.__all__:
        assert getattr(uhrqa, name).__name__ == name


def test_importing_the_package_imports_nothing_heavy() -> None:
    code = (
        "import sys, uhrqa; "
        "heavy = {'torch', 'transformers', 'numpy', 'zarr', 'tifffile', 'PIL'} & set(sys.modules); "
        "assert not heavy, heavy"
    )
    subprocess.run([sys.executable, "-c", code], check=True)
