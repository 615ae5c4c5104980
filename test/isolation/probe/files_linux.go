// SPDX-License-Identifier: Apache-2.0

package main

import (
	"encoding/hex"
	"fmt"
	"io"
	"net"
	"os"
	"sort"
	"strings"

	"golang.org/x/sys/unix"
)

// attempted are the questions that are answered by trying.
var attempted = map[string]attempt{
	// Through a descriptor: openat:DESCRIPTOR:PATH and so on.
	"openat":   {2, func(a []string) error { return closing(unix.Openat(number(a[0]), a[1], unix.O_RDONLY, 0)) }},
	"openat2":  {2, func(a []string) error { return closing(unix.Openat2(number(a[0]), a[1], &unix.OpenHow{})) }},
	"write":    {2, func(a []string) error { return closing(unix.Openat(number(a[0]), a[1], unix.O_WRONLY, 0)) }},
	"truncate": {2, func(a []string) error { return unix.Truncate(magic(a[0])+"/"+a[1], 0) }},
	"create": {2, func(a []string) error {
		return closing(unix.Openat(number(a[0]), a[1], unix.O_CREAT|unix.O_WRONLY, 0o600))
	}},
	"tmpfile": {1, func(a []string) error {
		return closing(unix.Openat(number(a[0]), ".", unix.O_TMPFILE|unix.O_RDWR, 0o600))
	}},
	"mkdirat":   {2, func(a []string) error { return unix.Mkdirat(number(a[0]), a[1], 0o700) }},
	"mkfifoat":  {2, func(a []string) error { return unix.Mknodat(number(a[0]), a[1], unix.S_IFIFO|0o600, 0) }},
	"symlinkat": {2, func(a []string) error { return unix.Symlinkat("target", number(a[0]), a[1]) }},
	"unlinkat":  {2, func(a []string) error { return unix.Unlinkat(number(a[0]), a[1], 0) }},
	"renameat":  {3, func(a []string) error { return unix.Renameat(number(a[0]), a[1], number(a[0]), a[2]) }},
	"linkout":   {2, func(a []string) error { return unix.Linkat(number(a[0]), a[1], unix.AT_FDCWD, "/tmp/linked", 0) }},
	"bindat":    {2, func(a []string) error { return bindSocket(magic(a[0]) + "/" + a[1]) }},
	"magic":     {2, func(a []string) error { return closing(unix.Open(magic(a[0])+"/"+a[1], unix.O_RDONLY, 0)) }},
	"fchdir":    {2, fchdirAndOpen},
	"execveat":  {2, executeThrough},
	"reopen":    {2, reopen},
	// By path: open:PATH.
	"open":   {1, func(a []string) error { return closing(unix.Open(a[0], unix.O_RDONLY, 0)) }},
	"handle": {3, openByHandle},
	// What has to work.
	"terminal":   {0, func([]string) error { return openTerminal() }},
	"mapexec":    {1, mapExecutable},
	"pathsocket": {1, serveByPath},
	// On mounts.
	"mount":      {2, func(a []string) error { return unix.Mount(a[0], a[1], "", unix.MS_BIND, "") }},
	"tmpfs":      {1, func(a []string) error { return unix.Mount("tmpfs", a[0], "tmpfs", 0, "") }},
	"remount":    {1, func(a []string) error { return unix.Mount("", a[0], "", unix.MS_REMOUNT|unix.MS_BIND, "") }},
	"private":    {1, func(a []string) error { return unix.Mount("", a[0], "", unix.MS_PRIVATE, "") }},
	"umount":     {1, func(a []string) error { return unix.Unmount(a[0], unix.MNT_DETACH) }},
	"pivot_root": {1, func(a []string) error { return unix.PivotRoot(a[0], a[0]) }},
	"move_mount": {2, moveMount},
	"fsmount":    {2, openInNewMount},
	// On processes: signal:PID and so on.
	"signal":  {1, func(a []string) error { return unix.Kill(number(a[0]), 0) }},
	"ptrace":  {1, traceProcess},
	"getfd":   {1, takeDescriptor},
	"environ": {1, func(a []string) error { return readSome("/proc/" + a[0] + "/environ") }},
	"mem":     {1, func(a []string) error { return closing(unix.Open("/proc/"+a[0]+"/mem", unix.O_RDWR, 0)) }},
	"procfd":  {1, func(a []string) error { return closing(unix.Open("/proc/"+a[0]+"/fd/0", unix.O_RDONLY, 0)) }},
	"root":    {1, func(a []string) error { return closing(unix.Open("/proc/"+a[0]+"/root/etc", unix.O_RDONLY, 0)) }},
	"setns":   {2, joinNamespace},
	// On sockets.
	"abstract": {1, func(a []string) error { return connectSocket("\x00" + a[0]) }},
	"datagram": {1, func(a []string) error { return sendDatagram("\x00" + a[0]) }},
	"socket":   {3, openSocket},
}

// answered are the questions whose answer is more than yes or no.
var answered = map[string]answer{
	"fds":     {0, func([]string) (string, error) { return strings.Join(openDescriptors(), " "), nil }},
	"caps":    {0, func([]string) (string, error) { return capabilityLines() }},
	"filters": {0, func([]string) (string, error) { return filterLine() }},
	"peek":    {2, func(a []string) (string, error) { return readMemory(number(a[0]), a[1]) }},
}

// magic is the path of a descriptor through /proc.
func magic(descriptor string) string { return "/proc/self/fd/" + descriptor }

func closing(descriptor int, err error) error {
	if err == nil {
		unix.Close(descriptor)
	}
	return err
}

func readSome(path string) error {
	descriptor, err := unix.Open(path, unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(descriptor)
	count, err := unix.Read(descriptor, make([]byte, 16))
	if err == nil && count == 0 {
		return io.EOF
	}
	return err
}

func fchdirAndOpen(args []string) error {
	if err := unix.Fchdir(number(args[0])); err != nil {
		return err
	}
	defer unix.Chdir("/")
	return closing(unix.Open(args[1], unix.O_RDONLY, 0))
}

// executeThrough executes DESCRIPTOR/PATH in a child, whose working directory is the descriptor's: a child has none of this process's others.
func executeThrough(args []string) error {
	if err := unix.Fchdir(number(args[0])); err != nil {
		return err
	}
	defer unix.Chdir("/")
	process, err := os.StartProcess("./"+args[1], []string{args[1]}, &os.ProcAttr{})
	if err != nil {
		return err
	}
	_, err = process.Wait()
	return err
}

// reopen opens what a descriptor names again: reopen:DESCRIPTOR:read or write.
func reopen(args []string) error {
	mode := map[string]int{"read": unix.O_RDONLY, "write": unix.O_WRONLY}[args[1]]
	return closing(unix.Open(magic(args[0]), mode, 0))
}

// openByHandle opens a file by the bytes of its handle on the file system of a mount: handle:MOUNT:TYPE:HEX.
func openByHandle(args []string) error {
	mount, err := unix.Open(args[0], unix.O_RDONLY|unix.O_DIRECTORY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	content, err := hex.DecodeString(args[2])
	if err != nil {
		return err
	}
	return closing(unix.OpenByHandleAt(mount, unix.NewFileHandle(int32(number(args[1])), content), unix.O_RDONLY))
}

// moveMount takes a copy of the mount at one place to another, by the new system calls.
func moveMount(args []string) error {
	tree, err := unix.OpenTree(unix.AT_FDCWD, args[0], unix.OPEN_TREE_CLONE)
	if err != nil {
		return err
	}
	defer unix.Close(tree)
	return unix.MoveMount(tree, "", unix.AT_FDCWD, args[1], unix.MOVE_MOUNT_F_EMPTY_PATH)
}

// openInNewMount opens a file in a file system that is mounted nowhere: fsmount:TYPE:PATH.
func openInNewMount(args []string) error {
	context, err := unix.Fsopen(args[0], 0)
	if err != nil {
		return err
	}
	defer unix.Close(context)
	if err := unix.FsconfigCreate(context); err != nil {
		return err
	}
	mount, err := unix.Fsmount(context, 0, 0)
	if err != nil {
		return err
	}
	defer unix.Close(mount)
	return closing(unix.Openat(mount, args[1], unix.O_RDONLY, 0))
}

// openTerminal makes a terminal and asks it for its size, by ioctls on its devices.
func openTerminal() error {
	master, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(master)
	number, err := unix.IoctlGetInt(master, unix.TIOCGPTN)
	if err != nil {
		return err
	}
	if err := unix.IoctlSetPointerInt(master, unix.TIOCSPTLCK, 0); err != nil {
		return err
	}
	terminal, err := unix.Open(fmt.Sprintf("/dev/pts/%d", number), unix.O_RDWR|unix.O_NOCTTY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(terminal)
	_, err = unix.IoctlGetWinsize(terminal, unix.TIOCGWINSZ)
	return err
}

func mapExecutable(args []string) error {
	file, err := unix.Open(args[0], unix.O_RDONLY, 0)
	if err != nil {
		return err
	}
	defer unix.Close(file)
	mapped, err := unix.Mmap(file, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
	if err != nil {
		return err
	}
	return unix.Munmap(mapped)
}

// serveByPath listens on a socket in a directory and connects to it.
func serveByPath(args []string) error {
	path := fmt.Sprintf("%s/socket-%d", args[0], os.Getpid())
	defer os.Remove(path)
	listener, err := net.Listen("unix", path)
	if err != nil {
		return err
	}
	defer listener.Close()
	return connectSocket(path)
}

// openDescriptors lists those that this process was started with as NUMBER>WHAT: the ones that the Go runtime has opened since would be closed
// by execve. It asks for each number, because opening a directory of them would add some.
func openDescriptors() []string {
	var open []string
	buffer := make([]byte, 4096)
	for descriptor := range 256 {
		flags, err := unix.FcntlInt(uintptr(descriptor), unix.F_GETFD, 0)
		if err != nil || flags&unix.FD_CLOEXEC != 0 {
			continue
		}
		size, err := unix.Readlink(fmt.Sprintf("/proc/self/fd/%d", descriptor), buffer)
		if err != nil {
			return []string{err.Error()}
		}
		open = append(open, fmt.Sprintf("%d>%s", descriptor, buffer[:size]))
	}
	return open
}

func capabilityLines() (string, error) {
	status, err := os.ReadFile("/proc/self/status")
	var lines []string
	for line := range strings.Lines(string(status)) {
		if strings.HasPrefix(line, "Cap") || strings.HasPrefix(line, "NoNewPrivs") {
			lines = append(lines, strings.Join(strings.Fields(line), ""))
		}
	}
	sort.Strings(lines)
	return strings.Join(lines, " "), err
}
