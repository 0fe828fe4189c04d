#!/usr/bin/python3
# SPDX-License-Identifier: Apache-2.0
"""Train and export the sample models of this folder, and cut the data they need.

    train.py                     train all three models, write models and data into this folder
    train.py --only NAME         one model (may be repeated); the data are written all the same
    train.py --data-only         only calibration items, test items and test labels
    train.py --evaluate          train nothing; print the table for the .onnx files in this folder

Debian packages: python3-torch, python3-numpy, dataset-fashion-mnist. Nothing else is imported, except that
--evaluate falls back on onnxruntime where torch is not installed (or is told to, by --runtime onnxruntime).

Everything random starts from --seed. The same seed, thread count, CPU type and package versions give the
same files, byte for byte; on another CPU the sums round differently and so do the weights.
"""

import argparse
import gzip
import pathlib
import sys
import time
import warnings

import numpy as np

HERE = pathlib.Path(__file__).resolve().parent
FASHION_MNIST = pathlib.Path('/usr/share/datasets/fashion-mnist')
CALIBRATION_ITEMS = 6000
BATCH = 128
OPSET = 17

# Mean and standard deviation of all training pixels, in units of one grey level (0..255).
PIXEL_MEAN = 72.94
PIXEL_STD = 90.02


# ---- data ----------------------------------------------------------------------------------------------

def read_idx(path):
    """Array of bytes in an IDX file: magic 0 0 8 RANK, RANK big-endian sizes, then the bytes, row-major."""
    with gzip.open(path) as file:
        content = file.read()
    if content[:3] != b'\0\0\x08':
        raise ValueError(f'{path}: expected an IDX file of unsigned bytes')
    rank = content[3]
    shape = np.frombuffer(content, '>u4', rank, 4)
    return np.frombuffer(content, np.uint8, -1, 4 + 4 * rank).reshape(shape)


def load_split(folder, split):
    """Images uint8 [items, 1, 28, 28] and labels uint8 [items] of 'train' (60,000) or 't10k' (10,000)."""
    images = read_idx(folder / f'{split}-images-idx3-ubyte.gz')
    labels = read_idx(folder / f'{split}-labels-idx1-ubyte.gz')
    return images[:, None], labels


def write_data(folder, out, seed):
    """Calibration items from the training split (without their labels), the test split, and its labels."""
    images, _ = load_split(folder, 'train')
    drawn = np.random.RandomState(seed).permutation(len(images))[:CALIBRATION_ITEMS]
    np.savez_compressed(out / 'fashion-calib.npz', image=images[drawn])
    images, labels = load_split(folder, 't10k')
    np.savez_compressed(out / 'fashion-test.npz', image=images)
    np.save(out / 'fashion-test-labels.npy', labels)


# ---- models (torch is imported late, so that --evaluate can do without it) -------------------------------

def mlp_layers(nn):
    """Fully connected, 784-300-100-10."""
    return [
        nn.Flatten(),
        nn.Linear(784, 300), nn.ReLU(),
        nn.Linear(300, 100), nn.ReLU(),
        nn.Linear(100, 10),
    ]


def lenet5_layers(nn):
    """LeNet-5 as Caffe ships it: no activation after the convolutions, one ReLU in the classifier."""
    return [
        nn.Conv2d(1, 20, 5), nn.MaxPool2d(2, 2),
        nn.Conv2d(20, 50, 5), nn.MaxPool2d(2, 2),
        nn.Flatten(),
        nn.Linear(50 * 4 * 4, 500), nn.ReLU(),
        nn.Linear(500, 10),
    ]


def resnet_layers(nn):
    """Residual network: a strided stem, three stages of 16, 32 and 64 channels, two basic blocks each."""

    class Block(nn.Module):
        """relu(norm(conv(relu(norm(conv(x))))) + shortcut(x)); the shortcut is x, or a strided 1x1 of it."""

        def __init__(self, inner, outer, stride):
            super().__init__()
            self.conv1 = nn.Conv2d(inner, outer, 3, stride, 1, bias=False)
            self.norm1 = nn.BatchNorm2d(outer)
            self.conv2 = nn.Conv2d(outer, outer, 3, 1, 1, bias=False)
            self.norm2 = nn.BatchNorm2d(outer)
            self.relu = nn.ReLU()
            self.shortcut = None
            if inner != outer or stride != 1:
                self.shortcut = nn.Sequential(
                    nn.Conv2d(inner, outer, 1, stride, bias=False), nn.BatchNorm2d(outer))

        def forward(self, x):
            y = self.relu(self.norm1(self.conv1(x)))
            y = self.norm2(self.conv2(y))
            return self.relu(y + (x if self.shortcut is None else self.shortcut(x)))

    layers = [nn.Conv2d(1, 16, 3, 2, 1, bias=False), nn.BatchNorm2d(16), nn.ReLU()]
    inner = 16
    for outer in (16, 32, 64):
        layers += [Block(inner, outer, 1 if inner == outer else 2), Block(outer, outer, 1)]
        inner = outer
    return layers + [nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(64, 10)]


# name: (layers, epochs, peak learning rate, weight decay, random shifts and flips)
MODELS = {
    'fashion-mlp': (mlp_layers, 20, 0.08, 5e-4, False),
    'fashion-lenet5': (lenet5_layers, 9, 0.05, 5e-4, False),
    'fashion-resnet': (resnet_layers, 12, 0.20, 5e-4, True),
}


def build(name):
    """The untrained model: uint8 [batch, 1, 28, 28] -> logits float [batch, 10]."""
    from torch import nn

    class Classifier(nn.Module):
        def __init__(self, layers):
            super().__init__()
            self.layers = nn.Sequential(*layers)

        def forward(self, image):
            return self.layers((image.float() - PIXEL_MEAN) / PIXEL_STD)

    return Classifier(MODELS[name][0](nn))


# ---- training --------------------------------------------------------------------------------------------

def shift_and_flip(images, generator):
    """Move each image by up to 2 pixels in both directions (zeros come in) and mirror every other one."""
    import torch
    count, _, height, width = images.shape
    padded = torch.nn.functional.pad(images, (2, 2, 2, 2))[:, 0]
    offset = torch.randint(0, 5, (2, count, 1), generator=generator)
    rows = offset[0] + torch.arange(height)
    columns = offset[1] + torch.arange(width)
    mirrored = torch.rand(count, 1, generator=generator) < 0.5
    columns = torch.where(mirrored, columns.flip(1), columns)
    item = torch.arange(count)[:, None, None]
    return padded[item, rows[:, :, None], columns[:, None, :]][:, None]


def train(name, images, labels, seed):
    """Stochastic gradient descent with Nesterov momentum and one rise and fall of the learning rate."""
    import torch
    _, epochs, rate, decay, augment = MODELS[name]
    torch.manual_seed(seed)
    generator = torch.Generator().manual_seed(seed)
    model = build(name)
    optimizer = torch.optim.SGD(model.parameters(), rate, 0.9, weight_decay=decay, nesterov=True)
    steps = len(images) // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, rate, epochs=epochs, steps_per_epoch=steps)
    for epoch in range(epochs):
        start, total = time.monotonic(), 0.0
        order = torch.randperm(len(images), generator=generator)[:steps * BATCH]
        for chosen in order.split(BATCH):
            batch = shift_and_flip(images[chosen], generator) if augment else images[chosen]
            loss = torch.nn.functional.cross_entropy(model(batch), labels[chosen])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            schedule.step()
            total += loss.item()
        print(f'{name}: epoch {epoch + 1}/{epochs}, loss {total / steps:.4f}, '
              f'{time.monotonic() - start:.0f} s', file=sys.stderr, flush=True)
    return model.eval()


def export(model, path):
    """Write the model in inference form, BatchNormalization nodes kept, by torch's own serializer.

    PRESERVE keeps the exporter from folding normalisation into the convolution before it: a file as people
    find it in the wild. The model is in eval mode, so those nodes are the inference ones, with one output.
    """
    import torch
    with warnings.catch_warnings():
        warnings.simplefilter('ignore')
        torch.onnx.export(
            model, torch.zeros(1, 1, 28, 28, dtype=torch.uint8), str(path), opset_version=OPSET,
            training=torch.onnx.TrainingMode.PRESERVE, input_names=['image'], output_names=['logits'],
            dynamic_axes={'image': {0: 'batch'}, 'logits': {0: 'batch'}})


# ---- evaluation ------------------------------------------------------------------------------------------

def wire_fields(message):
    """(field number, value) of each field of a protobuf message: integers as int, the rest as bytes."""
    at = 0

    def varint():
        nonlocal at
        value = shift = 0
        while True:
            byte = message[at]
            at += 1
            value |= (byte & 127) << shift
            shift += 7
            if byte < 128:
                return value

    while at < len(message):
        key = varint()
        kind = key & 7
        if kind == 0:
            yield key >> 3, varint()
            continue
        size = varint() if kind == 2 else {1: 8, 5: 4}[kind]
        yield key >> 3, message[at:at + size]
        at += size


def read_initializers(path):
    """(arrays, aliases) of an .onnx file as torch's exporter writes it: name -> float32 array of each float
    initializer, and output -> input of each Identity node, which stands for a tensor bit-equal to another.

    ModelProto.graph is field 7; GraphProto: node 1, initializer 5; NodeProto: input 1, output 2, op_type 4;
    TensorProto: dims 1 (one varint each), data_type 2 (1 is float), name 8, raw_data 9.
    """
    arrays, aliases = {}, {}
    graph = dict(wire_fields(memoryview(path.read_bytes())))[7]
    for field, message in wire_fields(graph):
        if field not in (1, 5):
            continue
        parts = list(wire_fields(message))
        last = dict(parts)
        if field == 5 and last[2] == 1:
            shape = [value for number, value in parts if number == 1]
            arrays[bytes(last[8]).decode()] = np.frombuffer(last[9], '<f4').reshape(shape)
        elif field == 1 and last[4] == b'Identity':
            aliases[bytes(last[2]).decode()] = bytes(last[1]).decode()
    return arrays, aliases


def torch_runner(path):
    """The network of that name in torch, with the weights of the .onnx file; the file is the checkpoint."""
    import torch
    model = build(path.stem).eval()
    arrays, aliases = read_initializers(path)
    arrays.update({name: arrays[original] for name, original in aliases.items()})
    state = {name: torch.tensor(array) for name, array in arrays.items()}
    missing, unexpected = model.load_state_dict(state, strict=False)
    missing = [name for name in missing if not name.endswith('num_batches_tracked')]
    if missing or unexpected:
        raise ValueError(f'{path}: initializers {missing + unexpected} do not match those of {path.stem}')

    def run(images):
        with torch.no_grad():
            return model(torch.from_numpy(images)).numpy()
    return run


def ort_runner(path):
    import onnxruntime
    session = onnxruntime.InferenceSession(str(path), providers=['CPUExecutionProvider'])
    return lambda images: session.run(['logits'], {'image': images})[0]


def count_correct(run, images, labels):
    correct = 0
    for first in range(0, len(images), 500):
        logits = run(images[first:first + 500])
        correct += int((logits.argmax(1) == labels[first:first + 500]).sum())
    return correct


def parameters_of(path):
    """Number of trained values stored; running means and variances are statistics and not counted."""
    arrays, _ = read_initializers(path)
    return sum(array.size for name, array in arrays.items() if '.running_' not in name)


def print_table(folder, runtime):
    """One line a model, from the files in the folder alone."""
    with np.load(folder / 'fashion-test.npz') as file:
        images = file['image']
    labels = np.load(folder / 'fashion-test-labels.npy')
    runner = torch_runner if runtime == 'torch' else ort_runner
    print(f'{"model":<16} {"parameters":>10} {"bytes":>9} {"correct":>8} {"of":>6} {"accuracy":>9}')
    for name in MODELS:
        path = folder / f'{name}.onnx'
        if not path.exists():
            continue
        correct = count_correct(runner(path), images, labels)
        print(f'{name:<16} {parameters_of(path):>10} {path.stat().st_size:>9} {correct:>8} {len(labels):>6} '
              f'{correct / len(labels):>9.2%}')


def choose_runtime(wanted):
    """The runtime asked for, else the first that can be imported; None if that fails."""
    for name in [wanted] if wanted else ['torch', 'onnxruntime']:
        try:
            __import__(name)
            return name
        except ImportError:
            pass
    return None


# ---- command ---------------------------------------------------------------------------------------------

def parse_arguments():
    parser = argparse.ArgumentParser(description='Train and export the sample models, and cut their data.')
    parser.add_argument('--seed', type=int, default=1, help='of everything random (default 1)')
    parser.add_argument('--threads', type=int, default=2, help='of torch; weights depend on it (default 2)')
    parser.add_argument('--dataset', type=pathlib.Path, default=FASHION_MNIST, help='folder of the IDX files')
    parser.add_argument('--out', type=pathlib.Path, default=HERE, help='where the files go (default: here)')
    parser.add_argument('--only', action='append', choices=list(MODELS), help='train this model only')
    parser.add_argument('--data-only', action='store_true', help='train nothing, write the data')
    parser.add_argument('--evaluate', action='store_true', help='train nothing, print the table')
    parser.add_argument('--runtime', choices=['torch', 'onnxruntime'], help='which one fills the table')
    return parser.parse_args()


def train_all(options):
    import torch
    torch.set_num_threads(options.threads)
    torch.use_deterministic_algorithms(True)
    images, labels = load_split(options.dataset, 'train')
    images, labels = torch.tensor(images), torch.tensor(labels, dtype=torch.long)
    for name in options.only or MODELS:
        model = train(name, images, labels, options.seed)
        export(model, options.out / f'{name}.onnx')


def main():
    options = parse_arguments()
    if not options.evaluate:
        if not options.dataset.is_dir():
            sys.exit(f'{options.dataset} is not there: apt-get install dataset-fashion-mnist')
        options.out.mkdir(parents=True, exist_ok=True)
        write_data(options.dataset, options.out, options.seed)
        if options.data_only:
            return
    runtime = choose_runtime(options.runtime if options.evaluate else 'torch')
    if runtime is None:
        sys.exit(f'{options.runtime or "torch"} is not installed (torch: apt-get install python3-torch)')
    if not options.evaluate:
        train_all(options)
    print_table(options.out, runtime)


if __name__ == '__main__':
    main()
