// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"
)

// testOutput is a file, or a directory of files, that a test binary writes in the
// guest and that belongs on the host.
type testOutput struct {
	guest, host string
	isDirectory bool
}

func (o testOutput) directory() string {
	if o.isDirectory {
		return o.guest
	}
	return filepath.Dir(o.guest)
}

// hostPath returns where a file of the guest belongs; ok is false if it is not of
// this output. Only direct entries of a directory are.
func (o testOutput) hostPath(guest string) (path string, ok bool) {
	switch {
	case guest == o.guest && !o.isDirectory:
		return o.host, true
	case o.isDirectory && filepath.Dir(guest) == o.guest:
		return filepath.Join(o.host, filepath.Base(guest)), true
	}
	return "", false
}

// Flags of a test binary whose value is a file to write.
var outputFlags = []string{"coverprofile", "cpuprofile", "memprofile", "blockprofile", "mutexprofile", "trace"}

// rewriteTestFlags replaces the host's paths in the flags that "go test" gives a
// test binary: outputs are written below /out in the guest and come back. The log
// of opened files is dropped, which is only for go's cache of results; so give
// -count=1. Other arguments pass unchanged, also those after "--".
func rewriteTestFlags(arguments []string, directory string) ([]string, []testOutput, error) {
	var rewritten []string
	var outputs []testOutput
	base := directory
	if i := slices.IndexFunc(arguments, isOutputDirectory); i >= 0 {
		_, value, _ := testFlag(arguments[i])
		base = absolute(directory, value)
	}
	for i, argument := range arguments {
		if argument == "--" {
			return append(rewritten, arguments[i:]...), outputs, nil
		}
		name, value, ok := testFlag(argument)
		guest := fmt.Sprintf("/out/%d/%s", len(outputs), filepath.Base(value))
		switch {
		case !ok:
			rewritten = append(rewritten, argument)
		case name == "testlogfile" || name == "outputdir":
		case name == "fuzz" && value != "":
			return nil, nil, errors.New("fuzzing in the guest would lose what it finds")
		case name == "gocoverdir":
			outputs = append(outputs, testOutput{guest: guest, host: absolute(directory, value), isDirectory: true})
			rewritten = append(rewritten, "-test.gocoverdir="+guest)
		case slices.Contains(outputFlags, name):
			outputs = append(outputs, testOutput{guest: guest, host: absolute(base, value)})
			rewritten = append(rewritten, "-test."+name+"="+guest)
		default:
			rewritten = append(rewritten, argument)
		}
	}
	return rewritten, outputs, nil
}

func isOutputDirectory(argument string) bool {
	name, _, ok := testFlag(argument)
	return ok && name == "outputdir"
}

// testFlag splits "-test.NAME=VALUE", the form that "go test" uses.
func testFlag(argument string) (name, value string, ok bool) {
	flag, value, ok := strings.Cut(argument, "=")
	name, isTest := strings.CutPrefix(strings.TrimPrefix(flag, "-"), "-test.")
	if !isTest {
		name, isTest = strings.CutPrefix(flag, "-test.")
	}
	return name, value, ok && isTest
}

// Verbose returns the command of a test binary with -test.v, which makes it name
// its skipped tests.
func Verbose(command []string) ([]string, error) {
	isTest := len(command) > 0 && strings.HasSuffix(command[0], ".test")
	for _, argument := range command {
		name, _, ok := testFlag(argument)
		if ok && name == "v" || argument == "-test.v" {
			return command, nil
		}
		isTest = isTest || ok
	}
	if !isTest {
		return nil, errors.New("only a test binary can tell what it skips")
	}
	return slices.Insert(slices.Clone(command), 1, "-test.v"), nil
}
