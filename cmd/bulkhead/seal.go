// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"io"
	"os"
	"os/signal"
	"sync"
	"time"

	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/container"
	"github.com/bulkhead-project/bulkhead/shield/stream"
	"github.com/bulkhead-project/bulkhead/standalone"
)

// sealCommand is the process that seals a container's outputs under an engine: see container.SealVerb.
func sealCommand() *cobra.Command {
	return &cobra.Command{Use: container.SealVerb + " CONTAINER RECIPIENT...", Hidden: true, Args: arguments(cobra.MinimumNArgs(2)), RunE: func(command *cobra.Command, args []string) error {
		signal.Ignore(unix.SIGPIPE, unix.SIGINT, unix.SIGTERM, unix.SIGHUP) // it ends with the container's outputs, not before
		answer := os.NewFile(5, "answer")
		sealers, err := beginSealing(args[0], args[1:])
		if failed := container.AnswerSealing(answer, err); err != nil || failed != nil {
			return failed
		}
		var copies sync.WaitGroup
		for i, sealer := range sealers {
			copies.Go(func() {
				io.Copy(sealer, os.NewFile(uintptr(3+i), "output")) // ends early if the engine's end is gone; then the container's writes fail
				sealer.Close()
			})
		}
		copies.Wait()
		return nil
	}}
}

func beginSealing(name string, recipients []string) ([]*stream.Sealer, error) {
	parsed, err := stream.ParseRecipients(recipients)
	if err != nil {
		return nil, err
	}
	names := []string{string(standalone.Stdout), string(standalone.Stderr)}
	run := stream.NewRun(name, names, parsed, time.Now)
	var sealers []*stream.Sealer
	for i, out := range []*os.File{os.Stdout, os.Stderr} {
		sealer, err := run.Sealer(names[i], out)
		if err != nil {
			return nil, err
		}
		sealers = append(sealers, sealer)
	}
	return sealers, nil
}
