"""Write all generated files anew."""

import sys

from scripts.docs.files import GENERATED, ROOT

for name, make in GENERATED.items():
    (ROOT / name).write_text(make(), encoding="utf-8")
    sys.stdout.write(f"{name}\n")
