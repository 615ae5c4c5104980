// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
	"golang.org/x/term"
)

// terminal opens a pseudo terminal.
func terminal(t *testing.T) (master, slave *os.File) {
	t.Helper()
	descriptor, err := unix.Open("/dev/ptmx", unix.O_RDWR|unix.O_NOCTTY|unix.O_CLOEXEC, 0)
	must(t, err)
	must(t, unix.IoctlSetPointerInt(descriptor, unix.TIOCSPTLCK, 0))
	number, err := unix.IoctlGetInt(descriptor, unix.TIOCGPTN)
	must(t, err)
	master, err = masterFile(descriptor)
	must(t, err)
	slave, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	must(t, err)
	t.Cleanup(func() { master.Close(); slave.Close() })
	return master, slave
}

// send connects to the socket and sends these descriptors, as an OCI runtime does.
func send(t *testing.T, path string, descriptors ...int) {
	t.Helper()
	connection, err := net.DialUnix("unix", nil, &net.UnixAddr{Name: path, Net: "unix"})
	must(t, err)
	defer connection.Close()
	var rights []byte
	if len(descriptors) > 0 {
		rights = unix.UnixRights(descriptors...)
	}
	_, _, err = connection.WriteMsgUnix([]byte("/dev/ptmx"), rights, nil)
	must(t, err)
}

func listen(t *testing.T) *ConsoleSocket {
	t.Helper()
	socket, err := ListenConsole(t.TempDir())
	must(t, err)
	t.Cleanup(func() { socket.Close() })
	return socket
}

func openDescriptors(t *testing.T) int {
	t.Helper()
	names, err := os.ReadDir("/proc/self/fd")
	must(t, err)
	return len(names)
}

func TestTerminalArrivesThroughTheSocket(t *testing.T) {
	socket := listen(t)
	master, slave := terminal(t)
	must(t, withDescriptor(master, func(descriptor int) error { send(t, socket.Path(), descriptor); return nil }))
	received, err := socket.Receive(5 * time.Second)
	must(t, err)
	defer received.Close()
	if _, err := slave.WriteString("hello\n"); err != nil {
		t.Fatal(err)
	}
	buffer := make([]byte, 64)
	n, err := received.Read(buffer)
	if err != nil || string(buffer[:n]) != "hello\r\n" {
		t.Fatalf("got %q, %v", buffer[:n], err)
	}
	must(t, socket.Close())
	if _, err := os.Stat(socket.Path()); err == nil {
		t.Fatal("the socket is left behind")
	}
}

func TestWhatIsNoTerminalIsRefusedAndClosed(t *testing.T) {
	null, err := os.Open(os.DevNull)
	must(t, err)
	defer null.Close()
	for name, descriptors := range map[string][]int{
		"nothing": nil, "a file": {int(null.Fd())}, "two files": {int(null.Fd()), int(null.Fd())}, "twenty files": slices.Repeat([]int{int(null.Fd())}, 20),
	} {
		t.Run(name, func(t *testing.T) {
			socket := listen(t)
			before := openDescriptors(t)
			send(t, socket.Path(), descriptors...)
			if file, err := socket.Receive(5 * time.Second); err == nil {
				t.Fatalf("got %v", file)
			}
			if after := openDescriptors(t); after != before {
				t.Fatalf("%d descriptors open, before %d", after, before)
			}
		})
	}
}

func TestReceiveEnds(t *testing.T) {
	_, err := listen(t).Receive(20 * time.Millisecond)
	if !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("when nobody connects: %v", err)
	}
	socket := listen(t)
	connection, err := net.Dial("unix", socket.Path())
	must(t, err)
	defer connection.Close()
	if _, err := socket.Receive(20 * time.Millisecond); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("when nothing is sent: %v", err)
	}
	if _, err := ListenConsole(filepath.Join(t.TempDir(), strings.Repeat("d", 120))); err == nil || !strings.Contains(err.Error(), "longer than") {
		t.Fatalf("in a directory with a long name: %v", err)
	}
}

func TestAttachmentCarriesKeysSizeAndOutput(t *testing.T) {
	ours, outer := terminal(t)   // outer is what we run in; ours plays the person
	master, inner := terminal(t) // inner is the container's
	must(t, withDescriptor(ours, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 11, Col: 22}) }))
	before, err := term.GetState(int(outer.Fd()))
	must(t, err)

	// The program in the container: echoes one line in capitals, then shows its size.
	program := exec.Command("sh", "-c", "read line; echo got $line; sleep 0.2; stty size")
	program.Stdin, program.Stdout, program.Stderr = inner, inner, inner
	program.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true}
	attachment, err := Attach(master, outer)
	must(t, err)
	must(t, program.Start())
	must(t, inner.Close())
	if _, err := ours.WriteString("word\r"); err != nil { // raw mode: the key sends \r, the container's terminal makes it \n
		t.Fatal(err)
	}
	var output bytes.Buffer
	must(t, CopyOutput(&output, master))
	must(t, program.Wait())
	must(t, attachment.Close())
	if got := output.String(); !strings.Contains(got, "got word") || !strings.Contains(got, "11 22") {
		t.Fatalf("output %q", got)
	}
	after, err := term.GetState(int(outer.Fd()))
	must(t, err)
	if *after != *before {
		t.Fatal("our terminal is not as it was")
	}
}

func TestSizeFollowsTheSignal(t *testing.T) {
	ours, outer := terminal(t)
	master, inner := terminal(t)
	attachment, err := Attach(master, outer)
	must(t, err)
	defer attachment.Close()
	must(t, withDescriptor(ours, func(fd int) error { return unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 44}) }))
	must(t, unix.Kill(os.Getpid(), unix.SIGWINCH))
	for range 100 {
		size, err := unix.IoctlGetWinsize(int(inner.Fd()), unix.TIOCGWINSZ)
		must(t, err)
		if size.Row == 33 && size.Col == 44 {
			return
		}
		time.Sleep(20 * time.Millisecond)
	}
	t.Fatal("the container's terminal keeps its size")
}

func TestEndOfAPipeReachesTheContainer(t *testing.T) {
	master, inner := terminal(t)
	read, write, err := os.Pipe()
	must(t, err)
	defer read.Close()
	program := exec.Command("cat")
	program.Stdin, program.Stdout = inner, inner
	must(t, program.Start())
	must(t, inner.Close())
	attachment, err := Attach(master, read)
	must(t, err)
	_, err = write.WriteString("text\n")
	must(t, err)
	must(t, write.Close())
	var output bytes.Buffer
	must(t, CopyOutput(&output, master))
	must(t, program.Wait())
	must(t, attachment.Close())
	if got := output.String(); strings.Count(got, "text") != 2 { // the terminal's echo and cat's
		t.Fatalf("output %q", got)
	}
}

func TestCloseEndsAnAttachmentToAProgramThatReadsNothing(t *testing.T) {
	master, _ := terminal(t)
	read, write, err := os.Pipe()
	must(t, err)
	defer read.Close()
	attachment, err := Attach(master, read)
	must(t, err)
	go func() {
		_, _ = write.Write(bytes.Repeat([]byte("x\n"), 30<<10)) // fits into the pipe, not into the terminal
	}()
	time.Sleep(100 * time.Millisecond)
	closed := make(chan error, 1)
	go func() { closed <- attachment.Close() }()
	select {
	case err := <-closed:
		must(t, err)
	case <-time.After(5 * time.Second):
		t.Fatal("Close waits for ever")
	}
	write.Close()
}
