"""`python -m timed.monitor [DIRECTORY]` writes what follows from the monitor's tables."""

from __future__ import annotations

import sys
from pathlib import Path

from timed.monitor.grafana import dashboard
from timed.monitor.prometheus import alerts

FILES = {"etc/alerts.yml": alerts, "etc/grafana/timed.json": dashboard}


def main(root: str) -> None:
    for name, text in FILES.items():
        Path(root, name).write_text(text(), encoding="utf-8")


if __name__ == "__main__":
    main(sys.argv[1] if len(sys.argv) > 1 else ".")
