"""Pictures of bytes, resized in whole numbers: each axis is rounded to bytes, so the first pass clips what the second
would need.
"""

import disttorch
from disttorch.nn import functional


def test_bytes_are_rounded_and_clipped_after_each_axis():
    picture = (disttorch.arange(12) * 67 % 256).to(disttorch.uint8).reshape(1, 1, 3, 4)
    smooth = functional.interpolate(picture, (2, 5), mode="bilinear", antialias=True)
    assert smooth.tolist() == [[[[5, 52, 106, 159, 206], [20, 67, 121, 174, 221]]]]
    sharp = functional.interpolate(picture, (2, 5), mode="bicubic")
    assert sharp.tolist() == [[[[1, 43, 103, 162, 207], [18, 63, 123, 182, 227]]]]
    assert functional.interpolate(picture.float(), (2, 5), mode="bicubic").round()[0, 0, 0, 0] == -2  # not clipped
