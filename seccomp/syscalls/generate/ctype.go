// SPDX-License-Identifier: Apache-2.0

package main

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// width says how many bits a C type has, 0 = those of a long, and whether it is signed.
type width struct {
	bits   int
	signed bool
}

// widths are the scalar types that entry points read, by include/linux/types.h, include/uapi/asm-generic/posix_types.h and
// include/asm-generic/compat.h.
var widths = map[string]width{
	"char": {8, true}, "unsigned char": {8, false}, "u8": {8, false}, "__u8": {8, false},
	"short": {16, true}, "unsigned short": {16, false}, "u16": {16, false}, "umode_t": {16, false}, "old_uid_t": {16, false}, "old_gid_t": {16, false},
	"compat_mode_t": {16, false},
	"int":           {32, true}, "pid_t": {32, true}, "key_serial_t": {32, true}, "clockid_t": {32, true}, "timer_t": {32, true}, "mqd_t": {32, true}, "key_t": {32, true},
	"s32": {32, true}, "__s32": {32, true}, "rwf_t": {32, true}, "compat_long_t": {32, true}, "compat_off_t": {32, true}, "compat_pid_t": {32, true}, "compat_int_t": {32, true},
	"compat_timer_t": {32, true}, "compat_key_t": {32, true}, "compat_ssize_t": {32, true},
	"unsigned int": {32, false}, "unsigned": {32, false}, "uint": {32, false}, "u32": {32, false}, "__u32": {32, false}, "uint32_t": {32, false}, "uid_t": {32, false}, "gid_t": {32, false}, "qid_t": {32, false},
	"compat_ulong_t": {32, false}, "compat_size_t": {32, false}, "compat_uptr_t": {32, false}, "compat_uint_t": {32, false}, "compat_old_sigset_t": {32, false},
	"compat_aio_context_t": {32, false}, "enum landlock_rule_type": {32, false},
	"long": {0, true}, "off_t": {0, true}, "ssize_t": {0, true}, "__kernel_old_time_t": {0, true}, "time_t": {0, true},
	"unsigned long": {0, false}, "size_t": {0, false}, "aio_context_t": {0, false}, "old_sigset_t": {0, false},
	"cap_user_header_t": {0, false}, "cap_user_data_t": {0, false}, "uintptr_t": {0, false}, "__sighandler_t": {0, false},
	"loff_t": {64, true}, "long long": {64, true}, "s64": {64, true}, "__s64": {64, true}, "compat_loff_t": {64, true},
	"u64": {64, false}, "__u64": {64, false}, "unsigned long long": {64, false},
}

// widthOf is the width of a C type on an ABI whose kernel's long has so many bits.
func widthOf(ctype string, long int) (width, error) {
	ctype, read, narrowed := strings.Cut(ctype, ":")
	w, known := widths[strings.TrimPrefix(ctype, "const ")]
	if strings.Contains(ctype, "*") {
		w, known = width{}, true
	}
	if !known {
		return w, fmt.Errorf("unknown type %q", ctype)
	}
	if w.bits == 0 {
		w.bits = long
	}
	if narrowed {
		bits, err := strconv.Atoi(read)
		if err != nil {
			return w, fmt.Errorf("type %q: %w", ctype, err)
		}
		w.bits = bits
	}
	return w, nil
}

// alignsPairs are the architectures whose 32-bit calling convention puts a 64-bit value into an even register and the next.
var alignsPairs = map[string]bool{"arm": true, "mips": true, "powerpc": true}

// registers is the prototype by registers: what has 64 bits is split where a register has 32, in the ABI's order. A function that a 64-bit kernel
// has for 32-bit processes has a parameter for each register already.
func (p prototype) registers(a *abi) (prototype, error) {
	if a.word == 64 {
		return p, nil
	}
	split := prototype{}
	for _, parameter := range p {
		w, err := widthOf(parameter.ctype, a.word)
		if err != nil {
			return nil, err
		}
		if w.bits <= 32 {
			split = append(split, parameter)
			continue
		}
		if alignsPairs[a.arch] && len(split)%2 != 0 {
			split = append(split, padding)
		}
		split = append(split, half(parameter.name, !a.bigEndian), half(parameter.name, a.bigEndian))
	}
	return split, nil
}

// ordered exchanges the halves that SC_ARG64 and its like make of a value, for an ABI that has the upper one first.
func (p prototype) ordered(a *abi) prototype {
	if !a.bigEndian {
		return p
	}
	p = slices.Clone(p)
	for i := range len(p) - 1 {
		if low, ok := strings.CutSuffix(p[i].name, "_lo"); ok && p[i+1].name == low+"_hi" {
			p[i].name, p[i+1].name = p[i+1].name, p[i].name
		}
	}
	return p
}

var padding = parameter{"u32", "unused"}

func half(name string, low bool) parameter {
	if low {
		return parameter{"u32", name + "_lo"}
	}
	return parameter{"u32", name + "_hi"}
}

// code packs the widths of the first six parameters, which a filter sees, four bits each: 1 to 4 for 8 to 64 bits, and 8 if signed.
func (p prototype) code(a *abi) (uint32, error) {
	code := uint32(0)
	for i, parameter := range p[:min(len(p), 6)] {
		w, err := widthOf(parameter.ctype, a.word)
		if err != nil {
			return 0, err
		}
		bits := map[int]uint32{8: 1, 16: 2, 32: 3, 64: 4}[min(w.bits, a.word)]
		if bits == 0 {
			return 0, fmt.Errorf("%s %s has %d bits", parameter.ctype, parameter.name, w.bits)
		}
		if w.signed {
			bits |= 8
		}
		code |= bits << (4 * i)
	}
	return code, nil
}
