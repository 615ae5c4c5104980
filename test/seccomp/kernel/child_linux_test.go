// SPDX-License-Identifier: Apache-2.0

//go:build linux && amd64

package kernel

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"runtime"
	"runtime/debug"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
	"github.com/bulkhead-project/bulkhead/test/seccomp/entry"
)

// childVariable holds a question in the environment: the test binary runs itself again to answer it, since a filter stays.
const childVariable = "BULKHEAD_SECCOMP_QUESTION"

// question is a call that a thread makes after it has installed a filter.
type question struct {
	Program []bpf.Instruction
	Later   []bpf.Instruction // a second filter, installed after the first; nil = none
	Way     string            // native, compat or x32
	Number  uint64
	Args    [6]uint64
	Traced  bool   // says its thread and waits for a line before it calls
	Notify  string // what the thread that supervises the other does: errno, value, continue or nothing, where nobody listens
}

func TestMain(m *testing.M) {
	if text := os.Getenv(childVariable); text != "" {
		if err := answer(text); err != nil {
			fmt.Println("error:", err)
			os.Exit(3)
		}
		return
	}
	os.Exit(m.Run())
}

// answer prints "result N", "thread gone" if the calling thread has been killed, and what a supervisor saw.
func answer(text string) error {
	debug.SetGCPercent(-1) // a call by assembly holds its processor
	runtime.GOMAXPROCS(4)
	var q question
	if err := json.Unmarshal([]byte(text), &q); err != nil {
		return err
	}
	thread, loaded, result := make(chan int, 1), make(chan error, 1), make(chan int64, 1)
	listener := make(chan int, 1)
	onThread(func() {
		fd, err := q.load()
		listener <- fd
		thread <- unix.Gettid()
		loaded <- err
		if err == nil {
			if q.Traced {
				bufio.NewReader(os.Stdin).ReadString('\n')
			}
			result <- q.call()
		}
	})
	fd, tid := <-listener, <-thread
	if err := <-loaded; err != nil {
		return err
	}
	if q.Traced {
		fmt.Println("thread", tid)
	}
	if q.Notify != "" && q.Notify != "nothing" {
		if err := supervise(fd, q); err != nil {
			return err
		}
	}
	for start := time.Now(); time.Since(start) < 10*time.Second; {
		gone := errors.Is(unix.Tgkill(os.Getpid(), tid, 0), unix.ESRCH)
		select {
		case r := <-result:
			fmt.Println("result", r)
			return nil
		case <-time.After(time.Millisecond):
			if gone {
				fmt.Println("thread gone")
				return nil
			}
		}
	}
	return errors.New("the call has not returned within 10 s")
}

// onThread runs f on a thread of its own that is not the first of the process, which would stay as a zombie and is waited for as the process.
func onThread(f func()) {
	go func() {
		runtime.LockOSThread()
		if unix.Gettid() == unix.Getpid() {
			onThread(f)
			select {}
		}
		f()
	}()
}

func (q question) load() (int, error) {
	flags := uint64(0)
	if q.Notify != "" && q.Notify != "nothing" {
		flags = unix.SECCOMP_FILTER_FLAG_NEW_LISTENER
	}
	fd, err := entry.Load(q.Program, flags)
	if err == nil && q.Later != nil {
		_, err = entry.Load(q.Later, 0)
	}
	return fd, err
}

func (q question) call() int64 {
	switch q.Way {
	case "compat":
		return entry.Compat(q.Number, q.Args)
	case "x32":
		return entry.X32(q.Number, q.Args)
	}
	return entry.Native(q.Number, q.Args)
}

// notification is struct seccomp_notif, and response struct seccomp_notif_resp.
type notification struct {
	ID         uint64
	PID, Flags uint32
	Number     int32
	Arch       uint32
	Pointer    uint64
	Args       [6]uint64
}

type response struct {
	ID    uint64
	Value int64
	Error int32
	Flags uint32
}

// supervise answers one call and prints what it was told of it.
func supervise(fd int, q question) error {
	var n notification
	if err := ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&n)); err != nil {
		return fmt.Errorf("receive: %w", err)
	}
	fmt.Printf("notified %d %#x %v\n", uint32(n.Number), n.Arch, n.Args)
	if err := ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&n.ID)); err != nil {
		return fmt.Errorf("the call waits, yet: %w", err)
	}
	r := response{ID: n.ID}
	switch q.Notify {
	case "errno":
		r.Error = -7
	case "value":
		r.Value = 1234
	case "continue":
		r.Flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	}
	if err := ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(&r)); err != nil {
		return fmt.Errorf("send: %w", err)
	}
	if err := ioctl(fd, unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&n.ID)); !errors.Is(err, unix.ENOENT) {
		return fmt.Errorf("the call is answered, yet its number is valid: %v", err)
	}
	return nil
}

func ioctl(fd int, request uintptr, data unsafe.Pointer) error {
	if _, _, errno := unix.Syscall(unix.SYS_IOCTL, uintptr(fd), request, uintptr(data)); errno != 0 {
		return errno
	}
	return nil
}
