"""The contract that this package carries is the repository's."""

import unittest
from pathlib import Path

import countersign

PACKAGED = Path(countersign.__file__).parent / "wit"
CONTRACT = Path(__file__).parents[3] / "wit"


class Wit(unittest.TestCase):
    @unittest.skipUnless(CONTRACT.is_dir(), "outside the repository")
    def test_the_contract_is_the_repositorys_byte_for_byte(self) -> None:
        def files(folder: Path) -> dict[str, bytes]:
            return {path.name: path.read_bytes() for path in folder.glob("*.wit")}

        self.assertTrue(files(CONTRACT))
        self.assertEqual(files(PACKAGED), files(CONTRACT))
