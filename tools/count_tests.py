#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Count single test cases in logs of meson and end with the line 'N passed, N failed'.

    count_tests.py [--reports SANITIZER-LOGS] TESTLOG.json...

A program that prints 'Tested: N | Passing: N | Failing: N | Crashing: N' counts with those figures, any other as one.
A program that fails without a failing case, and each file in the folder of sanitizer logs, counts as one failure.
"""

import argparse
import json
import pathlib
import re
import sys

SUMMARY = re.compile(r'Tested: *(\d+) *\| *Passing: *(\d+) *\| *Failing: *(\d+) *\| *Crashing: *(\d+)')
COLOUR = re.compile(r'\x1b\[[0-9;]*m')
PASSED, SKIPPED = ('OK', 'EXPECTEDFAIL'), ('SKIP', 'IGNORED')


def count(test):
    """(passed, failed, skipped) of one entry of the log."""
    output = COLOUR.sub('', (test.get('stdout') or '') + (test.get('stderr') or ''))
    summaries = SUMMARY.findall(output)
    passed = sum(int(s[1]) for s in summaries)
    failed = sum(int(s[2]) + int(s[3]) for s in summaries)
    skipped = sum(int(s[0]) for s in summaries) - passed - failed
    if test['result'] in SKIPPED:
        return 0, 0, 1
    if test['result'] not in PASSED:
        return passed, max(failed, 1), max(skipped, 0)
    return (passed, failed, max(skipped, 0)) if summaries else (1, 0, 0)


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument('--reports', type=pathlib.Path)
    parser.add_argument('logs', nargs='+', type=pathlib.Path)
    args = parser.parse_args()
    missing = [log for log in args.logs if not log.exists() or not log.read_text().strip()]
    tests = [json.loads(line) for log in args.logs if log not in missing for line in log.read_text().splitlines()]
    reports = sorted(args.reports.iterdir()) if args.reports else []
    totals = [0, len(reports), 0]
    for test in tests:
        counts = count(test)
        totals = [total + more for total, more in zip(totals, counts)]
        if counts[1]:
            print(f'FAILED: {test["name"]} ({test["result"]}): {counts[1]} of {sum(counts)}')
            print(COLOUR.sub('', (test.get('stdout') or '') + (test.get('stderr') or ''))[-4000:])
    for report in reports:
        print(f'SANITIZER: {report}')
        print(report.read_text(errors='replace')[:4000])
    for log in missing:
        print(f'no test ran: {log} is missing or empty')
    print(f'{totals[0]} passed, {totals[1]} failed' + (f', {totals[2]} skipped' if totals[2] else ''))
    return 1 if totals[1] or missing else 0


if __name__ == '__main__':
    sys.exit(main())
