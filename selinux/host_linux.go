// SPDX-License-Identifier: Apache-2.0

package selinux

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"golang.org/x/sys/unix"
)

// Host is where a kernel shows its SELinux. The layout of selinuxfs follows security/selinux/selinuxfs.c.
type Host struct {
	Selinuxfs string // usually /sys/fs/selinux
	Proc      string // usually /proc
}

// ErrNotMounted says that no selinuxfs is mounted: SELinux is off, or hidden from this mount namespace.
var ErrNotMounted = errors.New("selinuxfs is not mounted")

// FindHost looks the selinuxfs mount up in PROC/self/mounts. Without one it returns the usual place and ErrNotMounted.
func FindHost(proc string) (Host, error) {
	host := Host{Selinuxfs: "/sys/fs/selinux", Proc: proc}
	table := filepath.Join(proc, "self/mounts")
	text, err := os.ReadFile(table)
	if err != nil {
		return host, err
	}
	for line := range strings.Lines(string(text)) {
		if fields := strings.Fields(line); len(fields) > 2 && fields[2] == "selinuxfs" {
			host.Selinuxfs = unescapeMount(fields[1])
			return host, nil
		}
	}
	return host, fmt.Errorf("%s: %w", table, ErrNotMounted)
}

// unescapeMount undoes the octal escapes that the kernel writes for the separators of a mount table.
func unescapeMount(path string) string {
	return strings.NewReplacer(`\040`, " ", `\011`, "\t", `\012`, "\n", `\134`, `\`, `\043`, "#").Replace(path)
}

// Enabled reports whether Selinuxfs is a mounted selinuxfs. It says nothing about a policy: see Status.
func (h Host) Enabled() bool {
	var stat unix.Statfs_t
	return unix.Statfs(h.Selinuxfs, &stat) == nil && stat.Type == unix.SELINUX_MAGIC
}

// Status is the state of the kernel's SELinux. When Enabled is false the rest is zero.
type Status struct {
	Enabled       bool
	Loaded        bool // a policy is loaded; before that every process is "kernel" and nothing is decided
	Enforcing     bool
	MLS           bool // the policy has levels and categories
	DenyUnknown   bool // what the policy does not know (a class, a permission) is denied
	PolicyVersion int  // the highest version of the binary policy that the kernel reads
}

// Status reads the state of the kernel's SELinux.
func (h Host) Status() (Status, error) {
	if !h.Enabled() {
		return Status{}, nil
	}
	return h.readStatus()
}

func (h Host) readStatus() (Status, error) {
	numbers := map[string]int{"enforce": 0, "mls": 0, "deny_unknown": 0, "policyvers": 0}
	for name := range numbers {
		number, err := h.readNumber(name)
		if err != nil {
			return Status{}, err
		}
		numbers[name] = number
	}
	label, err := h.ProcessLabel(0)
	if err != nil {
		return Status{}, err
	}
	return Status{
		Enabled:       true,
		Loaded:        strings.Contains(label, ":"),
		Enforcing:     numbers["enforce"] != 0,
		MLS:           numbers["mls"] != 0,
		DenyUnknown:   numbers["deny_unknown"] != 0,
		PolicyVersion: numbers["policyvers"],
	}, nil
}

func (h Host) readNumber(name string) (int, error) {
	path := filepath.Join(h.Selinuxfs, name)
	text, err := readAttribute(path)
	if err != nil {
		return 0, err
	}
	number, err := strconv.Atoi(text)
	if err != nil {
		return 0, fmt.Errorf("%s: %.32q is not a number", path, text)
	}
	return number, nil
}

// InvalidContextError is a context that the loaded policy has no place for.
type InvalidContextError struct{ Context string }

func (e *InvalidContextError) Error() string {
	return fmt.Sprintf("context %.128q is not valid in the loaded policy", e.Context)
}

// CheckContext asks the kernel whether the loaded policy knows the context. When it does not, the error is an
// *InvalidContextError. It needs security:check_context where a policy is enforced.
func (h Host) CheckContext(context string) error {
	path := filepath.Join(h.Selinuxfs, "context")
	_, err := transact(path, append([]byte(context), 0))
	if errors.Is(err, unix.EINVAL) {
		return &InvalidContextError{context}
	}
	return err
}

// Access asks the kernel which of the permissions the loaded policy allows source on a target of the class, such as
// "file". The answer holds one entry for each permission. It is the policy's: that permissive mode or a permissive domain
// lets the access happen all the same is not in it. It needs security:compute_av where a policy is enforced.
func (h Host) Access(source, target, class string, permissions ...string) (map[string]bool, error) {
	if strings.ContainsAny(source+target, " \t\n\x00") {
		return nil, fmt.Errorf("access of %.128q to %.128q: a context has no white space", source, target)
	}
	directory, err := h.classDirectory(class)
	if err != nil {
		return nil, err
	}
	index, err := h.readNumber(filepath.Join(directory, "index"))
	if err != nil {
		return nil, err
	}
	path := filepath.Join(h.Selinuxfs, "access")
	answer, err := transact(path, fmt.Appendf(nil, "%s %s %d", source, target, index))
	if err != nil {
		return nil, fmt.Errorf("access of %.128q to %.128q: %w", source, target, err)
	}
	vector, err := allowedVector(answer)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return h.pick(vector, directory, permissions)
}

// NewLabel returns the context that the policy gives to an object of the class that a process labelled source makes in target; for class
// "process", to the process when it executes a file labelled target.
func (h Host) NewLabel(source, target, class string) (string, error) {
	if strings.ContainsAny(source+target, " \t\n\x00") {
		return "", fmt.Errorf("new %s of %.128q and %.128q: a context has no white space", class, source, target)
	}
	directory, err := h.classDirectory(class)
	if err != nil {
		return "", err
	}
	index, err := h.readNumber(filepath.Join(directory, "index"))
	if err != nil {
		return "", err
	}
	answer, err := transact(filepath.Join(h.Selinuxfs, "create"), fmt.Appendf(nil, "%s %s %d", source, target, index))
	if err != nil {
		return "", fmt.Errorf("new %s of %.128q and %.128q: %w", class, source, target, err)
	}
	return string(bytes.TrimRight(answer, "\x00\n")), nil
}

// classDirectory guards the path: a class is a name, never a way out of selinuxfs.
func (h Host) classDirectory(class string) (string, error) {
	if bad := checkName("class", class); bad != nil {
		return "", errors.New(bad.reason)
	}
	directory := filepath.Join("class", class)
	if _, err := os.Stat(filepath.Join(h.Selinuxfs, directory)); err != nil {
		return "", fmt.Errorf("class %s: %w", class, err)
	}
	return directory, nil
}

// pick reads each permission's number, 1 to 32, and takes its bit out of the vector.
func (h Host) pick(vector uint32, directory string, permissions []string) (map[string]bool, error) {
	allowed := make(map[string]bool, len(permissions))
	for _, permission := range permissions {
		if bad := checkName("permission", permission); bad != nil {
			return nil, errors.New(bad.reason)
		}
		number, err := h.readNumber(filepath.Join(directory, "perms", permission))
		if err != nil {
			return nil, err
		}
		if number < 1 || number > 32 {
			return nil, fmt.Errorf("permission %s: number %d is not in 1..32", permission, number)
		}
		allowed[permission] = vector>>(number-1)&1 != 0
	}
	return allowed, nil
}

// allowedVector takes the first word of an access answer: allowed, decided, auditallow, auditdeny (hexadecimal),
// seqno (decimal), flags (hexadecimal).
func allowedVector(answer []byte) (uint32, error) {
	fields := bytes.Fields(bytes.TrimRight(answer, "\x00"))
	if len(fields) < 5 {
		return 0, fmt.Errorf("answer %.64q has %d fields", answer, len(fields))
	}
	vector, err := strconv.ParseUint(string(fields[0]), 16, 32)
	if err != nil {
		return 0, fmt.Errorf("answer %.64q does not begin with a hexadecimal vector", answer)
	}
	return uint32(vector), nil
}

// transact writes a request to a selinuxfs transaction file and reads the answer from the same open file. The request
// is one write: the kernel takes no second.
func transact(path string, request []byte) ([]byte, error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return nil, err
	}
	defer file.Close()
	if _, err := file.Write(request); err != nil {
		return nil, err
	}
	// The kernel's transactions fit in one page and do not move the file offset.
	answer := make([]byte, 4096)
	n, err := file.ReadAt(answer, 0)
	if err != nil && err != io.EOF {
		return nil, err
	}
	return answer[:n], nil
}

// ProcessLabel returns the context of a process, 0 for the caller's, from PROC/PID/attr/current. Call it only where
// SELinux is enabled: another LSM that owns the file (AppArmor) answers in its own language.
func (h Host) ProcessLabel(pid int) (string, error) {
	process := "self"
	if pid != 0 {
		process = strconv.Itoa(pid)
	}
	return readAttribute(filepath.Join(h.Proc, process, "attr/current"))
}

// readAttribute reads a one-line kernel file, without the newline or NUL at its end.
func readAttribute(path string) (string, error) {
	file, err := os.Open(path)
	if err != nil {
		return "", err
	}
	defer file.Close()
	text, err := io.ReadAll(io.LimitReader(file, maxText))
	if err != nil {
		return "", err
	}
	return string(bytes.TrimRight(text, "\x00\n")), nil
}

// labelAttribute holds a file's context, with the NUL that ends it, as libselinux writes it.
const labelAttribute = "security.selinux"

// ErrNoLabel says that a file has no security.selinux attribute.
var ErrNoLabel = errors.New("file has no " + labelAttribute + " attribute")

// FileLabel returns the context of an open file (not one opened with O_PATH). It works without SELinux too, where the
// attribute is plain data. A file without one is ErrNoLabel; a file system without them is ENOTSUP.
func FileLabel(fd int) (string, error) {
	buffer := make([]byte, 256)
	for {
		n, err := unix.Fgetxattr(fd, labelAttribute, buffer)
		switch {
		case errors.Is(err, unix.ERANGE) && len(buffer) < maxText:
			buffer = make([]byte, maxText)
		case errors.Is(err, unix.ENODATA):
			return "", ErrNoLabel
		case err != nil:
			return "", fmt.Errorf("%s: %w", labelAttribute, err)
		default:
			return string(bytes.TrimRight(buffer[:n], "\x00")), nil
		}
	}
}

// SetFileLabel sets the context of an open file (not one opened with O_PATH). With SELinux enabled, a context that the
// loaded policy does not know is refused with EINVAL, but not to a caller with CAP_MAC_ADMIN: the kernel then keeps the text
// and treats the file as unlabelled, so ask CheckContext first. Without SELinux it needs CAP_SYS_ADMIN and takes anything.
func SetFileLabel(fd int, context string) error {
	if context == "" || slices.Contains([]byte(context), 0) {
		return fmt.Errorf("%s: context %q is empty or holds a NUL", labelAttribute, context)
	}
	if err := unix.Fsetxattr(fd, labelAttribute, append([]byte(context), 0), 0); err != nil {
		return fmt.Errorf("%s %.128q: %w", labelAttribute, context, err)
	}
	return nil
}
