// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/signal"
	"path/filepath"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// ConsoleSocket receives the terminal of a container from the OCI runtime (its option --console-socket).
type ConsoleSocket struct {
	listener *net.UnixListener
	path     string
}

// maxSocketPath is the length of sun_path without its final zero byte.
const maxSocketPath = 107

// ListenConsole makes the socket in directory, which only root can enter: whoever connects first gives the terminal.
func ListenConsole(directory string) (*ConsoleSocket, error) {
	path := filepath.Join(directory, "console.sock")
	if len(path) > maxSocketPath {
		return nil, fmt.Errorf("console socket %s: path longer than %d bytes", path, maxSocketPath)
	}
	listener, err := net.ListenUnix("unix", &net.UnixAddr{Name: path, Net: "unix"})
	if err != nil {
		return nil, err
	}
	if err := os.Chmod(path, 0o600); err != nil {
		listener.Close()
		return nil, err
	}
	return &ConsoleSocket{listener, path}, nil
}

// Path is what to give to --console-socket.
func (s *ConsoleSocket) Path() string { return s.path }

// Close removes the socket; a Receive under way ends with an error.
func (s *ConsoleSocket) Close() error { return s.listener.Close() }

// Receive waits for the runtime and returns the master side of the container's terminal.
func (s *ConsoleSocket) Receive(timeout time.Duration) (*os.File, error) {
	deadline := time.Now().Add(timeout)
	if err := s.listener.SetDeadline(deadline); err != nil {
		return nil, err
	}
	connection, err := s.listener.AcceptUnix()
	if err != nil {
		return nil, err
	}
	defer connection.Close()
	if err := connection.SetDeadline(deadline); err != nil {
		return nil, err
	}
	name, control := make([]byte, 4096), make([]byte, unix.CmsgSpace(16*4))
	_, n, flags, _, err := connection.ReadMsgUnix(name, control)
	if err != nil {
		return nil, fmt.Errorf("console socket %s: %w", s.path, err)
	}
	descriptors, err := receivedDescriptors(control[:n])
	if err == nil && (len(descriptors) != 1 || flags&unix.MSG_CTRUNC != 0) {
		err = fmt.Errorf("got %d descriptors, want 1", len(descriptors))
	}
	if err == nil {
		_, err = unix.IoctlGetTermios(descriptors[0], unix.TCGETS)
	}
	if err != nil {
		closeAll(descriptors)
		return nil, fmt.Errorf("console socket %s: %w", s.path, err)
	}
	return masterFile(descriptors[0])
}

// masterFile makes reads wait in the runtime's poller, so that Close ends them.
func masterFile(descriptor int) (*os.File, error) {
	if err := unix.SetNonblock(descriptor, true); err != nil {
		unix.Close(descriptor)
		return nil, err
	}
	return os.NewFile(uintptr(descriptor), "console"), nil
}

func receivedDescriptors(control []byte) ([]int, error) {
	messages, err := unix.ParseSocketControlMessage(control)
	if err != nil {
		return nil, err
	}
	var descriptors []int
	for _, message := range messages {
		more, err := unix.ParseUnixRights(&message)
		if err != nil {
			closeAll(descriptors)
			return nil, err
		}
		descriptors = append(descriptors, more...)
	}
	return descriptors, nil
}

func closeAll(descriptors []int) {
	for _, descriptor := range descriptors {
		unix.Close(descriptor)
	}
}

// CopyOutput copies what the container writes to its terminal until the container has closed it.
func CopyOutput(out io.Writer, master *os.File) error {
	_, err := io.Copy(out, master)
	if errors.Is(err, unix.EIO) || errors.Is(err, os.ErrClosed) { // EIO: the last process that had the terminal is gone
		return nil
	}
	return err
}

// Resize gives a terminal the size of another.
func Resize(master, from *os.File) error {
	size, err := unix.IoctlGetWinsize(int(from.Fd()), unix.TIOCGWINSZ)
	if err != nil {
		return fmt.Errorf("%s: size of the terminal: %w", from.Name(), err)
	}
	return withDescriptor(master, func(descriptor int) error { return unix.IoctlSetWinsize(descriptor, unix.TIOCSWINSZ, size) })
}

// withDescriptor leaves the file in non-blocking mode, which Fd would end.
func withDescriptor(file *os.File, use func(int) error) error {
	raw, err := file.SyscallConn()
	if err != nil {
		return err
	}
	var result error
	if err := raw.Control(func(descriptor uintptr) { result = use(int(descriptor)) }); err != nil {
		return err
	}
	return result
}

// Attachment joins our terminal to a container's. Close ends it and restores our terminal.
type Attachment struct {
	master  *os.File
	input   *os.File
	before  *term.State // nil where input is no terminal
	stop    *os.File    // closed to end the input's copying
	waker   *os.File
	resizes chan os.Signal
	done    chan struct{}
}

// Attach puts input, if it is a terminal, into raw mode, gives the container's terminal its size now and at every change, and copies input
// to master. The end of an input that is no terminal reaches the container as the end-of-file character (^D). Output is CopyOutput's.
func Attach(master, input *os.File) (*Attachment, error) {
	waker, stop, err := os.Pipe()
	if err != nil {
		return nil, err
	}
	a := &Attachment{master: master, input: input, stop: stop, waker: waker, resizes: make(chan os.Signal, 1), done: make(chan struct{})}
	if descriptor := int(input.Fd()); term.IsTerminal(descriptor) {
		if a.before, err = term.MakeRaw(descriptor); err != nil {
			return nil, errors.Join(fmt.Errorf("%s: raw mode: %w", input.Name(), err), waker.Close(), stop.Close())
		}
		a.resizes <- unix.SIGWINCH // the first size
		signal.Notify(a.resizes, unix.SIGWINCH)
		go a.followSize()
	}
	go func() {
		defer close(a.done)
		a.copyInput()
	}()
	return a, nil
}

// Close stops the copying and restores the terminal. It can be called once.
func (a *Attachment) Close() error {
	err := a.stop.Close()
	_ = a.master.SetWriteDeadline(time.Now()) // a container that reads nothing would keep the copying waiting
	<-a.done
	a.waker.Close()
	if a.before != nil {
		signal.Stop(a.resizes)
		close(a.resizes)
		err = errors.Join(err, term.Restore(int(a.input.Fd()), a.before))
	}
	return err
}

// followSize ignores errors: one terminal or the other is going away, and the size no longer matters.
func (a *Attachment) followSize() {
	for range a.resizes {
		_ = Resize(a.master, a.input)
	}
}

// copyInput polls before it reads, because nothing else can interrupt a read from a terminal. It ends with the input, the container's
// terminal or Close.
func (a *Attachment) copyInput() {
	const endOfFile = "\x04"
	buffer := make([]byte, 4096)
	events := []unix.PollFd{{Fd: int32(a.input.Fd()), Events: unix.POLLIN}, {Fd: int32(a.waker.Fd()), Events: unix.POLLIN}}
	for {
		if _, err := unix.Poll(events, -1); err == unix.EINTR {
			continue
		} else if err != nil || events[1].Revents != 0 {
			return
		}
		n, err := a.input.Read(buffer)
		if _, failed := a.master.Write(buffer[:n]); failed != nil {
			return
		}
		if err != nil {
			if a.before == nil {
				_, _ = io.WriteString(a.master, endOfFile) // a container that is gone needs none
			}
			return
		}
	}
}
