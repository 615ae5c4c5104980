// SPDX-License-Identifier: Apache-2.0

package syntax

import (
	"slices"
	"strings"
)

// modes are the flags that exclude each other.
var modes = map[string]Mode{"enforce": Enforce, "complain": Complain, "kill": Kill, "unconfined": Unconfined, "prompt": Prompt, "default_allow": DefaultAllow}

// flags reads the list behind flags=( or (.
func (p *parser) flags(profile *Profile) bool {
	flags := &profile.Flags
	count, mode := 0, ""
	for {
		p.skipCommas()
		place := p.position()
		if p.peek() == ')' {
			p.at++
			if count == 0 {
				return p.failAt(place, "a flag", "no flags")
			}
			return p.checkFlags(flags)
		}
		start := p.at
		for !p.atEnd() && (isName(p.peek()) || p.peek() == '.') {
			p.at++
		}
		name := p.text[start:p.at]
		if name == "" {
			return p.unexpected("a flag")
		}
		count++
		if _, ok := modes[name]; ok {
			if mode != "" && mode != name {
				return p.failAt(place, "one mode", "the modes %s and %s exclude each other", mode, name)
			}
			mode, flags.Mode = name, modes[name]
			continue
		}
		value, hasValue := Word{}, p.accept("=")
		if hasValue {
			var ok bool
			if value, ok = p.listWord("a value of the flag " + name); !ok {
				return false
			}
		}
		if fault := flags.set(name, value, hasValue); fault != "" {
			return p.failAt(place, "", "%s", fault)
		}
	}
}

// set sets one flag, and says what is wrong with it.
func (f *Flags) set(name string, value Word, hasValue bool) string {
	plain := map[string]*bool{
		"audit": &f.Audit, "mediate_deleted": &f.MediateDeleted, "attach_disconnected": &f.AttachDisconnected, "attach_disconnected.ipc": &f.AttachIPC,
		"chroot_relative": &f.ChrootRelative, "chroot_attach": &f.ChrootAttach, "chroot_no_attach": &f.ChrootNoAttach, "debug": &f.Debug,
		"interruptible": &f.Interruptible, "delegate_deleted": &f.DelegateDeleted, "namespace_relative": &f.NamespaceRelative,
		"no_attach_disconnected": &f.NoAttachDisconnect,
	}
	if flag, ok := plain[name]; ok && !hasValue {
		*flag = true
		return ""
	}
	if !hasValue {
		return "unknown flag " + name
	}
	switch name {
	case "attach_disconnected.path", "attach_disconnected.ipc":
		if !strings.HasPrefix(value.Text, "/") && !strings.HasPrefix(value.Text, "@{") {
			return "the path of " + name + " is not absolute"
		}
		if other := f.DisconnectedPath; name == "attach_disconnected.path" && other != "" && other != value.Text {
			return "two paths of " + name
		}
		if name == "attach_disconnected.path" {
			f.AttachDisconnected, f.DisconnectedPath = true, value.Text
		} else {
			f.AttachIPC, f.DisconnectedIPCPath = true, value.Text
		}
	case "kill.signal":
		if !isSignal(value.Text) {
			return "unknown signal " + value.Text
		}
		f.KillSignal = value.Text
	case "error":
		if f.Error = strings.ToUpper(value.Text); !slices.Contains(errorNames, f.Error) {
			return "unknown error " + value.Text
		}
	default:
		return "unknown flag " + name
	}
	return ""
}

// checkFlags reports flags that exclude each other.
func (p *parser) checkFlags(f *Flags) bool {
	for _, pair := range []struct {
		both        bool
		first, last string
	}{
		{f.ChrootRelative && f.NamespaceRelative, "chroot_relative", "namespace_relative"},
		{f.MediateDeleted && f.DelegateDeleted, "mediate_deleted", "delegate_deleted"},
		{f.AttachDisconnected && f.NoAttachDisconnect, "attach_disconnected", "no_attach_disconnected"},
		{f.ChrootAttach && f.ChrootNoAttach, "chroot_attach", "chroot_no_attach"},
	} {
		if pair.both {
			return p.failAt(f.Position, "", "the flags %s and %s exclude each other", pair.first, pair.last)
		}
	}
	return true
}

// errorNames are the names of errno(3) on Linux.
var errorNames = strings.Fields(`E2BIG EACCES EADDRINUSE EADDRNOTAVAIL EADV EAFNOSUPPORT EAGAIN EALREADY EBADE EBADF EBADFD EBADMSG EBADR EBADRQC
	EBADSLT EBFONT EBUSY ECANCELED ECHILD ECHRNG ECOMM ECONNABORTED ECONNREFUSED ECONNRESET EDEADLK EDEADLOCK EDESTADDRREQ EDOM EDOTDOT EDQUOT
	EEXIST EFAULT EFBIG EHOSTDOWN EHOSTUNREACH EHWPOISON EIDRM EILSEQ EINPROGRESS EINTR EINVAL EIO EISCONN EISDIR EISNAM EKEYEXPIRED EKEYREJECTED
	EKEYREVOKED EL2HLT EL2NSYNC EL3HLT EL3RST ELIBACC ELIBBAD ELIBEXEC ELIBMAX ELIBSCN ELNRNG ELOOP EMEDIUMTYPE EMFILE EMLINK EMSGSIZE EMULTIHOP
	ENAMETOOLONG ENAVAIL ENETDOWN ENETRESET ENETUNREACH ENFILE ENOANO ENOBUFS ENOCSI ENODATA ENODEV ENOENT ENOEXEC ENOKEY ENOLCK ENOLINK ENOMEDIUM
	ENOMEM ENOMSG ENONET ENOPKG ENOPROTOOPT ENOSPC ENOSR ENOSTR ENOSYS ENOTBLK ENOTCONN ENOTDIR ENOTEMPTY ENOTNAM ENOTRECOVERABLE ENOTSOCK ENOTSUP
	ENOTTY ENOTUNIQ ENXIO EOPNOTSUPP EOVERFLOW EOWNERDEAD EPERM EPFNOSUPPORT EPIPE EPROTO EPROTONOSUPPORT EPROTOTYPE ERANGE EREMCHG EREMOTE
	EREMOTEIO ERESTART ERFKILL EROFS ESHUTDOWN ESOCKTNOSUPPORT ESPIPE ESRCH ESRMNT ESTALE ESTRPIPE ETIME ETIMEDOUT ETOOMANYREFS ETXTBSY EUCLEAN
	EUNATCH EUSERS EWOULDBLOCK EXDEV EXFULL`)
