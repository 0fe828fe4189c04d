# SPDX-License-Identifier: Apache-2.0
"""Every test that the tables name exists: named.py TESTS-FOLDER README.md..."""
import pathlib
import re
import sys

tests, *readmes = map(pathlib.Path, sys.argv[1:])
known = set()
for source in tests.glob('*/*.c'):
    for name in re.findall(r'^Test\(\w+, (\w+)', source.read_text(), re.M):
        known.add(f'{source.parent.name}: {name}')
known |= {f'case {case.stem}' for case in (tests / 'cli' / 'cases').glob('*.sh')}
builds = ' '.join(build.read_text() for build in tests.glob('*/meson.build'))



def rows(readme):
    """The rows of tables whose second column is 'tests', as (what, names)."""
    wanted = False
    for line in readme.read_text().splitlines():
        cells = line.strip('| ').split(' | ')
        if not line.startswith('|'):
            wanted = False
        elif cells[1:] == ['tests']:
            wanted = True
        elif wanted and not set(line) <= set('| -'):
            yield cells[0], cells[1].split(', ')


def exists(name):
    room, _, rest = name.partition(' ')
    words = rest.partition('-')[2]
    return name in known or (room == 'test' and (f"'{rest}'" in builds or f"'{words}'" in builds))


names = [(what, name) for readme in readmes for what, names in rows(readme) for name in names]
missing = [f'{what}: {name}' for what, name in names if not exists(name)]
print(f'{len(names)} names of tests, {len(missing)} of them unknown')
print('\n'.join(missing))
sys.exit(1 if missing or len(names) < 100 else 0)
