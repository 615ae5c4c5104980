# SPDX-License-Identifier: Apache-2.0
"""Stands in for libseccomp's Python binding: it notes what a test asks for, and export_bpf prints that as JSON.

The calls of x86_64 are read from the file that SECCOMP_CALLS names: a JSON object of names and numbers.
"""

import json
import os

KILL, KILL_PROCESS, TRAP, LOG, ALLOW, NOTIFY = (
    ("SCMP_ACT_" + name, None) for name in ("KILL", "KILL_PROCESS", "TRAP", "LOG", "ALLOW", "NOTIFY"))
NE, LT, LE, EQ, GE, GT, MASKED_EQ = ("SCMP_CMP_" + name for name in ("NE", "LT", "LE", "EQ", "GE", "GT", "MASKED_EQ"))
NATIVE = "x86_64"

with open(os.environ["SECCOMP_CALLS"], encoding="ascii") as file:
    CALLS = json.load(file)
NAMES = {number: name for name, number in CALLS.items()}


def ERRNO(number):
    return ("SCMP_ACT_ERRNO", number)


def TRACE(number):
    return ("SCMP_ACT_TRACE", number)


def set_api(level):
    """Whatever the library would then lack, the tests that are run do not use."""


def resolve_syscall(arch, call):
    table = CALLS if isinstance(call, str) else NAMES
    if call not in table:
        raise ValueError(call)
    return table[call]


class Attr:
    """The attributes that tests set. None of those changes an answer."""

    API_TSKIP, CTL_OPTIMIZE = range(2)


class Arch:
    def __init__(self, name=NATIVE):
        self.name = name


class Arg:
    def __init__(self, index, op, value, second=0):
        mask = (1 << 64) - 1
        self.condition = {"index": index, "op": op, "value": value & mask, "valueTwo": second & mask, "width": 64}


class SyscallFilter:
    def __init__(self, defaction):
        self.reset(defaction)

    def reset(self, defaction=None):
        if defaction is not None:
            self.default = defaction
        self.arches = [NATIVE]
        self.rules = []

    def add_arch(self, arch):
        if arch.name not in self.arches:
            self.arches.append(arch.name)

    def remove_arch(self, arch):
        self.arches.remove(arch.name)
        for rule in self.rules:
            rule["arches"] = [name for name in rule["arches"] if name != arch.name]

    def merge(self, other):
        self.arches += other.arches
        self.rules += other.rules

    def set_attr(self, attr, value):
        """Has no influence on answers."""

    def syscall_priority(self, call, priority):
        """Has no influence on answers."""

    def add_rule(self, action, call, *args):
        if isinstance(call, int):
            call = NAMES.get(call, call)
        self.rules.append({"arches": list(self.arches), "action": action[0], "errnoRet": action[1], "call": str(call),
                           "args": [arg.condition for arg in args]})

    add_rule_exactly = add_rule

    def export_bpf(self, file):
        json.dump({"action": self.default[0], "errnoRet": self.default[1], "arches": self.arches, "rules": self.rules}, file)
        file.write("\n")
