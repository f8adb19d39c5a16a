"""A whole program: one contestant, one invoke, or many in an even rhythm. Started by `whole_programs.py`.

It prints the time of its last line, or of each of the many.
"""

from __future__ import annotations

import json
import sys
import time
from pathlib import Path

import programs
from contestants import CONTESTANTS, Place

contestant, folder, name, runs, pause = sys.argv[1:]
tracer = CONTESTANTS[contestant](Place("", Path(folder), name))()
run = programs.chain()
ended = []
due = time.monotonic()
for _ in range(int(runs)):
    run(tracer.config)
    ended.append(time.time())
    due += float(pause)
    time.sleep(max(0.0, due - time.monotonic()))
print(json.dumps(ended), flush=True)
