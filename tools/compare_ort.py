#!/usr/bin/env python3
# SPDX-License-Identifier: Apache-2.0
"""Compare a model and its slimmed form in onnxruntime, and tamis's own executor with onnxruntime.

    compare_ort.py ORIGINAL.onnx SLIM.onnx --data ITEMS.npz [--labels LABELS.npy] [--tamis build/tamis]

Needs numpy and onnxruntime (pip). With the onnx package as well, both models go through onnx.checker,
external data files count in the sizes, and --data may be a folder in the ONNX layout
(test_data_set_N/input_M.pb).

Printed: file sizes, checker result, accuracy and paired counts (with labels), agreement of the two models'
argmax, latency, and, with --tamis, the largest difference between tamis and onnxruntime on each output:

    max |tamis - onnxruntime| / max(max |onnxruntime|, 1e-6), over the first --items items together.

Exit codes: 0 all is well; 1 a model does not load or run, tamis fails or differs by more than --limit, or
onnx.checker refuses the slim model but not the original; 2 usage, or data that do not fit the models.
"""

import argparse
import gzip
import json
import math
import os
import pathlib
import shutil
import statistics
import subprocess
import sys
import tempfile
import time

try:
    import numpy as np
    import onnxruntime
except ImportError as missing:
    print(f'compare_ort.py: {missing}; it needs: pip install numpy onnxruntime', file=sys.stderr)
    sys.exit(2)
try:
    import onnx
    import onnx.checker
    import onnx.numpy_helper
    import onnx.shape_inference
except ImportError:
    onnx = None

CONFIDENCE = 0.95
BATCH = 100
JSON_SCHEMA = 'tamis-compare-ort/1'


class UsageError(Exception):
    """What the user gave does not fit together: exit code 2."""


class Failure(Exception):
    """The comparison itself came out badly: exit code 1."""


# ---- statistics ----------------------------------------------------------------------------------------

def upper_tail(least, trials, chance):
    """P(X >= least) for X binomial(trials, chance), by summing the terms of the tail. O(trials)."""
    if least <= 0:
        return 1.0
    if chance <= 0.0 or least > trials:
        return 0.0
    if chance >= 1.0:
        return 1.0
    log_odds = math.log(chance) - math.log1p(-chance)
    log_term = (math.lgamma(trials + 1) - math.lgamma(least + 1) - math.lgamma(trials - least + 1)
                + least * math.log(chance) + (trials - least) * math.log1p(-chance))
    count = np.arange(least, trials)
    steps = np.log(trials - count) - np.log(count + 1) + log_odds
    logs = log_term + np.concatenate([[0.0], np.cumsum(steps)])
    return min(1.0, float(np.exp(logs).sum()))


def clopper_pearson(successes, trials, confidence=CONFIDENCE):
    """Exact two-sided interval of a proportion: the chances at which each tail holds (1 - confidence) / 2."""
    tail = (1.0 - confidence) / 2.0

    def lowest_chance(least):
        """The chance at which P(X >= least) = tail; the tail grows with the chance, so halve the interval."""
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2.0
            low, high = (low, middle) if upper_tail(least, trials, middle) > tail else (middle, high)
        return (low + high) / 2.0

    lower = lowest_chance(successes) if successes > 0 else 0.0
    # P(X <= k | p) = P(trials - X >= trials - k | 1 - p): the upper end is the lower end of the failures.
    upper = 1.0 - lowest_chance(trials - successes) if successes < trials else 1.0
    return lower, upper


def mcnemar_one_sided(worse, better):
    """Exact P(X >= worse), X binomial(worse + better, 1/2): small where the second model loses items."""
    trials = worse + better
    term = math.comb(trials, worse)
    total = 0
    for count in range(worse, trials + 1):
        total += term
        term = term * (trials - count) // (count + 1)
    return total / 2 ** trials


def relative_difference(ours, reference):
    """max |ours - reference| / max(max |reference|, 1e-6).

    Infinite where the number of elements, a string, an infinity or the place of a NaN differs.
    """
    if ours.size != reference.size:
        return math.inf
    ours = ours.reshape(reference.shape)
    if reference.size == 0:
        return 0.0
    if reference.dtype.kind in 'OSU':
        return 0.0 if np.array_equal(ours.astype(str), reference.astype(str)) else math.inf
    ours, reference = ours.astype(np.float64), reference.astype(np.float64)
    finite = np.isfinite(reference)
    if not np.isfinite(ours[finite]).all():
        return math.inf
    if not np.array_equal(ours[~finite], reference[~finite], equal_nan=True):
        return math.inf
    if not finite.any():
        return 0.0
    return float(np.abs(ours - reference)[finite].max() / max(np.abs(reference[finite]).max(), 1e-6))


# ---- data ----------------------------------------------------------------------------------------------

class Items:
    """Items of an .npz: one array a graph input, items on the first axis."""

    unit = 'items'

    def __init__(self, path):
        try:
            with np.load(path) as file:
                self.arrays = {name: file[name] for name in file.files}
        except (OSError, ValueError, AttributeError, TypeError) as error:
            raise UsageError(f'{path}: expected an .npz file of arrays ({error})') from error
        counts = {len(array) if array.ndim else 0 for array in self.arrays.values()}
        if len(counts) != 1 or 0 in counts:
            raise UsageError(f'{path}: expected arrays with the same number of items, at least one')
        self.count = counts.pop()

    def symbolic(self, session):
        """Whether the model takes any number of items at once: no input has a fixed first dimension."""
        return all(value.shape and not isinstance(value.shape[0], int) for value in session.get_inputs())

    def feeds(self, session, first, last, batch):
        """(feed, number of items, whether outputs carry the item axis) for items first..last-1, in order.

        Several items a feed where every input has a symbolic first dimension, else one by one: with the axis
        of the items kept as a leading 1 where the model's rank has it, dropped where it has not.
        """
        wanted = session.get_inputs()
        for value in wanted:
            if value.name not in self.arrays:
                raise UsageError(f'expected an array named {value.name!r} in the data, '
                                 f'and got {", ".join(self.arrays)}')
        axis = all(self.arrays[value.name].ndim == len(value.shape) for value in wanted)
        step = batch if axis and self.symbolic(session) else 1
        for start in range(first, last, step):
            stop = min(start + step, last)
            cut = slice(start, stop) if axis else start
            yield {value.name: self.arrays[value.name][cut] for value in wanted}, stop - start, axis

    def run(self, session, first, last):
        """Outputs of items first..last-1: name -> array with the items on the first axis."""
        parts = {value.name: [] for value in session.get_outputs()}
        axis = True
        for feed, _, axis in self.feeds(session, first, last, BATCH):
            for name, array in zip(parts, run_session(session, feed)):
                parts[name].append(np.asarray(array))
        join = np.concatenate if axis and all(p[0].ndim for p in parts.values()) else np.stack
        return {name: join(arrays) for name, arrays in parts.items()}

    def write_first(self, folder, count):
        """The first items as a file that tamis can read; its path."""
        path = folder / 'items.npz'
        np.savez(path, **{name: array[:count] for name, array in self.arrays.items()})
        return path


class Sets:
    """Feeds in the ONNX layout: FOLDER/test_data_set_N/input_M.pb, or FOLDER being one such set itself."""

    unit = 'sets'

    def __init__(self, path):
        if onnx is None:
            raise UsageError(f'{path}: reading test_data_set folders needs: pip install onnx')
        found = [path] if (path / 'input_0.pb').exists() else path.glob('test_data_set_*')
        self.folders = sorted(found, key=lambda folder: int(folder.name.rpartition('_')[2]))
        if not self.folders:
            raise UsageError(f'{path}: expected test_data_set_N folders, or input_0.pb')
        self.count = len(self.folders)

    @staticmethod
    def read(path):
        tensor = onnx.TensorProto()
        try:
            tensor.ParseFromString(path.read_bytes())
            return onnx.numpy_helper.to_array(tensor)
        except Exception as error:
            raise UsageError(f'{path}: expected a serialized TensorProto ({error})') from error

    def feeds(self, session, first, last, _batch):
        for folder in self.folders[first:last]:
            feed = {}
            for position, value in enumerate(session.get_inputs()):
                path = folder / f'input_{position}.pb'
                if not path.exists():
                    raise UsageError(f'{path} is missing, for input {value.name!r}')
                feed[value.name] = self.read(path)
            yield feed, 1, True

    def run(self, session, first, last):
        """Outputs set by set, under the names that tamis gives them: NAME, or NAME/N of several sets."""
        results = {}
        for folder, (feed, _, _) in zip(self.folders[first:last], self.feeds(session, first, last, 1)):
            for value, array in zip(session.get_outputs(), run_session(session, feed)):
                number = folder.name.rpartition('_')[2]
                results[value.name if last - first == 1 else f'{value.name}/{number}'] = np.asarray(array)
        return results

    def write_first(self, folder, count):
        for source in self.folders[:count]:
            shutil.copytree(source, folder / 'sets' / source.name)
        return folder / 'sets'


def open_data(path):
    if path.is_dir():
        return Sets(path)
    if not path.exists():
        raise UsageError(f'{path}: no such file')
    return Items(path)


# ---- onnxruntime ---------------------------------------------------------------------------------------

def open_session(path, threads):
    if not path.exists():
        raise UsageError(f'{path}: no such file')
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.log_severity_level = 3
    try:
        return onnxruntime.InferenceSession(str(path), options, providers=['CPUExecutionProvider'])
    except Exception as error:
        raise Failure(f'{path}: onnxruntime does not load it: {error}') from error


def run_session(session, feed):
    try:
        return session.run(None, feed)
    except Exception as error:
        if 'INVALID_ARGUMENT' in str(error):
            raise UsageError(f'the data do not fit the model: {error}') from error
        raise Failure(f'onnxruntime does not run the model: {error}') from error


def measure_latency(sessions, data, batch, repeats):
    """Median milliseconds of each session on its first feed; they take turns, in alternating order."""
    feeds = [next(iter(data.feeds(session, 0, min(batch, data.count), batch))) for session in sessions]
    times = [[], []]
    for turn in range(-3, repeats):
        for which in (0, 1) if turn % 2 else (1, 0):
            start = time.perf_counter()
            sessions[which].run(None, feeds[which][0])
            if turn >= 0:
                times[which].append(1000.0 * (time.perf_counter() - start))
    return {'items': feeds[0][1], 'original_ms': statistics.median(times[0]),
            'slim_ms': statistics.median(times[1])}


# ---- the parts of the report ---------------------------------------------------------------------------

def external_files(path):
    """Files that hold external data of the model, itself not included; none where onnx is not installed."""
    if onnx is None:
        return []
    model = onnx.load(str(path), load_external_data=False)
    tensors = list(model.graph.initializer)
    for sparse in model.graph.sparse_initializer:
        tensors += [sparse.values, sparse.indices]
    names = {entry.value for tensor in tensors for entry in tensor.external_data if entry.key == 'location'}
    return [path.parent / name for name in sorted(names)]


def sizes(path):
    files = [path] + external_files(path)
    contents = [file.read_bytes() for file in files]
    return {'bytes': sum(map(len, contents)),
            'gzip_bytes': sum(len(gzip.compress(content, 9, mtime=0)) for content in contents)}


def check(path):
    """'passed', 'skipped' or the checker's complaint.

    The full check is the plain one and strict shape inference with operand types. The types are left out where there
    are sparse initializers: inference takes them for sparse tensors, which no operator admits, while the standard and
    onnxruntime mean dense ones that are stored so.
    """
    if onnx is None:
        return 'skipped'
    try:
        onnx.checker.check_model(str(path))
        model = onnx.load(str(path))
        onnx.shape_inference.infer_shapes(model, check_type=not model.graph.sparse_initializer, strict_mode=True)
        return 'passed'
    except Exception as error:
        return ' '.join(str(error).split())


def decisions(outputs):
    """Argmax over the last axis of the first output, one a row; None where it is no row of scores."""
    chosen = []
    first = next(iter(outputs)).partition('/')[0]
    for name, array in outputs.items():
        if name.partition('/')[0] != first:
            continue
        if array.ndim < 2 or array.shape[-1] < 2 or array.dtype.kind not in 'fiu':
            return None
        chosen.append(array.argmax(-1).ravel())
    return np.concatenate(chosen)


def proportion(successes, trials):
    lower, upper = clopper_pearson(successes, trials)
    return {'count': successes, 'of': trials, 'value': successes / trials, 'low': lower, 'high': upper}


def compare_decisions(original, slim, labels):
    """Agreement, and with labels both accuracies, the paired counts and McNemar's exact one-sided p-value."""
    report = {'agreement': proportion(int((original == slim).sum()), len(original))}
    if labels is None:
        return report
    if labels.shape != original.shape:
        raise UsageError(f'expected {len(original)} labels, one an item, and got shape {labels.shape}')
    right = original == labels, slim == labels
    pairs = {name: int((first & second).sum()) for name, first, second in (
        ('both_right', right[0], right[1]), ('only_original_right', right[0], ~right[1]),
        ('only_slim_right', ~right[0], right[1]), ('both_wrong', ~right[0], ~right[1]))}
    report['accuracy'] = {'original': proportion(int(right[0].sum()), len(labels)),
                          'slim': proportion(int(right[1].sum()), len(labels))}
    report['paired'] = pairs
    report['mcnemar_p'] = mcnemar_one_sided(pairs['only_original_right'], pairs['only_slim_right'])
    return report


def run_tamis(command, model, data, threads, out):
    arguments = [str(command), 'run', str(model), '-c', str(data), '-o', str(out)]
    if threads:
        arguments += ['-j', str(threads)]
    done = subprocess.run(arguments, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode:
        said = done.stderr.strip() or 'it said nothing'
        raise Failure(f'{" ".join(arguments)}: exit code {done.returncode}: {said}')
    try:
        with np.load(out) as file:
            return {name: file[name] for name in file.files}
    except (OSError, ValueError) as error:
        raise Failure(f'{model}: tamis wrote no readable .npz ({error})') from error


def compare_tamis(options, models, sessions, data):
    """Largest relative difference of each output of each model; a missing output counts as infinite."""
    count = min(options.items, data.count)
    report = {'items': count, 'limit': options.limit}
    with tempfile.TemporaryDirectory() as folder:
        folder = pathlib.Path(folder)
        given = data.write_first(folder, count)
        for which, model, session in zip(('original', 'slim'), models, sessions):
            ours = run_tamis(options.tamis, model, given, options.threads, folder / f'{which}.npz')
            reference = data.run(session, 0, count)
            report[which] = {name: relative_difference(ours[name], array) if name in ours else math.inf
                             for name, array in reference.items()}
    return report


# ---- printing ------------------------------------------------------------------------------------------

def line(what, *columns):
    print(f'{what:<26}' + ''.join(f'{column:>16}' for column in columns))


def interval(share):
    bounds = f'[{share["low"]:.2%}, {share["high"]:.2%}]'
    return f'{share["value"]:.2%}  {bounds}  {share["count"]} of {share["of"]}'


def print_sizes(report):
    original, slim = report['original'], report['slim']
    line('', 'original', 'slim', 'ratio')
    for key, what in (('bytes', 'bytes'), ('gzip_bytes', 'bytes, gzip -9')):
        line(what, original[key], slim[key], f'{original[key] / slim[key]:.2f}x')
    for latency in report['latency']:
        first, second = latency['original_ms'], latency['slim_ms']
        line(f'ms a run of {latency["items"]}', f'{first:.3f}', f'{second:.3f}', f'{first / second:.2f}x')
    line('onnx.checker', *(which['checker'] if which['checker'] in ('passed', 'skipped') else 'REFUSED'
                           for which in (original, slim)))


def print_decisions(report):
    if 'agreement' not in report:
        print('agreement: the first output is no row of scores, so there is no argmax to compare')
        return
    print('agreement (exact 95 %):   ' + interval(report['agreement']))
    if 'paired' not in report:
        return
    for which in ('original', 'slim'):
        print(f'accuracy, {which + ":":<16}' + interval(report['accuracy'][which]))
    pairs = report['paired']
    print(f'paired:                   both right {pairs["both_right"]}, '
          f'only original {pairs["only_original_right"]}, '
          f'only slim {pairs["only_slim_right"]}, both wrong {pairs["both_wrong"]}')
    print(f'McNemar, slim is worse:   p = {report["mcnemar_p"]:.4g} (exact, one-sided)')


def print_differences(report):
    for name, difference in report['slim_difference'].items():
        print(f'slim - original:          {name}: {difference:.2e} relative, '
              f'{report["items"]} {report["unit"]}')
    if 'tamis' not in report:
        return
    tamis = report['tamis']
    for which in ('original', 'slim'):
        for name, difference in tamis[which].items():
            verdict = 'ok' if difference <= tamis['limit'] else f'MORE THAN {tamis["limit"]:g}'
            print(f'tamis - onnxruntime:      {which}, {name}: {difference:.2e} relative, '
                  f'{tamis["items"]} {report["unit"]}: {verdict}')


def problems(report):
    """What makes the exit code 1, a sentence each."""
    found = []
    if report['slim']['checker'] not in ('passed', 'skipped') and report['original']['checker'] == 'passed':
        found.append(f'onnx.checker refuses the slim model: {report["slim"]["checker"]}')
    tamis = report.get('tamis', {})
    for which in ('original', 'slim'):
        worst = max(tamis.get(which, {}).values(), default=0.0)
        if worst > tamis.get('limit', 0.0):
            found.append(f'tamis and onnxruntime differ by {worst:.2e} relative on the {which} model')
    return found


def without_infinities(value):
    """The same figures with null for infinity, which JSON does not know."""
    if isinstance(value, dict):
        return {key: without_infinities(item) for key, item in value.items()}
    if isinstance(value, list):
        return [without_infinities(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


# ---- command -------------------------------------------------------------------------------------------

def positive(text):
    value = int(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f'expected a positive number, got {text}')
    return value


def parse_arguments():
    parser = argparse.ArgumentParser(
        description='Compare a model and its slimmed form in onnxruntime, and tamis with onnxruntime.')
    parser.add_argument('original', type=pathlib.Path, metavar='ORIGINAL.onnx')
    parser.add_argument('slim', type=pathlib.Path, metavar='SLIM.onnx')
    parser.add_argument('--data', type=pathlib.Path, required=True, metavar='ITEMS.npz',
                        help='arrays named as the graph inputs, items first; or a folder of test_data_set_N')
    parser.add_argument('--labels', type=pathlib.Path, metavar='LABELS.npy', help='one integer an item')
    parser.add_argument('--tamis', type=pathlib.Path, metavar='PROGRAM',
                        help='compare this tamis with onnxruntime')
    parser.add_argument('--items', type=positive, default=1000, metavar='N',
                        help='compare tamis on the first N items (default 1000)')
    parser.add_argument('--limit', type=float, default=1e-4, metavar='F',
                        help='largest relative difference of tamis that passes (default 1e-4)')
    parser.add_argument('--threads', type=positive, metavar='N',
                        help='of onnxruntime (default 1) and of tamis (default: its own)')
    parser.add_argument('--repeats', type=positive, default=51, metavar='N', help='timed runs (default 51)')
    parser.add_argument('--json', type=pathlib.Path, metavar='FILE', help='write the figures there as well')
    return parser.parse_args()


def read_labels(path):
    try:
        labels = np.load(path)
    except (OSError, ValueError) as error:
        raise UsageError(f'{path}: expected an .npy file ({error})') from error
    if not isinstance(labels, np.ndarray) or labels.dtype.kind not in 'iu':
        raise UsageError(f'{path}: expected an .npy file of integers')
    return labels


def compare(options):
    """The whole comparison as one dictionary, which is also the JSON written."""
    if options.tamis and not os.access(options.tamis, os.X_OK):
        raise UsageError(f'{options.tamis}: expected a program that can be run')
    if options.labels and options.data.is_dir():
        raise UsageError('labels go with an .npz, not with a folder of test sets')
    labels = read_labels(options.labels) if options.labels else None
    data = open_data(options.data)
    models = options.original, options.slim
    sessions = [open_session(model, options.threads or 1) for model in models]
    original, slim = (data.run(session, 0, data.count) for session in sessions)
    if list(original) != list(slim):
        raise Failure(f'the slim model has outputs {list(slim)}, the original {list(original)}')
    report = {'schema': JSON_SCHEMA, 'onnxruntime': onnxruntime.__version__,
              'items': data.count, 'unit': data.unit,
              'slim_difference': {name: relative_difference(slim[name], original[name]) for name in original}}
    for which, model in zip(('original', 'slim'), models):
        report[which] = {'file': str(model), **sizes(model), 'checker': check(model)}
    report['latency'] = [measure_latency(sessions, data, 1, options.repeats)]
    if isinstance(data, Items) and data.count > 1 and all(data.symbolic(session) for session in sessions):
        report['latency'].append(measure_latency(sessions, data, BATCH, options.repeats))
    chosen = decisions(original), decisions(slim)
    if chosen[0] is not None and chosen[1] is not None:
        report.update(compare_decisions(*chosen, labels))
    if options.tamis:
        report['tamis'] = compare_tamis(options, models, sessions, data)
    return report


def main():
    options = parse_arguments()
    try:
        report = compare(options)
    except UsageError as error:
        print(f'compare_ort.py: {error}', file=sys.stderr)
        return 2
    except Failure as error:
        print(f'compare_ort.py: {error}', file=sys.stderr)
        return 1
    print_sizes(report)
    print_decisions(report)
    print_differences(report)
    if options.json:
        options.json.write_text(json.dumps(without_infinities(report), indent=2, allow_nan=False) + '\n')
    found = problems(report)
    for problem in found:
        print(f'compare_ort.py: {problem}', file=sys.stderr)
    return 1 if found else 0


if __name__ == '__main__':
    sys.exit(main())
