// SPDX-License-Identifier: Apache-2.0

package tpm

import (
	"fmt"
	"io/fs"
	"os"

	"github.com/google/go-tpm/tpm2/transport"
	"golang.org/x/sys/unix"
)

// DefaultPath is the kernel's first TPM, through its resource manager.
const DefaultPath = "/dev/tpmrm0"

// OpenFile opens a TPM: a character device, or a Unix socket that one answers on, such as swtpm's. Which of them decides what it vouches for.
func OpenFile(path string) (file *os.File, kernel bool, err error) {
	status, err := os.Stat(path)
	if err != nil {
		return nil, false, err
	}
	switch status.Mode().Type() {
	case fs.ModeDevice | fs.ModeCharDevice:
		file, err := os.OpenFile(path, os.O_RDWR, 0)
		return file, err == nil, err
	case fs.ModeSocket:
		socket, err := unix.Socket(unix.AF_UNIX, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0)
		if err != nil {
			return nil, false, err
		}
		if err := unix.Connect(socket, &unix.SockaddrUnix{Name: path}); err != nil {
			unix.Close(socket)
			return nil, false, fmt.Errorf("connecting to %s: %w", path, err)
		}
		return os.NewFile(uintptr(socket), path), false, nil
	}
	return nil, false, fmt.Errorf("%s is neither a device nor a socket", path)
}

// Open opens a TPM as OpenFile does.
func Open(path string) (*Device, error) {
	file, kernel, err := OpenFile(path)
	if err != nil {
		return nil, err
	}
	return &Device{file: file, send: transport.FromReadWriter(file), kernel: kernel}, nil
}
