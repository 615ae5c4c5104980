// SPDX-License-Identifier: Apache-2.0

package oci

import (
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
)

// Command is the command line of an OCI runtime: GLOBALS VERB OPTIONS ARGUMENTS.
type Command struct {
	Globals   Options
	Verb      string // "" where only global options are given
	Options   Options
	Arguments []string // what follows the options: the container's ID first, for verbs that take one
}

// Options are the options of one level, in the order in which they were given.
type Options []Option

// Option is one option with its value; flags without one have none.
type Option struct {
	Name  string // without dashes, in its long form
	Value string
	Flag  bool // takes no value
}

// Get returns the last value of the option, or "".
func (o Options) Get(name string) string {
	for _, option := range slices.Backward(o) {
		if option.Name == name {
			return option.Value
		}
	}
	return ""
}

// All returns every value of an option that may be repeated.
func (o Options) All(name string) []string {
	var values []string
	for _, option := range o {
		if option.Name == name {
			values = append(values, option.Value)
		}
	}
	return values
}

// Has reports whether the flag is set: given, and not as --flag=false.
func (o Options) Has(name string) bool {
	for _, option := range slices.Backward(o) {
		if option.Name == name {
			set, err := strconv.ParseBool(option.Value)
			return set || err != nil
		}
	}
	return false
}

// Without returns the options but for those named.
func (o Options) Without(names ...string) Options {
	return slices.DeleteFunc(slices.Clone(o), func(option Option) bool { return slices.Contains(names, option.Name) })
}

// With returns the options and one more.
func (o Options) With(name, value string) Options {
	return append(slices.Clone(o), Option{Name: name, Value: value})
}

// Args writes the options for an OCI runtime's command line.
func (o Options) Args() []string {
	var args []string
	for _, option := range o {
		switch {
		case option.Flag && option.Value == "":
			args = append(args, "--"+option.Name)
		case option.Flag:
			args = append(args, "--"+option.Name+"="+option.Value)
		default:
			args = append(args, "--"+option.Name, option.Value)
		}
	}
	return args
}

// Args writes the whole command line.
func (c Command) Args() []string {
	args := c.Globals.Args()
	if c.Verb != "" {
		args = append(args, c.Verb)
	}
	return append(append(args, c.Options.Args()...), c.Arguments...)
}

// UsageError is a command line that no runtime would take. Exit status 2.
type UsageError struct{ Reason, Hint string }

func (e *UsageError) Error() string { return e.Reason }

// known lists the options of one level: names that take a value, flags, and short forms.
type known struct {
	values, flags string // separated by spaces
	short         map[string]string
}

// The options of runc 1.1 to 1.4 and crun 1.8 to 1.28, for the verbs whose options this package has to understand.
var (
	globalOptions = known{values: "root log log-format log-level criu rootless cgroup-manager", flags: "debug systemd-cgroup help version",
		short: map[string]string{"h": "help", "v": "version"}}
	verbOptions = map[string]known{
		"create": {values: "bundle console-socket pidfd-socket pid-file preserve-fds", flags: "no-pivot no-new-keyring no-subreaper",
			short: map[string]string{"b": "bundle"}},
		"run": {values: "bundle console-socket pidfd-socket pid-file preserve-fds", flags: "no-pivot no-new-keyring no-subreaper detach keep",
			short: map[string]string{"b": "bundle", "d": "detach"}},
		"exec": {values: "console-socket pidfd-socket cwd env user additional-gids process pid-file process-label apparmor cap preserve-fds cgroup",
			flags: "tty detach no-new-privs ignore-paused",
			short: map[string]string{"e": "env", "t": "tty", "u": "user", "g": "additional-gids", "p": "process", "d": "detach", "c": "cap"}},
		"start":  {},
		"delete": {flags: "force", short: map[string]string{"f": "force"}},
	}
)

// ParseCommand reads the arguments after the program's name. Verbs that Bulkhead has no part in keep their options as arguments. With an
// error comes what was read before it, so that the error can go where --log says.
func ParseCommand(args []string) (Command, error) {
	var command Command
	var err error
	if command.Globals, args, err = globalOptions.parse(args); err != nil {
		return command, err
	}
	if len(args) == 0 {
		return command, nil
	}
	if args[0] == "" || args[0][0] == '-' {
		return command, &UsageError{fmt.Sprintf("%q is not a command", args[0]), "the form is: [GLOBAL OPTIONS] COMMAND [OPTIONS] CONTAINER"}
	}
	command.Verb, args = args[0], args[1:]
	options, ok := verbOptions[command.Verb]
	if !ok {
		command.Arguments = args
		return command, nil
	}
	if command.Options, command.Arguments, err = options.parse(args); err != nil {
		return command, fmt.Errorf("%s: %w", command.Verb, err)
	}
	if text := command.Options.Get("preserve-fds"); text != "" {
		if count, err := strconv.Atoi(text); err != nil || count < 0 {
			return Command{}, &UsageError{fmt.Sprintf("%s: --preserve-fds %q is not a number", command.Verb, text), ""}
		}
	}
	if len(command.Arguments) == 0 {
		return command, &UsageError{command.Verb + ": no container ID", "the form is: " + command.Verb + " [OPTIONS] CONTAINER"}
	}
	return command, CheckID(command.Arguments[0])
}

// parse takes options until the first argument that is none, as runc does.
func (k known) parse(args []string) (Options, []string, error) {
	var options Options
	for len(args) > 0 {
		word := args[0]
		if word == "--" {
			return options, args[1:], nil
		}
		if !strings.HasPrefix(word, "-") || word == "-" {
			break
		}
		name, value, given := strings.Cut(strings.TrimPrefix(strings.TrimPrefix(word, "-"), "-"), "=")
		if long, ok := k.short[name]; ok {
			name = long
		}
		args = args[1:]
		switch {
		case slices.Contains(strings.Fields(k.flags), name):
			if _, err := strconv.ParseBool(value); given && err != nil {
				return options, nil, &UsageError{fmt.Sprintf("option %q: %q is neither true nor false", "--"+name, value), ""}
			}
			options = append(options, Option{Name: name, Value: value, Flag: true})
		case !slices.Contains(strings.Fields(k.values), name):
			return options, nil, &UsageError{fmt.Sprintf("unknown option %q", word), "an option that is not understood could undo the confinement, so it is refused"}
		case given:
			options = append(options, Option{Name: name, Value: value})
		case len(args) == 0:
			return options, nil, &UsageError{fmt.Sprintf("option %q needs a value", word), "give one: " + word + " VALUE"}
		default:
			options = append(options, Option{Name: name, Value: args[0]})
			args = args[1:]
		}
	}
	return options, args, nil
}

// identifier are the characters of an ID; the last cannot be its first.
const identifier = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_+.-"

// maximumID leaves room in a file name for what is put behind the ID.
const maximumID = 240

// CheckID holds a container's ID to what runc allows, and to what cannot be taken for an option; it becomes a file name.
func CheckID(id string) error {
	if id == "" || strings.Trim(id, identifier) != "" || id[0] == '-' || id == "." || id == ".." || len(id) > maximumID {
		return &UsageError{fmt.Sprintf("container ID %q", id), fmt.Sprintf("letters, digits and _ + . - only, no - in front, at most %d of them", maximumID)}
	}
	return nil
}

// BundleOf returns the bundle that create, run and restore read: the working directory where none is given.
func (c Command) BundleOf(workingDirectory string) string {
	bundle := c.Options.Get("bundle")
	if bundle == "" {
		return workingDirectory
	}
	return absolute(workingDirectory, filepath.Clean(bundle))
}
