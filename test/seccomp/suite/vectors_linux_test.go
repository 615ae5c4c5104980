// SPDX-License-Identifier: Apache-2.0

package suite

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// vector is a line of a .tests file under "test type: bpf-sim": calls that all end in one result.
type vector struct {
	abi    *syscalls.ABI
	call   string // a name, a number, or a range of numbers
	args   [6]values
	result string // as scmp_bpf_sim prints it
	line   string
}

// values are those from first to last; N in the file is 0.
type values struct{ first, last uint64 }

// simulated are libseccomp's lists of architectures in tests/regression, those that we have.
var simulated = map[string][]string{
	"+all_le": {"x86", "x86_64", "x32", "arm", "aarch64", "mipsel", "mipsel64", "mipsel64n32", "ppc64le", "riscv64"},
	"+all_be": {"mips", "mips64", "mips64n32", "ppc", "ppc64", "s390", "s390x"},
	"all":     {"x86_64"}, "all_le": {"x86_64"}, "all_64": {"x86_64"}, "all_be": nil, "all_32": nil,
}

// readVectors returns the vectors of a test for a native x86_64.
func readVectors(t *testing.T, directory, name string) []vector {
	t.Helper()
	file, err := os.Open(filepath.Join(directory, "tests", name+".tests"))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var vectors []vector
	kind := ""
	for lines := bufio.NewScanner(file); lines.Scan(); {
		words := strings.Fields(lines.Text())
		switch {
		case len(words) == 0 || strings.HasPrefix(words[0], "#"):
		case words[0] == "test":
			kind = words[2]
		case kind == "bpf-sim":
			vectors = append(vectors, expand(t, words, lines.Text())...)
		}
	}
	return vectors
}

func expand(t *testing.T, words []string, line string) []vector {
	t.Helper()
	if len(words) != 10 {
		t.Fatalf("%q has %d words", line, len(words))
	}
	base := vector{call: words[2], result: words[9], line: strings.Join(words, " ")}
	for i, word := range words[3:9] {
		if word != "N" {
			base.args[i] = parseRange(t, word)
		}
	}
	var vectors []vector
	for _, name := range architectures(words[1]) {
		if base.abi = syscalls.ByName(name); base.abi == nil {
			t.Logf("no architecture %s: %q", name, line) // newer libraries have some that no OCI profile can name
			continue
		}
		vectors = append(vectors, base)
	}
	return vectors
}

// architectures are those of a word of the file such as all,-x32 or +x86,+s390.
func architectures(word string) []string {
	var names []string
	for part := range strings.SplitSeq(word, ",") {
		list, isList := simulated[part]
		switch {
		case isList:
			names = append(names, list...)
		case part[0] == '+':
			names = append(names, part[1:])
		case part[0] == '-':
			names = slices.DeleteFunc(names, func(name string) bool { return name == part[1:] })
		case part == "x86_64":
			names = append(names, part)
		}
	}
	return names
}

func parseRange(t *testing.T, word string) values {
	t.Helper()
	first, last, isRange := strings.Cut(word, "-")
	if !isRange || first == "" { // a negative number is none
		last, first = word, word
	}
	return values{parseValue(t, first), parseValue(t, last)}
}

func parseValue(t *testing.T, word string) uint64 {
	t.Helper()
	if negative, err := strconv.ParseInt(word, 0, 64); err == nil {
		return uint64(negative)
	}
	value, err := strconv.ParseUint(word, 0, 64)
	if err != nil {
		t.Fatal(err)
	}
	return value
}

// each calls f for every combination of the vector's arguments.
func (v *vector) each(f func(args [6]uint64)) {
	var args [6]uint64
	var next func(i int)
	next = func(i int) {
		if i == len(args) {
			f(args)
			return
		}
		for args[i] = v.args[i].first; ; args[i]++ {
			next(i + 1)
			if args[i] == v.args[i].last {
				return
			}
		}
	}
	next(0)
}

// resultOf is what scmp_bpf_sim prints for a filter's answer.
func resultOf(value uint32) string {
	switch data := value & 0xffff; value &^ 0xffff {
	case 0x80000000:
		return "KILL_PROCESS"
	case 0:
		return "KILL"
	case 0x00030000:
		return "TRAP"
	case 0x00050000:
		return fmt.Sprintf("ERRNO(%d)", data)
	case 0x7ff00000:
		return fmt.Sprintf("TRACE(%d)", data)
	case 0x7ffc0000:
		return "LOG"
	case 0x7fff0000:
		return "ALLOW"
	}
	return fmt.Sprintf("%#x", value)
}
