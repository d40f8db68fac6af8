"""The tests of this folder share modules that are not tests; benchmarks/depth_edges.py uses them as well."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
