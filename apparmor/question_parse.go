// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
)

// ParseQuestion reads a question from words of a command line, in the language of the rules:
//
//	[owner] file PATH LETTERS
//	[owner] exec PATH
//	[owner] link LINK -> TARGET
//	capability NAME
//	network [ACCESS] FAMILY [TYPE] [protocol=NUMBER]
//	mount [fstype=TYPE] [options=a,b] [data=TEXT] [SOURCE] -> TARGET
//	umount TARGET
//	pivot_root [oldroot=OLD] NEW
//	signal send|receive SIGNAL peer=LABEL
//	ptrace read|trace|readby|tracedby peer=LABEL
//	unix ACCESS [type=TYPE] [protocol=NUMBER] [addr=ADDRESS] [opt=NUMBER] [peer=(addr=ADDRESS label=LABEL)]
//	userns create
//	io_uring sqpoll|override_creds [label=LABEL]
//	mqueue ACCESS [type=posix|sysv] [label=LABEL] NAME
//	dbus send|receive|bind|eavesdrop bus=BUS [path=] [interface=] [member=] [name=] [peer=(name= label=)]
//	change_profile [onexec] [PROGRAM ->] LABEL
//	rlimit NAME VALUE
func ParseQuestion(words []string) (Question, error) {
	r := &questionReader{words: joinParentheses(words)}
	owner := false
	if len(r.words) > 0 && r.words[0] == "owner" {
		owner, r.at = true, 1
	}
	kind := r.word("a question: file, exec, link, capability, network, mount, umount, pivot_root, signal, ptrace, unix, userns, io_uring, mqueue, dbus, change_profile or rlimit")
	question := r.question(kind, owner)
	if r.err == nil && owner && kind != "file" && kind != "exec" && kind != "link" {
		r.fail("owner goes with file, exec and link")
	}
	if r.err == nil && r.at < len(r.words) {
		r.fail("%q is left over, expected the end of the question", r.words[r.at])
	}
	if r.err != nil {
		return nil, r.err
	}
	return question, nil
}

// joinParentheses makes one word of key=( ... ), which a shell may have split.
func joinParentheses(words []string) []string {
	var joined []string
	open := false
	for _, word := range words {
		if open {
			joined[len(joined)-1] += " " + word
		} else {
			joined = append(joined, word)
		}
		last := joined[len(joined)-1]
		open = strings.Count(last, "(") > strings.Count(last, ")")
	}
	return joined
}

// questionReader takes words one by one; the first error stays.
type questionReader struct {
	words []string
	at    int
	err   error
}

func (r *questionReader) fail(format string, arguments ...any) {
	if r.err == nil {
		r.err = fmt.Errorf(format, arguments...)
	}
}

// word takes the next word.
func (r *questionReader) word(expected string) string {
	if r.at >= len(r.words) {
		r.fail("the question ends, expected %s", expected)
		return ""
	}
	r.at++
	return r.words[r.at-1]
}

// more reports whether a word is left that is not a condition.
func (r *questionReader) more() bool { return r.at < len(r.words) }

// oneOf takes the next word, which must be one of the choices.
func (r *questionReader) oneOf(what string, choices ...string) string {
	expected := what + ": " + strings.Join(choices, ", ")
	word := r.word(expected)
	if r.err == nil && !slices.Contains(choices, word) {
		r.fail("%q, expected %s", word, expected)
	}
	return word
}

// conditions takes words of the form key=value, wherever they stand among the rest, and returns them by key.
func (r *questionReader) conditions(keys ...string) map[string]string {
	found := map[string]string{}
	rest := r.words[:r.at:r.at]
	for _, word := range r.words[r.at:] {
		key, value, ok := strings.Cut(word, "=")
		if !ok || strings.ContainsAny(key, "/@:(") {
			rest = append(rest, word)
			continue
		}
		if !slices.Contains(keys, key) {
			r.fail("%s=, expected %s", key, strings.Join(keys, "=, ")+"=")
		}
		if _, twice := found[key]; twice {
			r.fail("%s= is there twice", key)
		}
		found[key] = unquote(value)
	}
	r.words = rest
	return found
}

func unquote(word string) string {
	if text, err := strconv.Unquote(word); err == nil && strings.HasPrefix(word, `"`) {
		return text
	}
	return word
}

// items are the parts of (a,b), (a b), a,b or one word.
func items(text string) []string {
	text = strings.TrimSuffix(strings.TrimPrefix(text, "("), ")")
	return strings.FieldsFunc(text, func(r rune) bool { return r == ',' || r == ' ' })
}

// inner are the conditions in the parentheses of peer=(...).
func (r *questionReader) inner(text string, keys ...string) map[string]string {
	inside, ok := strings.CutPrefix(text, "(")
	if !ok {
		if text != "" {
			r.fail("peer=%s, expected peer=(%s=...)", text, strings.Join(keys, "=... "))
		}
		return nil
	}
	part := questionReader{words: items(inside)}
	found := part.conditions(keys...)
	if part.err == nil && len(part.words) > 0 {
		part.fail("%q in peer=(), expected %s=", part.words[0], strings.Join(keys, "= or "))
	}
	if part.err != nil {
		r.fail("%v", part.err)
	}
	return found
}

func (r *questionReader) number(text, what string) uint16 {
	if text == "" {
		return 0
	}
	value, err := strconv.ParseUint(text, 0, 16)
	if err != nil {
		r.fail("%s %q, expected a number up to 65535", what, text)
	}
	return uint16(value)
}

func (r *questionReader) question(kind string, owner bool) Question {
	switch kind {
	case "file":
		return FileQuestion{Path: r.path("of the file"), Access: r.letters(), Owner: owner}
	case "exec":
		return ExecQuestion{Path: r.path("of the program"), Owner: owner}
	case "link":
		link := r.path("of the new link")
		r.arrow()
		return LinkQuestion{Link: link, Target: r.path("of the link's target"), Owner: owner}
	case "capability":
		return r.capability()
	case "network":
		return r.network()
	case "mount", "remount":
		return r.mount(kind)
	case "umount", "unmount":
		return UmountQuestion{Target: r.path("of the mount point")}
	case "pivot_root":
		old := r.conditions("oldroot")["oldroot"]
		return PivotRootQuestion{Old: old, New: r.path("of the new root")}
	case "signal":
		return r.signal()
	case "ptrace":
		return PtraceQuestion{Peer: r.peer(), Access: r.oneOf("an access", "read", "trace", "readby", "tracedby")}
	case "unix":
		return r.unix()
	case "userns":
		if r.more() {
			r.oneOf("an access", "create")
		}
		return UsernsQuestion{}
	case "io_uring":
		label := r.conditions("label")["label"]
		return IOUringQuestion{Label: label, Access: r.oneOf("an access", "sqpoll", "override_creds")}
	case "mqueue":
		return r.mqueue()
	case "dbus":
		return r.dbus()
	case "change_profile":
		return r.changeProfile()
	case "rlimit":
		return r.rlimit()
	}
	r.fail("%q, expected file, exec, link, capability, network, mount, umount, pivot_root, signal, ptrace, unix, userns, io_uring, mqueue, dbus, change_profile or rlimit", kind)
	return nil
}

func (r *questionReader) path(of string) string {
	path := r.word("the path " + of)
	if r.err == nil && path == "" {
		r.fail("an empty path, expected the path %s", of)
	}
	return path
}

func (r *questionReader) letters() string {
	const expected = "permissions of the letters r, w, a, k, l, m, x"
	text := r.word(expected)
	if r.err == nil && (text == "" || strings.Trim(text, "rwaklmx") != "") {
		r.fail("permissions %q, expected %s", text, expected)
	}
	return text
}

func (r *questionReader) arrow() {
	if word := r.word("->"); r.err == nil && word != "->" {
		r.fail("%q, expected ->", word)
	}
}

func (r *questionReader) capability() Question {
	name := strings.TrimPrefix(strings.ToLower(r.word("a capability, as net_raw")), "cap_")
	if _, ok := capabilityNumber(name); r.err == nil && !ok {
		r.fail("unknown capability %q, expected a name of capabilities(7), as net_raw", name)
	}
	return CapabilityQuestion{Name: name}
}

func (r *questionReader) access(known map[string]uint32, text string) []string {
	list := items(text)
	for _, word := range list {
		if known[word] == 0 {
			r.fail("unknown access %q, expected %s", word, strings.Join(sortedKeys(known), ", "))
		}
	}
	return list
}

func (r *questionReader) network() Question {
	var q NetworkQuestion
	q.Protocol = r.number(r.conditions("protocol")["protocol"], "protocol")
	word := r.word("an address family, as inet")
	if socketPermissions()[word] != 0 || strings.HasPrefix(word, "(") {
		q.Access = r.access(socketPermissions(), word)
		word = r.word("an address family, as inet")
	}
	if _, ok := familyNumber(word); r.err == nil && !ok {
		r.fail("unknown address family %q, expected one as inet, inet6, unix, netlink, packet", word)
	}
	q.Family, q.Type = word, "stream"
	if r.more() {
		q.Type = r.word("a socket type")
	}
	if _, ok := socketTypeNumber(q.Type); r.err == nil && !ok {
		r.fail("unknown socket type %q, expected stream, dgram, seqpacket, rdm, raw or packet", q.Type)
	}
	return q
}

func (r *questionReader) mount(kind string) Question {
	found := r.conditions("fstype", "vfstype", "options", "option", "data")
	q := MountQuestion{FSType: found["fstype"] + found["vfstype"], Data: found["data"], Options: items(found["options"] + found["option"])}
	if kind == "remount" {
		q.Options = append(q.Options, "remount")
	}
	if _, err := optionFlags(q.Options); err != nil {
		r.fail("%v", err)
	}
	first := r.word("the source, or -> and the mount point")
	switch {
	case first == "->":
		q.Target = r.path("of the mount point")
	case r.more():
		r.arrow()
		q.Source, q.Target = first, r.path("of the mount point")
	default:
		q.Target = first
	}
	return q
}

func (r *questionReader) peer() string {
	peer := r.conditions("peer")["peer"]
	if peer == "" {
		r.fail("no peer, expected peer=LABEL, as peer=unconfined")
	}
	return peer
}

func (r *questionReader) signal() Question {
	found := r.conditions("peer", "set")
	q := SignalQuestion{Peer: found["peer"], Access: r.oneOf("an access", "send", "receive")}
	if q.Signal = strings.Trim(found["set"], "()"); q.Signal == "" {
		q.Signal = r.word("a signal, as kill, or exists for the signal 0")
	}
	q.Signal = strings.TrimPrefix(strings.ToLower(q.Signal), "sig")
	if _, ok := signalNumber(q.Signal); r.err == nil && !ok {
		r.fail("unknown signal %q, expected a name as kill or term, exists, or rtmin+N", q.Signal)
	}
	if r.err == nil && q.Peer == "" {
		r.fail("no peer, expected peer=LABEL, as peer=unconfined")
	}
	return q
}

func (r *questionReader) unix() Question {
	found := r.conditions("type", "protocol", "addr", "opt", "backlog", "peer")
	peer := r.inner(found["peer"], "addr", "label")
	q := UnixQuestion{
		Type: found["type"], Protocol: r.number(found["protocol"], "protocol"), Address: found["addr"], Option: r.number(found["opt"], "opt"),
		Backlog: r.number(found["backlog"], "backlog"), PeerAddress: peer["addr"], PeerLabel: peer["label"],
	}
	q.Access = r.oneOf("an access", sortedKeys(socketPermissions())...)
	if q.Type == "" {
		q.Type = "stream"
	}
	if _, ok := socketTypeNumber(q.Type); r.err == nil && !ok {
		r.fail("unknown socket type %q, expected stream, dgram or seqpacket", q.Type)
	}
	return q
}

func (r *questionReader) mqueue() Question {
	found := r.conditions("type", "label")
	q := MQueueQuestion{SysV: found["type"] == "sysv", Label: found["label"]}
	if kind := found["type"]; kind != "" && kind != "posix" && kind != "sysv" {
		r.fail("type=%s, expected type=posix or type=sysv", kind)
	}
	q.Access = r.oneOf("an access", sortedKeys(queuePermissions())...)
	q.Name = r.word("the name of the queue: /NAME of a POSIX queue, a number of a System V queue")
	if _, err := strconv.ParseUint(q.Name, 10, 31); err == nil {
		q.SysV = true
	} else if r.err == nil && (q.SysV || !strings.HasPrefix(q.Name, "/")) {
		r.fail("message queue %q, expected /NAME of a POSIX queue, a number of a System V queue", q.Name)
	}
	return q
}

func (r *questionReader) dbus() Question {
	found := r.conditions("bus", "path", "interface", "member", "name", "peer")
	peer := r.inner(found["peer"], "name", "label")
	q := DBusQuestion{
		Bus: found["bus"], Path: found["path"], Interface: found["interface"], Member: found["member"], Name: found["name"],
		PeerName: peer["name"], PeerLabel: peer["label"],
	}
	q.Access = r.oneOf("an access", "send", "receive", "bind", "eavesdrop")
	if r.err == nil && q.Bus == "" {
		r.fail("no bus, expected bus=system or bus=session")
	}
	return q
}

func (r *questionReader) changeProfile() Question {
	var q ChangeProfileQuestion
	const expected = "the name of the profile"
	word := r.word(expected)
	if word == "onexec" {
		q.OnExec = true
		word = r.word(expected)
	}
	if r.more() {
		r.arrow()
		q.OnExec, q.Exec = true, word
		word = r.word(expected)
	}
	if r.err == nil && strings.TrimPrefix(word, "&") == "" {
		r.fail("an empty name, expected %s", expected)
	}
	q.Target = word
	return q
}

func (r *questionReader) rlimit() Question {
	q := RlimitQuestion{Resource: r.word("a limit, as nofile")}
	if _, ok := rlimitNumber(q.Resource); r.err == nil && !ok {
		r.fail("unknown limit %q, expected one of setrlimit(2), as nofile", q.Resource)
	}
	text := r.word("the value of the hard limit, or infinity")
	if text == "infinity" {
		q.Value = ^uint64(0)
		return q
	}
	value, err := strconv.ParseUint(text, 0, 64)
	if r.err == nil && err != nil {
		r.fail("value %q, expected a number in the unit of setrlimit(2), or infinity", text)
	}
	q.Value = value
	return q
}

func sortedKeys(known map[string]uint32) []string { return slices.Sorted(maps.Keys(known)) }
