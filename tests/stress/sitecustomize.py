"""Python runs this first in every process of `scripts/stress`: threads take turns, and garbage is looked for, often."""

import gc
import os
import sys

gc.set_threshold(int(os.environ["ALLOCATIONS_PER_COLLECTION"]), 5, 5)
sys.setswitchinterval(1e-5)  # seconds; 5e-3 otherwise
