// SPDX-License-Identifier: Apache-2.0

package shield

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"golang.org/x/sys/unix"
)

//go:embed program
var embedded embed.FS

// program returns the shield process's program in a file in memory that can no longer be changed. It needs no directory that programs may be executed in.
func program() (*os.File, error) {
	text, err := embedded.ReadFile("program/bulkhead-shield")
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errors.New("this binary was built without the shield process: build it with `make build`")
	}
	if err != nil {
		return nil, err
	}
	const mayExecute = 0x10 // MFD_EXEC, Linux 6.3
	descriptor, err := unix.MemfdCreate("bulkhead-shield", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING|mayExecute)
	if errors.Is(err, unix.EINVAL) {
		descriptor, err = unix.MemfdCreate("bulkhead-shield", unix.MFD_CLOEXEC|unix.MFD_ALLOW_SEALING)
	}
	if err != nil {
		return nil, fmt.Errorf("memfd_create: %w (sysctl vm.memfd_noexec must be below 2)", err)
	}
	file := os.NewFile(uintptr(descriptor), "bulkhead-shield")
	_, err = file.Write(text)
	if err == nil {
		_, err = unix.FcntlInt(file.Fd(), unix.F_ADD_SEALS, unix.F_SEAL_SEAL|unix.F_SEAL_SHRINK|unix.F_SEAL_GROW|unix.F_SEAL_WRITE)
	}
	if err != nil {
		file.Close()
		return nil, fmt.Errorf("the shield process's program: %w", err)
	}
	return file, nil
}
