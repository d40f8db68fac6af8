"""The tests of this folder share a module that is not a test; benchmarks/recipe_noise.py uses it as well."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
