// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"time"

	"filippo.io/age"
	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/standalone"
)

func logsCommand() *cobra.Command {
	var query standalone.LogQuery
	var tail, since, identity string
	command := &cobra.Command{Use: "logs [OPTIONS] CONTAINER|-", Short: "print what a container wrote", Args: arguments(cobra.ExactArgs(1)),
		Long: "Print what a container wrote. With --identity the outputs that --shield-stdio sealed are opened; - is the log of another engine on the standard input, such as\n" +
			"docker logs CONTAINER 2>&1 | bulkhead logs --identity FILE -. What is missing from a sealed log, or was added, is said on standard error, and the status is 1."}
	flags := command.Flags()
	flags.StringVarP(&tail, "tail", "n", "all", "the last `N` lines")
	flags.StringVar(&since, "since", "", "lines since a time (RFC 3339) or for a duration (10m)")
	flags.BoolVarP(&query.Timestamps, "timestamps", "t", false, "print the time of each line")
	flags.BoolVarP(&query.Follow, "follow", "f", false, "go on until the container ends")
	flags.StringVar(&identity, "identity", "", "open sealed outputs with the age identities of `FILE`")
	command.RunE = func(command *cobra.Command, args []string) (err error) {
		if query.Tail, err = standalone.ParseTail(tail); err != nil {
			return err
		}
		if since != "" {
			if query.Since, err = standalone.ParseSince(since, time.Now()); err != nil {
				return err
			}
		}
		switch {
		case identity == "" && args[0] == "-":
			return usageError{errors.New("-: a log on the standard input is opened with --identity")}
		case identity != "" && query.Tail >= 0:
			return usageError{errors.New("--tail with --identity: what a sealed log lacks is seen only in the whole of it")}
		case args[0] == "-":
			return openLog(command, query, identity, command.InOrStdin(), false)
		}
		engine, found, err := findContainer(command, args[0])
		if err != nil {
			return err
		}
		log, err := os.Open(found.LogPath())
		if errors.Is(err, os.ErrNotExist) {
			return nil // not started yet
		}
		if err != nil {
			return err
		}
		defer log.Close()
		ended := func() bool { return !engine.Alive(found) }
		if identity == "" {
			return query.Copy(command.Context(), log, ended, command.OutOrStdout(), command.ErrOrStderr())
		}
		running := !query.Follow && !ended()
		lines, in := io.Pipe()
		go func() {
			in.CloseWithError(standalone.LogQuery{Tail: -1, Follow: query.Follow}.Copy(command.Context(), log, ended, in, in))
		}()
		defer lines.Close()
		return openLog(command, query, identity, lines, running)
	}
	return command
}

// openLog prints what a sealed log holds, and then what is wrong with it. That a running container's streams have no end is as it should be.
func openLog(command *cobra.Command, query standalone.LogQuery, path string, log io.Reader, running bool) error {
	identities, err := readIdentities(command, path)
	if err != nil {
		return err
	}
	findings, err := query.CopySealed(log, identities, command.OutOrStdout(), command.ErrOrStderr())
	if err != nil {
		return err
	}
	wrong := 0
	for _, finding := range findings {
		if running && finding.Open {
			continue
		}
		wrong++
		fmt.Fprintln(command.ErrOrStderr(), "bulkhead: warning:", finding)
	}
	if wrong > 0 {
		return hinted{fmt.Errorf("the log is not as it was written: %d findings", wrong), "what was printed is genuine; compare with another copy of the log"}
	}
	return nil
}

func readIdentities(command *cobra.Command, path string) ([]age.Identity, error) {
	var secrets wiped
	defer secrets.wipe()
	text, err := secrets.file("identity file", path, command.ErrOrStderr())
	if err != nil {
		return nil, err
	}
	identities, err := age.ParseIdentities(bytes.NewReader(text.Bytes()))
	if err != nil {
		return nil, fmt.Errorf("%s: no age identity: %w", path, err)
	}
	return identities, nil
}
