// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	testselinux "github.com/bulkhead-project/bulkhead/test/selinux"
)

// commandRow are whole commands that do the same, ours and theirs.
type commandRow struct {
	name         string
	runs         int // at most
	theirs, ours []string
}

// cost is what one run took.
type cost struct {
	CPU    float64 // ms
	Memory float64 // MiB, the peak
}

// commandRows are the commands that are measured, over Debian's policy and the same with one module more.
func commandRows(binary, policy, more, directory string) []commandRow {
	sub := func(args ...string) []string { return append([]string{binary, "selinux"}, args...) }
	return []commandRow{
		{"`diff` of the same policy beside `sediff`", 2, []string{"sediff", policy, policy}, sub("diff", policy, policy)},
		{"`diff` with one module more", 2, []string{"sediff", policy, more}, sub("diff", policy, more)},
		{"`decompile` beside `checkpolicy -b -C`", 5, []string{"checkpolicy", "-M", "-b", "-C", "-o", filepath.Join(directory, "theirs.cil"), policy},
			sub("decompile", "-o", filepath.Join(directory, "ours.cil"), policy)},
	}
}

// measureWhole measures the commands, and checks that sediff and ours find the same.
func measureWhole(runs int, binary, policy, debian, directory string) error {
	more, err := oneMore(debian, directory)
	if err != nil {
		return err
	}
	install, err := installRow(debian, policy, directory)
	if err != nil {
		return err
	}
	compile, err := compileRow(binary, debian, directory)
	if err != nil {
		return err
	}
	if err := measureCommands(runs, append(commandRows(binary, policy, more, directory), compile, install)); err != nil {
		return err
	}
	if err := sameFiles(directory, "secilc", "compiled"); err != nil {
		return err
	}
	return sameAsSediff(policy, more)
}

// compileRow is all of Debian's modules, to the bytes of Debian 12's secilc.
func compileRow(binary, debian, directory string) (commandRow, error) {
	modules, err := filepath.Glob(filepath.Join(debian, "cil", "*.cil"))
	into := func(name string) []string {
		return []string{"-c", "33", "-o", filepath.Join(directory, name+".33"), "-f", filepath.Join(directory, name+".contexts")}
	}
	return commandRow{fmt.Sprintf("`compile` of Debian's %d modules beside `secilc`", len(modules)), 5, slices.Concat([]string{"secilc"}, into("secilc"), modules),
		slices.Concat([]string{binary, "selinux", "compile", "--order", "3.4"}, into("compiled"), modules)}, err
}

// sameFiles checks that both compiled the same policy and file contexts.
func sameFiles(directory, theirs, ours string) error {
	for _, suffix := range []string{".33", ".contexts"} {
		first, err := os.ReadFile(filepath.Join(directory, theirs+suffix))
		if err != nil {
			return err
		}
		second, err := os.ReadFile(filepath.Join(directory, ours+suffix))
		if err != nil {
			return err
		}
		if !bytes.Equal(first, second) {
			return fmt.Errorf("compile and secilc wrote different files %s", suffix)
		}
	}
	fmt.Println("\nThe compiled policies and file contexts are the same bytes.")
	return nil
}

// measureCommands measures the rows in alternating runs and prints a table.
func measureCommands(runs int, rows []commandRow) error {
	fmt.Println("\nWhole commands: CPU time and peak memory, medians of few runs.\n\n| | theirs | ours | ratio of time |\n|---|---|---|---|")
	for _, row := range rows {
		var theirs, ours [2][]float64
		for range min(runs, row.runs) {
			for _, side := range []struct {
				into *[2][]float64
				args []string
			}{{&theirs, row.theirs}, {&ours, row.ours}} {
				spent, err := measured(side.args)
				if err != nil {
					return err
				}
				side.into[0], side.into[1] = append(side.into[0], spent.CPU), append(side.into[1], spent.Memory)
			}
		}
		fmt.Printf("| %s | %.0f ms, %.0f MiB | %.0f ms, %.0f MiB | %.3f |\n", row.name, median(theirs[0]), median(theirs[1]), median(ours[0]), median(ours[1]), median(ours[0])/median(theirs[0]))
	}
	return nil
}

// measured runs a command as the child of a small process of its own, as the kernel counts the memory of the process that starts another one as that one's, too.
func measured(args []string) (cost, error) {
	self, err := os.Executable()
	if err != nil {
		return cost{}, err
	}
	out, err := exec.Command(self, append([]string{"-measure"}, args...)...).Output()
	if err != nil {
		return cost{}, fmt.Errorf("%s: %w", strings.Join(args, " "), err)
	}
	var spent cost
	_, err = fmt.Sscan(string(out), &spent.CPU, &spent.Memory)
	return spent, err
}

// measureOne is that process. diff ends with 1 where there are differences.
func measureOne(args []string) error {
	command := exec.Command(args[0], args[1:]...)
	err := command.Run()
	var ended *exec.ExitError
	if errors.As(err, &ended) && ended.ExitCode() == 1 && slices.Contains(args, "diff") {
		err = nil
	}
	if err != nil {
		return err
	}
	state := command.ProcessState
	_, err = fmt.Println(float64((state.UserTime()+state.SystemTime()).Microseconds())/1e3, float64(state.SysUsage().(*syscall.Rusage).Maxrss)/1024)
	return err
}

// oneMore compiles Debian's modules and one more.
func oneMore(debian, directory string) (string, error) {
	modules, err := filepath.Glob(filepath.Join(debian, "cil", "*.cil"))
	if err != nil {
		return "", err
	}
	module, output := filepath.Join(directory, "container.cil"), filepath.Join(directory, "more.33")
	if err := os.WriteFile(module, container, 0o600); err != nil {
		return "", err
	}
	if out, err := exec.Command("secilc", append([]string{"-c", "33", "-o", output, "-f", "/dev/null", module}, modules...)...).CombinedOutput(); err != nil {
		return "", fmt.Errorf("secilc: %w: %s (apt-get install secilc)", err, out)
	}
	return output, nil
}

// sameAsSediff checks that sediff finds what ours does. It does not look at which types the attributes of a constraint stand for.
func sameAsSediff(before, after string) error {
	out, err := exec.Command("sediff", before, after).Output()
	if err != nil {
		return fmt.Errorf("sediff: %w (apt-get install setools)", err)
	}
	want := testselinux.Sediff(string(out))
	var policies [2]*policydb.Policy
	for i, path := range []string{before, after} {
		data, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if policies[i], err = policydb.Decode(data); err != nil {
			return err
		}
	}
	var got []string
	for one := range policydb.Diff(policies[0], policies[1]) {
		if one.Sign != policydb.Modified || !strings.HasSuffix(one.Kind, "constrain") {
			got = append(got, testselinux.OurLines(one))
		}
	}
	slices.Sort(got)
	if !slices.Equal(got, want) {
		return fmt.Errorf("diff finds %d differences and sediff %d, or others", len(got), len(want))
	}
	fmt.Printf("\nWith one module more both find the same %d differences.\n", len(got))
	return nil
}
