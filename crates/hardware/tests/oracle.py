"""Answers questions from archspec: one JSON document a line, one answer a line."""
import importlib
import io
import json
import pathlib
import platform
import sys

import archspec
import archspec.cpu

# `archspec.cpu.detect` is shadowed by nothing today; importlib says what is meant.
detect = importlib.import_module("archspec.cpu.detect")
FOLDER = pathlib.Path(archspec.__file__).parent / "json"


def targets():
    answer = {}
    for name, target in archspec.cpu.TARGETS.items():
        answer[name] = {
            "ancestors": sorted({str(x) for x in target.ancestors}),
            "features": sorted(target.features),
            "vendor": target.vendor,
            "family": str(target.family),
            "generic": str(target.generic),
        }
    return answer


def detected(machine, cpuinfo):
    platform.machine = lambda: machine
    platform.system = lambda: "Linux"
    detect._machine.cache_clear()
    detect.host.cache_clear()
    # The module opens /proc/cpuinfo by the builtin `open`; it finds this one first.
    detect.open = lambda *_args, **_kwargs: io.StringIO(cpuinfo)
    return str(detect.host())


def corpus():
    folder = FOLDER / "tests" / "targets"
    return {path.name: path.read_text(errors="replace") for path in sorted(folder.iterdir())}


def answer(question):
    if question["ask"] == "targets":
        return targets()
    if question["ask"] == "corpus":
        return corpus()
    return detected(question["machine"], question["cpuinfo"])


for line in sys.stdin:
    print(json.dumps(answer(json.loads(line))))
