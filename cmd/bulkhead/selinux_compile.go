// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux/cil"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
	"github.com/bulkhead-project/bulkhead/source"
)

// cilFlags are the options of compile, with secilc's names.
type cilFlags struct {
	options            cil.Options
	out, contexts      string
	onto               string
	mls, handleUnknown string
	order              string
	expandSize         uint
	disabled, asJSON   bool
}

func selinuxCompile() *cobra.Command {
	var f cilFlags
	command := &cobra.Command{Use: "compile [OPTIONS] FILE.cil...", Short: "compile CIL to a binary policy, or onto one", Args: arguments(cobra.MinimumNArgs(1)),
		Long: "Compile CIL to the binary policy that the kernel loads, with secilc's options and to secilc's bytes. With --onto the sources add to a policy that is there\n" +
			"already: their types get the next values, everything else stays as it is. Without -o the sources are only checked. - stands for standard input and output."}
	flags, o := command.Flags(), &f.options
	flags.StringVarP(&f.out, "output", "o", "", "`FILE` for the binary policy; - for standard output")
	flags.StringVarP(&f.contexts, "filecontext", "f", "", "`FILE` for the file contexts")
	flags.StringVar(&f.onto, "onto", "", "binary `POLICY` that the sources add to, such as "+runningPolicy)
	flags.Uint32VarP(&o.Version, "policyvers", "c", 0, "`VERSION` of the binary policy (33, or that of --onto)")
	flags.StringVarP(&f.mls, "mls", "M", "", "`true|false`, whatever the sources say")
	flags.StringVarP(&f.handleUnknown, "handle-unknown", "U", "", "`deny|allow|reject`, whatever the sources say")
	flags.BoolVarP(&o.DisableDontAudit, "disable-dontaudit", "D", false, "leave dontaudit rules out")
	flags.BoolVarP(&o.PreserveTunables, "preserve-tunables", "P", false, "treat tunables as booleans")
	flags.BoolVarP(&o.QualifiedNames, "qualified-names", "Q", false, "names may have dots; there are no blocks then")
	flags.BoolVarP(&o.MultipleDeclarations, "multiple-decls", "m", false, "some statements may be declared again")
	flags.BoolVarP(&o.DisableNeverAllow, "disable-neverallow", "N", false, "check neither neverallow rules nor bounds")
	flags.BoolVarP(&o.ExpandGenerated, "expand-generated", "G", false, "expand and remove generated attributes")
	flags.UintVarP(&f.expandSize, "expand-size", "X", 1, "expand attributes with fewer than `SIZE` types")
	flags.BoolVarP(&o.Optimize, "optimize", "O", false, "leave out rules that others cover; not with --onto")
	flags.StringVar(&f.order, "order", "3.6", "order of the tables as libsepol writes it: `3.6` and later, or 3.4")
	flags.BoolVar(&f.disabled, "disabled", false, "list the optionals that are left out, and what each lacks")
	flags.BoolVar(&f.asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error { return f.run(command, args) }
	return command
}

func (f *cilFlags) run(command *cobra.Command, paths []string) error {
	if f.onto != "" && command.Flags().Changed("order") {
		return usageError{errors.New("--order or --onto, not both: what is compiled onto a policy keeps its order")}
	}
	if command.Flags().Changed("policyvers") && f.options.Version == 0 {
		return usageError{errors.New("--policyvers 0: the binary policy has no such version")}
	}
	if err := f.settle(); err != nil {
		return err
	}
	sources, err := readSources(command.InOrStdin(), paths)
	if err != nil {
		return err
	}
	result, err := cil.Compile(sources, f.options)
	if err != nil {
		return err
	}
	for _, warning := range result.Warnings {
		fmt.Fprintln(command.ErrOrStderr(), "bulkhead: warning:", warning)
	}
	binary, err := result.Policy.Encode()
	if err != nil {
		return err
	}
	stdout := command.OutOrStdout()
	if f.contexts != "" {
		if err := writeOutput(stdout, f.contexts, result.FileContexts); err != nil {
			return err
		}
	}
	if f.out != "" {
		if err := writeOutput(stdout, f.out, binary); err != nil {
			return err
		}
	}
	if f.out == "-" || f.contexts == "-" {
		return nil
	}
	return f.print(stdout, result, binary)
}

// settle turns the words of the options into what they stand for.
func (f *cilFlags) settle() error {
	o := &f.options
	o.ExpandSize = int(f.expandSize)
	if f.expandSize == 0 {
		o.ExpandSize = -1
	}
	switch f.mls {
	case "":
	case "true", "false":
		mls := f.mls == "true"
		o.MLS = &mls
	default:
		return usageError{fmt.Errorf("--mls %q: true or false is expected", f.mls)}
	}
	if f.handleUnknown != "" {
		unknown, known := map[string]policydb.UnknownPermissions{"deny": policydb.DenyUnknown, "allow": policydb.AllowUnknown, "reject": policydb.RejectUnknown}[f.handleUnknown]
		if !known {
			return usageError{fmt.Errorf("--handle-unknown %q: deny, allow or reject is expected", f.handleUnknown)}
		}
		o.Unknown = &unknown
	}
	order, known := map[string]policydb.Order{"3.4": policydb.Libsepol34, "3.6": policydb.Libsepol36}[f.order]
	if !known {
		return usageError{fmt.Errorf("--order %q: 3.4 or 3.6 is expected", f.order)}
	}
	o.Order = order
	if f.asJSON && (f.out == "-" || f.contexts == "-") || f.out == "-" && f.contexts == "-" {
		return usageError{errors.New("only one of --output -, --filecontext - and --json can write to standard output")}
	}
	if f.onto == "" {
		return nil
	}
	if o.Optimize {
		return usageError{errors.New("--optimize is for policies of their own, not with --onto")}
	}
	base, err := (&policyFlag{f.onto}).read()
	o.Onto = base
	return err
}

func readSources(stdin io.Reader, paths []string) ([]cil.Source, error) {
	var sources []cil.Source
	for _, path := range paths {
		text, err := readInput(stdin, path)
		if err != nil {
			return nil, err
		}
		sources = append(sources, cil.Source{Name: path, Text: text})
	}
	return sources, nil
}

func readInput(stdin io.Reader, path string) ([]byte, error) {
	if path == "-" {
		return io.ReadAll(stdin)
	}
	return os.ReadFile(path)
}

// compiledCIL is what `bulkhead selinux compile --json` prints.
type compiledCIL struct {
	Bytes    int                `json:"bytes"`
	SHA256   string             `json:"sha256"`
	Version  uint32             `json:"version"`
	MLS      bool               `json:"mls"`
	Disabled []disabledOptional `json:"disabled"` // optionals that are left out
	Warnings source.Diagnostics `json:"warnings,omitempty"`
}

type disabledOptional struct {
	Name   string `json:"name"`
	Place  string `json:"place"`
	Reason string `json:"reason"`
}

func (f *cilFlags) print(out io.Writer, result *cil.Result, binary []byte) error {
	shown := compiledCIL{Bytes: len(binary), SHA256: fmt.Sprintf("%x", sha256.Sum256(binary)), Version: result.Policy.Version, MLS: result.Policy.MLS,
		Disabled: []disabledOptional{}, Warnings: result.Warnings}
	for _, one := range result.Disabled {
		shown.Disabled = append(shown.Disabled, disabledOptional{one.Name, one.Position.String(), one.Because.Message})
	}
	if f.asJSON {
		return printJSON(out, shown)
	}
	if f.disabled {
		for _, one := range shown.Disabled {
			fmt.Fprintf(out, "%s: optional %s is left out: %s\n", one.Place, one.Name, one.Reason)
		}
	}
	_, err := fmt.Fprintf(out, "version %d, %d bytes, sha256 %s, %d optionals left out\n", shown.Version, shown.Bytes, shown.SHA256, len(shown.Disabled))
	return err
}
