"""PyTorch's files of distributions that are other files here: torch.distributions.normal.Normal is found."""

import sys

from . import categorical, counts, distribution, gamma, location_scale, positive

PLACES = {
    "bernoulli": counts, "beta": gamma, "chi2": gamma, "dirichlet": gamma, "exp_family": distribution,
    "exponential": positive, "geometric": counts, "half_normal": positive, "laplace": location_scale,
    "log_normal": location_scale, "normal": location_scale, "one_hot_categorical": categorical, "poisson": counts,
}  # fmt: skip
for name, module in PLACES.items():
    sys.modules[f"{__package__}.{name}"] = module
    setattr(sys.modules[__package__], name, module)
