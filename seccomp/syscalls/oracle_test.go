// SPDX-License-Identifier: Apache-2.0

package syscalls

import (
	"bufio"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// recorded reads a file of testdata: per ABI, the number of each name, and which names it lists without one.
func recorded(t *testing.T, name string) (numbers map[string]map[string]uint32, absent map[string][]string) {
	t.Helper()
	file, err := os.Open(filepath.Join("testdata", name))
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	numbers, absent = map[string]map[string]uint32{}, map[string][]string{}
	var columns []string
	lines := bufio.NewScanner(file)
	for lines.Scan() {
		fields := strings.Fields(lines.Text())
		switch {
		case fields[0] == "#":
		case columns == nil:
			columns = fields
			for _, abi := range columns[1:] {
				numbers[abi] = map[string]uint32{}
			}
		default:
			for i, abi := range columns[1:] {
				if fields[i+1] == "-" {
					absent[abi] = append(absent[abi], fields[0])
					continue
				}
				number, err := strconv.ParseUint(fields[i+1], 10, 32)
				if err != nil {
					t.Fatal(err)
				}
				numbers[abi][fields[0]] = uint32(number)
			}
		}
	}
	if err := lines.Err(); err != nil {
		t.Fatal(err)
	}
	return numbers, absent
}

// compare checks our numbers of an ABI against another source's, but for the differences that are named "abi call", and marks those as seen.
func compare(t *testing.T, a *ABI, theirs map[string]uint32, known map[string]string, seen map[string]bool) {
	t.Helper()
	for name, want := range theirs {
		c, _ := Lookup(name)
		if number, ok := a.Number(c); ok && number == want {
			continue
		} else if key := a.Name + " " + name; known[key] != "" {
			seen[key] = true
		} else {
			t.Errorf("%s: %s is %d, %t, the other source has %d", a.Name, name, number, ok, want)
		}
	}
}

func allSeen(t *testing.T, known map[string]string, seen map[string]bool) {
	t.Helper()
	for key, why := range known {
		if !seen[key] {
			t.Errorf("%s (%s) is no difference any more", key, why)
		}
	}
}

func TestNumbersAreThoseOfLibseccomp(t *testing.T) {
	known := map[string]string{
		"parisc64 _llseek":            "the kernel's table has it for 32 bits only",
		"x32 map_shadow_stack":        "newer than libseccomp's table",
		"arm sync_file_range2":        "arm_sync_file_range's other name, which later versions have instead",
		"ppc arm_sync_file_range":     "sync_file_range2's other name",
		"ppc64 arm_sync_file_range":   "sync_file_range2's other name",
		"ppc64le arm_sync_file_range": "sync_file_range2's other name",
	}
	seen := map[string]bool{}
	numbers, absent := recorded(t, "libseccomp-2.5.4.txt")
	if len(numbers) != 19 {
		t.Fatalf("%d ABIs", len(numbers))
	}
	for name, theirs := range numbers {
		a := ByName(name)
		if len(theirs) < 290 {
			t.Errorf("%s: only %d numbers recorded", name, len(theirs))
		}
		compare(t, a, theirs, known, seen)
		served := served(a)
		for _, name := range absent[a.Name] {
			c, known2 := Lookup(name)
			if !known2 {
				t.Errorf("no call %s", name)
			}
			if _, ok := a.Number(c); ok && !served[c] {
				if key := a.Name + " " + name; known[key] != "" {
					seen[key] = true
				} else {
					t.Errorf("%s has %s, libseccomp has not", a.Name, name)
				}
			}
		}
	}
	allSeen(t, known, seen)
}

// served are the calls that libseccomp gives no number, because the ABI also has a multiplexer for them.
func served(a *ABI) map[Call]bool {
	calls := map[Call]bool{}
	for _, name := range []string{"socketcall", "ipc"} {
		c, _ := Lookup(name)
		for _, sub := range a.Multiplexed(c) {
			calls[sub.Call] = true
		}
	}
	return calls
}

func TestNumbersAreThoseOfDebiansHeaders(t *testing.T) {
	numbers, absent := recorded(t, "headers-6.1.txt")
	for name, theirs := range numbers {
		a := ByName(name)
		if len(theirs) < 300 {
			t.Errorf("%s: only %d numbers recorded", name, len(theirs))
		}
		compare(t, a, theirs, nil, nil)
		for _, name := range absent[name] {
			c, _ := Lookup(name)
			if _, ok := a.Number(c); ok {
				t.Errorf("%s has %s, the header has not", a.Name, name)
			}
		}
		for number, c := range a.Numbers() {
			if _, ok := theirs[c.String()]; !ok && !(Version{6, 1}).Before(c.Since()) && c.String() != "sync_file_range2" { // SH got that one with 6.11
				t.Errorf("%s: %s, %d, is not in the header of 6.1 and came with %v", a.Name, c, number, c.Since())
			}
		}
	}
}

var systemNumber = regexp.MustCompile(`(?m)^\s+SYS_(\w+)\s+= (\d+)`)

func TestNumbersAreThoseOfGolangSys(t *testing.T) {
	output, err := exec.Command("go", "list", "-m", "-f", "{{.Dir}}", "golang.org/x/sys").Output()
	if err != nil {
		t.Fatal(err)
	}
	directory := filepath.Join(strings.TrimSpace(string(output)), "unix")
	noCall := regexp.MustCompile(`^(reserved\d+|unused\d+|arch_specific_syscall|syscall_mask)$`)
	for _, goarch := range []string{"386", "amd64", "arm", "arm64", "loong64", "mips", "mipsle", "mips64", "mips64le", "ppc", "ppc64", "ppc64le", "riscv64", "s390x"} {
		a := Native(goarch)
		if goarch == "ppc" {
			a = ByName("ppc") // no port of Go, but of the package
		}
		text, err := os.ReadFile(filepath.Join(directory, "zsysnum_linux_"+goarch+".go"))
		if err != nil {
			t.Fatal(err)
		}
		theirs := map[string]uint32{}
		for _, match := range systemNumber.FindAllStringSubmatch(string(text), -1) {
			number, err := strconv.ParseUint(match[2], 10, 32)
			if err != nil {
				t.Fatal(err)
			}
			name := strings.ToLower(match[1])
			if c, ok := Lookup(name); ok {
				name = c.String() // ARM's has two
			}
			if !noCall.MatchString(name) {
				theirs[name] = uint32(number)
			}
		}
		if len(theirs) < 300 {
			t.Errorf("%s: only %d numbers found", goarch, len(theirs))
		}
		compare(t, a, theirs, nil, nil)
		for number, c := range a.Numbers() {
			if _, ok := theirs[c.String()]; !ok && number < privateBase { // the package leaves out ARM's private calls
				t.Errorf("%s: %s, %d, is not in golang.org/x/sys", a.Name, c, number)
			}
		}
	}
}
