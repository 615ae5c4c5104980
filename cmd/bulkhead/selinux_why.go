// SPDX-License-Identifier: Apache-2.0

//go:build !runtimeonly

package main

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"

	"github.com/spf13/cobra"

	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/selinux/policydb"
)

const (
	longestLine      = 1 << 16 // bytes; the kernel's own records are below 9000
	differentDenials = 1 << 16
	namedObjects     = 5 // of one denial
)

func selinuxWhy() *cobra.Command {
	var from policyFlag
	var file string
	var asJSON bool
	command := &cobra.Command{Use: "why [OPTIONS] [AVC...]", Short: "explain what SELinux logged as denied", DisableFlagsInUseLine: true,
		Long: "Explain the denials in lines of an audit log, of dmesg or of the journal: those given as arguments, else those of a file, else those of the\n" +
			"standard input. Equal denials are explained once, with how often they are there. For each permission follows what denied it, and what would\n" +
			"allow it: the rule that is missing, or a boolean; or that no rule helps, for a constraint or a type's bounds."}
	from.add(command)
	command.Flags().StringVar(&file, "file", "", "read the lines of `FILE`, such as /var/log/audit/audit.log")
	command.Flags().BoolVar(&asJSON, "json", false, "print JSON")
	command.RunE = func(command *cobra.Command, args []string) error {
		if file != "" && len(args) > 0 {
			return usageError{errors.New("lines as arguments, or --file, not both")}
		}
		input := io.Reader(strings.NewReader(strings.Join(args, "\n")))
		switch {
		case file != "":
			opened, err := os.Open(file)
			if err != nil {
				return err
			}
			defer opened.Close()
			input = opened
		case len(args) == 0:
			input = command.InOrStdin()
		}
		list, err := readDenials(input, command.ErrOrStderr())
		if err != nil {
			return err
		}
		policy, err := from.read()
		if err != nil {
			return err
		}
		return printDenials(command.OutOrStdout(), explainDenials(policy, list), asJSON)
	}
	return command
}

// denial is one or several records that are alike.
type denial struct {
	record            selinux.AVC
	count             int
	commands, objects []string
}

// readDenials reads a log. Lines that are no denials are passed over; those that are cut off are named.
func readDenials(input io.Reader, warnings io.Writer) ([]*denial, error) {
	long := longLines{warnings: warnings}
	lines := bufio.NewScanner(input)
	lines.Buffer(nil, longestLine)
	lines.Split(long.split)
	known, list := map[string]*denial{}, []*denial{}
	number := 0
	for lines.Scan() {
		number++
		record, err := selinux.ParseAVC(lines.Text())
		switch {
		case errors.Is(err, selinux.ErrNoAVC) || err == nil && !record.Denied:
			continue
		case err != nil:
			fmt.Fprintf(warnings, "bulkhead: warning: line %d: %v\n", number, err)
			continue
		}
		key := denialKey(&record)
		if known[key] == nil {
			if len(list) == differentDenials {
				return nil, fmt.Errorf("line %d: more than %d different denials", number, differentDenials)
			}
			known[key] = &denial{record: record}
			list = append(list, known[key])
		}
		known[key].add(&record)
	}
	switch err := lines.Err(); {
	case err != nil:
		return nil, err
	case len(list) == 0:
		return nil, hinted{fmt.Errorf("no denial of SELinux in %d lines", number), "they look like: avc:  denied  { read } for ... scontext=... tcontext=... tclass=file"}
	}
	return list, nil
}

// longLines splits input into lines. One that is longer than the buffer is no record of the kernel's: it is passed over, as an empty line, and named.
type longLines struct {
	warnings io.Writer
	line     int
	inside   bool // a line whose beginning was dropped
}

func (l *longLines) split(data []byte, atEnd bool) (advance int, line []byte, err error) {
	advance, line, err = bufio.ScanLines(data, atEnd)
	switch {
	case err != nil || advance == 0 && len(data) < longestLine-1:
		return advance, line, err
	case advance == 0:
		if !l.inside {
			fmt.Fprintf(l.warnings, "bulkhead: warning: line %d is longer than %d bytes and is not read\n", l.line+1, len(data))
		}
		l.inside = true
		return len(data), nil, nil
	}
	l.line++
	if l.inside {
		l.inside, line = false, []byte{}
	}
	return advance, line, nil
}

// denialKey is what equal denials have in common. It sorts the permissions, which the kernel has in the order of its bits already.
func denialKey(record *selinux.AVC) string {
	slices.Sort(record.Permissions)
	ioctl, message := "", ""
	if record.Ioctl != nil {
		ioctl = fmt.Sprintf("%#x", *record.Ioctl)
	}
	if record.Message != nil {
		message = fmt.Sprint(*record.Message)
	}
	return strings.Join([]string{record.Source, record.Target, record.Class, ioctl, message, fmt.Sprint(record.Permissive), strings.Join(record.Permissions, " ")}, "\n")
}

func (d *denial) add(record *selinux.AVC) {
	d.count++
	for _, pair := range []struct {
		list *[]string
		name string
	}{{&d.commands, record.Command}, {&d.objects, record.Object}} {
		if pair.name != "" && len(*pair.list) < namedObjects && !slices.Contains(*pair.list, pair.name) {
			*pair.list = append(*pair.list, pair.name)
		}
	}
}

// denialAnswer explains equal denials.
type denialAnswer struct {
	Count       int                `json:"count"`
	Source      string             `json:"source"`
	Target      string             `json:"target"`
	Class       string             `json:"class"`
	Permissive  bool               `json:"permissive,omitempty"` // it happened all the same
	Commands    []string           `json:"commands,omitempty"`
	Objects     []string           `json:"objects,omitempty"`
	Unknown     string             `json:"unknown,omitempty"` // what the policy does not know of it; nothing else is said then
	Permissions []permissionAnswer `json:"permissions,omitempty"`
	Missing     []string           `json:"missing,omitempty"`  // rules that would allow what has none
	Settings    []string           `json:"settings,omitempty"` // of booleans, any of which would
}

func explainDenials(policy *policydb.Policy, list []*denial) []denialAnswer {
	answers := make([]denialAnswer, len(list))
	for i, one := range list {
		r := &one.record
		answers[i] = denialAnswer{Count: one.count, Source: r.Source, Target: r.Target, Class: r.Class, Permissive: r.Permissive, Commands: one.commands, Objects: one.objects}
		if err := answers[i].explain(policy, r); err != nil {
			answers[i].Unknown, answers[i].Permissions = err.Error(), nil
		}
	}
	return answers
}

// explain works the permissions out. The error is what the policy does not know.
func (a *denialAnswer) explain(policy *policydb.Policy, record *selinux.AVC) error {
	from, to, class, err := parties(policy, record.Source, record.Target, record.Class)
	if err != nil {
		return err
	}
	missing := uint32(0)
	for _, name := range record.Permissions {
		bit, err := policy.Permission(class, name)
		if err != nil {
			return err
		}
		explained := policy.Explain(from, to, class.Value, bit)
		answer, err := explainRecord(policy, record, from, to, class, name, &explained)
		if err != nil {
			return err
		}
		a.Permissions = append(a.Permissions, answer)
		switch {
		case answer.Cause == string(policydb.NoExtended):
			a.Missing = append(a.Missing, policy.FormatMissingExtended(from, to, class, name, numberOf(record)))
		case explained.Cause == policydb.NoRule && explained.Constraint == nil && !explained.Role:
			missing |= bit
			a.addSettings(policy, explained.Off)
		}
	}
	if missing != 0 {
		a.Missing = append(a.Missing, policy.FormatMissing(from, to, class, missing))
	}
	return nil
}

// addSettings adds the booleans that would make one of the rules hold.
func (a *denialAnswer) addSettings(policy *policydb.Policy, rules []policydb.Found) {
	for _, rule := range rules {
		for _, setting := range policy.Settings(rule) {
			if text := fmt.Sprintf("%s=%t", setting.Boolean, setting.Value); !slices.Contains(a.Settings, text) {
				a.Settings = append(a.Settings, text)
			}
		}
	}
}

// explainRecord answers for one permission of a record, and for its number where the record has one.
func explainRecord(policy *policydb.Policy, record *selinux.AVC, from, to *policydb.Context, class *policydb.Class, name string,
	explained *policydb.Explanation) (permissionAnswer, error) {
	if name == policydb.PermissionIoctl && record.Ioctl == nil || name == policydb.PermissionNlmsg && record.Message == nil ||
		name != policydb.PermissionIoctl && name != policydb.PermissionNlmsg {
		return answerOf(policy, name, explained), nil
	}
	answers, err := decideExtended(policy, from, to, class, name, numberOf(record))
	if err != nil {
		return permissionAnswer{}, err
	}
	return answers.Permissions[0], nil
}

// numberOf is the ioctl command or the message of a record, by which extended rules go.
func numberOf(record *selinux.AVC) uint16 {
	switch {
	case record.Ioctl != nil:
		return uint16(*record.Ioctl)
	case record.Message != nil:
		return *record.Message
	}
	return 0
}

func printDenials(out io.Writer, answers []denialAnswer, asJSON bool) error {
	if asJSON {
		return printJSON(out, answers)
	}
	var text strings.Builder
	for i := range answers {
		answers[i].write(&text)
	}
	_, err := io.WriteString(out, text.String())
	return err
}

// write is the explanation for people.
func (a *denialAnswer) write(text *strings.Builder) {
	fmt.Fprintf(text, "%d times: %s", a.Count, a.Source)
	if len(a.Commands) > 0 {
		fmt.Fprintf(text, " (%s)", strings.Join(a.Commands, ", "))
	}
	fmt.Fprintf(text, " to %s %s", a.Class, a.Target)
	if len(a.Objects) > 0 {
		fmt.Fprintf(text, " (%s)", strings.Join(a.Objects, ", "))
	}
	if a.Permissive {
		text.WriteString("; permissive, so it happened")
	}
	text.WriteString("\n")
	if a.Unknown != "" {
		fmt.Fprintf(text, "\tlogged under another policy: %s\n", a.Unknown)
		return
	}
	for i := range a.Permissions {
		a.Permissions[i].write(text, "\t")
		if a.Permissions[i].Allowed {
			text.WriteString("\t\tlogged under another policy, or with other booleans\n")
		}
	}
	if len(a.Settings) > 0 {
		fmt.Fprintf(text, "\ta boolean would allow it: %s\n", strings.Join(a.Settings, " or "))
	}
	for _, rule := range a.Missing {
		fmt.Fprintf(text, "\tthe rule that is missing: %s\n", rule)
	}
}
