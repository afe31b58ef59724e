"""Write disttorch/vision/datasets/digits.npz from scikit-learn's copy of the UCI digits (needs scikit-learn)."""

from pathlib import Path

import numpy as np
from sklearn.datasets import load_digits

TARGET = Path(__file__).parent.parent / "disttorch" / "vision" / "datasets" / "digits.npz"

digits = load_digits()
np.savez_compressed(TARGET, images=digits.images.astype(np.uint8), labels=digits.target.astype(np.uint8))
print(f"{TARGET}: {len(digits.images)} pictures, {TARGET.stat().st_size} bytes")
