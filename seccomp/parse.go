// SPDX-License-Identifier: Apache-2.0

package seccomp

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"

	"github.com/bulkhead-project/bulkhead/seccomp/syscalls"
)

// The fields of the objects that a profile consists of. Their positions are the cases of the functions that read them.
var (
	profileFields = []string{"defaultAction", "defaultErrnoRet", "defaultErrno", "architectures", "archMap", "flags", "listenerPath", "listenerMetadata", "syscalls"}
	machineFields = []string{"architecture", "subArchitectures"}
	groupFields   = []string{"names", "action", "args", "errnoRet", "errno", "includes", "excludes", "comment", "name"}
	argsFields    = []string{"index", "value", "valueTwo", "op", "width"}
	filterFields  = []string{"caps", "arches", "minKernel"}
)

// Parse reads a profile in either of its forms: the linux.seccomp object of an OCI config.json, or what Docker and Podman take as a file
// (archMap, includes, excludes, comment; Podman's errno and defaultErrno). An element of args may have a field of our own, width: 32 or 64 bits
// of the argument are compared as an unsigned number then, where otherwise as many count as the kernel reads, with their sign.
//
// The error joins one *Error for each fault that was found, with its line and column; of more than 50 the rest are counted. null is as good as
// leaving a field out. SCMP_ACT_NOTIFY is refused as the default action, and may stand for any call, write as well: the listener does not go
// through calls of the filtered process. Fields of another name are ignored with a warning, as the OCI specification wants it, unless the name is one or two
// letters or its case away from one that is known.
func Parse(content []byte) (*Profile, error) {
	if len(content) > MaximumProfile {
		return nil, &Error{Text: fmt.Sprintf("the profile has %d bytes, expected at most %d", len(content), MaximumProfile)}
	}
	if len(content) == 0 {
		return nil, &Error{Text: "the profile is empty, expected JSON"}
	}
	perhaps := min(len(content)/24, syscalls.Count) // names: in Docker's profile one every 30 bytes
	p := parser{reader: newReader(content), names: make([]string, 0, perhaps), calls: make([]syscalls.Call, 0, perhaps)}
	p.profile.text = p.text
	p.profile.groups = make([]group, 0, 40)
	p.read()
	if err := p.fault(); err != nil {
		return nil, err
	}
	at := cursor{text: p.text}
	for _, w := range p.warnings.list {
		p.profile.warnings = append(p.profile.warnings, Warning{at.place(w.offset), w.text})
	}
	if more := p.warnings.excess("warnings"); more != "" {
		p.profile.warnings = append(p.profile.warnings, Warning{Text: more})
	}
	return &p.profile, nil
}

// parser fills a profile from a text.
type parser struct {
	*reader
	profile Profile
	names   []string // of all groups, which have parts of it
	calls   []syscalls.Call
	entries int
	rules   int // of the entries
}

// fault joins the errors.
func (p *parser) fault() error {
	if len(p.errors.list) == 0 {
		return nil
	}
	at := cursor{text: p.text}
	var all []error
	for _, e := range p.errors.list {
		all = append(all, &Error{at.place(e.offset), e.text})
	}
	if more := p.errors.excess("errors"); more != "" {
		all = append(all, &Error{Text: more})
	}
	return errors.Join(all...)
}

// errnoFields are the fields that say what errno an action answers with.
type errnoFields struct {
	number   uint64
	name     string
	numbered bool
	at       int // of the one that was read last
}

func (p *parser) errnoRet(what string, e *errnoFields) {
	if number, at, ok := p.integer(what, maximumData); ok {
		e.number, e.numbered, e.at = number, true, at
	}
}

// errnoName reads Podman's errno, a name or a number as a string.
func (p *parser) errnoName(what string, e *errnoFields) {
	name, at, ok := p.string(what)
	if !ok || name == "" {
		return
	}
	e.at = at
	if number, err := strconv.ParseUint(name, 10, 16); err == nil {
		e.number, e.numbered = number, true
	} else if findErrno(name) == nil {
		p.errors.add(at, "%s: unknown error %q, expected a name such as EPERM", what, shortened(name))
	} else {
		e.name = name
	}
}

// answer puts an action and its errno together. Where an errno is missing it is EPERM, the data of TRACE too, as in runc.
func (p *parser) answer(what string, action Action, e errnoFields) answer {
	a := answer{kind: action, data: uint16(e.number), errno: e.name}
	given := e.numbered || e.name != ""
	switch {
	case given && !action.takesData():
		p.errors.add(e.at, "%s: %s has no errno, expected one with SCMP_ACT_ERRNO and SCMP_ACT_TRACE only", what, action)
	case e.numbered && action == Errno && e.number > maximumErrno:
		p.errors.add(e.at, "%s: errno %d, expected at most %d", what, e.number, maximumErrno)
	case e.numbered && e.name != "" && uint16(e.number) != findErrno(e.name).generic:
		p.warnings.add(e.at, "%s: errno %d is not %s, which is what counts", what, e.number, e.name)
	case !given && action.takesData():
		a.errno = "EPERM"
	}
	return a
}

// actionOf reads an action.
func (p *parser) actionOf(what string) (action Action, at int, ok bool) {
	name, at, ok := p.string(what)
	if !ok {
		return 0, at, false
	}
	action, known := valueOf(actionNames, name)
	if known {
		return action, at, true
	}
	p.errors.add(at, "%s: unknown action %q, expected %s", what, shortened(name), namesOf(actionNames))
	return Errno, at, true // one error is enough, and this may have an errno
}

// read reads the whole text.
func (p *parser) read() {
	profile, start := &p.profile, p.start()
	var action Action
	var errno errnoFields
	var actionAt, listedAt, mapAt, metadataAt, flagsAt int
	found, flags := false, false
	profile.flags = FlagSpecAllow // as runc and crun have it where a profile does not say
	if !p.required("profile", '{') {
		return
	}
	p.object("profile", profileFields, func(field int) {
		at := p.start()
		switch field {
		case 0:
			action, actionAt, found = p.actionOf("defaultAction")
		case 1:
			p.errnoRet("defaultErrnoRet", &errno)
		case 2:
			p.errnoName("defaultErrno", &errno)
		case 3:
			listedAt = at
			profile.listed = p.architectures("architectures")
		case 4:
			mapAt = at
			p.array("archMap", p.machine)
		case 5:
			flagsAt, flags = at, p.flagsOf()
		case 6:
			profile.listenerPath, _, _ = p.string("listenerPath")
		case 7:
			profile.listenerMetadata, metadataAt, _ = p.string("listenerMetadata")
		case 8:
			p.array("syscalls", p.group)
		}
	})
	if p.end(); p.broken {
		return
	}
	switch {
	case !found:
		p.errors.add(start, "profile: no defaultAction, expected one, such as SCMP_ACT_ERRNO")
	case action == Notify:
		p.errors.add(actionAt, "defaultAction: SCMP_ACT_NOTIFY would ask about the calls that answer, too; expected it in syscalls")
	}
	if found {
		profile.action = p.answer("defaultAction", action, errno)
	}
	if len(profile.listed) > 0 && len(profile.machines) > 0 {
		p.errors.add(max(listedAt, mapAt), "profile: both architectures and archMap, expected one of them")
	}
	if profile.listenerMetadata != "" && profile.listenerPath == "" {
		p.errors.add(metadataAt, "listenerMetadata: no listenerPath to send it to, expected one")
	}
	if flags && profile.flags&FlagWaitKillableRecv != 0 && !profile.notifies() {
		p.errors.add(flagsAt, "flags: SECCOMP_FILTER_FLAG_WAIT_KILLABLE_RECV, and no SCMP_ACT_NOTIFY in syscalls, without which the kernel refuses it")
	}
}

// end reports what comes after the profile.
func (p *parser) end() {
	if p.broken {
		return
	}
	rest := strings.TrimLeft(p.text[p.decoder.InputOffset():], " \t\r\n")
	if rest != "" {
		p.errors.add(len(p.text)-len(rest), "%q comes after the profile, expected nothing", shortened(rest))
	}
}

// notifies reports whether any group asks a supervisor.
func (p *Profile) notifies() bool {
	return slices.ContainsFunc(p.groups, func(g group) bool { return g.action.kind == Notify })
}

// architectures reads an array of SCMP_ARCH_* names.
func (p *parser) architectures(what string) (abis []*syscalls.ABI) {
	p.strings(what, func(name string, at int) {
		switch abi := p.abi(what, name, at); {
		case abi == nil:
		case slices.Contains(abis, abi):
			p.warnings.add(at, "%s: %s is there twice", what, abi.OCI)
		default:
			abis = append(abis, abi)
		}
	})
	return abis
}

// abi takes one SCMP_ARCH_* name.
func (p *parser) abi(what, name string, at int) *syscalls.ABI {
	abi := syscalls.ByOCI(name)
	if abi == nil {
		p.errors.add(at, "%s: unknown architecture %q, expected a name such as SCMP_ARCH_X86_64", what, shortened(name))
	}
	return abi
}

// machine reads one element of archMap.
func (p *parser) machine() {
	var m machine
	at := p.start()
	if !p.required("archMap", '{') {
		return
	}
	named := false
	p.object("archMap", machineFields, func(field int) {
		switch field {
		case 0:
			var name string
			var at int
			if name, at, named = p.string("architecture"); named {
				m.native = p.abi("architecture", name, at)
			}
		case 1:
			m.others = p.architectures("subArchitectures")
		}
	})
	switch {
	case p.broken:
	case !named:
		p.errors.add(at, "archMap: no architecture, expected one, such as SCMP_ARCH_X86_64")
	case slices.ContainsFunc(p.profile.machines, func(other machine) bool { return other.native == m.native && m.native != nil }):
		p.errors.add(at, "archMap: %s is there twice, expected once", m.native.OCI)
	default:
		p.profile.machines = append(p.profile.machines, m)
	}
}

// flagsOf reads the flags. An empty array means none at all.
func (p *parser) flagsOf() (present bool) {
	var flags Flags
	present = p.strings("flags", func(name string, at int) {
		flag, known := valueOf(flagNames, name)
		if !known {
			p.errors.add(at, "flags: unknown flag %q, expected %s", shortened(name), namesOf(flagNames))
		}
		flags |= flag
	})
	if present {
		p.profile.flags = flags
	}
	return present
}
