// SPDX-License-Identifier: Apache-2.0

package vm

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// extracted returns a directory with the contents of a Debian package, which is
// downloaded, not installed. finish may add to the directory.
func (c cache) extracted(ctx context.Context, section, name string, finish func(directory string) error) (string, error) {
	return c.once(ctx, filepath.Join(section, name), func(directory string) error {
		if err := download(ctx, name, directory); err != nil {
			return err
		}
		archives, err := filepath.Glob(filepath.Join(directory, "*.deb"))
		if err != nil {
			return err
		}
		if len(archives) != 1 {
			return fmt.Errorf("apt-get download %s left %d packages", name, len(archives))
		}
		if _, err := output(exec.CommandContext(ctx, "dpkg-deb", "-x", archives[0], directory)); err != nil {
			return err
		}
		if err := os.Remove(archives[0]); err != nil {
			return err
		}
		return finish(directory)
	})
}

func download(ctx context.Context, name, directory string) error {
	command := exec.CommandContext(ctx, "apt-get", "-q", "-o", "APT::Sandbox::User=root", "download", name)
	command.Dir = directory
	_, err := output(command)
	return err
}

func complete(string) error { return nil }

// busybox returns the path of a static busybox: the host's, or that of Debian's package.
func (c cache) busybox(ctx context.Context) (string, error) {
	for _, path := range []string{"/usr/bin/busybox", "/bin/busybox"} {
		if dynamic, err := isDynamic(path); err == nil && !dynamic {
			return path, nil
		}
	}
	directory, err := c.extracted(ctx, "packages", "busybox-static", complete)
	if err != nil {
		return "", err
	}
	return firstExisting(filepath.Join(directory, "usr/bin/busybox"), filepath.Join(directory, "bin/busybox"))
}

// compileProfile compiles an AppArmor profile to the binary form that kernels of
// abi 3.0 and later load; the host's own kernel is not asked. The compiler is the
// host's apparmor_parser or that of Debian's package.
func (c cache) compileProfile(ctx context.Context, source string) ([]byte, error) {
	root := "/"
	if !exists("/sbin/apparmor_parser") || !exists("/etc/apparmor.d/abi/3.0") {
		directory, err := c.extracted(ctx, "packages", "apparmor", complete)
		if err != nil {
			return nil, err
		}
		root = directory
	}
	parser, err := firstExisting(filepath.Join(root, "sbin/apparmor_parser"), filepath.Join(root, "usr/sbin/apparmor_parser"))
	if err != nil {
		return nil, err
	}
	base := filepath.Join(root, "etc/apparmor.d")
	features := filepath.Join(base, "abi/3.0")
	return output(exec.CommandContext(ctx, parser, "--config-file=/dev/null", "-Q", "-K", "-S", "--policy-features", features, "--kernel-features", features,
		"--base", base, "-I", base, source))
}

func firstExisting(paths ...string) (string, error) {
	for _, path := range paths {
		if exists(path) {
			return path, nil
		}
	}
	return "", fmt.Errorf("none of %s exists", strings.Join(paths, ", "))
}

// output runs a program and returns its stdout; the error has its stderr. The
// program's language is C, so that its output can be read.
func output(command *exec.Cmd) ([]byte, error) {
	var stdout, stderr bytes.Buffer
	command.Stdout, command.Stderr = &stdout, &stderr
	command.Env = append(command.Environ(), "LC_ALL=C")
	err := command.Run()
	if errors.Is(err, exec.ErrNotFound) {
		return nil, fmt.Errorf("%s is not installed: %w", command.Args[0], err)
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w: %s", strings.Join(command.Args, " "), err, bytes.TrimSpace(stderr.Bytes()))
	}
	return stdout.Bytes(), nil
}
