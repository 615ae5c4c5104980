// SPDX-License-Identifier: Apache-2.0

package guest

import (
	"fmt"
	"os"
	"os/exec"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"github.com/bulkhead-project/bulkhead/apparmor"
)

const (
	root  = "/run/probe"
	files = root + "/file/"
	execs = root + "/exec/"
	mnt   = root + "/mnt/"
)

// probe is one thing that a confined process tries, which succeeds where nothing confines it, and the questions that ask for the same: it is allowed
// where all of them are.
type probe struct {
	name string
	try  func(w *world) error
	asks func(w *world) []apparmor.Question
}

// world is what the probes act on.
type world struct {
	Profile    string // that the prober runs under
	Unconfined int    // process id of a process without a profile, which ignores SIGUSR1 and SIGUSR2
	Sleeper    int    // of a process under Profile, for probes from outside
}

func ask(questions ...apparmor.Question) func(*world) []apparmor.Question {
	return func(*world) []apparmor.Question { return questions }
}

// file is a probe that opens a path.
func file(name string, flags int, access string) probe {
	path := files + name
	return probe{"open " + name + " " + access, func(*world) error {
		fd, err := unix.Open(path, flags|unix.O_CLOEXEC|unix.O_NONBLOCK, 0o600)
		if err == nil {
			unix.Close(fd)
		}
		return err
	}, ask(apparmor.FileQuestion{Path: path, Access: access, Owner: name != "owned/theirs"})}
}

// call is a probe of one call about files.
func call(name string, do func() error, questions ...apparmor.Question) probe {
	return probe{name, func(*world) error { return do() }, ask(questions...)}
}

func fileProbes() []probe {
	own := func(name, access string) apparmor.Question {
		return apparmor.FileQuestion{Path: files + name, Access: access, Owner: true}
	}
	probes := []probe{
		file("read", unix.O_RDONLY, "r"), file("read", unix.O_WRONLY, "w"), file("write", unix.O_WRONLY, "w"), file("write", unix.O_RDONLY, "r"),
		file("append", unix.O_WRONLY|unix.O_APPEND, "a"), file("append", unix.O_WRONLY, "w"), file("glob.one", unix.O_RDWR, "rw"), file("glob.two1", unix.O_RDWR, "rw"),
		file("glob.three", unix.O_RDWR, "rw"), file("glob.one_/in", unix.O_RDWR, "rw"), file("ax", unix.O_RDONLY, "r"), file("cx", unix.O_RDONLY, "r"),
		file("ay", unix.O_RDONLY, "r"), file("cy", unix.O_RDONLY, "r"), file("deep/er/still", unix.O_RDWR, "rw"), file("deep/denied", unix.O_RDONLY, "r"),
		file("deep/denied", unix.O_RDWR, "rw"), file("deep/new", unix.O_CREAT|unix.O_RDWR, "rw"), file("new", unix.O_CREAT|unix.O_RDWR, "rw"),
		file("owned/mine", unix.O_RDONLY, "r"), file("owned/theirs", unix.O_RDONLY, "r"), file("with space", unix.O_RDONLY, "r"), file("nothing", unix.O_RDONLY, "r"),
		call("list dir", func() error { _, err := os.ReadDir(files + "dir"); return err }, own("dir/", "r")),
		call("list deep", func() error { _, err := os.ReadDir(files + "deep"); return err }, own("deep/", "r")),
		call("make a directory", func() error { return unix.Mkdir(files+"deep/directory", 0o700) }, own("deep/directory/", "w")),
		call("make a denied directory", func() error { return unix.Mkdir(files+"directory", 0o700) }, own("directory/", "w")),
		call("unlink", func() error { return unix.Unlink(files + "deep/er/gone") }, own("deep/er/gone", "w")),
		call("unlink without a rule", func() error { return unix.Unlink(files + "nothing") }, own("nothing", "w")),
		call("rename", func() error { return unix.Rename(files+"deep/from", files+"deep/to") }, own("deep/from", "rw"), own("deep/to", "w")),
		call("rename away", func() error { return unix.Rename(files+"deep/away", files+"away") }, own("deep/away", "rw"), own("away", "w")),
		call("symbolic link", func() error { return unix.Symlink("x", files+"deep/symbolic") }, own("deep/symbolic", "w")),
		call("change the mode", func() error { return unix.Chmod(files+"deep/er/still", 0o640) }, own("deep/er/still", "w")),
		call("change the mode of what is to be read", func() error { return unix.Chmod(files+"read", 0o640) }, own("read", "w")),
	}
	link := func(to string) probe {
		return call("link "+to, func() error { return unix.Link(files+"target", files+to) }, apparmor.LinkQuestion{Link: files + to, Target: files + "target", Owner: true})
	}
	lock := func(name string) probe {
		return call("lock "+name, func() error {
			return onFile(files+name, unix.O_RDWR, func(fd int) error { return unix.Flock(fd, unix.LOCK_EX) })
		}, own(name, "rwk"))
	}
	mapping := func(name string) probe {
		return call("map "+name, func() error { return onFile(files+name, unix.O_RDONLY, mapExecutable) }, own(name, "mr"))
	}
	run := func(name string, arguments ...string) probe {
		return call("run "+name+fmt.Sprint(arguments), func() error { return busybox(execs+name, arguments...) }, apparmor.ExecQuestion{Path: execs + name, Owner: true})
	}
	return append(probes, link("linked"), link("nolinked"), link("subset"), lock("lock"), lock("nolock"), mapping("map"), mapping("nomap"),
		run("inherit", "true"), run("denied", "true"), run("uses", "cat", files+"read"), run("child", "cat", files+"read"), run("unnamed", "true"))
}

func onFile(path string, flags int, do func(fd int) error) error {
	fd, err := unix.Open(path, flags|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	defer unix.Close(fd)
	return do(fd)
}

func mapExecutable(fd int) error {
	data, err := unix.Mmap(fd, 0, 4096, unix.PROT_READ|unix.PROT_EXEC, unix.MAP_PRIVATE)
	if err == nil {
		err = unix.Munmap(data)
	}
	return err
}

// busybox runs an applet of the copy at path.
func busybox(path string, arguments ...string) error {
	command := exec.Command(path)
	command.Args = arguments
	err := command.Run()
	if exit, ok := err.(*exec.ExitError); ok && exit.ExitCode() == 1 {
		return unix.EACCES // the applet says no more
	}
	return err
}

func mountProbes() []probe {
	admin := apparmor.CapabilityQuestion{Name: "sys_admin"}
	mount := func(source, target, kind string, flags uintptr, options ...string) probe {
		return call(fmt.Sprintf("mount %s %s %s %v", source, target, kind, options), func() error {
			return unix.Mount(source, mnt+target, kind, flags, "")
		}, admin, apparmor.MountQuestion{Source: source, Target: mnt + target + "/", FSType: kind, Options: options})
	}
	umount := func(target string) probe {
		return call("umount "+target, func() error { return unix.Unmount(mnt+target, 0) }, admin, apparmor.UmountQuestion{Target: mnt + target + "/"})
	}
	const nosuid, nodev = uintptr(unix.MS_NOSUID), uintptr(unix.MS_NODEV)
	return []probe{
		mount("none", "new", "tmpfs", nosuid, "rw", "nosuid"),
		mount("none", "new", "proc", nosuid|nodev, "rw", "nosuid", "nodev"),
		mount("none", "new", "tmpfs", nosuid|nodev, "rw", "nosuid", "nodev"),
		mount("none", "in", "tmpfs", unix.MS_NOEXEC, "rw", "noexec"),
		mount("none", "in", "tmpfs", unix.MS_RDONLY|nosuid, "ro", "nosuid"),
		mount("none", "in", "ramfs", nodev|unix.MS_RDONLY, "ro", "nodev"),
		mount(root+"/src/", "bind", "", unix.MS_BIND|unix.MS_REC, "rw", "rbind"),
		mount(root+"/other/", "bind", "", unix.MS_BIND, "rw", "bind"),
		mount(root+"/src/", "bind", "", unix.MS_BIND, "rw", "bind"),
		mount("none", "old", "", unix.MS_SLAVE, "rw", "slave"),
		mount("none", "old", "", unix.MS_PRIVATE, "rw", "private"),
		mount("none", "old", "", unix.MS_REMOUNT|unix.MS_RDONLY, "ro", "remount"),
		mount("none", "old", "", unix.MS_REMOUNT|unix.MS_RDONLY|nosuid, "ro", "remount", "nosuid"),
		mount(mnt+"moves/", "to", "", unix.MS_MOVE, "rw", "move"),
		mount(mnt+"from/", "to", "", unix.MS_MOVE, "rw", "move"),
		umount("stays"), umount("gone"),
	}
}

func socketProbes() []probe {
	socket := func(family string, domain int, kind string, number, protocol int) probe {
		questions := []apparmor.Question{apparmor.NetworkQuestion{Family: family, Type: kind, Protocol: uint16(protocol)}}
		if domain == unix.AF_PACKET || kind == "raw" && domain != unix.AF_NETLINK {
			questions = append(questions, apparmor.CapabilityQuestion{Name: "net_raw"})
		}
		return call("socket "+family+" "+kind, func() error {
			fd, err := unix.Socket(domain, number|unix.SOCK_CLOEXEC, protocol)
			if err == nil {
				unix.Close(fd)
			}
			return err
		}, questions...)
	}
	return []probe{
		socket("inet", unix.AF_INET, "stream", unix.SOCK_STREAM, 0), socket("inet", unix.AF_INET, "dgram", unix.SOCK_DGRAM, 0), socket("inet", unix.AF_INET, "raw", unix.SOCK_RAW, unix.IPPROTO_ICMP),
		socket("inet6", unix.AF_INET6, "stream", unix.SOCK_STREAM, 0), socket("inet6", unix.AF_INET6, "dgram", unix.SOCK_DGRAM, 0),
		socket("unix", unix.AF_UNIX, "stream", unix.SOCK_STREAM, 0), socket("unix", unix.AF_UNIX, "dgram", unix.SOCK_DGRAM, 0),
		socket("netlink", unix.AF_NETLINK, "raw", unix.SOCK_RAW, unix.NETLINK_ROUTE), socket("packet", unix.AF_PACKET, "raw", unix.SOCK_RAW, 0),
		call("bind and listen", func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			if err := unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}); err != nil {
				return err
			}
			return unix.Listen(fd, 1)
		}, apparmor.NetworkQuestion{Family: "inet", Type: "stream", Access: []string{"create", "bind", "listen"}}),
	}
}

func processProbes() []probe {
	signal := func(name string, number syscall.Signal) probe {
		return probe{"signal " + name + " to an unconfined process", func(w *world) error { return unix.Kill(w.Unconfined, number) },
			ask(apparmor.SignalQuestion{Access: "send", Signal: name, Peer: "unconfined"})}
	}
	own := probe{"signal to a process under the profile", func(w *world) error { return unix.Kill(w.Sleeper, unix.SIGCONT) }, func(w *world) []apparmor.Question {
		return []apparmor.Question{apparmor.SignalQuestion{Access: "send", Signal: "cont", Peer: w.Profile}, apparmor.SignalQuestion{Access: "receive", Signal: "cont", Peer: w.Profile}}
	}}
	return []probe{
		signal("exists", 0), signal("usr1", unix.SIGUSR1), signal("usr2", unix.SIGUSR2), own,
		{"read the environment of an unconfined process", func(w *world) error { _, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", w.Unconfined)); return err },
			ask(apparmor.PtraceQuestion{Access: "read", Peer: "unconfined"})},
		{"trace an unconfined process", func(w *world) error { return seize(w.Unconfined) }, ask(apparmor.PtraceQuestion{Access: "trace", Peer: "unconfined"})},
		{"trace a process under the profile", func(w *world) error { return seize(w.Sleeper) }, func(w *world) []apparmor.Question {
			return []apparmor.Question{apparmor.PtraceQuestion{Access: "trace", Peer: w.Profile}, apparmor.PtraceQuestion{Access: "tracedby", Peer: w.Profile}}
		}},
		{"new user namespace", func(*world) error {
			command := exec.Command(execs + "inherit")
			command.Args, command.SysProcAttr = []string{"true"}, &syscall.SysProcAttr{Cloneflags: unix.CLONE_NEWUSER}
			return command.Run()
		}, ask(apparmor.UsernsQuestion{}, apparmor.ExecQuestion{Path: execs + "inherit", Owner: true})},
	}
}

func seize(pid int) error {
	_, _, errno := unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_SEIZE, uintptr(pid), 0, 0, 0, 0)
	if errno != 0 {
		return errno
	}
	unix.Syscall6(unix.SYS_PTRACE, unix.PTRACE_INTERRUPT, uintptr(pid), 0, 0, 0, 0)
	for range 100 {
		if _, err := unix.Wait4(pid, nil, unix.WNOHANG|unix.WALL, nil); err != nil {
			break
		}
		if unix.PtraceDetach(pid) == nil {
			return nil
		}
		time.Sleep(10 * time.Millisecond)
	}
	return nil
}

func capabilityProbes() []probe {
	with := func(name string, do func() error, more ...apparmor.Question) probe {
		return call("capability "+name, do, append(more, apparmor.CapabilityQuestion{Name: name})...)
	}
	return []probe{
		with("chown", func() error { return unix.Chown(files+"deep/er/still", 1000, 1000) }, apparmor.FileQuestion{Path: files + "deep/er/still", Access: "w", Owner: true}),
		with("sys_chroot", func() error { return unix.Chroot("/") }),
		with("sys_nice", func() error { return unix.Setpriority(unix.PRIO_PROCESS, 0, -5) }),
		with("sys_time", func() error {
			var now unix.Timespec
			if err := unix.ClockGettime(unix.CLOCK_REALTIME, &now); err != nil {
				return err
			}
			return unix.ClockSettime(unix.CLOCK_REALTIME, &now)
		}),
		with("sys_admin", func() error { return unix.Sethostname([]byte("probe")) }),
		with("setuid", func() error { return rawSetuid(0, 1000) }),
		with("sys_resource", func() error {
			var limit unix.Rlimit
			if err := unix.Getrlimit(unix.RLIMIT_MSGQUEUE, &limit); err != nil {
				return err
			}
			limit.Max++
			return unix.Setrlimit(unix.RLIMIT_MSGQUEUE, &limit)
		}),
		with("mknod", func() error { return unix.Mknod(files+"deep/device", unix.S_IFCHR|0o600, int(unix.Mkdev(1, 3))) }, apparmor.FileQuestion{Path: files + "deep/device", Access: "w", Owner: true}),
		with("net_bind_service", func() error {
			fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
			if err != nil {
				return err
			}
			defer unix.Close(fd)
			return unix.Bind(fd, &unix.SockaddrInet4{Port: 80, Addr: [4]byte{127, 0, 0, 1}})
		}, apparmor.NetworkQuestion{Family: "inet", Type: "stream", Access: []string{"create", "bind"}}),
	}
}

// rawSetuid changes the saved user alone, and of this thread alone.
func rawSetuid(effective, saved int) error {
	_, _, errno := unix.RawSyscall(unix.SYS_SETRESUID, ^uintptr(0), uintptr(effective), uintptr(saved))
	if errno != 0 {
		return errno
	}
	return nil
}

func allProbes() []probe {
	var all []probe
	for _, some := range [][]probe{fileProbes(), mountProbes(), socketProbes(), processProbes(), capabilityProbes()} {
		all = append(all, some...)
	}
	return all
}
