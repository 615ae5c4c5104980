// SPDX-License-Identifier: Apache-2.0

package enforce

import (
	"context"
	"crypto/sha1"
	"crypto/sha256"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/apparmor"
	"github.com/bulkhead-project/bulkhead/plan"
)

// Profiles compiles the AppArmor profiles whose text is built in, and loads them where they are not loaded. What it compiles it keeps until the next boot,
// so that a container's start finds it done: it reads the kernel's hash of the profile and compares.
type Profiles struct {
	Directory string // of this boot, made where it is missing
	Kernel    string // release
}

// Journal is where the changes of the kernel's policy are kept for undoing.
func (p Profiles) Journal() apparmor.Journal {
	return apparmor.Journal{Directory: filepath.Join(p.Directory, "journal")}
}

// Ensure has the kernel hold the built-in profile of that name as this program would compile it. A profile of the name that this program did not load is
// an operator's or an engine's, and is left as it is.
func (p Profiles) Ensure(ctx context.Context, name string) error {
	host, err := apparmor.OpenHost("")
	if err != nil {
		return p.unavailable(name, err)
	}
	if p.current(host, name) {
		return nil
	}
	if err := p.load(ctx, host, name); err != nil {
		return p.unavailable(name, err)
	}
	return nil
}

func (p Profiles) unavailable(name string, err error) error {
	hint := "load a profile yourself and name it with --security-opt apparmor=NAME, or --security-opt apparmor=unconfined"
	var failed *apparmor.LoadError
	if errors.As(err, &failed) && failed.Hint != "" {
		hint = failed.Hint + "; or " + hint
	}
	return &plan.UnavailableError{Layer: "apparmor", Reason: fmt.Sprintf("profile %s: %v", name, err), Hint: hint}
}

// current reports whether what the kernel has is what was compiled before.
func (p Profiles) current(host *apparmor.Host, name string) bool {
	digest, ok := host.PolicyDigest(name)
	if !ok {
		return false
	}
	key, err := p.key(name)
	if err != nil {
		return false
	}
	stream, err := readPrivate(p.compiled(key))
	return err == nil && (digest == "" && p.loadedByUs(name, stream) || slices.Contains(digests(stream), digest))
}

// digests are the hashes of a stream as kernels name them.
func digests(stream []byte) []string {
	return []string{fmt.Sprintf("sha256:%x", sha256.Sum256(stream)), fmt.Sprintf("sha1:%x", sha1.Sum(stream))}
}

// key names what is compiled: by this executable, on this kernel, under this name, for the label and the files that the text depends on. What the kernel
// mediates does not change until the next boot.
func (p Profiles) key(name string) (string, error) {
	var self unix.Stat_t
	if err := unix.Stat("/proc/self/exe", &self); err != nil {
		return "", err
	}
	boot, err := os.ReadFile("/proc/sys/kernel/random/boot_id")
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%x", sha256.Sum256(fmt.Appendf(boot, "%s\x00%s\x00%v\x00%d %d %d %d %d", p.Kernel, name, factsFor(name), self.Dev, self.Ino, self.Size,
		self.Mtim.Nano(), self.Ctim.Nano()))), nil
}

func (p Profiles) compiled(key string) string { return filepath.Join(p.Directory, "compiled", key) }

// loaded is the file with the digests of what this program had the kernel load under a name.
func (p Profiles) loaded(name string) string { return filepath.Join(p.Directory, "loaded", name) }

func (p Profiles) loadedByUs(name string, stream []byte) bool {
	content, err := readPrivate(p.loaded(name))
	return err == nil && strings.TrimSpace(string(content)) == strings.Join(digests(stream), " ")
}

// load compiles and loads, one process at a time.
func (p Profiles) load(ctx context.Context, host *apparmor.Host, name string) error {
	for _, directory := range []string{"compiled", "loaded"} {
		if err := os.MkdirAll(filepath.Join(p.Directory, directory), 0o700); err != nil {
			return err
		}
	}
	lock, err := os.OpenFile(filepath.Join(p.Directory, "lock"), os.O_CREATE|os.O_RDWR, 0o600)
	if err != nil {
		return err
	}
	defer lock.Close()
	if err := unix.Flock(int(lock.Fd()), unix.LOCK_EX); err != nil {
		return err
	}
	if p.current(host, name) {
		return nil // another process did it meanwhile
	}
	if foreign, err := p.foreign(host, name); foreign || err != nil {
		return err
	}
	stream, err := p.compile(ctx, name)
	if err != nil {
		return err
	}
	// The record comes first: with it alone, a profile that is not there is loaded the next time.
	if err := writePrivate(p.loaded(name), []byte(strings.Join(digests(stream), " ")+"\n")); err != nil {
		return err
	}
	if digest, loaded := host.PolicyDigest(name); loaded && slices.Contains(digests(stream), digest) {
		return nil // an executable of another kind compiled the same
	}
	_, err = p.Journal().Load(host, stream, "", apparmor.Replace, false)
	return err
}

// foreign reports whether a profile of the name is loaded that this program did not load.
func (p Profiles) foreign(host *apparmor.Host, name string) (bool, error) {
	digest, loaded := host.PolicyDigest(name)
	if !loaded {
		return false, nil
	}
	content, err := readPrivate(p.loaded(name))
	if errors.Is(err, fs.ErrNotExist) {
		return true, nil
	}
	return err == nil && digest != "" && !slices.Contains(strings.Fields(string(content)), digest), err
}

// compile returns the compiled policy of a built-in profile for this kernel, and keeps it.
func (p Profiles) compile(ctx context.Context, name string) ([]byte, error) {
	key, err := p.key(name)
	if err != nil {
		return nil, err
	}
	if stream, err := readPrivate(p.compiled(key)); err == nil {
		return stream, nil
	}
	features, err := apparmor.HostFeatures()
	if err != nil {
		return nil, err
	}
	stream, err := compileBuiltIn(ctx, name, features)
	if err != nil {
		return nil, err
	}
	return stream, writePrivate(p.compiled(key), stream)
}

// compileBuiltIn compiles Bulkhead's own text strictly: all that it says is enforced. Docker's is taken as Docker takes it, whatever the files that it
// includes say that this kernel cannot enforce.
func compileBuiltIn(ctx context.Context, name string, features apparmor.Features) ([]byte, error) {
	facts := factsFor(name)
	if name == apparmor.DockerDefaultName {
		return apparmor.CompileStream(ctx, name, apparmor.DockerDefault(name, facts), os.DirFS("/"), apparmor.Options{Features: features})
	}
	text := apparmor.Default(apparmor.DefaultOptions{Name: name, Peers: []string{facts.Daemon}, Features: features})
	return apparmor.CompileStream(ctx, name, text, nil, apparmor.Options{Features: features, Strict: true})
}

// factsFor returns what the text of a built-in profile depends on beside the kernel's features.
func factsFor(name string) apparmor.DockerFacts {
	facts := apparmor.DockerFacts{Daemon: ownLabel()}
	if name != apparmor.DockerDefaultName {
		return facts
	}
	for path, there := range map[string]*bool{"tunables/global": &facts.Tunables, "abstractions/base": &facts.Base, "abi/3.0": &facts.ABI} {
		_, err := os.Stat(filepath.Join("/etc/apparmor.d", path))
		*there = err == nil
	}
	return facts
}

// ownLabel is the label of this process without its mode, "" for unconfined.
func ownLabel() string {
	for _, path := range []string{"/proc/self/attr/apparmor/current", "/proc/self/attr/current"} {
		text, err := os.ReadFile(path)
		if err != nil {
			continue
		}
		label, _, _ := strings.Cut(strings.TrimRight(string(text), "\n\x00"), " (")
		if label == "unconfined" {
			return ""
		}
		return label
	}
	return ""
}

// readPrivate reads a file that is this user's alone.
func readPrivate(path string) ([]byte, error) {
	descriptor, err := unix.Open(path, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_CLOEXEC|unix.O_NONBLOCK, 0)
	if err != nil {
		return nil, &fs.PathError{Op: "open", Path: path, Err: err}
	}
	file := os.NewFile(uintptr(descriptor), path)
	defer file.Close()
	var stat unix.Stat_t
	if err := unix.Fstat(descriptor, &stat); err != nil {
		return nil, err
	}
	if stat.Mode != unix.S_IFREG|0o600 || stat.Uid != uint32(os.Geteuid()) {
		return nil, fmt.Errorf("%s: not this user's alone", path)
	}
	return os.ReadFile("/proc/self/fd/" + fmt.Sprint(descriptor))
}

// writePrivate puts such a file there in one step.
func writePrivate(path string, content []byte) error {
	file, err := os.CreateTemp(filepath.Dir(path), ".new-*") // with mode 0600
	if err != nil {
		return err
	}
	_, err = file.Write(content)
	if err = errors.Join(err, file.Close()); err == nil {
		err = os.Rename(file.Name(), path)
	}
	if err != nil {
		os.Remove(file.Name())
	}
	return err
}
