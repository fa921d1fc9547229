"""Tests of the SDK, in plain CPython: `python -m unittest` in `sdk/python`. Those that build components are skipped
unless `COUNTERSIGN_TEST_BUILD` is set, because each takes ten seconds."""
