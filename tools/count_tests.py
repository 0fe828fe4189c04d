#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Count single test cases in logs of meson and end with the line 'N passed, N failed'.

    count_tests.py [--reports SANITIZER-LOGS] TESTLOG.json...

A program that prints 'Tested: N | Passing: N | Failing: N | Crashing: N' counts with those figures, any other as one;
its lines '[SKIP] NAME: REASON' count as skipped. A program that fails without a failing case, and each file in the folder
of sanitizer logs, counts as one failure. Prints what failed and what was skipped, and the counts of each log first.
"""

import argparse
import json
import pathlib
import re
import sys

SUMMARY = re.compile(r'Tested: *(\d+) *\| *Passing: *(\d+) *\| *Failing: *(\d+) *\| *Crashing: *(\d+)')
SKIP = re.compile(r'^\[SKIP\] (.*)$', re.M)
DULL = re.compile(r'^\[(RUN |PASS|----|SKIP)\].*\n', re.M)
COLOUR = re.compile(r'\x1b\[[0-9;]*m')
PASSED, SKIPPED = ('OK', 'EXPECTEDFAIL'), ('SKIP', 'IGNORED')


def output_of(test):
    return COLOUR.sub('', (test.get('stdout') or '') + (test.get('stderr') or ''))


def skips(test):
    """A sentence for each case, or for the whole program, that was skipped."""
    output = output_of(test)
    if test['result'] in SKIPPED:
        return [output.strip().rpartition('\n')[2] or 'skipped']
    return SKIP.findall(output)


def count(test):
    """(passed, failed, skipped) of one entry of a log."""
    summaries = SUMMARY.findall(output_of(test))
    passed = sum(int(s[1]) for s in summaries)
    failed = sum(int(s[2]) + int(s[3]) for s in summaries)
    skipped = len(skips(test))
    if test['result'] in SKIPPED:
        return 0, 0, skipped
    if test['result'] not in PASSED:
        return passed, max(failed, 1), skipped
    return (passed, failed, skipped) if summaries else (1, 0, skipped)


def sentence(totals):
    return f'{totals[0]} passed, {totals[1]} failed' + (f', {totals[2]} skipped' if totals[2] else '')


def report(log):
    """Prints what there is to say about the tests of a log; their totals."""
    totals = [0, 0, 0]
    for line in log.read_text().splitlines():
        test = json.loads(line)
        counts = count(test)
        totals = [total + more for total, more in zip(totals, counts)]
        for reason in skips(test):
            print(f'SKIPPED: {test["name"]}: {reason}')
        if counts[1]:
            print(f'FAILED: {test["name"]} ({test["result"]}): {counts[1]} of {sum(counts)}')
            print(DULL.sub('', output_of(test))[-4000:])
    print(f'{log.stem}: {sentence(totals)}')
    return totals


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--reports', type=pathlib.Path)
    parser.add_argument('logs', nargs='+', type=pathlib.Path)
    args = parser.parse_args()
    missing = [log for log in args.logs if not log.exists() or not log.read_text().strip()]
    reports = sorted(args.reports.iterdir()) if args.reports else []
    totals = [0, len(reports), 0]
    for log in args.logs:
        if log not in missing:
            totals = [total + more for total, more in zip(totals, report(log))]
    for path in reports:
        print(f'SANITIZER: {path}')
        print(path.read_text(errors='replace')[:4000])
    for log in missing:
        print(f'no test ran: {log} is missing or empty')
    print(sentence(totals))
    return 1 if totals[1] or missing else 0


if __name__ == '__main__':
    sys.exit(main())
