// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"encoding/binary"
	"errors"
	"os"
	"runtime"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp"
)

// supervised runs calls in a thread of their own under a filter that hands the named numbers to user space, once somebody serves the listener.
func supervised(t *testing.T, numbers []uint32, calls func()) (*Listener, <-chan struct{}) {
	t.Helper()
	program := []unix.SockFilter{{Code: unix.BPF_LD | unix.BPF_W | unix.BPF_ABS}}
	for _, number := range numbers {
		program = append(program, unix.SockFilter{Code: unix.BPF_JMP | unix.BPF_JEQ | unix.BPF_K, Jf: 1, K: number},
			unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_USER_NOTIF})
	}
	program = append(program, unix.SockFilter{Code: unix.BPF_RET | unix.BPF_K, K: unix.SECCOMP_RET_ALLOW})
	installed, done := make(chan uintptr), make(chan struct{})
	onThread(done, func() {
		filter := unix.SockFprog{Len: uint16(len(program)), Filter: &program[0]}
		listener, _, errno := unix.RawSyscall(unix.SYS_SECCOMP, unix.SECCOMP_SET_MODE_FILTER, unix.SECCOMP_FILTER_FLAG_NEW_LISTENER, uintptr(unsafe.Pointer(&filter)))
		if errno != 0 {
			t.Error("seccomp:", errno)
			close(installed)
			return
		}
		installed <- listener
		calls()
	})
	descriptor, ok := <-installed
	if !ok {
		t.FailNow()
	}
	listener, err := NewListener(os.NewFile(descriptor, "listener"))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	return listener, done
}

// onThread runs work in a thread that ends with it.
func onThread(done chan<- struct{}, work func()) {
	go func() {
		runtime.LockOSThread() // and never unlocked: the thread ends with this goroutine
		if unix.Gettid() == unix.Getpid() {
			// The main thread would not end: it is held until another one has begun.
			onThread(done, work)
			time.Sleep(10 * time.Millisecond)
			runtime.UnlockOSThread()
			return
		}
		defer close(done)
		work()
	}()
}

func TestCallsAreAnswered(t *testing.T) {
	type result struct {
		value uintptr
		errno syscall.Errno
	}
	var got [4]result
	listener, done := supervised(t, []uint32{unix.SYS_GETPRIORITY, unix.SYS_SOCKET}, func() {
		for i, call := range [][4]uintptr{{unix.SYS_GETPRIORITY, 0, 0}, {unix.SYS_GETPRIORITY, 1, 0}, {unix.SYS_SOCKET, unix.AF_UNIX, unix.SOCK_STREAM}, {unix.SYS_SOCKET, unix.AF_INET, unix.SOCK_STREAM}} {
			value, _, errno := unix.RawSyscall(call[0], call[1], call[2], call[3])
			got[i] = result{value, errno}
		}
	})
	family := func(op seccomp.Operator, value uint64) []seccomp.Condition {
		return []seccomp.Condition{{Index: 0, Op: op, Value: value}}
	}
	rules := mustRules(t, []Rule{
		{[]string{"getpriority"}, family(seccomp.Equal, 0), Answer{Value: 1234}},
		{[]string{"getpriority"}, nil, Answer{Errno: uint16(unix.EDOM)}},
		{[]string{"socket"}, family(seccomp.Equal, unix.AF_UNIX), Answer{Continue: true}},
	}, Answer{Errno: uint16(unix.EACCES)})
	var threads []int
	err := listener.Serve(t.Context(), func(request Request) Answer {
		threads = append(threads, request.Thread)
		if !listener.Valid(request) {
			t.Error("a call that waits is not valid")
		}
		return rules.Answer(request.Data)
	})
	<-done
	if err != nil {
		t.Errorf("the last thread has ended: %v", err)
	}
	if got[0] != (result{1234, 0}) || got[1].errno != unix.EDOM || got[2].errno != 0 || got[3].errno != unix.EACCES {
		t.Errorf("got %+v", got)
	}
	unix.Close(int(got[2].value))
	if len(threads) != 4 || threads[0] == 0 || threads[0] == os.Getpid() {
		t.Errorf("calls of threads %v", threads)
	}
}

func TestServingEndsWithTheContext(t *testing.T) {
	release := make(chan struct{})
	listener, done := supervised(t, []uint32{unix.SYS_GETPRIORITY}, func() { <-release })
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := listener.Serve(ctx, func(Request) Answer { return Answer{} }); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
	close(release)
	<-done
}

func TestCallOfAThreadThatWasInterruptedIsPassedOver(t *testing.T) {
	thread, returned := make(chan int, 1), make(chan syscall.Errno, 1)
	listener, done := supervised(t, []uint32{unix.SYS_GETPRIORITY}, func() {
		thread <- unix.Gettid()
		_, _, errno := unix.RawSyscall(unix.SYS_GETPRIORITY, 0, 0, 0)
		returned <- errno
	})
	asked := 0
	err := listener.Serve(t.Context(), func(request Request) Answer {
		if asked++; asked > 1 {
			return Answer{Errno: uint16(unix.EDOM)}
		}
		// SIGURG has a handler: the call is given up, and begun anew after it.
		if err := unix.Tgkill(os.Getpid(), <-thread, unix.SIGURG); err != nil {
			t.Error(err)
		}
		for deadline := time.Now().Add(5 * time.Second); listener.Valid(request); time.Sleep(time.Millisecond) {
			if time.Now().After(deadline) {
				t.Error("still valid after the interruption")
				break
			}
		}
		return Answer{Errno: uint16(unix.EPERM)}
	})
	<-done
	if errno := <-returned; err != nil || errno != unix.EDOM || asked != 2 {
		t.Errorf("the call returned %v, asked %d times, %v", errno, asked, err)
	}
}

func TestAnswersThatMakeNoSenseEndTheService(t *testing.T) {
	listener, done := supervised(t, []uint32{unix.SYS_GETPRIORITY}, func() { unix.RawSyscall(unix.SYS_GETPRIORITY, 0, 0, 0) })
	if err := listener.Serve(t.Context(), func(Request) Answer { return Answer{Errno: 5000} }); err == nil {
		t.Error("errno 5000 was sent")
	}
	listener.Close() // the call fails with ENOSYS then
	<-done
}

func TestNoListener(t *testing.T) {
	file, err := os.Open(os.DevNull)
	if err != nil {
		t.Fatal(err)
	}
	listener, err := NewListener(file)
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	if err := listener.Serve(t.Context(), func(Request) Answer { return Answer{} }); !errors.Is(err, unix.ENOTTY) {
		t.Errorf("got %v", err)
	}
}

// The structures are the kernel's, whatever the machine.
func TestStructuresAreTheKernels(t *testing.T) {
	if size := binary.Size(notification{}); size != 80 || unsafe.Sizeof(notification{}) != 80 || unsafe.Sizeof(response{}) != 24 {
		t.Errorf("%d bytes, want 80; %d, want 24", size, unsafe.Sizeof(response{}))
	}
}
