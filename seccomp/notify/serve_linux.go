// SPDX-License-Identifier: Apache-2.0

package notify

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime"
	"unsafe"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/seccomp/bpf"
)

// Request is one call that waits for an answer.
type Request struct {
	ID     uint64
	Thread int // number of the calling thread in the supervisor's process namespace; 0: it is not in there
	Data   bpf.Data
}

// notification is struct seccomp_notif.
type notification struct {
	id         uint64
	pid, flags uint32
	data       struct {
		number             int32
		arch               uint32
		instructionPointer uint64
		args               [6]uint64
	}
}

// response is struct seccomp_notif_resp.
type response struct {
	id    uint64
	value int64
	errno int32
	flags uint32
}

// Listener is the descriptor by which the calls of one filter are answered.
type Listener struct {
	file                *os.File
	requests, responses []uint64 // what the kernel fills in and reads, as large as it wants them
}

// NewListener takes over a descriptor that seccomp(2) gave with SECCOMP_FILTER_FLAG_NEW_LISTENER.
func NewListener(file *os.File) (*Listener, error) {
	var sizes struct{ notification, response, data uint16 }
	if _, _, errno := unix.Syscall(unix.SYS_SECCOMP, unix.SECCOMP_GET_NOTIF_SIZES, 0, uintptr(unsafe.Pointer(&sizes))); errno != 0 {
		return nil, fmt.Errorf("notify: sizes of notifications: %w", errno)
	}
	words := func(kernel uint16, ours uintptr) []uint64 { return make([]uint64, (max(uintptr(kernel), ours)+7)/8) }
	return &Listener{file, words(sizes.notification, unsafe.Sizeof(notification{})), words(sizes.response, unsafe.Sizeof(response{}))}, nil
}

// Close ends the supervision: calls that wait for an answer, and those to come, fail with ENOSYS.
func (l *Listener) Close() error { return l.file.Close() }

// Serve answers calls with what decide returns for them, one after the other, until no process is left under the filter (nil) or the context is
// done (its error). While decide runs the caller waits; it may have been killed meanwhile, which Valid tells.
func (l *Listener) Serve(ctx context.Context, decide func(Request) Answer) error {
	wake, err := unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK)
	if err != nil {
		return fmt.Errorf("notify: eventfd: %w", err)
	}
	defer unix.Close(wake)
	woken := make(chan struct{})
	stop := context.AfterFunc(ctx, func() {
		defer close(woken)
		unix.Write(wake, []byte{1, 1, 1, 1, 1, 1, 1, 1}) // any number but 0, in either byte order
	})
	defer func() {
		if !stop() {
			<-woken // it must not write into a descriptor that has become another's
		}
	}()
	for {
		switch more, err := l.await(wake); {
		case ctx.Err() != nil:
			return ctx.Err()
		case err != nil || !more:
			return err
		}
		request, err := l.receive()
		if errors.Is(err, unix.ENOENT) || errors.Is(err, unix.EINTR) {
			continue // the caller was killed or interrupted
		}
		if err != nil {
			return fmt.Errorf("notify: receiving: %w", err)
		}
		answer := decide(request)
		if err := answer.check(); err != nil {
			return fmt.Errorf("notify: call %d: %w", request.Data.Number, err)
		}
		if !l.Valid(request) {
			continue
		}
		if err := l.send(request.ID, answer); err != nil && !errors.Is(err, unix.ENOENT) {
			return fmt.Errorf("notify: answering: %w", err)
		}
	}
}

// await waits for a call; more is false where there will be none any more.
func (l *Listener) await(wake int) (more bool, err error) {
	poll := []unix.PollFd{{Fd: int32(l.file.Fd()), Events: unix.POLLIN}, {Fd: int32(wake), Events: unix.POLLIN}}
	for {
		_, err := unix.Poll(poll, -1)
		switch {
		case errors.Is(err, unix.EINTR):
			continue
		case err != nil:
			return false, fmt.Errorf("notify: poll: %w", err)
		}
		return poll[0].Revents&unix.POLLHUP == 0, nil
	}
}

// receive takes the next call.
func (l *Listener) receive() (Request, error) {
	clear(l.requests) // the kernel refuses a structure that is not zero
	if err := l.control(unix.SECCOMP_IOCTL_NOTIF_RECV, unsafe.Pointer(&l.requests[0])); err != nil {
		return Request{}, err
	}
	n := (*notification)(unsafe.Pointer(&l.requests[0]))
	return Request{ID: n.id, Thread: int(n.pid), Data: bpf.Data{Number: uint32(n.data.number), Arch: n.data.arch, InstructionPointer: n.data.instructionPointer, Args: n.data.args}}, nil
}

// Valid reports whether the call still waits. What was read of the caller's memory or files, by Request.Thread, belongs to the caller only where
// Valid says so afterwards: the number may have become another thread's.
func (l *Listener) Valid(request Request) bool {
	return l.control(unix.SECCOMP_IOCTL_NOTIF_ID_VALID, unsafe.Pointer(&request.ID)) == nil
}

func (l *Listener) send(id uint64, answer Answer) error {
	clear(l.responses)
	r := (*response)(unsafe.Pointer(&l.responses[0]))
	r.id = id
	switch {
	case answer.Continue:
		r.flags = unix.SECCOMP_USER_NOTIF_FLAG_CONTINUE
	case answer.Errno != 0:
		r.errno = -int32(answer.Errno)
	default:
		r.value = answer.Value
	}
	return l.control(unix.SECCOMP_IOCTL_NOTIF_SEND, unsafe.Pointer(r))
}

func (l *Listener) control(request uintptr, argument unsafe.Pointer) error {
	_, _, errno := unix.Syscall(unix.SYS_IOCTL, l.file.Fd(), request, uintptr(argument))
	runtime.KeepAlive(l)
	if errno != 0 {
		return errno
	}
	return nil
}
