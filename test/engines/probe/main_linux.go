// SPDX-License-Identifier: Apache-2.0

// Command probe is put into the image of the engine tests. It asks the kernel, from inside a container, what it enforces there, and prints
// the answers as one JSON object:
//
//	status           fields of /proc/self/status: NoNewPrivs, Seccomp, and the five capability sets
//	mount            errno of a change of propagation on a directory that is no mount point: EINVAL, or EPERM in a Landlock domain (or
//	                 without CAP_SYS_ADMIN, or where seccomp refuses it)
//	sibling          errno of reading the link /proc/PID/exe, which asks what ptrace asks: EACCES where that process is in another domain. PID
//	                 is the first argument, or 1
//	descriptor       errno of opening "secret" beneath descriptor 3; EBADF or ENOTDIR where that is no directory
//	above            errno of opening "../secret" beneath it
//	passed           which of descriptors 3 to 9 are open directories
//
// An empty errno is success.
package main

import (
	"bufio"
	"encoding/json"
	"os"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

type answers struct {
	Status     map[string]string `json:"status"`
	Mount      string            `json:"mount"`
	Sibling    string            `json:"sibling"`
	Descriptor string            `json:"descriptor"`
	Above      string            `json:"above"`
	Passed     []int             `json:"passed"`
}

func main() {
	pid := "1"
	if len(os.Args) > 1 {
		pid = os.Args[1]
	}
	out := answers{
		Status:     status(),
		Mount:      name(unix.Mount("", "/tmp", "", unix.MS_PRIVATE, "")),
		Sibling:    link("/proc/" + pid + "/exe"),
		Descriptor: open(3, "secret"),
		Above:      open(3, "../secret"),
		Passed:     directories(),
	}
	json.NewEncoder(os.Stdout).Encode(out)
}

func status() map[string]string {
	fields := map[string]string{}
	file, err := os.Open("/proc/self/status")
	if err != nil {
		return fields
	}
	defer file.Close()
	for lines := bufio.NewScanner(file); lines.Scan(); {
		field, value, _ := strings.Cut(lines.Text(), ":")
		if field == "NoNewPrivs" || field == "Seccomp" || field == "Seccomp_filters" || strings.HasPrefix(field, "Cap") {
			fields[field] = strings.TrimSpace(value)
		}
	}
	return fields
}

func open(directory int, path string) string {
	descriptor, err := unix.Openat(directory, path, unix.O_RDONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return name(err)
	}
	unix.Close(descriptor)
	return ""
}

func link(path string) string {
	_, err := unix.Readlink(path, make([]byte, unix.PathMax))
	return name(err)
}

// directories lists the open directories among 3 to 9. The program's own runtime keeps descriptors of cgroup files, which are not counted.
func directories() []int {
	var found []int
	for descriptor := 3; descriptor < 10; descriptor++ {
		path, err := os.Readlink("/proc/self/fd/" + strconv.Itoa(descriptor))
		var stat unix.Stat_t
		if err == nil && unix.Fstat(descriptor, &stat) == nil && stat.Mode&unix.S_IFMT == unix.S_IFDIR && !strings.HasPrefix(path, "/sys/fs/cgroup") {
			found = append(found, descriptor)
		}
	}
	return found
}

func name(err error) string {
	if err == nil {
		return ""
	}
	if errno, ok := err.(unix.Errno); ok {
		return unix.ErrnoName(errno)
	}
	return err.Error()
}
