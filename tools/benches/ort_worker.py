# SPDX-License-Identifier: Apache-2.0
"""onnxruntime with the same conversation as bench_exec.c; run by `bench exec` in a process of its own.

    ort_worker.py MODEL ITEMS THREADS COUNT CHUNK

`forward` runs the items CHUNK at a time, the session using THREADS threads; `single` one at a time.
"""

import sys
import time

import numpy as np
import onnxruntime


def open_session(path, threads):
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    return onnxruntime.InferenceSession(path, options, providers=['CPUExecutionProvider'])


def parts(items, chunk, count):
    return [{name: array[i:i + chunk] for name, array in items.items()} for i in range(0, count, chunk)]


def timed(session, feeds):
    wall, cpu = time.monotonic(), time.process_time()
    for feed in feeds:
        session.run(None, feed)
    return f'{time.monotonic() - wall:.6f} {time.process_time() - cpu:.6f}'


def peak():
    """KiB. Not ru_maxrss, which starts at what the parent held when it forked."""
    with open('/proc/self/status', encoding='ascii') as status:
        return next(int(line.split()[1]) for line in status if line.startswith('VmHWM'))


def main():
    path, data, threads, count, chunk = sys.argv[1], sys.argv[2], *map(int, sys.argv[3:6])
    session = open_session(path, threads)
    with np.load(data) as archive:
        items = {i.name: archive[i.name][:count] for i in session.get_inputs()}
    feeds = {'forward': parts(items, chunk, count), 'single': parts(items, 1, count)}
    print('ready', flush=True)
    for line in sys.stdin:
        word, _, path = line.strip().partition(' ')
        if word in feeds:
            print(timed(session, feeds[word]), flush=True)
        elif word == 'outputs':
            with open(path, 'wb') as out:
                for feed in feeds['forward']:
                    out.writelines(o.tobytes() for o in session.run(None, feed))
            print('written', flush=True)
        else:
            print(peak(), flush=True)


if __name__ == '__main__':
    main()
