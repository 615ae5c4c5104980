// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bufio"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strconv"
	"strings"
	"unsafe"

	"golang.org/x/sys/unix"
)

// beVictim holds a secret in memory and in its environment, listens on two abstract sockets (NAME and NAME-datagram), prints "ready ADDRESS PID",
// the address of the secret and its own number, and waits to be killed.
func beVictim(secret, name string) error {
	stream, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(stream, &unix.SockaddrUnix{Name: "\x00" + name}); err != nil {
		return err
	}
	if err := unix.Listen(stream, 64); err != nil {
		return err
	}
	datagram, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	if err := unix.Bind(datagram, &unix.SockaddrUnix{Name: "\x00" + name + "-datagram"}); err != nil {
		return err
	}
	held := []byte(secret)
	fmt.Printf("ready %d %d\n", uintptr(unsafe.Pointer(&held[0])), os.Getpid())
	for {
		unix.Pause()
		runtime.KeepAlive(held)
	}
}

// readMemory reads the eight bytes at an address of another process.
func readMemory(pid int, address string) (string, error) {
	place, err := strconv.ParseUint(address, 10, 64)
	if err != nil {
		return "", err
	}
	buffer := make([]byte, 8)
	local := []unix.Iovec{{Base: &buffer[0], Len: 8}}
	_, err = unix.ProcessVMReadv(pid, local, []unix.RemoteIovec{{Base: uintptr(place), Len: 8}}, 0)
	return string(buffer), err
}

func traceProcess(args []string) error {
	runtime.LockOSThread() // the tracer is a thread
	defer runtime.UnlockOSThread()
	pid := number(args[0])
	if err := unix.PtraceAttach(pid); err != nil {
		return err
	}
	var status unix.WaitStatus
	if _, err := unix.Wait4(pid, &status, unix.WALL, nil); err != nil {
		return err
	}
	return unix.PtraceDetach(pid)
}

// takeDescriptor copies descriptor 0 of another process.
func takeDescriptor(args []string) error {
	process, err := unix.PidfdOpen(number(args[0]), 0)
	if err != nil {
		return err
	}
	defer unix.Close(process)
	return closing(unix.PidfdGetfd(process, 0, 0))
}

// joinNamespace enters a namespace of another process, in a thread of its own: setns:PID:NAME.
func joinNamespace(args []string) error {
	joined := make(chan error)
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this function
		joined <- func() error {
			namespace, err := unix.Open("/proc/"+args[0]+"/ns/"+args[1], unix.O_RDONLY, 0)
			if err != nil {
				return err
			}
			defer unix.Close(namespace)
			return unix.Setns(namespace, 0)
		}()
	}()
	return <-joined
}

func bindSocket(name string) error {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	return unix.Bind(socket, &unix.SockaddrUnix{Name: name})
}

func connectSocket(name string) error {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	return unix.Connect(socket, &unix.SockaddrUnix{Name: name})
}

func sendDatagram(name string) error {
	socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_DGRAM, 0)
	if err != nil {
		return err
	}
	defer unix.Close(socket)
	return unix.Sendto(socket, []byte("hello"), 0, &unix.SockaddrUnix{Name: name})
}

// attackOwnChild does to a child of its own all that the tests try on strangers. It answers "ok", or names what failed.
func attackOwnChild() (string, error) {
	child := exec.Command("/proc/self/exe", "victim", "mysecret", "own-"+strconv.Itoa(os.Getpid()))
	out, err := child.StdoutPipe()
	if err != nil {
		return "", err
	}
	if err := child.Start(); err != nil {
		return "", err
	}
	defer child.Wait()
	defer child.Process.Kill()
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		return "", err
	}
	var pid, address string
	if _, err := fmt.Sscanf(line, "ready %s %s", &address, &pid); err != nil {
		return "", err
	}
	socket := "own-" + strconv.Itoa(os.Getpid())
	for _, question := range []string{"signal:" + pid, "environ:" + pid, "mem:" + pid, "procfd:" + pid, "getfd:" + pid, "abstract:" + socket,
		"datagram:" + socket + "-datagram", "peek:" + pid + ":" + address, "ptrace:" + pid} {
		answer, err := ask(strings.Split(question, ":"))
		if err != nil {
			return "", fmt.Errorf("%s: %s", question, errorName(err))
		}
		if answer != "ok" && answer != "mysecret" {
			return "", fmt.Errorf("%s: %s", question, answer)
		}
	}
	return "ok", nil
}

// openSocket passes all 64 bits of each argument to socket(2).
func openSocket(a []string) error {
	descriptor, _, errno := unix.Syscall(unix.SYS_SOCKET, uintptr(number(a[0])), uintptr(number(a[1])), uintptr(number(a[2])))
	if errno != 0 {
		return errno
	}
	return unix.Close(int(descriptor))
}

// filterLine is MODE:FILTERS of this process.
func filterLine() (string, error) {
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return "", err
	}
	var mode, filters string
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "Seccomp:"); ok {
			mode = strings.TrimSpace(value)
		}
		if value, ok := strings.CutPrefix(line, "Seccomp_filters:"); ok {
			filters = strings.TrimSpace(value)
		}
	}
	return mode + ":" + filters, nil
}
