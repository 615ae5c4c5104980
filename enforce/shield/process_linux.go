// SPDX-License-Identifier: Apache-2.0

package shield

import (
	"errors"
	"fmt"
	"math"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/kernel"
	"github.com/bulkhead-project/bulkhead/shield/anchor"
	"github.com/bulkhead-project/bulkhead/shield/process"
	"github.com/bulkhead-project/bulkhead/shield/store"
)

// Volume is a volume whose key is at hand.
type Volume struct {
	Directory string // that holds its header and its blocks
	Setup     process.Setup
	Master    []byte   // process.MasterSize bytes; wiping them is the caller's affair
	Log       bool     // what the process says when it dies goes into a file beside its report, and not to standard error
	Counter   *Counter // of a TPM; nil unless the header names one
}

// Counter is how the process counts in a TPM.
type Counter struct {
	Device   *os.File
	Password []byte // process.MasterSize bytes
}

// BlocksFile is the image in a volume's directory.
const BlocksFile = "blocks"

// Process is a shield process that waits for its mount to be put into place, or verifies.
type Process struct {
	PID     int
	control *os.File
	command *exec.Cmd
}

// start starts a shield process and hands it the volume. device is the FUSE device that it serves; nil where it serves none.
func start(volume Volume, device *os.File) (*Process, error) {
	facts := kernel.Probe()
	setup := volume.Setup
	var err error
	if setup.Filter, err = filter(facts); err != nil {
		return nil, err
	}
	setup.Landlock, setup.Name = facts.Landlock.ABI, volume.Directory
	files, err := volume.open(setup, device)
	defer func() {
		for _, file := range files {
			file.Close()
		}
	}()
	if err != nil {
		return nil, err
	}
	ours, theirs, err := socketPair()
	if err != nil {
		return nil, err
	}
	defer theirs.Close()
	started := &Process{control: ours}
	if err := started.execute(theirs, files, volume.log()); err != nil {
		ours.Close()
		return nil, err
	}
	err = process.Send(ours, setup)
	if err == nil {
		_, err = ours.Write(volume.Master)
	}
	if err == nil && volume.Counter != nil {
		_, err = ours.Write(volume.Counter.Password)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("shield process: %w", err), started.Kill())
	}
	return started, nil
}

// open opens what the process is given, in the order of its descriptors after the control socket.
func (v Volume) open(setup process.Setup, device *os.File) (files []*os.File, err error) {
	for _, open := range []func() (*os.File, error){
		func() (*os.File, error) { return v.openImage(setup) },
		func() (*os.File, error) { return openAnchor(setup) },
		func() (*os.File, error) { return openReport(setup, device != nil) },
		func() (*os.File, error) { return duplicate(device) },
		func() (*os.File, error) {
			if v.Counter == nil {
				return duplicate(nil)
			}
			return duplicate(v.Counter.Device)
		},
	} {
		file, err := open()
		if err != nil {
			return files, err
		}
		files = append(files, file)
	}
	return files, nil
}

// openImage opens the volume's blocks. Who serves them already is found out first, for an error that names the process.
func (v Volume) openImage(setup process.Setup) (*os.File, error) {
	if setup.Ephemeral {
		return os.OpenFile(v.Directory, os.O_RDWR|unix.O_TMPFILE, 0o600) // without a name: it goes with the process
	}
	mode, path := os.O_RDWR, filepath.Join(v.Directory, BlocksFile)
	if setup.ReadOnly || setup.Verify {
		mode = os.O_RDONLY
	}
	taken, err := store.OpenFile(path, mode == os.O_RDONLY)
	if err == nil {
		err = taken.Close()
	}
	if err != nil {
		return nil, err
	}
	return os.OpenFile(path, mode|unix.O_NOFOLLOW|unix.O_NONBLOCK, 0)
}

func openAnchor(setup process.Setup) (*os.File, error) {
	if setup.Anchor == process.AnchorNone {
		return duplicate(nil)
	}
	directory, err := anchor.Directory()
	if err != nil {
		return nil, err
	}
	return anchor.OpenFile(directory, setup.Volume)
}

func openReport(setup process.Setup, serves bool) (*os.File, error) {
	path := ReportFile(setup.Volume)
	if path == "" || !serves || setup.Ephemeral { // its ID is new with each mount: nobody finds its report, and none would be taken away
		return duplicate(nil)
	}
	if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
		return nil, err
	}
	return os.OpenFile(path, os.O_RDWR|os.O_CREATE|unix.O_NOFOLLOW, 0o600)
}

// duplicate returns another descriptor of a file, of /dev/null for nil.
func duplicate(file *os.File) (*os.File, error) {
	if file == nil {
		return os.OpenFile(os.DevNull, os.O_RDWR, 0)
	}
	descriptor, err := unix.FcntlInt(file.Fd(), unix.F_DUPFD_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	return os.NewFile(uintptr(descriptor), file.Name()), nil
}

// ReportFile is where the process that serves a volume reports how it does; "" where an ordinary user has no place for it.
func ReportFile(volume [16]byte) string {
	directory := "/run"
	if !anchor.MachineRoot() {
		if directory = os.Getenv("XDG_RUNTIME_DIR"); directory == "" {
			return ""
		}
	}
	return filepath.Join(directory, "bulkhead", "shield", fmt.Sprintf("%x.json", volume))
}

// log is where the process's standard error goes; nil: nowhere.
func (v Volume) log() *os.File {
	if !v.Log {
		return os.Stderr
	}
	path := ReportFile(v.Setup.Volume)
	if path == "" || v.Setup.Ephemeral { // see openReport
		return nil
	}
	file, err := os.OpenFile(strings.TrimSuffix(path, ".json")+".log", os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND|unix.O_NOFOLLOW, 0o600)
	if err != nil {
		return nil // it is for whoever looks into a crash
	}
	return file
}

func socketPair() (ours, theirs *os.File, err error) {
	pair, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, fmt.Errorf("socketpair: %w", err)
	}
	return os.NewFile(uintptr(pair[0]), "control"), os.NewFile(uintptr(pair[1]), "control"), nil
}

// execute starts the program in a session of its own, so that no terminal's signals reach it, with neither arguments nor environment.
func (p *Process) execute(control *os.File, files []*os.File, log *os.File) error {
	if log != nil && log != os.Stderr {
		defer log.Close()
	}
	text, err := program()
	if err != nil {
		return err
	}
	defer text.Close()
	// Whoever started this program may have left descriptors open: the shield process gets its own and no others.
	if err := unix.CloseRange(3, math.MaxUint32, unix.CLOSE_RANGE_CLOEXEC); err != nil {
		return fmt.Errorf("close_range: %w", err)
	}
	p.command = &exec.Cmd{Path: fmt.Sprintf("/proc/self/fd/%d", text.Fd()), Args: []string{"bulkhead-shield"}, Env: []string{}, Dir: "/",
		ExtraFiles: append([]*os.File{control}, files...), SysProcAttr: &syscall.SysProcAttr{Setsid: true}}
	if log != nil { // as an interface, a nil file is not nil
		p.command.Stderr = log
	}
	if err := p.command.Start(); err != nil {
		return fmt.Errorf("shield process: %w", err)
	}
	p.PID = p.command.Process.Pid
	return nil
}

// reply waits for the next reply. An error is what the process says, or that it ended without a word.
func (p *Process) reply() (process.Reply, error) {
	var reply process.Reply
	if err := process.Receive(p.control, &reply); err != nil {
		return reply, fmt.Errorf("shield process: %w: %w", err, p.Kill())
	}
	if reply.Error != nil {
		p.control.Close()
		p.command.Wait()
		return reply, reply.Error
	}
	return reply, nil
}

// release lets the process live as long as its mount, without this one.
func (p *Process) release() error {
	_, err := p.control.Write([]byte{1})
	return errors.Join(err, p.control.Close())
}

// Kill ends the process.
func (p *Process) Kill() error {
	p.control.Close()
	p.command.Process.Kill()
	return p.command.Wait()
}

// Wait waits until the process has ended, which it does with its mount. An error says that the volume was not closed well.
func (p *Process) Wait() error { return p.command.Wait() }
