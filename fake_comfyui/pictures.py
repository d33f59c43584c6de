"""Draws a picture for a recipe: the texts give colours and motif, the seed the composition."""

from __future__ import annotations

import colorsys
import hashlib
import io
import math
from collections.abc import Callable, Iterator
from functools import lru_cache
from random import Random

from PIL import Image, ImageChops, ImageDraw, ImageOps

from fake_comfyui.nodes.values import Picture, Recipe

Colour = tuple[int, int, int]

LARGEST_PREVIEW = 512
_LARGEST_CANVAS = 768
_BICUBIC = Image.Resampling.BICUBIC
_BILINEAR = Image.Resampling.BILINEAR


def draw(recipe: Recipe, width: int, height: int, index: int = 0) -> Picture:
    """The finished picture; `index` is its place in the batch."""
    scale = min(_LARGEST_CANVAS, max(64, 2 * max(width, height))) / max(width, height)
    canvas_size = max(1, round(width * scale)), max(1, round(height * scale))
    drawn = _composition(recipe, canvas_size, index).resize((width, height), _BICUBIC)
    if recipe.source is None:
        return drawn
    frames = recipe.source.frames
    source = fitted(frames[index % len(frames)], (width, height))
    mixed = Image.blend(source, drawn, min(1.0, max(0.0, recipe.denoise)) ** 1.5)
    if recipe.mask is None:
        return mixed
    return Image.composite(mixed, source, recipe.mask.frames[0].resize((width, height)))


def fitted(picture: Picture, size: tuple[int, int]) -> Picture:
    """`picture` as RGB, scaled to `size`."""
    picture = picture.convert("RGB")
    return picture if picture.size == size else picture.resize(size, _BICUBIC)


class Previews:
    """The pictures seen while sampling: noise that fades into the result."""

    def __init__(self, recipe: Recipe, width: int, height: int) -> None:
        scale = min(1.0, LARGEST_PREVIEW / max(width, height))
        self._size = max(1, round(width * scale)), max(1, round(height * scale))
        small = max(1, self._size[0] // 2), max(1, self._size[1] // 2)
        self._final = draw(recipe, *small)
        self._random = Random(recipe.seed)

    def jpeg(self, progress: float) -> bytes:
        """The preview at `progress` of 0..1."""
        width, height = self._final.size
        grain = max(1, width // 4), max(1, height // 4)
        raw = self._random.randbytes(grain[0] * grain[1] * 3)
        noise = Image.frombytes("RGB", grain, raw).resize(self._final.size, _BILINEAR)
        mixed = Image.blend(noise, self._final, progress**0.7)
        return encoded(mixed.resize(self._size, _BILINEAR), "JPEG", quality=80)


def encoded(picture: Picture, image_format: str, **options: int) -> bytes:
    buffer = io.BytesIO()
    picture.save(buffer, image_format, **options)
    return buffer.getvalue()


def example(size: int = 512) -> Picture:
    """The input picture the demo brings along."""
    recipe = Recipe(("a lake in the mountains",), (), 7, 20, 8.0, ("demo",))
    return draw(recipe, size, size)


# --- the composition -----------------------------------------------------------------------


def _composition(recipe: Recipe, size: tuple[int, int], index: int) -> Picture:
    text = Random(_digest(recipe.positive))
    rest = (recipe.seed, recipe.negative, recipe.steps, recipe.cfg, recipe.model, index)
    random = Random(_digest((recipe.positive, *rest)))
    palette = _palette(text)
    motif = text.choice(_MOTIFS)
    canvas = _sky(random, palette, size)
    canvas = _glow(canvas, random, palette)
    motif(canvas, random, palette)
    return canvas


def _digest(value: object) -> int:
    raw = hashlib.blake2b(repr(value).encode(), digest_size=8).digest()
    return int.from_bytes(raw, "big")


def _palette(text: Random) -> list[Colour]:
    """Five colours from dark to light that go together."""
    hue = text.random()
    spread = text.choice((0.08, 0.14, 0.33, 0.45))
    steps = ((0.12, 0.75), (0.32, 0.8), (0.55, 0.75), (0.78, 0.6), (0.96, 0.28))
    colours = []
    for place, (value, saturation) in enumerate(steps):
        angle = (hue + spread * (place - 2) / 2 + text.uniform(-0.02, 0.02)) % 1
        red, green, blue = colorsys.hsv_to_rgb(angle, saturation, value)
        colours.append((round(red * 255), round(green * 255), round(blue * 255)))
    return colours


@lru_cache(maxsize=1)
def _spot() -> Picture:
    """A soft round light."""
    spot = ImageOps.invert(Image.radial_gradient("L").resize((64, 64)))
    # The corners of the gradient are not quite black: darken, so that no box shows.
    return spot.point([max(0, min(255, round((level - 75) * 1.4))) for level in range(256)])


def _sky(random: Random, palette: list[Colour], size: tuple[int, int]) -> Picture:
    """A few colours, smoothly stretched over the canvas."""
    dark, middle, light = palette[random.choice((0, 1))], palette[2], palette[3]
    colours = [dark, _mixed(dark, middle, random.uniform(0.1, 0.9)), middle]
    colours += [_mixed(middle, light, random.uniform(0.1, 0.9)), light, light]
    if random.random() < 0.5:
        colours.reverse()
    grid = Image.new("RGB", (2, 3))
    for place, colour in enumerate(colours):
        grid.putpixel((place % 2, place // 2), colour)
    return grid.resize(size, _BICUBIC)


def _glow(canvas: Picture, random: Random, palette: list[Colour]) -> Picture:
    """Soft lights, drawn small as they have no detail."""
    spot = _spot()
    small = canvas.resize((48, 48), _BILINEAR)
    for _ in range(random.randint(3, 5)):
        side = random.randint(20, 56)
        mask = spot.resize((side, side))
        where = random.randint(-side // 2, 48 - side // 2), random.randint(-side // 2, 40)
        small.paste(random.choice(palette[1:]), (*where, where[0] + side, where[1] + side), mask)
    return Image.blend(canvas, small.resize(canvas.size, _BICUBIC), 0.75)


def _wave(random: Random, width: int, swing: float) -> Iterator[tuple[float, float]]:
    """(x, offset) along a sum of sines."""
    parts = [(random.uniform(0.6, 3.2), random.uniform(0, 6.3), 1 / (n + 1)) for n in range(3)]
    points = min(40, 8 + width // 8)
    for place in range(points + 1):
        t = place / points
        height = sum(math.sin(t * 6.28 * f + shift) * weight for f, shift, weight in parts)
        yield t * width, height * swing


def _ridges(canvas: Picture, random: Random, palette: list[Colour]) -> None:
    """A sun over hills, one behind the other."""
    width, height = canvas.size
    brush = ImageDraw.Draw(canvas)
    radius = height * random.uniform(0.06, 0.16)
    x, y = width * random.uniform(0.15, 0.85), height * random.uniform(0.15, 0.4)
    brush.ellipse((x - radius, y - radius, x + radius, y + radius), palette[4])
    layers = random.randint(4, 6)
    for layer in range(layers):
        depth = (layer + 1) / layers
        base = height * (0.42 + 0.5 * depth * random.uniform(0.85, 1.0))
        line = [(px, base + dy) for px, dy in _wave(random, width, height * 0.06)]
        colour = _mixed(palette[3], palette[0], depth)
        brush.polygon([(0, height), *line, (width, height)], colour)


def _ribbons(canvas: Picture, random: Random, palette: list[Colour]) -> None:
    """Bands of light flowing from side to side."""
    width, height = canvas.size
    layer = canvas.copy()
    brush = ImageDraw.Draw(layer)
    for _ in range(random.randint(5, 9)):
        base, swing = height * random.uniform(0.1, 0.9), height * random.uniform(0.05, 0.16)
        thick = height * random.uniform(0.015, 0.07)
        upper = [(x, base + y) for x, y in _wave(random, width, swing)]
        lower = [(x, y + thick * (1 + math.sin(x / width * 5))) for x, y in reversed(upper)]
        brush.polygon([*upper, *lower], random.choice(palette))
    canvas.paste(Image.blend(canvas, layer, 0.7))


def _lanterns(canvas: Picture, random: Random, palette: list[Colour]) -> None:
    """Overlapping discs of light."""
    width, height = canvas.size
    side = min(width, height)
    layer = Image.new("RGB", canvas.size)
    for _ in range(random.randint(9, 16)):
        radius = side * random.uniform(0.02, 0.17)
        x, y = random.uniform(0, width), random.uniform(0, height)
        box = (x - radius, y - radius, x + radius, y + radius)
        colour = _mixed((0, 0, 0), random.choice(palette[2:]), random.uniform(0.25, 0.7))
        rim = _mixed(colour, palette[4], 0.35)
        ImageDraw.Draw(layer).ellipse(box, colour, rim, max(1, round(radius / 14)))
    canvas.paste(ImageChops.screen(canvas, layer))


def _petals(canvas: Picture, random: Random, palette: list[Colour]) -> None:
    """A flower of nested, turned polygons."""
    width, height = canvas.size
    brush = ImageDraw.Draw(canvas)
    x, y = width * random.uniform(0.35, 0.65), height * random.uniform(0.35, 0.65)
    count, turn = random.randint(5, 11), random.uniform(0, 6.3)
    rings = random.randint(5, 8)
    corners = min(120, 24 + width // 3)
    for ring in range(rings):
        reach = min(width, height) * 0.46 * (1 - ring / rings)
        points = []
        for place in range(corners):
            angle = place / corners * 6.2832
            radius = reach * (0.72 + 0.28 * math.sin(count * angle + turn + ring * 0.9))
            points.append((x + radius * math.cos(angle), y + radius * math.sin(angle)))
        brush.polygon(points, _mixed(palette[1], palette[4], ring / (rings - 1)))


def _mixed(one: Colour, other: Colour, share: float) -> Colour:
    red, green, blue = (round(a + (b - a) * share) for a, b in zip(one, other, strict=True))
    return red, green, blue


_MOTIFS: tuple[Callable[[Picture, Random, list[Colour]], None], ...] = (
    _ridges,
    _ribbons,
    _lanterns,
    _petals,
)
