// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"time"
)

const (
	diskSize     = 2 << 30 // bytes, sparse; part of what the saved guest knows
	statePoll    = 5 * time.Millisecond
	consoleTail  = 120 // lines in an error: a panic with its trace
	firstExtraFD = 3   // of exec.Cmd.ExtraFiles in the child
)

// process is a running QEMU with its two sockets.
type process struct {
	command   *exec.Cmd
	directory string // temporary: disk, console
	stderr    bytes.Buffer
	control   *control
	wire      net.Conn
}

// start runs the machine in a temporary directory, which has its disk already.
func (m machine) start(ctx context.Context, directory string, more []string) (*process, error) {
	if err := os.Truncate(filepath.Join(directory, "disk"), diskSize); err != nil {
		return nil, err
	}
	p := &process{directory: directory}
	controlConn, controlFile, err := socketPair("control")
	if err != nil {
		return nil, err
	}
	defer controlFile.Close()
	wireConn, wireFile, err := socketPair("wire")
	if err != nil {
		controlConn.Close()
		return nil, err
	}
	defer wireFile.Close()
	p.wire = wireConn
	p.control = newControl(controlConn)
	arguments := m.arguments(devices{
		disk: filepath.Join(directory, "disk"), console: filepath.Join(directory, "console"), control: firstExtraFD, wire: firstExtraFD + 1,
	})
	p.command = exec.CommandContext(ctx, m.qemu, append(arguments, more...)...)
	p.command.ExtraFiles = []*os.File{controlFile, wireFile}
	p.command.Stderr = &p.stderr
	// If this process is killed, so is QEMU. (It is the thread's end that counts, but
	// Go ends no thread that a goroutine has not locked.)
	p.command.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	if err := p.command.Start(); err != nil {
		p.closeSockets()
		return nil, err
	}
	if err := p.control.greet(); err != nil {
		err = p.explain(err)
		p.stop()
		return nil, err
	}
	return p, nil
}

func (p *process) closeSockets() {
	p.control.connection.Close()
	p.wire.Close()
}

// stop ends QEMU. Its status says nothing: it was killed.
func (p *process) stop() {
	p.closeSockets()
	_ = p.command.Process.Kill()
	_ = p.command.Wait()
}

// explain adds what QEMU and the kernel said last.
func (p *process) explain(err error) error {
	p.closeSockets()
	_ = p.command.Process.Kill()
	_ = p.command.Wait() // after it nothing is written to stderr any more
	var text strings.Builder
	if said := strings.TrimSpace(p.stderr.String()); said != "" {
		text.WriteString("\nqemu: " + said)
	}
	if console, readErr := os.ReadFile(filepath.Join(p.directory, "console")); readErr == nil {
		for _, line := range lastLines(string(console), consoleTail) {
			text.WriteString("\nconsole: " + line)
		}
	}
	return fmt.Errorf("%w%s", err, text.String())
}

func lastLines(text string, count int) []string {
	text = strings.TrimSpace(text)
	if text == "" {
		return nil
	}
	lines := strings.Split(text, "\n")
	for i, line := range lines {
		lines[i] = strings.TrimRight(line, "\r")
	}
	return lines[max(0, len(lines)-count):]
}

func socketPair(name string) (net.Conn, *os.File, error) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socket pair %s: %w", name, err)
	}
	ours, theirs := os.NewFile(uintptr(fds[0]), name), os.NewFile(uintptr(fds[1]), name)
	connection, err := net.FileConn(ours)
	if err := errors.Join(err, ours.Close()); err != nil {
		theirs.Close()
		return nil, nil, fmt.Errorf("socket pair %s: %w", name, err)
	}
	return connection, theirs, nil
}

// control is a client of QEMU's machine protocol (QMP): JSON values, one answer
// for each command, events in between.
type control struct {
	connection net.Conn
	decoder    *json.Decoder
}

func newControl(connection net.Conn) *control {
	return &control{connection, json.NewDecoder(connection)}
}

type answer struct {
	Return json.RawMessage
	Error  *struct{ Class, Desc string }
}

func (c *control) greet() error {
	var greeting struct{ QMP json.RawMessage }
	if err := c.decoder.Decode(&greeting); err != nil {
		return fmt.Errorf("qmp: greeting: %w", err)
	}
	if greeting.QMP == nil {
		return errors.New("qmp: the first value is no greeting")
	}
	_, err := c.do("qmp_capabilities", nil)
	return err
}

// do executes a command with arguments, or nil, and returns its answer.
func (c *control) do(command string, arguments any) (json.RawMessage, error) {
	request := map[string]any{"execute": command}
	if arguments != nil {
		request["arguments"] = arguments
	}
	text, err := json.Marshal(request)
	if err != nil {
		return nil, fmt.Errorf("qmp %s: %w", command, err)
	}
	if _, err := c.connection.Write(append(text, '\n')); err != nil {
		return nil, fmt.Errorf("qmp %s: %w", command, err)
	}
	for {
		var a answer
		if err := c.decoder.Decode(&a); err != nil {
			return nil, fmt.Errorf("qmp %s: %w", command, ended(err))
		}
		if a.Error != nil {
			return nil, fmt.Errorf("qmp %s: %s: %s", command, a.Error.Class, a.Error.Desc)
		}
		if a.Return != nil {
			return a.Return, nil
		}
	}
}

// ended names the end of a connection for what it means.
func ended(err error) error {
	if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return errors.New("qemu has ended")
	}
	return err
}

// status asks a query command for the field "status".
func (c *control) status(query string) (string, error) {
	raw, err := c.do(query, nil)
	if err != nil {
		return "", err
	}
	var value struct{ Status string }
	if err := json.Unmarshal(raw, &value); err != nil {
		return "", fmt.Errorf("qmp %s: %w", query, err)
	}
	return value.Status, nil
}

// save writes the state of the machine to a file.
func (c *control) save(path string) error {
	if _, err := c.do("stop", nil); err != nil {
		return err
	}
	if _, err := c.do("migrate", map[string]string{"uri": "exec:cat > " + shellQuote(path)}); err != nil {
		return err
	}
	for ; ; time.Sleep(statePoll) {
		status, err := c.status("query-migrate")
		switch {
		case err != nil:
			return err
		case status == "completed":
			return nil
		case status == "failed" || status == "cancelled":
			return fmt.Errorf("qmp migrate: %s", status)
		}
	}
}

// resume waits for the state to be restored and lets the machine run.
func (c *control) resume() error {
	for ; ; time.Sleep(statePoll) {
		status, err := c.status("query-status")
		switch {
		case err != nil:
			return err
		case status == "running":
			return nil
		case status == "paused":
			_, err := c.do("cont", nil)
			return err
		case status != "inmigrate" && status != "restore-vm" && status != "postmigrate":
			return fmt.Errorf("qmp: state %q while restoring", status)
		}
	}
}
