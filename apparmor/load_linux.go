// SPDX-License-Identifier: Apache-2.0

package apparmor

import (
	"bufio"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/apparmor/binary"
	"github.com/bulkhead-project/bulkhead/kernel"
)

// Securityfs is where the kernel's AppArmor directory is by custom.
const Securityfs = "/sys/kernel/security/apparmor"

// Host is the running kernel's AppArmor, as the namespace of this process sees it. The names are those of security/apparmor/apparmorfs.c.
type Host struct{ directory string }

// OpenHost finds the kernel's AppArmor; directory is "" for Securityfs. Its error is a kernel.NotSupportedError where there is none.
func OpenHost(directory string) (*Host, error) {
	if directory == "" {
		directory = Securityfs
	}
	if _, err := os.Stat(filepath.Join(directory, ".replace")); err != nil {
		if errors.Is(err, fs.ErrPermission) {
			return nil, err
		}
		return nil, &kernel.NotSupportedError{Layer: "apparmor", Missing: "boot with apparmor=1 security=apparmor, and mount securityfs on /sys/kernel/security (" + directory + " has no .replace)"}
	}
	return &Host{directory}, nil
}

// LoadMode says what Load does with profiles that are loaded already.
type LoadMode int

// The modes.
const (
	Replace LoadMode = iota // them
	Add                     // nothing: a profile of the same name is an error
)

// LoadError is what the kernel answered to a change of its policy.
type LoadError struct {
	Subject string // what was asked for: load, replace, remove NAME
	Reason  string // why, in words
	Hint    string
	Err     error
}

func (e *LoadError) Error() string { return fmt.Sprintf("%s: %s (%v)", e.Subject, e.Reason, e.Err) }

func (e *LoadError) Unwrap() error { return e.Err }

// Load hands a stream of compiled policy to the kernel, in one write: all of its profiles are taken, or none. Decode sees it first, so that what the
// kernel would refuse is not offered to it. namespace is that of the loader where it is empty, else one beneath it (inner ones as in outer//inner),
// which has to be there.
func (h *Host) Load(stream []byte, namespace string, mode LoadMode) error {
	if _, err := decodeLoadable(stream); err != nil {
		return err
	}
	file, subject := ".replace", "replace"
	if mode == Add {
		file, subject = ".load", "load"
	}
	directory, err := h.namespace(namespace)
	if err != nil {
		return err
	}
	return explain(subject, writeOnce(filepath.Join(directory, file), stream))
}

// decodeLoadable decodes what is to be written in one piece.
func decodeLoadable(stream []byte) (*binary.Policy, error) {
	policy, err := binary.Decode(stream)
	if err != nil {
		return nil, fmt.Errorf("the policy is not one that the kernel takes: %w", err)
	}
	if len(policy.Profiles) == 0 {
		return nil, errors.New("the policy has no profile")
	}
	if len(policy.Split()) > 1 {
		return nil, errors.New("the policy has profiles of several namespaces, and the kernel would put all of one write into the last: load each by itself")
	}
	return policy, nil
}

// Unload removes a profile, and with it its hats and children.
func (h *Host) Unload(name, namespace string) error {
	directory, err := h.namespace(namespace)
	if err != nil {
		return err
	}
	return explain("remove "+name, writeOnce(filepath.Join(directory, ".remove"), []byte(name)))
}

// MakeNamespace makes a namespace for policy, and RemoveNamespace removes one with all profiles in it.
func (h *Host) MakeNamespace(namespace string) error {
	directory, err := h.namespaceDirectory(namespace)
	if err != nil {
		return err
	}
	return explain("namespace "+namespace, os.Mkdir(directory, 0o755))
}

// RemoveNamespace undoes MakeNamespace.
func (h *Host) RemoveNamespace(namespace string) error {
	directory, err := h.namespaceDirectory(namespace)
	if err != nil {
		return err
	}
	return explain("remove namespace "+namespace, unix.Rmdir(directory))
}

// namespaceDirectory returns the directory of a namespace by its name; of "" it is the one of the loader's own.
func (h *Host) namespaceDirectory(namespace string) (string, error) {
	directory := filepath.Join(h.directory, "policy")
	if namespace == "" {
		return directory, nil
	}
	for _, name := range strings.Split(namespace, "//") {
		if name == "" || name == "." || name == ".." || strings.ContainsAny(name, "/:\x00") {
			return "", fmt.Errorf("%q is no name of a namespace", namespace)
		}
		directory = filepath.Join(directory, "namespaces", name)
	}
	return directory, nil
}

// namespace is namespaceDirectory of a namespace that is there. Kernels before 4.13 have the loader's own files only at the top.
func (h *Host) namespace(namespace string) (string, error) {
	if namespace == "" {
		return h.directory, nil
	}
	directory, err := h.namespaceDirectory(namespace)
	if err != nil {
		return "", err
	}
	if _, err := os.Stat(directory); err != nil {
		return "", explain("namespace "+namespace, err)
	}
	return directory, nil
}

// writeOnce writes all in one call: the kernel takes each write for a policy of its own.
func writeOnce(path string, content []byte) error {
	descriptor, err := unix.Open(path, unix.O_WRONLY|unix.O_CLOEXEC, 0)
	if err != nil {
		return &fs.PathError{Op: "open", Path: path, Err: err}
	}
	defer unix.Close(descriptor)
	for {
		written, err := unix.Write(descriptor, content)
		if errors.Is(err, unix.EINTR) {
			continue
		}
		if err == nil && written != len(content) {
			err = fmt.Errorf("only %d of %d bytes were taken", written, len(content))
		}
		if err != nil {
			return &fs.PathError{Op: "write", Path: path, Err: err}
		}
		return nil
	}
}

// explain says what the kernel means by an errno, as aa_replace_profiles and aa_may_manage_policy use them.
func explain(subject string, err error) error {
	if err == nil {
		return nil
	}
	failed := &LoadError{Subject: subject, Err: err}
	switch {
	case errors.Is(err, unix.EPROTO):
		failed.Reason, failed.Hint = "the kernel cannot read the policy", "compile it for this kernel: --kernel host"
	case errors.Is(err, unix.EPROTONOSUPPORT):
		failed.Reason, failed.Hint = "the policy has a version that this kernel does not know", "compile it for this kernel: --kernel host"
	case errors.Is(err, unix.EPERM), errors.Is(err, unix.EACCES):
		failed.Reason = "this process may not change policy here"
		failed.Hint = "it takes root with CAP_MAC_ADMIN in the initial user namespace, no profile that denies it, and /sys/module/apparmor/parameters/lock_policy N"
	case errors.Is(err, unix.EEXIST):
		failed.Reason, failed.Hint = "it is there already", "replace it"
	case errors.Is(err, unix.ENOENT) && strings.HasPrefix(subject, "namespace "):
		failed.Reason, failed.Hint = "there is no such namespace", "mkdir "+Securityfs+"/policy/namespaces/NAME makes one"
	case errors.Is(err, unix.ENOENT) && strings.HasPrefix(subject, "remove "):
		failed.Reason, failed.Hint = "it is not loaded", "`bulkhead apparmor ls` lists what is"
	case errors.Is(err, unix.ENOENT):
		failed.Reason, failed.Hint = "the parent of a child profile or hat is neither in the policy nor loaded", "load it with its parent"
	case errors.Is(err, unix.ENOMEM):
		failed.Reason = "the kernel has no memory for it"
	case errors.Is(err, unix.EBUSY):
		failed.Reason = "it is in use"
	default:
		failed.Reason = "the kernel refused it"
	}
	return failed
}

// Loaded is one profile in the kernel.
type Loaded struct {
	Namespace string `json:"namespace,omitempty"` // beneath that of this process
	Name      string `json:"name"`
	Mode      string `json:"mode"`
	Attach    string `json:"attach,omitempty"`
	// Digest is the kernel's own hash of the profile, with its algorithm: sha256:... or sha1:...; "" where it makes none.
	Digest string `json:"digest,omitempty"`
	// Policy is its hash of the whole stream that the profile was loaded with.
	Policy string `json:"policy,omitempty"`

	directory string // under policy/profiles; "" where the kernel has none
}

// String is the profile's name as it is said beyond its namespace.
func (l Loaded) String() string {
	if l.Namespace == "" {
		return l.Name
	}
	return ":" + l.Namespace + "://" + l.Name
}

// List returns every profile that this process may see, of inner namespaces too, by namespace and name.
func (h *Host) List() ([]Loaded, error) {
	file, err := os.Open(filepath.Join(h.directory, "profiles"))
	if err != nil {
		return nil, err
	}
	defer file.Close()
	var list []Loaded
	scanner := bufio.NewScanner(file)
	scanner.Buffer(nil, 1<<20)
	for scanner.Scan() {
		if one, ok := parseLoaded(scanner.Text()); ok {
			list = append(list, one)
		}
	}
	if err := scanner.Err(); err != nil {
		return nil, err
	}
	known := map[string]bool{}
	for _, one := range list {
		if known[one.Namespace] {
			continue
		}
		known[one.Namespace] = true
		h.describe(one.Namespace, list)
	}
	slices.SortStableFunc(list, func(a, b Loaded) int {
		return strings.Compare(a.Namespace+"\x00"+a.Name, b.Namespace+"\x00"+b.Name)
	})
	return list, nil
}

// parseLoaded reads one line of the file profiles: [:namespace:[//]]name (mode).
func parseLoaded(line string) (Loaded, bool) {
	open := strings.LastIndex(line, " (")
	if open <= 0 || !strings.HasSuffix(line, ")") {
		return Loaded{}, false
	}
	one := Loaded{Name: line[:open], Mode: line[open+2 : len(line)-1]}
	if rest, ok := strings.CutPrefix(one.Name, ":"); ok {
		namespace, name, ok := strings.Cut(rest, ":")
		if !ok || namespace == "" {
			return Loaded{}, false
		}
		one.Namespace, one.Name = namespace, strings.TrimPrefix(name, "//")
	}
	return one, one.Name != ""
}

// describe adds what policy/profiles says of the profiles of one namespace.
func (h *Host) describe(namespace string, list []Loaded) {
	directory, err := h.namespaceDirectory(namespace)
	if err != nil {
		return
	}
	found := map[string]string{}
	walkProfiles(filepath.Join(directory, "profiles"), "", found)
	for i := range list {
		one := &list[i]
		if one.Namespace == namespace && found[one.Name] != "" {
			one.read(found[one.Name])
		}
	}
}

// walkProfiles maps the names of profiles to their directories, those of their children among them.
func walkProfiles(directory, parent string, found map[string]string) {
	entries, err := os.ReadDir(directory)
	if err != nil {
		return
	}
	for _, entry := range entries {
		path := filepath.Join(directory, entry.Name())
		name := readLine(filepath.Join(path, "name"))
		if name == "" {
			continue
		}
		if parent != "" {
			name = parent + "//" + name
		}
		found[name] = path
		walkProfiles(filepath.Join(path, "profiles"), name, found)
	}
}

// read fills in what the directory of the profile says.
func (l *Loaded) read(directory string) {
	l.directory = directory
	l.Attach = strings.TrimPrefix(readLine(filepath.Join(directory, "attach")), "<unknown>")
	for _, algorithm := range []string{"sha256", "sha1"} {
		if sum := readLine(filepath.Join(directory, algorithm)); sum != "" && l.Digest == "" {
			l.Digest = algorithm + ":" + sum
		}
		if sum := readLine(filepath.Join(directory, "raw_"+algorithm)); sum != "" && l.Policy == "" {
			l.Policy = algorithm + ":" + sum
		}
	}
}

func readLine(path string) string {
	text, err := os.ReadFile(path)
	if err != nil {
		return ""
	}
	return strings.TrimRight(string(text), "\n\x00")
}

// Find returns the loaded profile of a name in a namespace; ok is false where there is none.
func (h *Host) Find(name, namespace string) (one Loaded, ok bool, err error) {
	list, err := h.List()
	if err != nil {
		return Loaded{}, false, err
	}
	i := slices.IndexFunc(list, func(l Loaded) bool { return l.Name == name && l.Namespace == namespace })
	if i < 0 {
		return Loaded{}, false, nil
	}
	return list[i], true, nil
}

// PolicyDigest is Loaded.Policy of a profile of the loader's own namespace, read without looking at any other: "" where the kernel makes none. loaded is false
// where there is no such profile.
func (h *Host) PolicyDigest(name string) (digest string, loaded bool) {
	entries, err := os.ReadDir(filepath.Join(h.directory, "policy", "profiles"))
	if err != nil { // a kernel that does not show single profiles
		_, loaded, _ = h.Find(name, "")
		return "", loaded
	}
	for _, entry := range entries {
		// The kernel writes NAME.ID, with other bytes in the place of some.
		if plain(name) && !strings.HasPrefix(entry.Name(), name+".") {
			continue
		}
		directory := filepath.Join(h.directory, "policy", "profiles", entry.Name())
		if readLine(filepath.Join(directory, "name")) == name {
			one := Loaded{Name: name}
			one.read(directory)
			return one.Policy, true
		}
	}
	return "", false
}

// plain reports whether the kernel keeps a name as it is in the names of directories.
func plain(name string) bool {
	for _, b := range []byte(name) {
		if (b < 'a' || b > 'z') && (b < 'A' || b > 'Z') && (b < '0' || b > '9') && b != '-' && b != '_' {
			return false
		}
	}
	return name != ""
}

// errNotExported: the kernel keeps no policy that it could show.
var errNotExported = errors.New("this kernel does not export loaded policy: it takes CONFIG_SECURITY_APPARMOR_EXPORT_BINARY and /sys/module/apparmor/parameters/export_binary Y")

// Raw returns the stream that the profile was loaded with, which may hold other profiles too.
func (h *Host) Raw(name, namespace string) ([]byte, error) {
	one, ok, err := h.Find(name, namespace)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, &LoadError{Subject: "profile " + name, Reason: "it is not loaded", Hint: "`bulkhead apparmor ls` lists what is", Err: unix.ENOENT}
	}
	return one.raw()
}

func (l Loaded) raw() ([]byte, error) {
	if l.directory == "" {
		return nil, errNotExported
	}
	// The kernel compresses what it keeps and decompresses it for the reader.
	stream, err := os.ReadFile(filepath.Join(l.directory, "raw_data"))
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNotExported
	}
	if err == nil && len(stream) == 0 {
		return nil, errNotExported
	}
	return stream, err
}
