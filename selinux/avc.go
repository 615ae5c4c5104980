// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"encoding/hex"
	"errors"
	"fmt"
	"strconv"
	"strings"
)

// AVC is one access decision that was logged: by the kernel (audit records of type AVC), or by a program that keeps its own objects (USER_AVC).
type AVC struct {
	Denied      bool // otherwise it was granted, and is logged by an auditallow rule
	Permissions []string
	Source      string // contexts as the loaded policy had them, or as they were where it did not know them
	Target      string
	Class       string
	Permissive  bool    // denied, and it happened all the same
	Command     string  // comm of the process
	Object      string  // path or name of the file, "" where the record has none
	Ioctl       *uint32 // ioctl command
	Message     *uint16 // type of netlink message
}

// ErrNoAVC says that a line has no access decision in it.
var ErrNoAVC = errors.New("no access decision")

// ParseAVC reads a line of an audit log, of dmesg or of the journal: "avc: denied { PERMISSION... } for NAME=VALUE...", whatever comes before it. The format is that
// of slow_avc_audit in security/selinux/avc.c. A line without "avc:" is ErrNoAVC; one that is not complete is another error.
func ParseAVC(line string) (AVC, error) {
	var record AVC
	_, rest, found := strings.Cut(line, "avc:")
	if !found {
		return record, ErrNoAVC
	}
	verdict, rest, open := strings.Cut(rest, "{")
	permissions, rest, end := strings.Cut(rest, "}")
	switch strings.TrimSpace(verdict) {
	case "denied":
		record.Denied = true
	case "granted":
	default:
		return record, ErrNoAVC // of another program's messages, such as policy loads
	}
	if !open || !end {
		return record, fmt.Errorf("avc record %.128q ends before its permissions do", line)
	}
	record.Permissions = strings.Fields(permissions)
	if err := record.readFields(rest); err != nil {
		return record, fmt.Errorf("avc record %.128q: %w", line, err)
	}
	if record.Source == "" || record.Target == "" || record.Class == "" || len(record.Permissions) == 0 {
		return record, fmt.Errorf("avc record %.128q has no scontext, tcontext, tclass or permission", line)
	}
	return record, nil
}

// readFields reads NAME=VALUE pairs. Later contexts are those before translation (srawcon), which say what the first could not.
func (a *AVC) readFields(text string) error {
	for {
		name, value, rest, ok := nextField(text)
		if !ok {
			return nil
		}
		text = rest
		switch name {
		case "scontext", "srawcon":
			a.Source = value
		case "tcontext", "trawcon":
			a.Target = value
		case "tclass":
			a.Class = value
		case "permissive":
			a.Permissive = value == "1"
		case "comm":
			a.Command = value
		case "path":
			a.Object = value
		case "name":
			if a.Object == "" {
				a.Object = value
			}
		case "ioctlcmd":
			number, err := strconv.ParseUint(value, 0, 32)
			if err != nil {
				return fmt.Errorf("ioctlcmd=%.32q is not a number", value)
			}
			command := uint32(number)
			a.Ioctl = &command
		case "nl-msgtype":
			number, err := strconv.ParseUint(value, 0, 16)
			if err != nil {
				return fmt.Errorf("nl-msgtype=%.32q is not a number", value)
			}
			message := uint16(number)
			a.Message = &message
		}
	}
}

// nextField cuts one NAME=VALUE off. Words without "=" are passed over. A value is a word, or text in quotes; what the kernel could not quote is hexadecimal.
func nextField(text string) (name, value, rest string, ok bool) {
	for {
		text = strings.TrimLeft(text, " \t")
		end := strings.IndexAny(text, "= \t")
		if end < 0 {
			return "", "", "", false
		}
		name, text = text[:end], text[end:]
		if text[0] == '=' {
			text = text[1:]
			break
		}
	}
	if strings.HasPrefix(text, `"`) {
		if end := strings.IndexByte(text[1:], '"'); end >= 0 {
			return name, text[1 : 1+end], text[2+end:], true
		}
	}
	end := strings.IndexAny(text, " \t'\n")
	if end < 0 {
		end = len(text)
	}
	value, rest = text[:end], text[end:]
	if (name == "comm" || name == "path" || name == "name") && value == strings.ToUpper(value) {
		if plain, err := hex.DecodeString(value); err == nil && len(plain) > 0 {
			value = string(plain)
		}
	}
	return name, value, strings.TrimLeft(rest, "'\n"), true
}
