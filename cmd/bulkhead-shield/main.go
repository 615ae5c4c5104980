// SPDX-License-Identifier: Apache-2.0

// Command bulkhead-shield is the shield process: it holds the key of one volume and serves it to the kernel, or reads all of it. Package process says how it is
// started. Before it looks at the volume, it can no longer be traced or dumped, has no capabilities, and is in a Landlock domain and under a seccomp filter in which there are
// no programs to execute, no sockets and no files but those that it was given.
package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/signal"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/shield/fuse"
	"github.com/bulkhead-project/bulkhead/shield/process"
	"github.com/bulkhead-project/bulkhead/shield/store"
)

func main() {
	control := os.NewFile(process.Control, "control")
	if err := serve(control); err != nil {
		var known *process.Error
		if !errors.As(err, &known) {
			known = describe(err)
		}
		if process.Send(control, process.Reply{Error: known}) != nil {
			fmt.Fprintln(os.Stderr, "bulkhead-shield:", err)
		}
		os.Exit(1)
	}
}

// serve does what the process is for; control is closed once its creator is not needed any more.
func serve(control *os.File) error {
	locked, err := harden()
	if err != nil {
		return err
	}
	var setup process.Setup
	if err := process.Receive(control, &setup); err != nil {
		return err
	}
	keys, err := receiveKeys(control, setup)
	if err != nil {
		return err
	}
	image, err := store.NewFile(os.NewFile(process.Image, setup.Name), setup.ReadOnly || setup.Verify) // finds who else has it by /proc/locks, which is closed afterwards
	if err != nil {
		return err
	}
	if err := confine(setup); err != nil {
		return err
	}
	opened, err := open(setup, keys, image)
	if err != nil {
		return err
	}
	if setup.Verify {
		if err := errors.Join(opened.verify(control), opened.Close()); err != nil {
			return err
		}
		return process.Send(control, process.Reply{Ready: true})
	}
	server, err := fuse.NewServer(os.NewFile(process.Device, "/dev/fuse"), opened.Volume)
	if err != nil {
		return errors.Join(err, opened.Close())
	}
	report := reporter{server: server, file: os.NewFile(process.Report, "report"),
		status: process.Status{PID: os.Getpid(), Name: setup.Name, Started: time.Now().UTC(), Landlock: setup.Landlock, Locked: locked}}
	if err = report.write(); err == nil {
		err = process.Send(control, process.Reply{Ready: true})
	}
	if err != nil {
		return errors.Join(err, opened.Close())
	}
	var word [1]byte
	if count, _ := control.Read(word[:]); count != 1 {
		return errors.Join(process.ErrEnded, opened.Close())
	}
	control.Close()
	stop := report.start(opened)
	server.Serve()
	stop()
	return report.end(opened.Close())
}

// reporter keeps the file that says how the process does.
type reporter struct {
	server *fuse.Server
	file   *os.File
	status process.Status
}

// write replaces the report. It is one document, so that readers who come in between find it broken, and read again.
func (r *reporter) write() error {
	r.status.Requests = r.server.Counts()
	first, count := r.server.Failures()
	r.status.Failed, r.status.Failures = count, first
	text, err := json.Marshal(r.status)
	if err != nil {
		return err
	}
	if status, err := r.file.Stat(); err != nil || !status.Mode().IsRegular() {
		return err // an ordinary user has no place for it
	}
	if _, err := r.file.WriteAt(append(text, '\n'), 0); err != nil {
		return err
	}
	return r.file.Truncate(int64(len(text)) + 1)
}

// reportPause is between two looks whether there is something new to report.
const reportPause = time.Second

// start reports from now on until the function that it returns is called. SIGTERM, with which systems announce their end, makes what was written durable; the
// process ends with its mount alone, since what programs have written comes to it until then.
func (r *reporter) start(opened *opened) (stop func()) {
	signals, done, ended := make(chan os.Signal, 1), make(chan struct{}), make(chan struct{})
	signal.Notify(signals, unix.SIGTERM, unix.SIGINT, unix.SIGHUP)
	ticker := time.NewTicker(reportPause)
	go func() {
		defer close(ended)
		for reported := r.seen(); ; {
			select {
			case <-done:
				return
			case <-signals:
				opened.store.Sync() // a failure stays in the store, and every later request is told
			case <-ticker.C:
				if now := r.seen(); now != reported {
					reported = now
					r.write()
				}
			}
		}
	}()
	return func() { ticker.Stop(); close(done); <-ended }
}

// seen are the numbers of requests and of failures: a failure may be noted later than its request is counted.
func (r *reporter) seen() [2]uint64 {
	_, failed := r.server.Failures()
	return [2]uint64{r.server.Answered(), failed}
}

func (r *reporter) end(err error) error {
	now := time.Now().UTC()
	r.status.Ended = &now
	if err != nil {
		r.status.CloseFail = err.Error()
	}
	return errors.Join(err, r.write())
}
