// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/apparmor"
	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/source"
)

// finish prints what there is to say of a file, and writes or loads what was compiled.
func (r *parserRun) finish(ctx context.Context, p *parsedFile) {
	r.err.Write(p.errors.Bytes())
	r.out.Write(p.output.Bytes())
	p.errors.Reset()
	if p.skipped != "" && !r.options.quiet {
		io.WriteString(r.err, p.skipped)
	}
	if p.status != 0 {
		r.status = p.status
		return
	}
	if p.stream == nil {
		return
	}
	if status := r.deliver(ctx, p); status != 0 {
		r.status = status
	}
	r.err.Write(p.errors.Bytes())
}

// deliver puts compiled policy where it is to go.
func (r *parserRun) deliver(ctx context.Context, p *parsedFile) int {
	o := r.options
	if o.stdout {
		if _, err := r.out.Write(p.stream); err != nil {
			fmt.Fprintf(r.err, "apparmor_parser: %v\n", err)
			return 1
		}
	}
	if o.output != "" {
		if err := appendFile(o.output, p.stream); err != nil {
			fmt.Fprintf(r.err, "apparmor_parser: %v\n", err)
			return 1
		}
	}
	if o.stdout || o.output != "" {
		return 0
	}
	if status := r.load(ctx, p); status != 0 {
		return status
	}
	if o.write && !o.skipCache && p.cached == "" && p.base() != "" && o.action != "remove" {
		r.keep(p)
	}
	return 0
}

// keep writes to the cache. That it cannot is a warning.
func (r *parserRun) keep(p *parsedFile) {
	if p.complain {
		r.warning(p, "cache", source.Diagnostic{Position: source.Position{Line: 1}, Message: fmt.Sprintf("Caching disabled for: '%s' due to force complain", p.base())})
		return
	}
	if directory := r.cache.directories[0]; r.options.skipBadCache && !r.cache.ours(directory) {
		if _, err := os.Stat(filepath.Join(directory, cacheFeatures)); err == nil {
			return
		}
	}
	path, err := r.cache.keep(p.base(), p.stream, p.newest)
	switch {
	case err != nil && !r.options.quiet:
		fmt.Fprintf(r.err, "Cache write disabled: %v\n", err)
	case err == nil && r.options.showCache:
		fmt.Fprintf(r.err, "Wrote cache: %s\n", path)
	}
}

func appendFile(path string, content []byte) error {
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND, 0)
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	return errors.Join(err, file.Close())
}

// load has the kernel take the policy, or removes it. The status of a failure is the errno's negative, as the reference's is.
func (r *parserRun) load(ctx context.Context, p *parsedFile) int {
	policy := p.compiled
	if policy == nil {
		var err error
		if policy, err = binary.Decode(p.stream); err != nil {
			fmt.Fprintf(r.err, "apparmor_parser: %s: %v\n", cmp.Or(p.cached, p.path, "stdin"), err)
			return 1
		}
	}
	for _, part := range policy.Split() {
		if status := r.loadPart(part, policy, p); status != 0 {
			if p.cached != "" && !r.options.skipRebuild {
				p.cached = ""
				if r.compile(ctx, p); p.status == 0 {
					return r.load(ctx, p)
				}
			}
			return status
		}
	}
	r.report(p, policy)
	return 0
}

// loadPart loads or removes the profiles of one namespace.
func (r *parserRun) loadPart(part, whole *binary.Policy, p *parsedFile) int {
	if r.host == nil {
		return 0
	}
	if r.options.action == "remove" {
		for _, profile := range part.Profiles {
			if strings.Contains(profile.Name, "//") {
				continue // goes with its parent
			}
			if err := r.host.Unload(profile.Name, profile.Namespace); err != nil {
				return r.refused("remove", profile.Name, err)
			}
		}
		return 0
	}
	stream := p.stream
	if len(part.Profiles) != len(whole.Profiles) {
		var err error
		if stream, err = binary.Encode(part); err != nil {
			fmt.Fprintf(r.err, "apparmor_parser: %v\n", err)
			return 1
		}
	}
	mode, verb := apparmor.Add, "add"
	if r.options.action == "replace" {
		mode, verb = apparmor.Replace, "replace"
	}
	namespace := ""
	if part.Profiles[0].Namespace == "" {
		namespace = r.options.namespace // of compiled policy
	}
	if err := r.host.Load(stream, namespace, mode); err != nil {
		return r.refused(verb, part.Profiles[0].Name, err)
	}
	return 0
}

// refused prints the kernel's refusal in the words that engines show, and returns the status.
func (r *parserRun) refused(verb, name string, err error) int {
	reason := err.Error()
	status := 1
	var errno unix.Errno
	if errors.As(err, &errno) {
		status = int(256 - errno&0xff)
	}
	switch {
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		reason = "Permission denied; attempted to load a profile while confined?"
	case errors.Is(err, unix.EPROTO):
		reason = "Profile doesn't conform to protocol"
	case errors.Is(err, unix.EPROTONOSUPPORT):
		reason = "Profile version not supported by Apparmor module"
	case errors.Is(err, fs.ErrExist):
		reason = "Profile already exists"
	case errors.Is(err, fs.ErrNotExist):
		reason = "Profile doesn't exist"
	case errors.Is(err, unix.ENOMEM):
		reason = "Out of memory"
	}
	fmt.Fprintf(r.err, "apparmor_parser: Unable to %s \"%s\".  %s\n", verb, name, reason)
	return status
}

// report says what was done, under -v.
func (r *parserRun) report(p *parsedFile, policy *binary.Policy) {
	if !r.options.verbose {
		return
	}
	if p.cached != "" || r.options.binary {
		fmt.Fprintf(r.out, "Cached reload succeeded for \"%s\".\n", absolute(cmp.Or(p.cached, p.path)))
		return
	}
	what := map[string]string{"": "Addition", "add": "Addition", "replace": "Replacement", "remove": "Removal"}[r.options.action]
	for _, profile := range policy.Profiles {
		parent, name, child := strings.Cut(profile.Name, "//")
		if !child {
			name = parent
		} else if r.options.action == "remove" {
			continue
		}
		fmt.Fprintf(r.out, "%s succeeded for \"%s\".\n", what, name)
	}
}

func absolute(path string) string {
	if path, err := filepath.Abs(path); err == nil {
		return path
	}
	return path
}
