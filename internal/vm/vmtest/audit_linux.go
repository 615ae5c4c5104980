// SPDX-License-Identifier: Apache-2.0

package vmtest

import (
	"encoding/binary"
	"fmt"
	"strings"
	"testing"

	"golang.org/x/sys/unix"
)

// From linux/audit.h.
const (
	auditUserAVC  = 1107
	auditAVC      = 1400
	auditReadLog  = 1 // multicast group
	receiveBuffer = 4 << 20
	headerSize    = unix.SizeofNlMsghdr
)

// AVCWatch collects the decisions that SELinux logs.
type AVCWatch struct {
	t      testing.TB
	socket int
	marks  int
}

// WatchAVCs starts to collect; it needs CAP_AUDIT_READ and CAP_AUDIT_WRITE.
// Unlike the kernel's log, the audit socket is not rate limited.
func WatchAVCs(t testing.TB) *AVCWatch {
	t.Helper()
	socket, err := unix.Socket(unix.AF_NETLINK, unix.SOCK_RAW|unix.SOCK_CLOEXEC, unix.NETLINK_AUDIT)
	if err != nil {
		t.Fatal("audit socket: ", err)
	}
	t.Cleanup(func() { unix.Close(socket) })
	w := &AVCWatch{t: t, socket: socket}
	for _, step := range []func() error{
		func() error { return unix.SetsockoptInt(socket, unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, receiveBuffer) },
		func() error {
			return unix.SetsockoptTimeval(socket, unix.SOL_SOCKET, unix.SO_RCVTIMEO, &unix.Timeval{Sec: 20})
		},
		func() error {
			return unix.Bind(socket, &unix.SockaddrNetlink{Family: unix.AF_NETLINK, Groups: 1 << (auditReadLog - 1)})
		},
	} {
		if err := step(); err != nil {
			t.Fatal("audit socket: ", err)
		}
	}
	w.Records() // what came before
	return w
}

// Records returns the decisions since the watch began or was last asked. It sends a
// message through the audit queue and reads up to it, so nothing is missed.
func (w *AVCWatch) Records() []AVC {
	w.t.Helper()
	w.marks++
	mark := fmt.Sprintf("vmtest-mark-%d-%d", w.socket, w.marks)
	if err := w.send(mark); err != nil {
		w.t.Fatal("audit mark: ", err)
	}
	var records []AVC
	buffer := make([]byte, 16<<10)
	for {
		size, _, err := unix.Recvfrom(w.socket, buffer, 0)
		if err == unix.EINTR {
			continue
		}
		if err != nil {
			w.t.Fatal("audit socket: ", err)
		}
		if size < headerSize {
			w.t.Fatalf("audit socket: message of %d bytes", size)
		}
		text := strings.TrimRight(string(buffer[headerSize:size]), "\x00\n")
		switch kind := binary.NativeEndian.Uint16(buffer[4:]); {
		case kind == auditUserAVC && strings.Contains(text, mark):
			return records
		case kind == auditAVC && strings.Contains(text, "avc:"):
			record, err := ParseAVC(text)
			if err != nil {
				w.t.Fatal(err)
			}
			records = append(records, record)
		}
	}
}

// Denials returns those of Records that were denied and enforced.
func (w *AVCWatch) Denials() []AVC {
	w.t.Helper()
	var denials []AVC
	for _, record := range w.Records() {
		if record.Denied && !record.Permissive {
			denials = append(denials, record)
		}
	}
	return denials
}

// send logs a message of a type that the kernel logs even with auditing off.
func (w *AVCWatch) send(text string) error {
	message := make([]byte, headerSize, headerSize+len(text)+1)
	binary.NativeEndian.PutUint32(message[0:], uint32(headerSize+len(text)+1))
	binary.NativeEndian.PutUint16(message[4:], auditUserAVC)
	binary.NativeEndian.PutUint16(message[6:], unix.NLM_F_REQUEST)
	message = append(append(message, text...), 0)
	return unix.Sendto(w.socket, message, 0, &unix.SockaddrNetlink{Family: unix.AF_NETLINK})
}
