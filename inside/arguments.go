// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"encoding/base64"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"

	"github.com/bulkhead-project/bulkhead/landlock"
)

// A spec travels as one argument, NAME=VALUE for each field that is set, in this order, with a space between them: a string as Go quotes it,
// numbers with commas between them, the filter's program in base64; then endWord, so that no part of a spec is a spec. It is not JSON because to
// read that takes a tenth of the time until execve.
const (
	labelField      = "selinux_label"
	profileField    = "apparmor_profile"
	landlockField   = "landlock" // ABI, handled, scoped
	probeField      = "probe"
	capabilityField = "capabilities" // bounding, permitted, effective, inheritable, ambient
	flagsField      = "seccomp_flags"
	programField    = "seccomp_program"
	slackField      = "timer_slack"
	endWord         = "end"
)

// Arguments returns the command line that has the program carry out the spec and then start args.
func (s Spec) Arguments(args []string) []string {
	return append([]string{Path, s.encode(), "--"}, args...)
}

func (s Spec) encode() string {
	var fields []string
	add := func(name, value string) { fields = append(fields, name+"="+value) }
	if s.SELinuxLabel != "" {
		add(labelField, strconv.Quote(s.SELinuxLabel))
	}
	if s.AppArmorProfile != "" {
		add(profileField, strconv.Quote(s.AppArmorProfile))
	}
	if r := s.Landlock; r != nil {
		add(landlockField, fmt.Sprintf("%d,%#x,%#x", r.ABI, uint64(r.Handled), uint64(r.Scoped)))
	}
	if s.Probe != 0 {
		add(probeField, strconv.Itoa(s.Probe))
	}
	if c := s.Capabilities; c != nil {
		add(capabilityField, fmt.Sprintf("%#x,%#x,%#x,%#x,%#x", c.Bounding, c.Permitted, c.Effective, c.Inheritable, c.Ambient))
	}
	if f := s.Seccomp; f != nil {
		add(flagsField, fmt.Sprintf("%#x", f.Flags))
		add(programField, base64.StdEncoding.EncodeToString(f.Program))
	}
	if s.TimerSlack != 0 {
		add(slackField, strconv.FormatUint(s.TimerSlack, 10))
	}
	return strings.Join(append(fields, endWord), " ")
}

// Parse reads a command line made by Arguments.
func Parse(args []string) (Spec, []string, error) {
	if len(args) < 4 || args[2] != "--" {
		return Spec{}, nil, errors.New("usage: init SPEC -- PROGRAM [ARGUMENT...]; the runtime starts it, not people")
	}
	spec, err := decode(args[1])
	if err != nil {
		return Spec{}, nil, fmt.Errorf("spec: %w", err)
	}
	return spec, args[3:], nil
}

func decode(text string) (Spec, error) {
	text, whole := strings.CutSuffix(text, endWord)
	if !whole {
		return Spec{}, fmt.Errorf("no %q at its end", endWord)
	}
	fields, err := split(text)
	if err != nil {
		return Spec{}, err
	}
	var spec Spec
	for _, field := range fields {
		if err := spec.set(field.name, field.value); err != nil {
			return Spec{}, fmt.Errorf("%s: %w", field.name, err)
		}
	}
	if spec.Seccomp != nil {
		return spec, spec.Seccomp.check()
	}
	return spec, nil
}

type field struct{ name, value string }

// split finds the fields, each of which has a space behind it and may be there once.
func split(text string) ([]field, error) {
	var fields []field
	for offset := 0; offset < len(text); {
		name, rest, found := strings.Cut(text[offset:], "=")
		if !found {
			return nil, fmt.Errorf("byte %d: no field", offset)
		}
		value, quoted := rest, strings.HasPrefix(rest, `"`)
		if quoted {
			prefix, err := strconv.QuotedPrefix(rest)
			if err != nil {
				return nil, fmt.Errorf("%s: %w", name, err)
			}
			value = prefix
		} else {
			value, _, _ = strings.Cut(rest, " ")
		}
		for _, other := range fields {
			if other.name == name {
				return nil, fmt.Errorf("%s is there twice", name)
			}
		}
		fields = append(fields, field{name, value})
		offset += len(name) + 1 + len(value)
		if offset == len(text) || text[offset] != ' ' {
			return nil, fmt.Errorf("byte %d: no space behind the field", offset)
		}
		offset++
	}
	return fields, nil
}

func (s *Spec) set(name, value string) (err error) {
	switch name {
	case labelField:
		s.SELinuxLabel, err = strconv.Unquote(value)
	case profileField:
		s.AppArmorProfile, err = strconv.Unquote(value)
	case landlockField:
		var abi, handled, scoped uint64
		if err = numbers(value, &abi, &handled, &scoped); err == nil && abi > math.MaxInt32 {
			err = fmt.Errorf("ABI %d", abi)
		}
		s.Landlock = &landlock.Ruleset{ABI: int(abi), Handled: landlock.AccessFS(handled), Scoped: landlock.Scope(scoped)}
	case probeField:
		s.Probe, err = strconv.Atoi(value)
	case capabilityField:
		s.Capabilities = &Capabilities{}
		err = numbers(value, &s.Capabilities.Bounding, &s.Capabilities.Permitted, &s.Capabilities.Effective, &s.Capabilities.Inheritable, &s.Capabilities.Ambient)
	case flagsField:
		var flags uint64
		flags, err = strconv.ParseUint(value, 0, 32)
		s.filter().Flags = uint32(flags)
	case programField:
		s.filter().Program, err = base64.StdEncoding.Strict().DecodeString(value)
	case slackField:
		s.TimerSlack, err = strconv.ParseUint(value, 0, 64)
	default:
		err = errors.New("unknown field")
	}
	return err
}

func (s *Spec) filter() *Filter {
	if s.Seccomp == nil {
		s.Seccomp = &Filter{}
	}
	return s.Seccomp
}

// numbers reads as many numbers as there are places for them.
func numbers(value string, into ...*uint64) error {
	words := strings.Split(value, ",")
	if len(words) != len(into) {
		return fmt.Errorf("%d numbers, want %d", len(words), len(into))
	}
	for i, word := range words {
		var err error
		if *into[i], err = strconv.ParseUint(word, 0, 64); err != nil {
			return err
		}
	}
	return nil
}
