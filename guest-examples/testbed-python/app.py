"""Asks, waits and misbehaves in every way that the tests of the host need. Every function does one thing.

All take `{}` and succeed, whatever the order of the answers, but for those with another input or end in this table.
A pause may be decided in any way, a prompt answered with any text, a call with any result.

| Function | Input, for example | Ends |
|---|---|---|
| `echo` | any object | with its input |
| `fail` | | failed, code `refused` |
| `uncaught` | | failed, code `ZeroDivisionError`, after one ask |
| `uncaught_group` | | failed, code `ExceptionGroup` |
| `wrong_result` | | failed, code `invalid_result` |
| `exits` | | failed, code `SystemExit` |
| `stuck`, `stuck_in_gather` | | failed, code `stuck`, at once and after one ask |
| `many_ai` | `{"n": 5}` | |
| `ticks` | `{"count": 5}` | |
| `pauses` | `{"n": 3}` | |
| `pause_once` | `{}`, `{"choices": ["yes"]}`, … | |
| `approve` | `{}`, or a request as the contract has it, `payload` and `response_schema` as JSON | with the whole review |
| `rounds` | `{"n": 3}` | |
| `link_then_pause` | `{"reviewer": "ana"}` | with the link and the review |
| `wait` | `{"id": "only"}` | |
| `race`, `first_completed` | `{}`, `{"timeout_ms": 50}` | |
| `call`, `race_call` | `{"target": "a.b", "input": {}}` | |
| `fan_out` | `{"target": "a.b", "inputs": [{}, {}]}` | |
| `sleep`, `std_sleep` | `{"ms": 50}` | |
| `log`, `log_flood` | `{"lines": 3}`, `{"bytes": 1000}` | |
| `spin`, `spin_after_ai` | | never: the host's limit of CPU time |
| `grow` | | with the MiB that it was given |
| `recurse_stack` | | with the depth at which CPython stopped it |
| `forbidden` | | with what CPython said to each attempt |
"""

import misbehaving
import models
import people
import surroundings
import together
from bed import app

__all__ = ["app", "misbehaving", "models", "people", "surroundings", "together"]
