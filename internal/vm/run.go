// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bufio"
	"context"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/bulkhead-project/bulkhead/internal/vm/wire"
)

const (
	stateSection = "states"
	stateAge     = 7 * 24 * time.Hour // of unused states
	bootLimit    = 5 * time.Minute    // emulation on a busy host
	jobGrace     = time.Minute        // for the guest to end a command itself
)

// state returns the directory of the machine's saved state, made at need.
func (c cache) state(ctx context.Context, m machine) (string, error) {
	directory, err := c.once(ctx, filepath.Join(stateSection, m.key()), func(directory string) error {
		if err := c.expire(stateSection, stateAge); err != nil {
			return err
		}
		return m.save(ctx, statePath(directory))
	})
	if err != nil {
		return "", err
	}
	return directory, used(directory)
}

// save boots the machine and saves its state when the guest says Ready.
func (m machine) save(ctx context.Context, path string) error {
	ctx, cancel := context.WithTimeoutCause(ctx, bootLimit, fmt.Errorf("not booted after %s", bootLimit))
	defer cancel()
	directory, err := os.MkdirTemp("", "bulkhead-vm-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(directory)
	initrd := filepath.Join(directory, "initrd")
	if err := errors.Join(os.WriteFile(initrd, m.initrd, 0o600), os.WriteFile(filepath.Join(directory, "disk"), nil, 0o600)); err != nil {
		return err
	}
	p, err := m.start(ctx, directory, m.bootArguments(initrd))
	if err != nil {
		return because(ctx, err)
	}
	defer p.stop()
	if kind, _, err := wire.Read(p.wire); err != nil || kind != wire.KindReady {
		return because(ctx, p.explain(fmt.Errorf("the guest did not boot (frame %q, %v)", kind, err)))
	}
	if err := p.control.save(path); err != nil {
		return because(ctx, p.explain(err))
	}
	return nil
}

// because prefers the reason why the context ended to what followed from it.
func because(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil {
		return fmt.Errorf("%w: %w", cause, err)
	}
	return err
}

// payload is a job with its files and where to put what comes back.
type payload struct {
	job     wire.Job
	files   tree
	outputs []testOutput
}

func (c cache) payload(ctx context.Context, options Options) (payload, error) {
	load := payload{files: tree{}}
	arguments, outputs, err := rewriteTestFlags(options.Command[1:], options.Dir)
	if err != nil {
		return load, err
	}
	load.outputs = outputs
	load.files.directory(options.Dir)
	for _, o := range outputs {
		load.files.directory(o.directory())
		load.job.Collect = append(load.job.Collect, o.guest)
	}
	program, err := load.addProgram(options)
	if err == nil {
		err = load.addAll(options)
	}
	if err == nil {
		err = c.addProfiles(ctx, load.files, options)
	}
	load.job.Command = append([]string{program}, arguments...)
	load.job.Dir, load.job.Label, load.job.Timeout = options.Dir, options.Label, options.Timeout
	load.job.Env = append([]string{"PATH=/bin:/sbin:/usr/bin:/usr/sbin", "HOME=/root", "TMPDIR=/tmp", Environment + "=" + string(options.LSM)}, options.Env...)
	return load, err
}

// addProgram adds the command, if it is a path of the host, and the testdata of
// the working directory. It returns the command's name in the guest.
func (p payload) addProgram(options Options) (string, error) {
	if testdata := filepath.Join(options.Dir, "testdata"); exists(testdata) {
		if err := p.files.add(testdata, testdata); err != nil {
			return "", err
		}
	}
	program := options.Command[0]
	if !strings.Contains(program, "/") {
		return program, nil
	}
	program = absolute(options.Dir, program)
	if !exists(program) {
		return program, nil
	}
	return program, p.files.add(program, program)
}

func absolute(directory, path string) string {
	if filepath.IsAbs(path) {
		return filepath.Clean(path)
	}
	return filepath.Join(directory, path)
}

func (p payload) addAll(options Options) error {
	for _, entry := range options.Add {
		host, guest, ok := strings.Cut(entry, ":")
		host = absolute(options.Dir, host)
		if !ok {
			guest = host
		}
		if !filepath.IsAbs(guest) {
			return fmt.Errorf("add %s: the guest's path has to be absolute", entry)
		}
		if err := p.files.add(host, guest); err != nil {
			return fmt.Errorf("add %s: %w", entry, err)
		}
	}
	return nil
}

func (c cache) addProfiles(ctx context.Context, files tree, options Options) error {
	for _, source := range options.Profiles {
		binary, err := c.compileProfile(ctx, absolute(options.Dir, source))
		if err != nil {
			return fmt.Errorf("profile: %w", err)
		}
		name := strings.TrimSuffix(filepath.Base(source), filepath.Ext(source))
		files.file("/profiles/"+name+".bin", 0o644, binary)
	}
	return nil
}

// run restores the state and runs the job in it.
func (m machine) run(ctx context.Context, state string, load payload, options Options) (result Result, err error) {
	limit := options.Timeout + jobGrace
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("no answer from the guest after %s", limit))
	defer cancel()
	directory, err := os.MkdirTemp("", "bulkhead-vm-")
	if err != nil {
		return result, err
	}
	defer os.RemoveAll(directory)
	if err := writeDisk(filepath.Join(directory, "disk"), load.files); err != nil {
		return result, err
	}
	start := time.Now()
	p, err := m.start(ctx, directory, restoreArguments(statePath(state)))
	if err != nil {
		return result, because(ctx, err)
	}
	defer p.stop()
	if options.Console != nil {
		defer func() { err = errors.Join(err, copyConsole(options.Console, directory)) }()
	}
	if err := p.control.resume(); err != nil {
		return result, because(ctx, p.explain(err))
	}
	resumed := time.Now()
	exit, err := load.talk(p.wire, options)
	if err != nil {
		return result, because(ctx, p.explain(err))
	}
	result = Result{Code: exit.Code, TimedOut: exit.TimedOut, Message: exit.Error}
	result.Times = Times{Restore: resumed.Sub(start), Run: time.Since(resumed)}
	return result, nil
}

func writeDisk(path string, files tree) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	buffered := bufio.NewWriterSize(file, 1<<20)
	err = files.archive(buffered)
	if err == nil {
		err = buffered.Flush()
	}
	if info, statErr := file.Stat(); err == nil && statErr == nil && info.Size() > diskSize {
		err = fmt.Errorf("files of %d bytes do not fit the guest's disk", info.Size())
	}
	return errors.Join(err, file.Close())
}

func copyConsole(output io.Writer, directory string) error {
	text, err := os.ReadFile(filepath.Join(directory, "console"))
	if err != nil {
		return err
	}
	_, err = output.Write(text)
	return err
}

// talk sends the job and receives all that comes of it.
func (p payload) talk(guest io.ReadWriter, options Options) (wire.Exit, error) {
	job := p.job
	job.Now = time.Now()
	job.Seed = make([]byte, 64)
	if _, err := rand.Read(job.Seed); err != nil {
		return wire.Exit{}, err
	}
	if err := wire.WriteValue(guest, wire.KindJob, job); err != nil {
		return wire.Exit{}, err
	}
	buffered := bufio.NewReader(guest)
	for {
		kind, data, err := wire.Read(buffered)
		if err != nil {
			return wire.Exit{}, fmt.Errorf("the guest died: %w", ended(err))
		}
		switch kind {
		case wire.KindStdout:
			_, err = options.Stdout.Write(data)
		case wire.KindStderr:
			_, err = options.Stderr.Write(data)
		case wire.KindFile:
			err = p.receive(data)
		case wire.KindExit:
			var exit wire.Exit
			return exit, json.Unmarshal(data, &exit)
		default:
			err = fmt.Errorf("frame %q from the guest", kind)
		}
		if err != nil {
			return wire.Exit{}, err
		}
	}
}

// receive writes a file that the guest sent back to where it was asked for.
func (p payload) receive(data []byte) error {
	var file wire.File
	if err := json.Unmarshal(data, &file); err != nil {
		return fmt.Errorf("file from the guest: %w", err)
	}
	for _, output := range p.outputs {
		if host, ok := output.hostPath(file.Path); ok {
			return os.WriteFile(host, file.Data, 0o644)
		}
	}
	return fmt.Errorf("file %s from the guest was not asked for", file.Path)
}
