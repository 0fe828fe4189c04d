# SPDX-License-Identifier: Apache-2.0
"""What the subcommands of tools/bench share: where things are, and programs that are asked line by line."""

import pathlib
import platform
import subprocess

ROOT = pathlib.Path(__file__).resolve().parents[2]


class Failure(Exception):
    """A measurement could not be made: exit code 1."""


def build(folder, target):
    """A program that only benches want; what ninja says is no part of a table."""
    if subprocess.run(['ninja', '-C', str(folder), '--quiet', target], stdout=subprocess.DEVNULL).returncode:
        raise Failure(f'{target} could not be built in {folder}')


class Worker:
    """A child process that answers one line to each line."""

    def __init__(self, command, env=None):
        self.name = pathlib.Path(str(command[0])).name
        self.child = subprocess.Popen([str(c) for c in command], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                      text=True, env=env)
        self.greeting = self.read()

    def read(self):
        line = self.child.stdout.readline()
        if not line:
            raise Failure(f'{self.name} ended with status {self.child.wait()}')
        return line.split()

    def ask(self, line):
        self.child.stdin.write(line + '\n')
        self.child.stdin.flush()
        return self.read()

    def close(self):
        self.child.stdin.close()
        self.child.wait()


def machine():
    """One line that says what the figures were measured on."""
    name = platform.processor() or platform.machine()
    try:
        with open('/proc/cpuinfo', encoding='ascii', errors='replace') as info:
            name = next(line.split(':', 1)[1].strip() for line in info if line.startswith('model name'))
    except (OSError, StopIteration):
        pass
    return name


def table(header, rows):
    """Aligned columns, the first to the left and the others to the right, as a Markdown table."""
    widths = [max(len(str(row[i])) for row in [header, *rows]) for i in range(len(header))]
    def line(row):
        cells = [str(c).ljust(w) if i == 0 else str(c).rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        return '| ' + ' | '.join(cells) + ' |'
    rule = '|' + '|'.join('-' * (w + 2) if i == 0 else '-' * (w + 1) + ':' for i, w in enumerate(widths)) + '|'
    return '\n'.join([line(header), rule, *map(line, rows)])
