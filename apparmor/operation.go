// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"encoding/binary"
	"fmt"
	"strconv"
	"strings"
	"unicode/utf8"
)

// access is one permission of a class and the word of the language for it.
type access struct {
	bit  uint32
	word string
}

// accesses are the permissions that the kernel (of a bus, its daemon) asks for in a class. Other bits of the automaton decide nothing.
func accesses(class byte) []access {
	switch class {
	case classFile:
		return []access{
			{canRead, "read"}, {canWrite, "write"}, {canAppend, "append"}, {canCreate, "create"}, {canDelete, "delete"}, {canOpen, "open"},
			{canSetattr, "setattr"}, {canGetattr, "getattr"}, {canChmod, "chmod"}, {canChown, "chown"}, {canLock, "lock"}, {canMap, "mmap_exec"},
			{canLink, "link"}, {canExec, "exec"}, {canOnExec, "onexec"}, {canChangeProfile, "change_profile"},
		}
	case classNetwork, classNetworkV8, classNetworkV9:
		return []access{
			{canWrite, "send"}, {canRead, "receive"}, {canCreate, "create"}, {canDelete, "shutdown"}, {canOpen, "connect"}, {canSetattr, "setattr"},
			{canGetattr, "getattr"}, {canAccept, "accept"}, {canBind, "bind"}, {canListen, "listen"}, {canSetopt, "setopt"}, {canGetopt, "getopt"},
		}
	case classMount:
		return []access{{mountMount, "mount"}, {mountUmount, "umount"}, {mountPivotRoot, "pivot_root"}}
	case classPtrace:
		return []access{{canRead, "read"}, {canWrite, "trace"}, {canAppend, "tracedby"}, {canCreate, "readby"}}
	case classSignal:
		return []access{{canWrite, "send"}, {canRead, "receive"}}
	case classPOSIXMQ, classSysVMQ:
		return []access{
			{canCreate, "create"}, {canOpen, "open"}, {canRead, "read"}, {canWrite, "write"}, {canDelete, "delete"}, {canGetattr, "getattr"},
			{canSetattr, "setattr"},
		}
	case classNamespace:
		return []access{{canAppend, "create"}}
	case classIOUring:
		return []access{{canAppend, "override_creds"}, {canCreate, "sqpoll"}}
	case classDBus:
		return []access{{canWrite, "send"}, {canRead, "receive"}, {canOpen, "bind"}, {canDelete, "eavesdrop"}}
	}
	return nil
}

// asked are the bits of a class that decide something.
func asked(class byte) uint32 {
	var mask uint32
	for _, access := range accesses(class) {
		mask |= access.bit
	}
	return mask
}

// accessWords are the words of the permissions of a class.
func accessWords(class byte, perms uint32) []string {
	var words []string
	for _, access := range accesses(class) {
		if perms&access.bit != 0 {
			words = append(words, access.word)
		}
	}
	return words
}

// className is what rules of a class begin with.
func className(class byte) string {
	switch class {
	case classFile:
		return "file"
	case classNetwork:
		return "unix"
	case classNetworkV8, classNetworkV9:
		return "network"
	case classMount:
		return "mount"
	case classPtrace:
		return "ptrace"
	case classSignal:
		return "signal"
	case classLabel:
		return "label"
	case classPOSIXMQ, classSysVMQ:
		return "mqueue"
	case classNamespace:
		return "userns"
	case classIOUring:
		return "io_uring"
	case classDBus:
		return "dbus"
	}
	return fmt.Sprintf("class %d", class)
}

// operation says in the words of a Question what a string of policydb stands for. The string begins behind its class; of the permissions, one is named.
// Bytes that are no part of a whole question are quoted behind an ellipsis.
func operation(class byte, text string, perms uint32) string {
	question, rest := operationOf(class, text, perms)
	words := className(class)
	if question != nil {
		words = question.String()
	}
	if rest != "" {
		words += " …" + strconv.Quote(rest)
	}
	return printable(words)
}

// printable escapes what a terminal would not show: a witness may have any byte.
func printable(text string) string {
	if !strings.ContainsFunc(text, func(r rune) bool { return !strconv.IsPrint(r) || r == utf8.RuneError }) {
		return text
	}
	var out strings.Builder
	for i, r := range text {
		_, size := utf8.DecodeRuneInString(text[i:])
		switch {
		case r == utf8.RuneError && size == 1:
			fmt.Fprintf(&out, "\\x%02x", text[i])
		case !strconv.IsPrint(r):
			quoted := strconv.QuoteRune(r)
			out.WriteString(quoted[1 : len(quoted)-1])
		default:
			out.WriteRune(r)
		}
	}
	return out.String()
}

// operationOf is the question that a string stands for, nil where it stands for none, and what is left of the string.
func operationOf(class byte, text string, perms uint32) (question Question, rest string) {
	word := ""
	if words := accessWords(class, perms); len(words) > 0 {
		word = words[0]
	}
	switch class {
	case classFile:
		return fileOperation(text, perms), ""
	case classMount:
		return mountOperationOf(text, perms)
	case classSignal:
		if text == "" {
			return nil, ""
		}
		return SignalQuestion{Access: word, Signal: signalName(text[0]), Peer: text[1:]}, ""
	case classPtrace:
		return PtraceQuestion{Access: word, Peer: text}, ""
	case classNamespace:
		return UsernsQuestion{}, text
	case classIOUring:
		return IOUringQuestion{Access: word, Label: text}, ""
	case classNetwork, classNetworkV8, classNetworkV9:
		return socketOperation(text, word)
	case classPOSIXMQ, classSysVMQ:
		name, label, _ := strings.Cut(text, "\x00")
		return MQueueQuestion{Access: word, Name: name, SysV: class == classSysVMQ, Label: label}, ""
	case classDBus:
		return busOperation(text, word)
	}
	return nil, text
}

// fileOperation reads a string of file rules: a path, two of a link, or labels to change to.
func fileOperation(text string, perms uint32) Question {
	first, second, pair := strings.Cut(text, "\x00")
	switch {
	case pair && perms&(canLink|linkSubset) != 0:
		return LinkQuestion{Link: first, Target: second}
	case pair:
		return ChangeProfileQuestion{Target: second, OnExec: true, Exec: first}
	case perms&(canOnExec|canChangeProfile) != 0 && perms&asked(classFile)&^(canOnExec|canChangeProfile) == 0:
		return ChangeProfileQuestion{Target: first, OnExec: perms&canChangeProfile == 0}
	case perms == canExec:
		return ExecQuestion{Path: first}
	}
	return FileQuestion{Path: first}
}

func mountOperationOf(text string, perms uint32) (question Question, rest string) {
	fields := strings.SplitN(text, "\x00", 5)
	switch {
	case perms&mountUmount != 0:
		return UmountQuestion{Target: text}, ""
	case perms&mountPivotRoot != 0 && len(fields) == 2:
		return PivotRootQuestion{New: fields[0], Old: fields[1]}, ""
	case len(fields) < 4:
		return nil, text
	}
	mount := MountQuestion{Target: fields[0], Source: fields[1], FSType: fields[2]}
	if len(fields) == 5 {
		mount.Data = fields[4]
	}
	flags, last := uint32(0), 0
	for at, flag := range []byte(fields[3]) {
		if int(flag) <= last || flag > 32 {
			rest = fields[3][at:]
			break
		}
		flags |= 1 << (flag - 1)
		last = int(flag)
	}
	mount.Options = flagWords(flags)
	return mount, rest
}

// flagWords are the options for flags of mount(2).
func flagWords(flags uint32) []string {
	const recursive = 1 << 14
	var words []string
	for bit, word := range []string{
		"ro", "nosuid", "nodev", "noexec", "sync", "remount", "mand", "dirsync", "nosymfollow", "", "noatime", "nodiratime", "bind", "move", "", "silent",
		"acl", "make-unbindable", "make-private", "make-slave", "make-shared", "relatime", "", "iversion", "strictatime", "lazytime",
	} {
		flag := uint32(1) << bit
		if word == "" || flags&flag == 0 {
			continue
		}
		flags &^= flag
		if flags&recursive != 0 {
			switch prefix, kind, made := strings.Cut(word, "make-"); {
			case word == "bind":
				word, flags = "rbind", flags&^recursive
			case made && prefix == "":
				word, flags = "make-r"+kind, flags&^recursive
			}
		}
		words = append(words, word)
	}
	if flags != 0 {
		words = append(words, fmt.Sprintf("%#x", flags)) // that the language has no words for
	}
	if len(words) == 0 {
		words = []string{"rw"}
	}
	return words
}

// signalName is the name of AppArmor's number of a signal.
func signalName(number byte) string {
	switch {
	case int(number) < len(signalNames) && signalNames[number] != "":
		return signalNames[number]
	case number >= signalRealtime:
		return fmt.Sprintf("rtmin+%d", number-signalRealtime)
	}
	return strconv.Itoa(int(number))
}

// familyWord and socketWord name what the language has names for; the others are numbers.
func familyWord(number uint16) string {
	if int(number) < len(families) && families[number] != "" {
		return families[number]
	}
	return strconv.Itoa(int(number))
}

func socketWord(number uint16) string {
	for word, kind := range socketTypes() {
		if uint16(kind) == number {
			return word
		}
	}
	return strconv.Itoa(int(number))
}

// socketOperation reads family and type, and of AF_UNIX what follows them: the protocol, the own address and label, and a peer, backlog or option.
func socketOperation(text, word string) (question Question, rest string) {
	if len(text) < 4 {
		return nil, text
	}
	family, kind := binary.BigEndian.Uint16([]byte(text)), binary.BigEndian.Uint16([]byte(text[2:]))
	rest = text[4:]
	if family != familyUnix {
		network := NetworkQuestion{Access: []string{word}, Family: familyWord(family), Type: socketWord(kind)}
		if len(rest) >= 2 {
			network.Protocol, rest = binary.BigEndian.Uint16([]byte(rest)), rest[2:]
		}
		return network, rest
	}
	unix := UnixQuestion{Access: word, Type: socketWord(kind)}
	if len(rest) < 2 {
		return unix, rest
	}
	unix.Protocol, rest = binary.BigEndian.Uint16([]byte(rest)), rest[2:]
	if rest == "" {
		return unix, ""
	}
	unix.Address, rest = cutAddress(rest)
	label, rest, whole := strings.Cut(rest, "\x00")
	if !whole || label != "" {
		return unix, label + rest // sockets have no labels of their own yet
	}
	switch {
	case rest == "":
	case rest[:1] == unixAsksPeer:
		unix.PeerAddress, unix.PeerLabel = cutAddress(rest[1:])
		rest = ""
	case rest[:1] == unixAsksBacklog && len(rest) == 3:
		unix.Backlog, rest = binary.BigEndian.Uint16([]byte(rest[1:])), ""
	case rest[:1] == unixAsksOption && len(rest) == 3:
		unix.Option, rest = binary.BigEndian.Uint16([]byte(rest[1:])), ""
	}
	return unix, rest
}

// cutAddress reads the address of a Unix socket and its NUL: @ and an abstract name, none, or a path.
func cutAddress(text string) (address, rest string) {
	abstract := strings.HasPrefix(text, "\x00")
	if abstract {
		text = text[1:]
	}
	address, rest, _ = strings.Cut(text, "\x00")
	switch {
	case abstract:
		address = "@" + address
	case address == "\x01":
		address = "none"
	}
	return address, rest
}

// busOperation reads what the daemon of a bus asks: with its arguments in this order for a message, the bus and the name for a name, or the bus.
func busOperation(text, word string) (question Question, rest string) {
	fields := strings.SplitN(text, "\x00", 6)
	bus := DBusQuestion{Access: word, Bus: fields[0]}
	switch {
	case len(fields) == 6:
		bus.PeerName, bus.PeerLabel, bus.Path, bus.Interface, bus.Member = fields[1], fields[2], fields[3], fields[4], fields[5]
	case len(fields) == 2:
		bus.Name = fields[1]
	case len(fields) > 2:
		rest = strings.Join(fields[1:], "\x00")
	}
	return bus, rest
}

// execWord is an exec transition as the letters of a rule, with the target that it names.
func execWord(index uint32, targets []string) string {
	letter, target := "", ""
	switch index & execTypeMask {
	case execByTable:
		letter = "p"
		if number := int(index & execTableMask); number < len(targets) {
			target = " -> " + quoteWord(strings.ReplaceAll(targets[number], "\x00", ":"))
		}
	case execByName:
		letter = "p"
	}
	if index&execChild != 0 {
		letter = "c"
	}
	if index&execInherit != 0 {
		letter += "i"
	}
	if index&execUnconfined != 0 {
		letter += "u"
	}
	// ix keeps the environment as it is; what leaves the profile says whether it is scrubbed.
	if index&execUnsafe == 0 && letter != "i" {
		letter = strings.ToUpper(letter[:min(1, len(letter))]) + letter[min(1, len(letter)):]
	}
	return letter + "x" + target
}
