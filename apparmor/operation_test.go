// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"strconv"
	"strings"
	"testing"
)

func TestOperationSaysWhatAStringAsksFor(t *testing.T) {
	for name, row := range map[string]struct {
		class byte
		text  string
		perms uint32
		want  string
	}{
		"Mount":             {classMount, "/mnt/\x00/dev/sda1\x00ext4\x00\x01\x02", mountMount, "mount fstype=ext4 options=(ro,nosuid) /dev/sda1 -> /mnt/"},
		"MountOfNoFlags":    {classMount, "/mnt/\x00\x00tmpfs\x00", mountMount, "mount fstype=tmpfs options=rw -> /mnt/"},
		"MountWithData":     {classMount, "/mnt/\x00a\x00tmpfs\x00\x02\x00size=1k", mountMount, `mount fstype=tmpfs options=nosuid data="size=1k" a -> /mnt/`},
		"MountRecursively":  {classMount, "/mnt/\x00/src/\x00\x00\x0d\x0f", mountMount, "mount options=rbind /src/ -> /mnt/"},
		"Propagation":       {classMount, "/mnt/\x00\x00\x00\x0f\x13", mountMount, "mount options=make-rprivate -> /mnt/"},
		"MountOfOddFlags":   {classMount, "/mnt/\x00\x00\x00\x02\xfe", mountMount, `mount options=nosuid -> /mnt/ …"\xfe"`},
		"MountCutShort":     {classMount, "/mnt/\x00/src", mountMount, `mount …"/mnt/\x00/src"`},
		"Umount":            {classMount, "/mnt/", mountUmount, "umount /mnt/"},
		"PivotRoot":         {classMount, "/new/\x00/old/", mountPivotRoot, "pivot_root oldroot=/old/ /new/"},
		"Signal":            {classSignal, "\x09unconfined", canWrite, "signal send kill peer=unconfined"},
		"SignalFromPeer":    {classSignal, "\x0fpeer", canRead, "signal receive term peer=peer"},
		"RealtimeSignal":    {classSignal, "\x83peer", canWrite, "signal send rtmin+3 peer=peer"},
		"UnknownSignal":     {classSignal, "\x50peer", canWrite, "signal send 80 peer=peer"},
		"Ptrace":            {classPtrace, "peer", canRead, "ptrace read peer=peer"},
		"Network":           {classNetworkV8, "\x00\x02\x00\x01", canCreate, "network create inet stream"},
		"NetworkOfNumbers":  {classNetworkV8, "\x00\x0c\x00\x07", canWrite, "network send 12 7"},
		"NetworkProtocol":   {classNetworkV9, "\x00\x02\x00\x03\x00\x01", canCreate, "network create inet raw protocol=1"},
		"UnixSocket":        {classNetworkV8, "\x00\x01\x00\x01\x00\x00", canCreate, "unix create type=stream"},
		"UnixName":          {classNetworkV8, "\x00\x01\x00\x01\x00\x00\x00name\x00\x00", canBind, "unix bind type=stream addr=@name"},
		"UnixPeer":          {classNetwork, "\x00\x01\x00\x02\x00\x00\x01\x00\x00\x01\x00peer\x00label", canWrite, "unix send type=dgram addr=none peer=(addr=@peer label=label)"},
		"UnixOption":        {classNetworkV8, "\x00\x01\x00\x01\x00\x00\x01\x00\x00\x04\x00\x07", canGetopt, "unix getopt type=stream addr=none opt=7"},
		"UnixBacklog":       {classNetworkV8, "\x00\x01\x00\x01\x00\x00\x00a\x00\x00\x02\x00\x10", canListen, "unix listen type=stream addr=@a backlog=16"},
		"UserNamespace":     {classNamespace, "", canAppend, "userns create"},
		"IOUring":           {classIOUring, "label", canAppend, "io_uring override_creds label=label"},
		"POSIXQueue":        {classPOSIXMQ, "/queue\x00label", canOpen, "mqueue open label=label /queue"},
		"SystemVQueue":      {classSysVMQ, "123", canCreate, "mqueue create type=sysv 123"},
		"BusMessage":        {classDBus, "system\x00org.x\x00label\x00/path\x00org.i\x00member", canWrite, "dbus send bus=system path=/path interface=org.i member=member peer=(name=org.x label=label)"},
		"BusName":           {classDBus, "session\x00org.x", canOpen, "dbus bind bus=session name=org.x"},
		"Eavesdropping":     {classDBus, "session", canDelete, "dbus eavesdrop bus=session"},
		"File":              {classFile, "/etc/x", canRead, "file /etc/x"},
		"Exec":              {classFile, "/bin/x", canExec, "exec /bin/x"},
		"Link":              {classFile, "/a\x00/b", canLink, "link /a -> /b"},
		"ChangeProfile":     {classFile, "other", canChangeProfile | canOnExec, "change_profile other"},
		"ChangeOnExec":      {classFile, "/bin/x\x00other", canOnExec, "change_profile onexec /bin/x -> other"},
		"ClassOfItsOwn":     {99, "x", canRead, `class 99 …"x"`},
		"ControlBytes":      {classFile, "/\x1b[31m\xff", canRead, `file /\x1b[31m\xff`},
		"NothingOfASignal":  {classSignal, "", canWrite, "signal"},
		"TwoBytesOfANumber": {classNetworkV8, "\x00\x02", canWrite, `network …"\x00\x02"`},
	} {
		if got := operation(row.class, row.text, row.perms); got != row.want {
			t.Errorf("%s: %s, want %s", name, got, row.want)
		}
	}
}

// What diff names is a question that can be asked.
func TestOperationsAreQuestions(t *testing.T) {
	for _, text := range []struct {
		class byte
		text  string
		perms uint32
	}{
		{classMount, "/mnt/\x00/dev/sda1\x00ext4\x00\x01\x02", mountMount}, {classMount, "/mnt/", mountUmount}, {classSignal, "\x09unconfined", canWrite},
		{classPtrace, "peer", canRead}, {classNetworkV8, "\x00\x02\x00\x01", canCreate}, {classNamespace, "", canAppend}, {classFile, "/a\x00/b", canLink},
	} {
		words := operation(text.class, text.text, text.perms)
		question, err := ParseQuestion(strings.Fields(words))
		if err != nil || question.String() != words {
			t.Errorf("%s: read as %v, %v", words, question, err)
		}
	}
}

func TestExecTransitionsInLetters(t *testing.T) {
	targets := []string{"one", ":ns\x00two"}
	for want, index := range map[string]uint32{
		"ix": execInherit | execUnsafe, "ux": execUnconfined | execUnsafe, "Ux": execUnconfined, "px": execByName | execUnsafe, "Px": execByName,
		"cx": execByName | execChild | execUnsafe, "pix": execByName | execInherit | execUnsafe, "Pux": execByName | execUnconfined,
		"px -> one": execByTable | execUnsafe, "Px -> :ns:two": execByTable | 1,
	} {
		if got := execWord(index, targets); got != want {
			t.Errorf("%#x is %s, want %s", index, got, want)
		}
	}
}

func FuzzOperation(f *testing.F) {
	f.Add(byte(classMount), "/mnt/\x00\x00tmpfs\x00\x02\x00size=1k", uint32(mountMount))
	f.Add(byte(classNetworkV8), "\x00\x01\x00\x01\x00\x00\x00name\x00\x00\x01\x00peer\x00label", uint32(canWrite))
	f.Add(byte(classDBus), "system\x00org.x", uint32(canOpen))
	f.Fuzz(func(t *testing.T, class byte, text string, perms uint32) {
		words := operation(class, text, perms)
		if words == "" || strings.ContainsFunc(words, func(r rune) bool { return !strconv.IsPrint(r) }) {
			t.Errorf("%q", words)
		}
	})
}
