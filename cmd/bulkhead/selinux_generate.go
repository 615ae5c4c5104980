// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	specs "github.com/opencontainers/runtime-spec/specs-go"
	"github.com/spf13/cobra"
	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/oci"
	"github.com/bulkhead-project/bulkhead/plan"
	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/container"
	"github.com/bulkhead-project/bulkhead/selinux/filecontexts"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	"github.com/bulkhead-project/bulkhead/standalone"
)

// generateFlags are the options of generate.
type generateFlags struct {
	policy       policyFlag
	fileContexts string
	name, output string
	publish      []string
	force        bool
}

func selinuxGenerate() *cobra.Command {
	var flags generateFlags
	command := &cobra.Command{Use: "generate [OPTIONS] BUNDLE | CONTAINER", Short: "write the least privileged domain for one container", Args: arguments(cobra.ExactArgs(1)),
		Long: "Write a module in CIL with a domain for one container, from its config.json: its mounts by the labels of their sources, its devices, its\n" +
			"capabilities, and the ports of --publish. Each grant has a comment that says why it is there. What would hand the host over is refused with\n" +
			"status 4: passwords, keys, disks, memory, the policy itself, whatever the options; what the host lives by (/etc to write to, the socket of a\n" +
			"runtime), unless --force. `bulkhead apply FILE` loads the module, and --security-opt label=type:NAME.process uses it."}
	flags.policy.add(command)
	command.Flags().StringVar(&flags.name, "name", "", "`NAME` of the domain; that of the container or bundle where it is not given")
	command.Flags().StringVar(&flags.fileContexts, "file-contexts", "", "`FILE` of file_contexts(5) for what has no label; the distribution's where it is not given")
	command.Flags().StringVarP(&flags.output, "output", "o", "", "write to `FILE`, and print the domain's type")
	command.Flags().StringArrayVarP(&flags.publish, "publish", "p", nil, "`PORT`[/PROTOCOL] that the container listens on, or docker's HOST:PORT")
	command.Flags().BoolVar(&flags.force, "force", false, "grant what the host lives by, but for its secrets")
	command.RunE = func(command *cobra.Command, args []string) error {
		made, err := generateDomain(command, flags, args[0])
		if err != nil {
			return refusal(err)
		}
		if flags.output == "" {
			_, err = command.OutOrStdout().Write(made.Text)
			return err
		}
		if err := os.WriteFile(flags.output, made.Text, 0o644); err != nil {
			return err
		}
		_, err = fmt.Fprintln(command.OutOrStdout(), made.Type)
		return err
	}
	return command
}

// refusal gives a need that is refused its exit status.
func refusal(err error) error {
	var refused *container.RefusedError
	if !errors.As(err, &refused) {
		return err
	}
	hint := "--force, for a container that you trust as the host"
	if refused.Always {
		hint = "leave it out of the container, or run that with --security-opt label=type:spc_t, unconfined for all to see"
	}
	return &plan.RefusedError{Subject: refused.Need, Reason: refused.Reason, Hint: hint}
}

func generateDomain(command *cobra.Command, flags generateFlags, of string) (container.Domain, error) {
	config, bundle, name, err := configOf(command.ErrOrStderr(), of)
	if err != nil {
		return container.Domain{}, err
	}
	if flags.name != "" {
		name = flags.name
	} else {
		name = blockName(name)
	}
	needs, err := needsOf(config, bundle, &labels{path: flags.fileContexts})
	if err != nil {
		return container.Domain{}, err
	}
	needs.Name, needs.Origin = name, of
	for _, text := range flags.publish {
		port, err := parsePort(text)
		if err != nil {
			return container.Domain{}, usageError{err}
		}
		needs.Ports = append(needs.Ports, port)
	}
	policy, err := withContainerTypes(flags.policy, command.ErrOrStderr())
	if err != nil {
		return container.Domain{}, err
	}
	made, err := container.Generate(policy, needs, flags.force)
	if err != nil {
		return made, err
	}
	remains, err := container.Verify(policy, needs, flags.force)
	if remains != "" {
		fmt.Fprintln(command.ErrOrStderr(), "bulkhead: warning: "+remains)
	}
	return made, err
}

// withContainerTypes reads a policy. One without container types gets those that `bulkhead run` would bring.
func withContainerTypes(from policyFlag, stderr io.Writer) (*policydb.Policy, error) {
	policy, err := from.read()
	if err != nil || container.Has(policy) {
		return policy, err
	}
	sources, err := container.Sources(policy)
	if err != nil {
		return nil, err
	}
	result, err := cil.Compile(sources, cil.Options{Onto: policy})
	if err != nil {
		return nil, fmt.Errorf("the policy has no container types, and does not take Bulkhead's: %w", err)
	}
	fmt.Fprintln(stderr, "bulkhead: notice: the policy has no container types: `bulkhead run` brings them before its first container (see container-policy); the module is to be applied after that")
	return result.Policy, nil
}

// configOf returns the configuration of a bundle's directory or of a container, by its name or ID, what relative paths in it start from, and its name.
func configOf(stderr io.Writer, of string) (config *oci.Config, bundle, name string, err error) {
	path := filepath.Join(of, "config.json")
	if info, statErr := os.Stat(of); statErr == nil && info.IsDir() {
		if bundle, err = filepath.Abs(of); err != nil {
			return nil, "", "", err
		}
		asked, err := readConfig(path)
		if err != nil {
			return nil, "", "", err
		}
		config, err = oci.Parse(asked)
		return config, bundle, filepath.Base(bundle), err
	}
	engine, err := openEngine(stderr, false)
	if err != nil {
		return nil, "", "", err
	}
	records, err := engine.Host.List()
	if err != nil {
		return nil, "", "", err
	}
	id, name := of, of
	found, err := engine.Find(of)
	var missing *standalone.NotFoundError
	switch {
	case err == nil:
		id, name = found.ID, found.Name
	case !errors.As(err, &missing):
		return nil, "", "", err
	}
	for _, record := range records {
		if record.ID != id {
			continue
		}
		asked, err := record.Asked()
		if err != nil {
			return nil, "", "", err
		}
		config, err = oci.Parse(asked)
		return config, record.Bundle, name, err
	}
	return nil, "", "", hinted{fmt.Errorf("%s is neither a bundle nor a container that runs", of), "name a directory with config.json, or a container of `bulkhead ps`"}
}

// blockName makes a name that CIL takes of a container's.
func blockName(name string) string {
	mapped := strings.Map(func(r rune) rune {
		if r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' {
			return r
		}
		return '_'
	}, name)
	if mapped == "" || mapped[0] == '_' || mapped[0] >= '0' && mapped[0] <= '9' {
		mapped = "container_" + mapped
	}
	return mapped
}

// needsOf reads what the configuration asks of the domain, and the labels of what it mounts.
func needsOf(config *oci.Config, bundle string, labels *labels) (container.Needs, error) {
	var needs container.Needs
	spec := &config.Spec
	if spec.Process.Capabilities != nil {
		for _, name := range spec.Process.Capabilities.Bounding {
			needs.Capabilities = append(needs.Capabilities, strings.ToLower(strings.TrimPrefix(name, "CAP_")))
		}
	}
	if linux := spec.Linux; linux != nil {
		needs.UserNamespace = slices.ContainsFunc(linux.Namespaces, func(n specs.LinuxNamespace) bool { return n.Type == specs.UserNamespace })
		for _, device := range linux.Devices {
			class := map[bool]string{true: "blk_file", false: "chr_file"}[device.Type == "b"]
			label, err := labels.of(device.Path, class)
			if err != nil {
				return needs, err
			}
			needs.Devices = append(needs.Devices, container.Device{Path: device.Path, Block: device.Type == "b", Label: label})
		}
	}
	for _, mount := range spec.Mounts {
		readOnly := slices.Contains(mount.Options, "ro")
		if mount.Type == "cgroup" || mount.Type == "cgroup2" {
			needs.WritableCgroup = needs.WritableCgroup || !readOnly
		}
		if mount.Type != "bind" && !slices.Contains(mount.Options, "bind") && !slices.Contains(mount.Options, "rbind") {
			continue
		}
		made, err := mountOf(mount, bundle, labels)
		if err != nil {
			return needs, err
		}
		made.ReadOnly, made.Executable = readOnly, slices.Contains(mount.Options, "exec")
		needs.Mounts = append(needs.Mounts, made)
	}
	return needs, nil
}

func mountOf(mount specs.Mount, bundle string, labels *labels) (container.Mount, error) {
	source := mount.Source
	if !filepath.IsAbs(source) {
		source = filepath.Join(bundle, source)
	}
	source, err := filepath.EvalSymlinks(source)
	if err != nil {
		return container.Mount{}, fmt.Errorf("mount on %s: %w", mount.Destination, err)
	}
	var stat unix.Stat_t
	if err := unix.Stat(source, &stat); err != nil {
		return container.Mount{}, &os.PathError{Op: "stat", Path: source, Err: err}
	}
	class := fileClass(stat.Mode)
	label, err := labels.of(source, class)
	return container.Mount{Source: source, Destination: mount.Destination, Class: class, Label: label}, err
}

// fileClass is SELinux's class of a file of that mode.
func fileClass(mode uint32) string {
	classes := map[uint32]string{unix.S_IFDIR: "dir", unix.S_IFLNK: "lnk_file", unix.S_IFSOCK: "sock_file", unix.S_IFIFO: "fifo_file", unix.S_IFCHR: "chr_file", unix.S_IFBLK: "blk_file"}
	if class := classes[mode&unix.S_IFMT]; class != "" {
		return class
	}
	return "file"
}

// labels finds the labels of files: what they carry, or else what file_contexts has for their paths, by the most specific match.
type labels struct {
	path  string // of file_contexts; "": the distribution's, where there is one
	table *filecontexts.Table
}

// of returns "" where nobody has a label for the file.
func (l *labels) of(path, class string) (string, error) {
	value := make([]byte, 4096)
	size, err := unix.Getxattr(path, "security.selinux", value)
	switch {
	case err == nil:
		return strings.TrimRight(string(value[:size]), "\x00"), nil
	case !errors.Is(err, unix.ENODATA) && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, unix.ENOENT):
		return "", &os.PathError{Op: "label of", Path: path, Err: err}
	}
	if l.table == nil {
		if err := l.load(); err != nil {
			return "", err
		}
	}
	line, err := l.table.Match(path, fileKinds[class])
	if err != nil || line == nil {
		return "", err
	}
	return line.Context, nil
}

func (l *labels) load() error {
	if _, err := os.Stat(selinux.ConfigFile); l.path == "" && errors.Is(err, fs.ErrNotExist) {
		l.table = filecontexts.NewTable(nil)
		return nil
	}
	var err error
	l.table, err = (&rootFlag{"/"}).fileContexts(l.path)
	return err
}

// parsePort reads PORT, HOST:PORT or ADDRESS:HOST:PORT, with or without /PROTOCOL: the container's own port counts.
func parsePort(text string) (container.Port, error) {
	rest, protocol, named := strings.Cut(text, "/")
	if !named {
		protocol = "tcp"
	}
	number, err := strconv.ParseUint(rest[strings.LastIndexByte(rest, ':')+1:], 10, 16)
	if err != nil || number == 0 {
		return container.Port{}, fmt.Errorf("--publish %s: expected PORT[/PROTOCOL] with a port from 1 to 65535", text)
	}
	return container.Port{Number: uint16(number), Protocol: protocol}, nil
}
