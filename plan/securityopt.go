// SPDX-License-Identifier: Apache-2.0

package plan

import (
	"errors"
	"fmt"
	"path"
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-project/bulkhead/selinux"
	"github.com/bulkhead-project/bulkhead/source"
)

// Unconfined is the value by which apparmor=, seccomp=, landlock= and systempaths= switch a layer off.
const Unconfined = "unconfined"

// SecurityOptions is what the --security-opt options of one container say. The zero value says nothing: every layer at
// its default.
type SecurityOptions struct {
	Label           LabelOptions
	LabelForce      bool     // also a level that dominates other containers' (an option of Bulkhead's own)
	AppArmor        string   // "", "unconfined" or a profile's name
	Seccomp         string   // "", "unconfined", "builtin" or "docker" (the same), "bulkhead" or a file's path
	SeccompForce    bool     // also a profile under which no program can start or end (an option of Bulkhead's own)
	Landlock        string   // "" or "unconfined" (an option of Bulkhead's own)
	NoNewPrivileges bool     // set no_new_privs before the container's program starts
	Mask            []string // absolute paths to hide besides the default ones
	Unmask          []string // absolute paths or shell patterns to show again, or "ALL"
	ProcOptions     []string // mount options of /proc: "nosuid", "hidepid=2"
	UnconfinedPaths bool     // systempaths=unconfined: no masked and no read-only system paths
	WritableCgroups bool     // mount /sys/fs/cgroup read-write
}

// LabelOptions is the SELinux part of SecurityOptions; an empty string leaves that part of the context to the plan.
type LabelOptions struct {
	Disable  bool   // no label separation
	Nested   bool   // the container may change labels itself
	User     string // of the process context
	Role     string
	Type     string
	Level    string // level or range, "s0:c1,c2" or "s0-s0:c0.c1023", as the user wrote it
	FileType string // type of the container's files
}

// OptionError says why one --security-opt option was refused.
type OptionError struct {
	Option string // as the user wrote it
	Reason string
	Hint   string // what to write instead; may be empty
}

func (e *OptionError) Error() string {
	return fmt.Sprintf("security option %q: %s", e.Option, e.Reason)
}

// ParseSecurityOptions reads the --security-opt options of docker and podman, NAME=VALUE or the deprecated NAME:VALUE.
// An option may be repeated with the same value; different values, and options that exclude each other, are an error.
// Errors are of type *OptionError.
func ParseSecurityOptions(options []string) (SecurityOptions, error) {
	parser := optionParser{given: map[string]givenOption{}}
	for _, option := range options {
		if err := parser.add(option); err != nil {
			return SecurityOptions{}, err
		}
	}
	if err := parser.checkDisabledLabel(); err != nil {
		return SecurityOptions{}, err
	}
	if err := parser.checkMaskedAndUnmasked(); err != nil {
		return SecurityOptions{}, err
	}
	return parser.parsed, nil
}

// optionParser gathers options; given remembers who set each single-valued key, to name both sides of a contradiction.
type optionParser struct {
	parsed SecurityOptions
	given  map[string]givenOption
	option string // being parsed
}

type givenOption struct{ value, option string }

func (p *optionParser) add(option string) error {
	p.option = option
	if i := strings.IndexFunc(option, isControl); i >= 0 {
		return p.fail("control character at offset "+strconv.Itoa(i), "")
	}
	name, value, hasValue := cutOption(option)
	switch name {
	case "no-new-privileges":
		return p.setBool(name, value, hasValue, &p.parsed.NoNewPrivileges)
	case "writable-cgroups":
		return p.setBool(name, value, hasValue, &p.parsed.WritableCgroups)
	case "label-force":
		return p.setBool(name, value, hasValue, &p.parsed.LabelForce)
	case "seccomp-force":
		return p.setBool(name, value, hasValue, &p.parsed.SeccompForce)
	}
	if known := optionNames(); !slices.Contains(known, name) {
		return p.fail("unknown option", didYouMean(name, known))
	}
	if value == "" {
		return p.fail("no value", "write "+name+"=VALUE")
	}
	return p.addValue(name, value)
}

func (p *optionParser) addValue(name, value string) error {
	switch name {
	case "label":
		return p.addLabel(value)
	case "apparmor":
		return p.set(name, value, &p.parsed.AppArmor)
	case "seccomp":
		return p.set(name, value, &p.parsed.Seccomp)
	case "landlock":
		return p.setUnconfined(name, value, &p.parsed.Landlock)
	case "systempaths":
		var unconfined string
		err := p.setUnconfined(name, value, &unconfined)
		p.parsed.UnconfinedPaths = err == nil
		return err
	case "mask":
		return p.addMask(value)
	case "unmask":
		return p.addUnmask(value)
	default: // proc-opts: the names were checked before
		return p.addProcOptions(value)
	}
}

func optionNames() []string {
	return []string{
		"apparmor", "label", "label-force", "landlock", "mask", "no-new-privileges", "proc-opts", "seccomp", "seccomp-force", "systempaths", "unmask", "writable-cgroups",
	}
}

// cutOption splits at the first '=' or ':', so that a value may hold both.
func cutOption(option string) (name, value string, hasValue bool) {
	i := strings.IndexAny(option, "=:")
	if i < 0 {
		return option, "", false
	}
	return option[:i], option[i+1:], true
}

func (p *optionParser) fail(reason, hint string) error {
	return &OptionError{Option: p.option, Reason: reason, Hint: hint}
}

// set stores the value of a key that has one value.
func (p *optionParser) set(key, value string, field *string) error {
	if before, ok := p.given[key]; ok && before.value != value {
		return p.fail(fmt.Sprintf("contradicts %q", before.option), "give one of the two")
	}
	p.given[key] = givenOption{value, p.option}
	*field = value
	return nil
}

func (p *optionParser) setBool(name, value string, hasValue bool, field *bool) error {
	on := true
	if hasValue {
		var err error
		if on, err = strconv.ParseBool(value); err != nil {
			return p.fail(fmt.Sprintf("%q is not a boolean", value), "write "+name+"=true or "+name+"=false")
		}
	}
	var text string
	if err := p.set(name, strconv.FormatBool(on), &text); err != nil {
		return err
	}
	*field = on
	return nil
}

func (p *optionParser) setUnconfined(name, value string, field *string) error {
	if value != Unconfined {
		return p.fail(fmt.Sprintf("unknown value %q", value), "the only value is "+name+"="+Unconfined)
	}
	return p.set(name, value, field)
}

func (p *optionParser) addLabel(text string) error {
	key, value, hasValue := strings.Cut(text, ":")
	label := &p.parsed.Label
	switch key {
	case "disable":
		return p.setLabelFlag(key, hasValue, &label.Disable)
	case "nested":
		return p.setLabelFlag(key, hasValue, &label.Nested)
	case "user":
		return p.setIdentifier(key, value, &label.User)
	case "role":
		return p.setIdentifier(key, value, &label.Role)
	case "type":
		return p.setIdentifier(key, value, &label.Type)
	case "filetype":
		return p.setIdentifier(key, value, &label.FileType)
	case "level":
		if err := checkLevel(value); err != nil {
			return p.fail(err.Error(), levelHint(err))
		}
		return p.set("label=level", value, &label.Level)
	}
	return p.fail(fmt.Sprintf("unknown label option %q", key),
		didYouMean(key, []string{"disable", "filetype", "level", "nested", "role", "type", "user"}))
}

func (p *optionParser) setLabelFlag(key string, hasValue bool, field *bool) error {
	if hasValue {
		return p.fail("label="+key+" takes no value", "write label="+key)
	}
	return p.setBool("label="+key, "", false, field)
}

func (p *optionParser) setIdentifier(key, value string, field *string) error {
	if value == "" {
		return p.fail("no "+key, "write label="+key+":NAME")
	}
	if i := strings.IndexFunc(value, notIdentifier); i >= 0 {
		return p.fail(fmt.Sprintf("%q at offset %d cannot be part of an SELinux %s", value[i:i+1], i, key),
			"letters, digits, '_', '.' and '-' can; one field of a context, not a whole context")
	}
	return p.set("label="+key, value, field)
}

// checkLevel judges the text of an SELinux level or range.
func checkLevel(text string) error {
	_, err := selinux.ParseRange(text)
	return err
}

func levelHint(err error) string {
	var syntax *selinux.ParseError
	if errors.As(err, &syntax) && syntax.Hint != "" {
		return "did you mean label=level:" + syntax.Hint + "?"
	}
	return "write label=level:s0:c1,c2"
}

func (p *optionParser) addMask(list string) error {
	for text := range strings.SplitSeq(list, ":") {
		masked, err := p.absolute(text)
		if err != nil {
			return err
		}
		if masked == "/" {
			return p.fail("the root directory cannot be masked", "")
		}
		p.parsed.Mask = appendNew(p.parsed.Mask, masked)
	}
	return nil
}

// addUnmask follows podman: "ALL" in any case, or paths that may be shell patterns.
func (p *optionParser) addUnmask(list string) error {
	for text := range strings.SplitSeq(list, ":") {
		if strings.EqualFold(text, "ALL") {
			p.parsed.Unmask = appendNew(p.parsed.Unmask, "ALL")
			continue
		}
		pattern, err := p.absolute(text)
		if err != nil {
			return err
		}
		if _, err := path.Match(pattern, "/"); err != nil {
			return p.fail(fmt.Sprintf("pattern %q: %v", text, err), "close every '['")
		}
		p.parsed.Unmask = appendNew(p.parsed.Unmask, pattern)
	}
	return nil
}

func (p *optionParser) absolute(text string) (string, error) {
	if !path.IsAbs(text) {
		return "", p.fail(fmt.Sprintf("%q is not an absolute path", text), "separate absolute paths by ':'")
	}
	if slices.Contains(strings.Split(text, "/"), "..") {
		return "", p.fail(fmt.Sprintf("path %q holds '..'", text), "write the path without '..'")
	}
	return path.Clean(text), nil
}

func (p *optionParser) addProcOptions(list string) error {
	for option := range strings.SplitSeq(list, ",") {
		name, value, hasValue := strings.Cut(option, "=")
		if err := p.checkProcOption(option, name, value, hasValue); err != nil {
			return err
		}
		var text string
		if err := p.set("proc-opts "+procOptionSubject(name), option, &text); err != nil {
			return err
		}
		p.parsed.ProcOptions = appendNew(p.parsed.ProcOptions, option)
	}
	return nil
}

// checkProcOption knows the options of proc(5) and the per-mount flags of mount(8) that mean something on /proc.
func (p *optionParser) checkProcOption(option, name, value string, hasValue bool) error {
	values := map[string][]string{
		"hidepid": {"0", "1", "2", "4", "off", "noaccess", "invisible", "ptraceable"},
		"subset":  {"pid"},
	}
	flags := []string{
		"nosuid", "suid", "nodev", "dev", "noexec", "exec", "ro", "rw", "noatime", "relatime", "strictatime", "nodiratime", "nosymfollow",
	}
	switch {
	case slices.Contains(flags, option):
		return nil
	case name == "gid" && hasValue:
		if _, err := strconv.ParseUint(value, 10, 32); err != nil {
			return p.fail(fmt.Sprintf("gid %q is not a number of a group", value), "write proc-opts=gid=NUMBER")
		}
		return nil
	case values[name] == nil:
		return p.fail(fmt.Sprintf("unknown option %q of /proc", option), didYouMean(name, append(flags, "hidepid", "gid", "subset")))
	case !slices.Contains(values[name], value):
		return p.fail(fmt.Sprintf("unknown value %q of %s", value, name), "one of "+strings.Join(values[name], ", "))
	}
	return nil
}

// procOptionSubject names what an option decides, so that ro and rw, or two values of hidepid, are seen to clash.
func procOptionSubject(name string) string {
	switch name {
	case "ro", "rw":
		return "writing"
	case "noatime", "relatime", "strictatime":
		return "access times"
	}
	return strings.TrimPrefix(name, "no")
}

func (p *optionParser) checkDisabledLabel() error {
	if !p.parsed.Label.Disable {
		return nil
	}
	for _, key := range []string{"user", "role", "type", "level", "filetype", "nested"} {
		if other, ok := p.given["label="+key]; ok {
			return &OptionError{
				Option: other.option,
				Reason: fmt.Sprintf("contradicts %q", p.given["label=disable"].option),
				Hint:   "without a label there is nothing to set: leave out one of the two",
			}
		}
	}
	return nil
}

func (p *optionParser) checkMaskedAndUnmasked() error {
	for _, masked := range p.parsed.Mask {
		if slices.Contains(p.parsed.Unmask, masked) {
			return &OptionError{Option: "mask=" + masked, Reason: fmt.Sprintf("contradicts %q", "unmask="+masked), Hint: "give one of the two"}
		}
	}
	return nil
}

func isControl(r rune) bool { return r < ' ' || r == 0x7f }

func notIdentifier(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= 'A' && r <= 'Z' || r >= '0' && r <= '9' || strings.ContainsRune("_.-", r))
}

func appendNew(list []string, item string) []string {
	if slices.Contains(list, item) {
		return list
	}
	return append(list, item)
}

func didYouMean(word string, known []string) string {
	if near := Nearest(word, known); near != "" {
		return fmt.Sprintf("did you mean %q?", near)
	}
	return "known are " + strings.Join(known, ", ")
}

// Nearest returns the known word with the fewest letters to change, insert or delete from word, the first of equals;
// "" if that is more than half of word's length (and more than one).
func Nearest(word string, known []string) string {
	best, bestDistance := "", max(1, len(word)/2)+1
	for _, candidate := range known {
		if difference := len(word) - len(candidate); difference >= bestDistance || -difference >= bestDistance {
			continue
		}
		if distance := source.Distance(word, candidate); distance < bestDistance {
			best, bestDistance = candidate, distance
		}
	}
	return best
}
