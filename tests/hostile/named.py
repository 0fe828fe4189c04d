# SPDX-License-Identifier: Apache-2.0
"""Every test that README.md names exists: named.py README.md TESTS-FOLDER"""
import pathlib
import re
import sys

readme, tests = (pathlib.Path(a) for a in sys.argv[1:3])
known = set()
for source in tests.glob('*/*.c'):
    for name in re.findall(r'^Test\(\w+, (\w+)', source.read_text(), re.M):
        known.add(f'{source.parent.name}: {name}')
known |= {f'case {case.stem}' for case in (tests / 'cli' / 'cases').glob('*.sh')}
builds = ' '.join(build.read_text() for build in tests.glob('*/meson.build'))

missing = []
named = 0
for line in readme.read_text().splitlines():
    cells = line.split(' | ')
    if not line.startswith('| ') or len(cells) != 2 or set(line) <= set('| -'):
        continue
    for name in cells[1].rstrip(' |').split(', '):
        if name == 'tests':
            continue
        named += 1
        room, _, rest = name.partition(' ')
        words = rest.partition('-')[2]
        whole = room == 'test' and (f"'{rest}'" in builds or f"'{words}'" in builds)
        if not whole and name not in known:
            missing.append(f'{cells[0][2:]}: {name}')
print(f'{named} names of tests, {len(missing)} of them unknown')
print('\n'.join(missing))
sys.exit(1 if missing or named < 100 else 0)
