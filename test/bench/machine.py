"""Where and how it was measured."""

import os
import platform
import re
from pathlib import Path

QUICK = bool(os.environ.get("QUICK"))


def machine():
    model = re.search(r"^model name\s*: (.*)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    return {
        "cpu": model.group(1) if model else platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system() + " " + platform.release(),
        "commit": os.environ.get("COMMIT", ""),
        "quick": QUICK,
    }
