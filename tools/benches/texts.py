#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Render lines of text as PP-OCR's recognition takes them, for `bench channels`. Needs Pillow and fonts (Debian:
python3-pil, fonts-dejavu-core, fonts-liberation).

    texts.py OUT.npz [--items 800] [--seed 1]

x: float32 [items, 3, 48, 320], from -1 to 1: words, numbers, dates and sums in one of the fonts found, slightly turned,
blurred and with noise, dark on light or light on dark; lines end where they end, zeros follow.
"""

import argparse
import pathlib

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

FONTS = '/usr/share/fonts/truetype'
HEIGHT, WIDTH = 48, 320
SYLLABLES = 'an be con der el fi gra ho in ju ker lo man ne or per qui ra sta ter un ver wo xi ya zen th str ing'.split()


def fonts():
    """Text fonts; no symbols, and nothing too thin to be read at this height."""
    found = sorted(p for p in pathlib.Path(FONTS).glob('*/*.ttf')
                   if p.parent.name in ('dejavu', 'liberation') and 'ExtraLight' not in p.name)
    if not found:
        raise SystemExit(f'texts.py: no fonts below {FONTS}; fonts-dejavu-core and fonts-liberation have some')
    return found


def word(draw):
    text = ''.join(draw.choice(SYLLABLES, draw.integers(1, 4)))
    return text.capitalize() if draw.random() < 0.3 else text.upper() if draw.random() < 0.15 else text


def line(draw):
    kind = draw.integers(6)
    if kind == 0:
        return f'{draw.integers(1, 29):02}.{draw.integers(1, 13):02}.{draw.integers(1950, 2030)}'
    if kind == 1:
        return f'{word(draw)} {draw.integers(10000):,}'
    if kind == 2:
        return f'{word(draw)}: {draw.integers(1000)}.{draw.integers(100):02}'
    return ' '.join(word(draw) for _ in range(draw.integers(1, 4)))


def render(draw, path):
    """One line as float32 [3, HEIGHT, WIDTH]."""
    text, size = line(draw), int(draw.integers(26, 36))
    font = ImageFont.truetype(str(path), size)
    if font.getlength(text) > WIDTH - 10:
        font = ImageFont.truetype(str(path), int(size * (WIDTH - 10) / font.getlength(text)))
    paper, ink = draw.integers(170, 256), draw.integers(0, 90)
    if draw.random() < 0.25:
        paper, ink = ink, paper
    width = min(WIDTH, int(font.getlength(text)) + int(draw.integers(8, 24)))
    image = Image.new('L', (width, HEIGHT), int(paper))
    ImageDraw.Draw(image).text((int(draw.integers(3, 8)), HEIGHT // 2), text, int(ink), font, 'lm')
    image = image.rotate(float(draw.uniform(-1.5, 1.5)), Image.BICUBIC, fillcolor=int(paper))
    image = image.filter(ImageFilter.GaussianBlur(float(draw.uniform(0, 0.8))))
    grey = np.asarray(image, 'float32') + draw.normal(0, draw.uniform(0, 8), (HEIGHT, width)).astype('float32')
    out = np.zeros((3, HEIGHT, WIDTH), 'float32')
    out[:, :, :width] = np.clip(grey, 0, 255) / 127.5 - 1
    return out


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument('out', type=pathlib.Path)
    parser.add_argument('--items', type=int, default=800)
    parser.add_argument('--seed', type=int, default=1)
    options = parser.parse_args()
    draw, found = np.random.default_rng(options.seed), fonts()
    np.savez(options.out, x=np.stack([render(draw, found[draw.integers(len(found))]) for _ in range(options.items)]))


if __name__ == '__main__':
    main()
