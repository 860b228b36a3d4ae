"""`oryx-scene bench`: measure vision tower, prefill, decode or the scene cache on this machine."""

from __future__ import annotations

import argparse
import contextlib
import json

HELP = "Measure the engine beside the limits of this machine and other implementations."
PARTS = ("vit", "resize", "prefill", "decode", "scene", "frames")


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Declare the command's arguments."""
    parser.add_argument("part", choices=PARTS, help="what to measure")
    parser.add_argument(
        "--size", choices=("tiny", "0.5b", "7b"), default="tiny", help="tiny is a dry run (default)"
    )
    parser.add_argument("--device", help="cpu, cuda, cuda:1 (default: cuda where there is one)")
    parser.add_argument("--dtype", choices=("float32", "bfloat16", "float16"))
    parser.add_argument(
        "--quantization", choices=("none", "int8", "int4"), default="none", help="of the weights"
    )
    parser.add_argument("--rounds", type=int, default=7, help="calls per side after the warm-up")
    parser.add_argument("--tokens", type=int, default=0, help="length of the prompt")
    parser.add_argument("--threads", type=int, default=0, help="of the CPU (default: torch's own)")
    parser.add_argument(
        "--cpu-time",
        action="store_true",
        help="count the seconds that the thread computed: for a busy machine, with --threads 1",
    )
    parser.add_argument("--json", action="store_true", help="print only the JSON line")


def run(args: argparse.Namespace) -> int:
    """Measure, print a table and one last JSON line."""
    import torch

    from oryx_scene.errors import ConfigError
    from oryx_scene.lab.bench.options import BenchOptions, part
    from oryx_scene.lab.bench.report import table
    from oryx_scene.lab.bench.timing import cpu_time
    from oryx_scene.model.checkpoint.checkpoint import DTYPES
    from oryx_scene.model.engine.device import check_device

    if args.rounds < 1 or args.tokens < 0 or args.threads < 0:
        raise ConfigError("--rounds must be at least 1, --tokens and --threads not negative.")
    if args.cpu_time and args.threads != 1:
        raise ConfigError("--cpu-time counts one thread.", hint="add --threads 1")
    if args.threads:
        torch.set_num_threads(args.threads)
    device = check_device(args.device)
    name = args.dtype or ("float32" if device.type == "cpu" else "bfloat16")
    options = BenchOptions(
        args.size, device, DTYPES[name], args.rounds, args.tokens, args.quantization
    )
    with cpu_time() if args.cpu_time else contextlib.nullcontext():
        rows = part(args.part)(options)
    described = {
        "bench": args.part,
        "size": args.size,
        "device": _device_name(device),
        "dtype": name,
        "quantization": args.quantization,
        "threads": torch.get_num_threads(),
        "clock": "CPU seconds of the thread" if args.cpu_time else "wall",
        "torch": torch.__version__,
        "warm_up": "one call per side, reported as first_s",
        "rows": [row.as_dict() for row in rows],
    }
    if not args.json:
        print(f"{args.part}, size {args.size}, {name} on {described['device']}")
        if options.tiny:
            print("tiny shows that everything runs; its shares of limits say little")
        print(table(rows))
    print(json.dumps(described, allow_nan=False))
    return 0


def _device_name(device: object) -> str:
    import torch

    assert isinstance(device, torch.device)
    if device.type == "cuda":
        return f"{torch.cuda.get_device_name(device)}"
    return f"cpu ({torch.backends.cpu.get_cpu_capability()})"
