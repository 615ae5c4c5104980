// SPDX-License-Identifier: Apache-2.0

package standalone

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"os/signal"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/shield/stream"
)

// Streams are the ends that the user holds. Nil ones are nowhere.
type Streams struct {
	In, Out, Err *os.File
}

// output is where one stream of a container goes: to the log and to the user, both sealed if that was asked for.
type output struct {
	log    io.WriteCloser
	user   io.Writer // nil: nobody
	sealer *stream.Sealer
}

// output makes the way of one stream. What is sealed has its beginning in the log before the container writes.
func (a *attachment) output(name Stream, user *os.File) (*output, error) {
	o := &output{log: a.writer.Stream(name)}
	if user != nil {
		o.user = user
	}
	if a.sealed == nil {
		return o, nil
	}
	var err error
	o.sealer, err = a.sealed.Sealer(string(name), writerFunc(o.plain))
	a.sealers = append(a.sealers, o.sealer)
	return o, err
}

// Write never fails for want of the user, who may have gone away: that does not stop the container from writing. Nothing is written plain that should be sealed.
func (o *output) Write(data []byte) (int, error) {
	if o.sealer != nil {
		return o.sealer.Write(data)
	}
	return o.plain(data)
}

func (o *output) plain(data []byte) (int, error) {
	_, err := o.log.Write(data)
	if o.user != nil {
		if _, err := o.user.Write(data); err != nil {
			o.user = nil
		}
	}
	return len(data), err
}

func (o *output) Close() error {
	if o.sealer != nil {
		return errors.Join(o.sealer.Close(), o.log.Close())
	}
	return o.log.Close()
}

type writerFunc func([]byte) (int, error)

func (f writerFunc) Write(data []byte) (int, error) { return f(data) }

// attachment joins a container's descriptors to the user's and to the log.
type attachment struct {
	console *ConsoleSocket
	streams Streams
	log     *os.File
	writer  *LogWriter
	sealed  *stream.Run // nil: plain
	sealers []*stream.Sealer
	theirs  []*os.File // the container's ends, closed once it has them
	copies  sync.WaitGroup
	tty     *Attachment
}

// attach makes what the container's program gets as 0, 1 and 2, and puts it into the job.
//
// The container writes into pipes of this process's own, because a pipe keeps the label of whoever made it, and a container under SELinux may
// only use one that carries a label of its own; and what passes through them is logged. Only a container in the foreground that is removed
// at its end, whose log nobody could read, has the user's own descriptors, and only while no SELinux label is applied.
func (e *Engine) attach(c *Container, streams Streams, job *container.Job) (*attachment, error) {
	log, err := os.OpenFile(c.LogPath(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600)
	if err != nil {
		return nil, err
	}
	a := &attachment{streams: streams, log: log, writer: NewLogWriter(log, time.Now)}
	recipients, err := stream.ParseRecipients(c.Options.ShieldStdio)
	if err != nil {
		return nil, err
	}
	if len(recipients) > 0 {
		names := []string{string(Stdout), string(Stderr)}
		if c.Options.TTY {
			names = names[:1]
		}
		a.sealed = stream.NewRun(c.ID, names, recipients, time.Now)
	}
	null, err := os.OpenFile(os.DevNull, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	a.theirs = append(a.theirs, null)
	job.Stdio = [3]*os.File{null, null, null}
	switch {
	case c.Options.TTY:
		if a.console, err = ListenConsole(e.Host.Run); err != nil {
			return nil, err
		}
		job.Command.Options = job.Command.Options.With("console-socket", a.console.Path())
	case a.sealed == nil && c.Options.Remove && !c.Options.Detach && c.Context == "" && streams.Out != nil && streams.Err != nil:
		job.Stdio[1], job.Stdio[2] = streams.Out, streams.Err
		if c.Options.Interactive && streams.In != nil {
			job.Stdio[0] = streams.In
		}
	default:
		err = a.pipes(c.Options.Interactive, &job.Stdio)
	}
	if err != nil {
		a.close()
		return nil, err
	}
	return a, nil
}

// pipes gives the container a pipe for each stream and starts the copying.
func (a *attachment) pipes(interactive bool, stdio *[3]*os.File) error {
	if interactive && a.streams.In != nil {
		theirs, ours, err := os.Pipe()
		if err != nil {
			return err
		}
		stdio[0], a.theirs = theirs, append(a.theirs, theirs)
		go func() { // ends with its input, or with this process
			io.Copy(ours, a.streams.In)
			ours.Close()
		}()
	}
	for i, out := range []struct {
		name Stream
		user *os.File
	}{{Stdout, a.streams.Out}, {Stderr, a.streams.Err}} {
		ours, theirs, err := os.Pipe()
		if err != nil {
			return err
		}
		stdio[1+i], a.theirs = theirs, append(a.theirs, theirs)
		to, err := a.output(out.name, out.user)
		if err != nil {
			return err
		}
		a.copies.Go(func() { copyOut(to, ours) })
	}
	return nil
}

// copyOut copies one stream until it ends.
func copyOut(to *output, from *os.File) {
	defer from.Close()
	defer to.Close()
	buffer := make([]byte, 32<<10)
	for {
		n, err := from.Read(buffer)
		if n > 0 {
			to.Write(buffer[:n])
		}
		if err != nil {
			return
		}
	}
}

// created is called when the container has its descriptors. It receives the terminal, where there is one.
func (a *attachment) created() error {
	for _, file := range a.theirs {
		file.Close()
	}
	a.theirs = nil
	if a.console == nil {
		return nil
	}
	master, err := a.console.Receive(time.Minute)
	if err != nil {
		return fmt.Errorf("the container's terminal: %w", err)
	}
	if a.streams.In != nil {
		if a.tty, err = Attach(master, a.streams.In); err != nil {
			return fmt.Errorf("the container's terminal: %w", err)
		}
	}
	to, err := a.output(Stdout, a.streams.Out)
	if err != nil {
		return err
	}
	a.copies.Go(func() {
		defer to.Close()
		CopyOutput(to, master)
	})
	return nil
}

// drainLimit bounds the wait for output after the container's end: a process that it left behind may hold its pipes.
const drainLimit = 2 * time.Second

// drain waits until everything that the container wrote has been copied.
func (a *attachment) drain() {
	done := make(chan struct{})
	go func() { a.copies.Wait(); close(done) }()
	select {
	case <-done:
	case <-time.After(drainLimit):
		for _, sealer := range a.sealers {
			sealer.Close() // what comes now is not in the log, and the log is whole all the same
		}
	}
}

func (a *attachment) close() {
	for _, file := range a.theirs {
		file.Close()
	}
	if a.tty != nil {
		a.tty.Close()
	}
	if a.console != nil {
		a.console.Close()
	}
	a.log.Close()
}

// forwardSignals passes what this process is sent on to the container's. With a terminal the keys go there as characters.
func forwardSignals(pid int, tty bool) func() {
	signals := make(chan os.Signal, 16)
	wanted := []os.Signal{unix.SIGTERM, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2}
	if !tty {
		wanted = append(wanted, unix.SIGINT)
	}
	signal.Notify(signals, wanted...)
	descriptor, err := unix.PidfdOpen(pid, 0)
	if err != nil {
		descriptor = -1
	}
	ended := make(chan struct{})
	go func() {
		for {
			select {
			case received := <-signals:
				unix.PidfdSendSignal(descriptor, received.(unix.Signal), nil, 0)
			case <-ended:
				unix.Close(descriptor)
				return
			}
		}
	}()
	return func() { signal.Stop(signals); close(ended) }
}

// errorsOnly is the stdio of the OCI runtime's own verbs: its words go to a file beside its log.
func errorsOnly(c *Container) [3]*os.File {
	var stdio [3]*os.File
	if file, err := os.OpenFile(c.runtimeLog(), os.O_CREATE|os.O_WRONLY|os.O_APPEND, 0o600); err == nil {
		stdio[2] = file
	}
	return stdio
}

// lastError finds the last message in the OCI runtime's log: JSON lines of --log, or plain ones.
func lastError(path string) string {
	file, err := os.Open(path)
	if err != nil {
		return ""
	}
	defer file.Close()
	last := ""
	for scanner := bufio.NewScanner(file); scanner.Scan(); {
		var line struct{ Level, Msg string }
		if err := json.Unmarshal(scanner.Bytes(), &line); err != nil {
			last = scanner.Text()
		} else if line.Level == "error" {
			last = line.Msg
		}
	}
	return last
}

// Kill sends a signal to a running container's first process, through the OCI runtime.
func (e *Engine) Kill(c *Container, sent unix.Signal) error {
	record, err := e.Record(c)
	if err != nil || record.PID() == 0 {
		return errors.Join(err, &NotRunningError{c.Name})
	}
	descriptor, err := unix.PidfdOpen(record.PID(), 0)
	if err != nil {
		return &NotRunningError{c.Name}
	}
	defer unix.Close(descriptor)
	return unix.PidfdSendSignal(descriptor, sent, nil, 0)
}

// NotRunningError says that the container has no process.
type NotRunningError struct{ Name string }

func (e *NotRunningError) Error() string { return "container " + e.Name + " is not running" }

// Stop asks the container to end, by the image's signal or SIGTERM, and kills it when the time is over. It returns when the container has been
// taken down.
func (e *Engine) Stop(c *Container, limit time.Duration) error {
	ask := unix.SIGTERM
	if c.Stop != "" {
		var err error
		if ask, err = ParseSignal("STOPSIGNAL", c.Stop); err != nil {
			return err
		}
	}
	if err := e.Kill(c, ask); err != nil {
		return err
	}
	if e.awaitEnd(c, limit) {
		return nil
	}
	var gone *NotRunningError
	if err := e.Kill(c, unix.SIGKILL); err != nil && !errors.As(err, &gone) {
		return err
	}
	if !e.awaitEnd(c, 30*time.Second) {
		return errors.New("container " + c.Name + " does not end, even killed")
	}
	return nil
}

// awaitEnd waits until the container's record is gone and its keeper, which takes it down, has written how it ended.
func (e *Engine) awaitEnd(c *Container, limit time.Duration) bool {
	for deadline := time.Now().Add(limit); ; time.Sleep(10 * time.Millisecond) {
		record, err := e.Record(c)
		if errors.Is(err, container.ErrUnknown) && c.settled() {
			return true
		}
		// The keeper may have taken it down between the two looks; then there is nothing to bury, and the next look sees it.
		if err == nil && !record.Alive() && !c.Keeper.Alive("/proc") && e.bury(c) == nil {
			return true
		}
		if time.Now().After(deadline) {
			return false
		}
	}
}

// settled reports whether the keeper has written the container's end, or removed it, or is gone.
func (c *Container) settled() bool {
	now, err := readContainer(c.directory)
	return err != nil || now.Exit != nil || !now.Keeper.Alive("/proc")
}

// ExecOptions describe a process to be added.
type ExecOptions struct {
	Args        []string
	Environment []string // NAME=VALUE, added to the container's
	WorkDir     string   // "" for the container's
	User        string   // "" for the container's
	TTY         bool
}

// Exec adds a process to a running container and waits for it. stdio are the caller's own descriptors; with TTY the first is a terminal.
func (e *Engine) Exec(c *Container, options ExecOptions, stdio [3]*os.File) (int, error) {
	record, err := e.Record(c)
	if err != nil || !record.Alive() {
		return 0, &NotRunningError{c.Name}
	}
	command := e.command("exec", c.ID)
	command.Arguments = append(command.Arguments, options.Args...)
	if options.User != "" {
		user, err := ResolveUser(c.overlay().Merged(), options.User)
		if err != nil {
			return 0, &UsageError{Option: "-u " + options.User, Reason: err.Error()}
		}
		command.Options = command.Options.With("user", user.String())
	}
	for _, variable := range options.Environment {
		command.Options = command.Options.With("env", variable)
	}
	if options.WorkDir != "" {
		command.Options = command.Options.With("cwd", options.WorkDir)
	}
	if options.TTY {
		command.Options = append(command.Options, oci.Option{Name: "tty", Flag: true})
	}
	if record.Compiled.ProcessLabel != "" && !options.TTY {
		return e.execLabelled(c, command, stdio)
	}
	return e.Host.Exec(container.Execution{Command: command, Stdio: stdio}, e.Inner)
}

// execLabelled adds a process that is under an SELinux label, which may not allow the user's own pipes, nor those that runc puts in between while
// it stays. So it gets pipes of this process's, which package container labels for it, the OCI runtime does not stay, and this process waits.
func (e *Engine) execLabelled(c *Container, command oci.Command, stdio [3]*os.File) (int, error) {
	if err := unix.Prctl(unix.PR_SET_CHILD_SUBREAPER, 1, 0, 0, 0); err != nil {
		return 0, err
	}
	directory, err := os.MkdirTemp(c.directory, "exec-*")
	if err != nil {
		return 0, err
	}
	defer os.RemoveAll(directory)
	pidFile := filepath.Join(directory, "pid")
	command.Options = append(command.Options, oci.Option{Name: "detach", Flag: true}, oci.Option{Name: "pid-file", Value: pidFile})
	a := &attachment{streams: Streams{stdio[0], stdio[1], stdio[2]}, writer: NewLogWriter(io.Discard, time.Now)}
	var theirs [3]*os.File
	if err := a.pipes(true, &theirs); err != nil {
		return 0, err
	}
	status, err := e.Host.Exec(container.Execution{Command: command, Stdio: theirs}, e.Inner)
	err = errors.Join(err, a.created())
	defer a.drain()
	if err != nil || status != 0 {
		return status, err
	}
	text, err := os.ReadFile(pidFile)
	if err != nil {
		return 0, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(text)))
	if err != nil {
		return 0, fmt.Errorf("%s: %w", pidFile, err)
	}
	defer forwardSignals(pid, false)()
	return wait(pid)
}
