// SPDX-License-Identifier: Apache-2.0

package inside

import (
	"cmp"
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
	// Domain, capabilities and filter belong to a thread; execve makes the calling thread the process.
	runtime.LockOSThread()
	proof, err := confine(spec)
	if err != nil {
		return ExitUnheld, err
	}
	program, err := lookPath(args[0], pathOf(environment), executable)
	if err == nil && spec.Seccomp == nil {
		err = unix.Exec(program, args, environment)
	} else if err == nil {
		err = spec.Seccomp.execute(proof, program, args, environment)
	}
	status := ExitRefused
	var unheld *installError
	if errors.As(err, &unheld) {
		return ExitUnheld, err
	}
	if errors.Is(err, fs.ErrNotExist) {
		status = ExitNotFound
	}
	return status, fmt.Errorf("exec %s: %w", args[0], err)
}

// confine applies all but the filter. It returns the descriptor of ProbeFile where the filter has a listener, -1 otherwise.
func confine(spec Spec) (proof int, err error) {
	if spec.TimerSlack != 0 {
		if err := unix.Prctl(unix.PR_SET_TIMERSLACK, uintptr(spec.TimerSlack), 0, 0, 0); err != nil {
			return -1, fmt.Errorf("timer slack: %w", err)
		}
	}
	if err := labelNextExec(spec); err != nil {
		return -1, err
	}
	proof, refused := -1, error(nil)
	if spec.Probe != 0 {
		proof, refused = openBeneath(spec.Probe)
	}
	if spec.Landlock != nil {
		if err := enterDomain(spec, proof, refused); err != nil {
			return -1, err
		}
	}
	if spec.Probe != 0 {
		unix.Close(spec.Probe)
	}
	switch listens := spec.Seccomp.listens(); {
	case listens && proof < 0:
		return -1, fmt.Errorf("seccomp: the listener cannot be told of: descriptor %d: %w", spec.Probe, cmp.Or(refused, error(unix.EBADF)))
	case !listens && proof >= 0:
		unix.Close(proof)
		proof = -1
	}
	if spec.Capabilities != nil {
		return proof, spec.Capabilities.set(spec.Seccomp != nil)
	}
	return proof, nil
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

// enterDomain enters the Landlock domain and asks the kernel whether it holds: a file that opened through the probe descriptor before, as
// proof, must be refused after. Then it writes into that file that it was, which is how the host knows. Where another layer refused the
// file beforehand, the question cannot be put and nothing is written: the host decides what to make of that.
func enterDomain(spec Spec, proof int, before error) error {
	if spec.Probe == 0 {
		return spec.Landlock.Restrict()
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
	if _, err := unix.Write(proof, []byte(refusedLine)); err != nil {
		return fmt.Errorf("landlock: the proof that the domain holds: %w", err)
	}
	return nil
}

func openBeneath(directory int) (int, error) {
	return unix.Openat(directory, ProbeFile, unix.O_RDWR|unix.O_APPEND|unix.O_CLOEXEC|unix.O_NOFOLLOW, 0)
}

// set makes the five sets exactly what they say. The bounding set goes first, because taking from it needs CAP_SETPCAP; ambient last,
// because a capability can only be raised there while it is permitted and inheritable.
//
// With filter, CAP_SYS_ADMIN stays permitted and effective for the filter that is yet to be installed. The program does not get it: execve
// makes both sets anew, of the bounding, the inheritable and the ambient set and of the file, and looks at neither, see capabilities(7).
func (c Capabilities) set(filter bool) error {
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
	c, err := c.setThread(filter)
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
func (c Capabilities) setThread(filter bool) (Capabilities, error) {
	header := unix.CapUserHeader{Version: unix.LINUX_CAPABILITY_VERSION_3}
	var held [2]unix.CapUserData
	if err := unix.Capget(&header, &held[0]); err != nil {
		return c, fmt.Errorf("capabilities: capget: %w", err)
	}
	permitted := uint64(held[0].Permitted) | uint64(held[1].Permitted)<<32
	c.Permitted &= permitted
	c.Effective &= c.Permitted
	c.Ambient &= c.Permitted & c.Inheritable
	var kept uint64
	if filter {
		kept = permitted & (1 << unix.CAP_SYS_ADMIN)
	}
	thread := Capabilities{Effective: c.Effective | kept, Permitted: c.Permitted | kept, Inheritable: c.Inheritable}
	data := [2]unix.CapUserData{
		{Effective: uint32(thread.Effective), Permitted: uint32(thread.Permitted), Inheritable: uint32(thread.Inheritable)},
		{Effective: uint32(thread.Effective >> 32), Permitted: uint32(thread.Permitted >> 32), Inheritable: uint32(thread.Inheritable >> 32)},
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
