"""How different two colours look, to normal sight and to sight without one kind of cones."""

import math
from collections.abc import Sequence
from functools import lru_cache


# Linear RGB as it is seen without a kind of cones: Machado, Oliveira and Fernandes (2009), severity 1.
SIGHTS = {
    "normal": ((1, 0, 0), (0, 1, 0), (0, 0, 1)),
    "protanope": ((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216), (-0.003882, -0.048116, 1.051998)),
    "deuteranope": ((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413), (-0.01182, 0.04294, 0.968881)),
    "tritanope": ((1.255528, -0.076749, -0.178779), (-0.078411, 0.930809, 0.147602), (0.004733, 0.691367, 0.3039)),
}
_TO_XYZ = ((0.4124564, 0.3575761, 0.1804375), (0.2126729, 0.7151522, 0.0721750), (0.0193339, 0.1191920, 0.9503041))
_WHITE = (0.95047, 1.0, 1.08883)


def channels(colour: str) -> list[int]:
    """Red, green and blue of `#RRGGBB`, each from 0 to 255."""
    return [int(colour[place : place + 2], 16) for place in (1, 3, 5)]


@lru_cache(maxsize=4096)
def difference(one: str, other: str) -> float:
    """The least difference by CIEDE2000 of two colours `#RRGGBB`, of all `SIGHTS`."""
    return min(compare_lab(to_lab(one, sight), to_lab(other, sight)) for sight in SIGHTS)


@lru_cache(maxsize=4096)
def to_lab(colour: str, sight: str) -> tuple[float, float, float]:
    """CIELAB of `#RRGGBB` as one with `sight` sees it."""
    values = [value / 255 for value in channels(colour)]
    linear = [value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in values]
    seen = [min(max(_dot(row, linear), 0.0), 1.0) for row in SIGHTS[sight]]
    ratios = [_dot(row, seen) / white for row, white in zip(_TO_XYZ, _WHITE, strict=True)]
    x, y, z = (t ** (1 / 3) if t > 216 / 24389 else (24389 / 27 * t + 16) / 116 for t in ratios)
    return 116 * y - 16, 500 * (x - y), 200 * (y - z)


def _dot(one: Sequence[float], other: Sequence[float]) -> float:
    return sum(a * b for a, b in zip(one, other, strict=True))


def compare_lab(one: tuple[float, float, float], other: tuple[float, float, float]) -> float:
    """The difference of two CIELAB colours by CIEDE2000, as Sharma, Wu and Dalal (2005) write it out."""
    (l1, a1, b1), (l2, a2, b2) = one, other
    chroma = (math.hypot(a1, b1) + math.hypot(a2, b2)) / 2
    stretch = 1.5 - 0.5 * math.sqrt(chroma**7 / (chroma**7 + 25**7))
    c1, c2 = math.hypot(a1 * stretch, b1), math.hypot(a2 * stretch, b2)
    h1, h2 = (math.degrees(math.atan2(b, a * stretch)) % 360 for a, b in ((a1, b1), (a2, b2)))
    turn = 0.0 if c1 * c2 == 0 else (h2 - h1 + 180) % 360 - 180
    hue = (h1 + turn / 2) % 360 if c1 * c2 else h1 + h2
    lightness, chroma = (l1 + l2) / 2, (c1 + c2) / 2
    waves = ((-0.17, 1, -30), (0.24, 2, 0), (0.32, 3, 6), (-0.20, 4, -63))
    t = 1 + sum(height * math.cos(math.radians(times * hue + shift)) for height, times, shift in waves)
    s_l = 1 + 0.015 * (lightness - 50) ** 2 / math.sqrt(20 + (lightness - 50) ** 2)
    dl, dc = (l2 - l1) / s_l, (c2 - c1) / (1 + 0.045 * chroma)
    dh = 2 * math.sqrt(c1 * c2) * math.sin(math.radians(turn) / 2) / (1 + 0.015 * chroma * t)
    angle = math.radians(60 * math.exp(-(((hue - 275) / 25) ** 2)))
    rotation = -math.sin(angle) * 2 * math.sqrt(chroma**7 / (chroma**7 + 25**7))
    return math.sqrt(dl**2 + dc**2 + dh**2 + rotation * dc * dh)
