// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"runtime"
	"strings"

	"golang.org/x/sys/unix"
)

// Run applies the spec to this process and becomes the program. It returns only with an error and the exit status that goes with it.
func Run(spec Spec, args, environment []string) (int, error) {
	// Domain and capabilities belong to a thread; execve makes the calling thread the process.
	runtime.LockOSThread()
	if err := confine(spec); err != nil {
		return ExitUnheld, err
	}
	program, err := lookPath(args[0], pathOf(environment), executable)
	if err == nil {
		err = unix.Exec(program, args, environment)
	}
	status := ExitRefused
	if errors.Is(err, fs.ErrNotExist) {
		status = ExitNotFound
	}
	return status, fmt.Errorf("exec %s: %w", args[0], err)
}

func confine(spec Spec) error {
	if err := labelNextExec(spec); err != nil {
		return err
	}
	if spec.Landlock != nil {
		if err := enterDomain(spec); err != nil {
			return err
		}
	}
	if spec.Capabilities != nil {
		if err := spec.Capabilities.set(); err != nil {
			return err
		}
	}
	return nil
}

// labelNextExec asks the kernel to start the program under its label and its profile.
func labelNextExec(spec Spec) error {
	if spec.SELinuxLabel != "" {
		if err := writeAttribute("thread-self/attr/exec", spec.SELinuxLabel); err != nil {
			return fmt.Errorf("selinux: label %s: %w", spec.SELinuxLabel, err)
		}
	}
	if spec.AppArmorProfile != "" {
		err := writeAttribute("thread-self/attr/apparmor/exec", "exec "+spec.AppArmorProfile)
		if errors.Is(err, fs.ErrNotExist) { // before Linux 5.8 the modules share one file
			err = writeAttribute("thread-self/attr/exec", "exec "+spec.AppArmorProfile)
		}
		if err != nil {
			return fmt.Errorf("apparmor: profile %s: %w", spec.AppArmorProfile, err)
		}
	}
	return nil
}

func writeAttribute(name, value string) error {
	file, err := openAttribute(name)
	if err != nil {
		return err
	}
	defer file.Close()
	_, err = file.WriteString(value)
	return err
}

// openAttribute opens a file of /proc for writing, where it is procfs itself: an image or a volume may have put something else there, and what
// is mounted over a file of procfs may be another file of procfs, which the write would change.
func openAttribute(name string) (*os.File, error) {
	root, err := unix.Open("/proc", unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, fmt.Errorf("/proc: %w", err)
	}
	defer unix.Close(root)
	if err := checkProc(root); err != nil {
		return nil, err
	}
	const flags = unix.O_WRONLY | unix.O_CLOEXEC | unix.O_NOCTTY | unix.O_NONBLOCK
	descriptor, err := unix.Openat2(root, name, &unix.OpenHow{Flags: flags, Resolve: unix.RESOLVE_BENEATH | unix.RESOLVE_NO_XDEV | unix.RESOLVE_NO_MAGICLINKS})
	if errors.Is(err, unix.ENOSYS) || errors.Is(err, unix.EPERM) { // the container's filter is older than openat2(2)
		descriptor, err = unix.Openat(root, name, flags, 0)
	}
	if err != nil {
		return nil, fmt.Errorf("/proc/%s: %w", name, err)
	}
	return os.NewFile(uintptr(descriptor), "/proc/"+name), checkProc(descriptor)
}

func checkProc(descriptor int) error {
	var stat unix.Statfs_t
	if err := unix.Fstatfs(descriptor, &stat); err != nil {
		return fmt.Errorf("/proc: %w", err)
	}
	if stat.Type != unix.PROC_SUPER_MAGIC {
		return errors.New("/proc is not procfs")
	}
	return nil
}

// enterDomain enters the Landlock domain and asks the kernel whether it holds: a file that opened through the probe descriptor before must
// be refused after. Then it writes into that file, by the descriptor from before, that it was, which is how the host knows. Where another
// layer refuses the file beforehand, the question cannot be put and nothing is written: the host decides what to make of that.
func enterDomain(spec Spec) error {
	if spec.Probe == 0 {
		return spec.Landlock.Restrict()
	}
	defer unix.Close(spec.Probe)
	file, before := openBeneath(spec.Probe)
	if before == nil {
		defer unix.Close(file)
	}
	if before != nil && !errors.Is(before, unix.EACCES) && !errors.Is(before, unix.EPERM) {
		return fmt.Errorf("landlock: the file outside that is to be refused cannot be asked for: descriptor %d: %w", spec.Probe, before)
	}
	if err := spec.Landlock.Restrict(); err != nil {
		return err
	}
	if before != nil {
		return nil
	}
	if again, after := openBeneath(spec.Probe); !errors.Is(after, unix.EACCES) {
		if after == nil {
			unix.Close(again)
		}
		return fmt.Errorf("landlock: the domain does not hold: a file outside it opens (%v)", after)
	}
	if _, err := unix.Write(file, []byte("refused\n")); err != nil {
		return fmt.Errorf("landlock: the proof that the domain holds: %w", err)
	}
	return nil
}

func openBeneath(directory int) (int, error) {
	return unix.Openat(directory, ProbeFile, unix.O_WRONLY|unix.O_APPEND|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
}

// set makes the five sets exactly what they say. The bounding set goes first, because taking from it needs CAP_SETPCAP; ambient last,
// because a capability can only be raised there while it is permitted and inheritable.
func (c Capabilities) set() error {
	for capability := uintptr(0); capability < 64; capability++ {
		held, err := unix.PrctlRetInt(unix.PR_CAPBSET_READ, capability, 0, 0, 0)
		if errors.Is(err, unix.EINVAL) {
			break // the kernel knows no further one
		}
		if err != nil {
			return fmt.Errorf("capabilities: reading the bounding set: %w", err)
		}
		if held == 1 && c.Bounding>>capability&1 == 0 {
			if err := unix.Prctl(unix.PR_CAPBSET_DROP, capability, 0, 0, 0); err != nil {
				return fmt.Errorf("capabilities: dropping %d from the bounding set: %w", capability, err)
			}
		}
	}
	if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0); err != nil && !errors.Is(err, unix.EINVAL) {
		return fmt.Errorf("capabilities: clearing the ambient set: %w", err)
	}
	c, err := c.setThread()
	if err != nil {
		return err
	}
	for capability := uintptr(0); capability < 64; capability++ {
		if c.Ambient>>capability&1 == 1 {
			if err := unix.Prctl(unix.PR_CAP_AMBIENT, unix.PR_CAP_AMBIENT_RAISE, capability, 0, 0); err != nil {
				return fmt.Errorf("capabilities: raising %d in the ambient set: %w", capability, err)
			}
		}
	}
	return nil
}

// setThread sets what execve looks at. A user other than root lost the permitted capabilities that are not ambient when this program was
// started, as the program would have: what is asked for is cut to what is left, and the ambient set to what the kernel lets be ambient. It
// returns the sets that it arrived at.
func (c Capabilities) setThread() (Capabilities, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var held [2]unix.CapUserData
	if err := unix.Capget(&header, &held[0]); err != nil {
		return c, fmt.Errorf("capabilities: capget: %w", err)
	}
	permitted := uint64(held[0].Permitted) | uint64(held[1].Permitted)<<32
	c.Permitted &= permitted
	c.Effective &= c.Permitted
	c.Ambient &= c.Permitted & c.Inheritable
	data := [2]unix.CapUserData{
		{Effective: uint32(c.Effective), Permitted: uint32(c.Permitted), Inheritable: uint32(c.Inheritable)},
		{Effective: uint32(c.Effective >> 32), Permitted: uint32(c.Permitted >> 32), Inheritable: uint32(c.Inheritable >> 32)},
	}
	if err := unix.Capset(&header, &data[0]); err != nil {
		return c, fmt.Errorf("capabilities: capset: %w", err)
	}
	return c, nil
}

func executable(path string) error {
	stat, err := os.Stat(path)
	if errors.Is(err, unix.ENOTDIR) {
		return fs.ErrNotExist
	}
	if err != nil {
		return err
	}
	if stat.IsDir() {
		return unix.EISDIR
	}
	return unix.Faccessat(unix.AT_FDCWD, path, unix.X_OK, unix.AT_EACCESS)
}

// defaultPath is where execvp(3) looks without a PATH.
const defaultPath = "/bin:/usr/bin"

func pathOf(environment []string) string {
	for _, variable := range environment {
		if value, ok := strings.CutPrefix(variable, "PATH="); ok {
			return value
		}
	}
	return defaultPath
}
